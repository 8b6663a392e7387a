package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/iwanbk/bcache"
)

// A command is what a node can be told to do.
type command struct {
	args string // their names
	run  func(n *node, args []string) (any, error)
}

var errNoLoad = errors.New("no load runs")

// commands are those that both versions know.
var commands = map[string]command{
	"set": {"KEY VALUE", func(n *node, args []string) (any, error) {
		return nil, n.cache.SetWithTTL(args[0], args[1], bcache.NoExpiry)
	}},
	// set, for a millisecond
	"short": {"KEY VALUE", func(n *node, args []string) (any, error) {
		return nil, n.cache.SetWithTTL(args[0], args[1], time.Millisecond)
	}},
	"delete": {"KEY", func(n *node, args []string) (any, error) { return nil, n.cache.Delete(args[0]) }},
	"clear":  {"", func(n *node, _ []string) (any, error) { return nil, n.cache.Clear() }},
	"get": {"KEY", func(n *node, args []string) (any, error) {
		value, found := n.cache.Get(args[0])
		return got{value, found}, nil
	}},
	// a Get of the Loader: what isn't cached comes from the database
	"load": {"KEY", func(n *node, args []string) (any, error) { return n.fetch(args[0]) }},
	// the values of these keys that are cached
	"dump": {"KEY ...", func(n *node, args []string) (any, error) {
		held := map[string]string{}
		for _, key := range args {
			if value, found := n.cache.Get(key); found {
				held[key] = value
			}
		}
		return held, nil
	}},
	// the values of these keys as the Loader has them; all are asked for at once
	"loads": {"KEY ...", func(n *node, args []string) (any, error) {
		found, errs := make([]got, len(args)), make([]error, len(args))
		var all sync.WaitGroup
		for i, key := range args {
			all.Go(func() { found[i], errs[i] = n.fetch(key) })
		}
		all.Wait()
		values := map[string]string{}
		for i, key := range args {
			if found[i].Found {
				values[key] = found[i].Value
			}
		}
		return values, errors.Join(errs...)
	}},
	"why": {"KEY", func(n *node, args []string) (any, error) {
		reports, err := n.cache.Inspect().Why(context.Background(), args[0], true)
		var all []report
		for _, r := range reports {
			of := report{Node: r.Node}
			if r.Err != nil {
				of.Err = r.Err.Error()
			}
			if r.Held != nil {
				of.Kind, of.Value = string(r.Held.Kind), r.Held.Value
			}
			all = append(all, of)
		}
		return all, err
	}},
	"members": {"", func(n *node, _ []string) (any, error) { return n.cache.Members(), nil }},
	"ready":   {"", func(n *node, _ []string) (any, error) { return nil, n.cache.Ready() }},
	"stats":   {"", func(n *node, _ []string) (any, error) { return n.cache.Stats(), nil }},
	"close":   {"", func(n *node, _ []string) (any, error) { return nil, n.cache.Close() }},
	// reads and writes in the background; NAME is that of the keys that only this node writes, and with a
	// HOW of "clears" there are Clears that select, if this version has them
	"run": {"NAME HOW", func(n *node, args []string) (any, error) {
		if n.load != nil {
			return nil, errors.New("a load runs already")
		}
		n.load = startLoad(n, args[0], args[1] == "clears")
		return nil, nil
	}},
	// what has come of that so far
	"progress": {"", func(n *node, _ []string) (any, error) {
		if n.load == nil {
			return nil, errNoLoad
		}
		return n.load.soFar(), nil
	}},
	// ends it, and tells what came of it
	"stop": {"", func(n *node, _ []string) (any, error) {
		if n.load == nil {
			return nil, errNoLoad
		}
		l := n.load
		n.load = nil
		return l.stop(), nil
	}},
}

// got is a value, if there is one.
type got struct {
	Value string
	Found bool
}

// report is what one node says of a key.
type report struct {
	Node             uint64
	Err, Kind, Value string
}

// fetchLimit is far longer than a fill takes, and shorter than the test waits for an answer.
const fetchLimit = 10 * time.Second

// fetch asks the Loader for a key.
func (n *node) fetch(key string) (got, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	value, err := n.loader.Get(ctx, key)
	if errors.Is(err, bcache.ErrNotFound) {
		return got{}, nil
	}
	return got{value, err == nil}, err
}
