//go:build !before

package main

import (
	"strings"

	"github.com/iwanbk/bcache"
)

// What the release before doesn't have: tags, and Clears that select.
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
	clearPrefix = (*bcache.Bcache).ClearPrefix
	tagged = func(l bcache.Loaded, key string) bcache.Loaded {
		if strings.HasPrefix(key, "d-2") || strings.HasPrefix(key, "t-") {
			l.Tags = []string{"filled"}
		}
		return l
	}
}
