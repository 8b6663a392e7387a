package nodeprocess

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/iwanbk/bcache"
)

// A command is what a node can be told to do.
type command struct {
	args string // their names
	run  func(n *node, args []string) (any, error)
}

// got is what "get" is answered with.
type got struct {
	Value string
	Found bool
}

var commands = map[string]command{
	"set": {"KEY VALUE", func(n *node, args []string) (any, error) {
		return nil, n.cache.SetWithTTL(args[0], args[1], bcache.NoExpiry)
	}},
	"delete": {"KEY", func(n *node, args []string) (any, error) { return nil, n.cache.Delete(args[0]) }},
	"get": {"KEY", func(n *node, args []string) (any, error) {
		value, found := n.cache.Get(args[0])
		return got{value, found}, nil
	}},
	"sets": {"PREFIX FROM TO VALUE", func(n *node, args []string) (any, error) {
		return nil, EachKey(args[0], number(args[1]), number(args[2]), func(key string) error {
			return n.cache.SetWithTTL(key, args[3], bcache.NoExpiry)
		})
	}},
	"deletes": {"PREFIX FROM TO", func(n *node, args []string) (any, error) {
		return nil, EachKey(args[0], number(args[1]), number(args[2]), n.cache.Delete)
	}},
	// what is held of these keys, without the padding of a load
	"dump": {"PREFIX KEYS ...", func(n *node, args []string) (any, error) {
		held := map[string]string{}
		for i := 0; i+1 < len(args); i += 2 {
			_ = EachKey(args[i], 0, number(args[i+1]), func(key string) error {
				if value, found := n.cache.Get(key); found {
					held[key], _, _ = strings.Cut(value, " ")
				}
				return nil
			})
		}
		return held, nil
	}},
	"len":     {"", func(n *node, _ []string) (any, error) { return n.cache.Len(), nil }},
	"ready":   {"", func(n *node, _ []string) (any, error) { return nil, n.cache.Ready() }},
	"stats":   {"", func(n *node, _ []string) (any, error) { return n.cache.Stats(), nil }},
	"members": {"", func(n *node, _ []string) (any, error) { return n.cache.Members(), nil }},
	// waits that long for Confirm
	"confirm": {"MILLIS", func(n *node, args []string) (any, error) {
		limit := time.Duration(number(args[0])) * time.Millisecond
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return nil, n.cache.Confirm(ctx)
	}},
	// begins to write in the background
	"load": {"PREFIX KEYS RATE SIZE", func(n *node, args []string) (any, error) {
		keys, rate, size := number(args[1]), number(args[2]), number(args[3])
		n.loads[args[0]] = StartLoad(n.cache, n.name, args[0], keys, rate, size)
		return nil, nil
	}},
	// how that goes
	"loaded": {"PREFIX", func(n *node, args []string) (any, error) { return n.loads[args[0]].Report() }},
	// ends it
	"stop": {"PREFIX", func(n *node, args []string) (any, error) {
		n.loads[args[0]].Stop()
		return n.loads[args[0]].Report()
	}},
	// begins to ask for keys in the background
	"probe": {"PREFIX KEYS", func(n *node, args []string) (any, error) {
		n.probes[args[0]] = StartProber(n.cache, args[0], number(args[1]))
		return nil, nil
	}},
	// ends it
	"probed": {"PREFIX", func(n *node, args []string) (any, error) {
		return n.probes[args[0]].Stop(), nil
	}},
	// begins to ask for a key all the time
	"follow": {"KEY", func(n *node, args []string) (any, error) {
		n.follows[args[0]] = follow(n.cache, args[0])
		return nil, nil
	}},
	// ends it
	"followed": {"KEY", func(n *node, args []string) (any, error) {
		return n.follows[args[0]].stop(), nil
	}},
	// whom it would ask for the key's lease
	"granter": {"KEY", func(n *node, args []string) (any, error) { return n.granter(args[0]), nil }},
	// how long fills take from now on
	"slow": {"MILLIS", func(n *node, args []string) (any, error) {
		n.filler.took.Store(int64(number(args[0])))
		return nil, nil
	}},
	// begins a Get of a Loader in the background
	"fill": {"KEY", func(n *node, args []string) (any, error) {
		n.filler.begin(args[0])
		return nil, nil
	}},
	// what that has come to
	"filled": {"KEY", func(n *node, args []string) (any, error) {
		return n.filler.result(args[0]), nil
	}},
	// how many there were
	"fills": {"", func(n *node, _ []string) (any, error) { return n.filler.fills.Load(), nil }},
	"close": {"", func(n *node, _ []string) (any, error) { return nil, n.cache.Close() }},
}

func number(arg string) int {
	v, err := strconv.Atoi(arg)
	if err != nil {
		panic(fmt.Sprintf("%q isn't a number", arg)) // a mistake in a test
	}
	return v
}
