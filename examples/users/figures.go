package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// figures are counters of the nodes' /stats, added up over all nodes and their lives. What a process
// counts after it was last read, and before it ends, is lost: a few requests.
type figures map[string]uint64

// read adds those of a node, at the end of its life.
func (f figures) read(ctx context.Context, c client, url string) error {
	var stats map[string]json.RawMessage
	if err := c.read(ctx, url+"/stats", &stats); err != nil {
		return err
	}
	for name, text := range stats {
		if n, err := strconv.ParseUint(string(text), 10, 64); err == nil {
			f[name] += n
		}
	}
	return nil
}

// names returns the names of the figures that begin with one of some words, sorted.
func (f figures) names(words ...string) []string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(f)), func(name string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(name, word) })
	})
	slices.Sort(names)
	return names
}
