//go:build !before

package main

import (
	"context"
	"strings"

	"github.com/iwanbk/bcache"
)

// What the release before doesn't have: tags, Clears that select, confirmations and tokens.
func init() {
	commands["put"] = command{"KEY VALUE TAG ...", func(n *node, args []string) (any, error) {
		return nil, n.cache.Put(args[0], args[1], bcache.NoExpiry, args[2:]...)
	}}
	commands["cleartag"] = command{"TAG", func(n *node, args []string) (any, error) {
		return nil, n.cache.ClearTag(args[0])
	}}
	commands["clearprefix"] = command{"PREFIX", func(n *node, args []string) (any, error) {
		return nil, n.cache.ClearPrefix(args[0])
	}}
	commands["confirm"] = command{"", func(n *node, _ []string) (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
		defer cancel()
		return nil, n.cache.Confirm(ctx)
	}}
	commands["token"] = command{"", func(n *node, _ []string) (any, error) {
		return n.cache.Token().String(), nil
	}}
	commands["await"] = command{"TOKEN", func(n *node, args []string) (any, error) {
		token, err := bcache.ParseToken(args[0])
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
		defer cancel()
		return nil, n.cache.Await(ctx, token)
	}}
	clearPrefix = (*bcache.Bcache).ClearPrefix
	tagged = func(l bcache.Loaded, key string) bcache.Loaded {
		if strings.HasPrefix(key, "d-2") || strings.HasPrefix(key, "t-") {
			l.Tags = []string{"filled"}
		}
		return l
	}
}
