//go:build linux

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/lease"
)

// A node in a process of its own is this test binary, started again with its setup in
// the environment. It obeys commands on stdin, a line each, and answers each with a line
// of JSON on stdout. Its log goes to stderr. It ends with its stdin.
const nodeEnv = "BCACHE_TEST_NODE"

type nodeSetup struct {
	Name     string // of this life of the node: it is in the values that it writes
	Config   bcache.Config
	Database string // see process.db
}

type nodeAnswer struct {
	Value any
	Err   string
}

func TestMain(m *testing.M) {
	if setup := os.Getenv(nodeEnv); setup != "" {
		runNode(setup)
		return
	}
	m.Run()
}

// A testNode is what runs in the other process.
type testNode struct {
	name    string
	id      uint64 // its PeerID
	cache   *bcache.Bcache
	loads   map[string]*Load
	probes  map[string]*prober
	follows map[string]*follower
	filler  *nodeFiller
}

func runNode(setup string) {
	var s nodeSetup
	err := json.Unmarshal([]byte(setup), &s)
	n := testNode{name: s.Name, id: s.Config.PeerID, loads: map[string]*Load{}, probes: map[string]*prober{},
		follows: map[string]*follower{}}
	if err == nil {
		s.Config.Logger = bcache.NewSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
		n.cache, err = bcache.New(s.Config)
	}
	if err == nil {
		n.filler, err = newNodeFiller(n.cache, s.Name)
	}
	reply("", err) // it listens
	for in := bufio.NewScanner(os.Stdin); err == nil && in.Scan(); {
		reply(n.do(strings.Fields(in.Text())))
	}
}

func reply(value any, err error) {
	a := nodeAnswer{Value: value}
	if err != nil {
		a.Err = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(a)
}

// nodeCommands are the commands with their arguments.
var nodeCommands = map[string]string{
	"set":      "KEY VALUE",
	"delete":   "KEY",
	"get":      "KEY",
	"sets":     "PREFIX FROM TO VALUE",
	"deletes":  "PREFIX FROM TO",
	"dump":     "PREFIX KEYS ...", // what is held of these keys, without the padding of a load
	"len":      "",
	"ready":    "",
	"stats":    "",
	"members":  "",
	"confirm":  "MILLIS",                // waits that long for Confirm
	"load":     "PREFIX KEYS RATE SIZE", // begins to write in the background
	"loaded":   "PREFIX",                // how that goes
	"stop":     "PREFIX",                // ends it
	"probe":    "PREFIX KEYS",           // begins to ask for keys in the background
	"probed":   "PREFIX",                // ends it
	"follow":   "KEY",                   // begins to ask for a key all the time
	"followed": "KEY",                   // ends it
	"granter":  "KEY",                   // whom it would ask for the key's lease
	"slow":     "MILLIS",                // how long fills take from now on
	"fill":     "KEY",                   // begins a Get of a Loader in the background
	"filled":   "KEY",                   // what that has come to
	"fills":    "",                      // how many there were
	"close":    "",
}

// do runs one command.
func (n *testNode) do(command []string) (any, error) {
	if len(command) == 0 {
		return nil, errors.New("no command")
	}
	args := command[1:]
	usage, known := nodeCommands[command[0]]
	if want := len(strings.Fields(usage)); !known || len(args) != want && !strings.HasSuffix(usage, "...") {
		return nil, fmt.Errorf("%q isn't a command such as %s %s", command, command[0], usage)
	}
	number := func(i int) int {
		v, err := strconv.Atoi(args[i])
		if err != nil {
			panic(fmt.Sprintf("%q: argument %d isn't a number", command, i)) // a mistake in a test
		}
		return v
	}
	switch command[0] {
	case "set":
		return nil, n.cache.SetWithTTL(args[0], args[1], bcache.NoExpiry)
	case "delete":
		return nil, n.cache.Delete(args[0])
	case "get":
		v, found := n.cache.Get(args[0])
		return got{v, found}, nil
	case "sets":
		return nil, eachKey(args[0], number(1), number(2), func(key string) error {
			return n.cache.SetWithTTL(key, args[3], bcache.NoExpiry)
		})
	case "deletes":
		return nil, eachKey(args[0], number(1), number(2), n.cache.Delete)
	case "dump":
		held := map[string]string{}
		for i := 0; i+1 < len(args); i += 2 {
			eachKey(args[i], 0, number(i+1), func(key string) error {
				if v, found := n.cache.Get(key); found {
					held[key], _, _ = strings.Cut(v, " ")
				}
				return nil
			})
		}
		return held, nil
	case "len":
		return n.cache.Len(), nil
	case "ready":
		return nil, n.cache.Ready()
	case "stats":
		return n.cache.Stats(), nil
	case "members":
		return n.cache.Members(), nil
	case "confirm":
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(number(0))*time.Millisecond)
		defer cancel()
		return nil, n.cache.Confirm(ctx)
	case "load":
		n.loads[args[0]] = startLoad(n.cache, n.name, args[0], number(1), number(2), number(3))
		return nil, nil
	case "loaded":
		return n.loads[args[0]].report()
	case "stop":
		n.loads[args[0]].stop()
		return n.loads[args[0]].report()
	case "probe":
		n.probes[args[0]] = startProber(n.cache, args[0], number(1))
		return nil, nil
	case "probed":
		return n.probes[args[0]].stop(), nil
	case "follow":
		n.follows[args[0]] = follow(n.cache, args[0])
		return nil, nil
	case "followed":
		return n.follows[args[0]].stop(), nil
	case "granter":
		return n.granter(args[0]), nil
	case "slow":
		n.filler.took.Store(int64(number(0)))
		return nil, nil
	case "fill":
		n.filler.begin(args[0])
		return nil, nil
	case "filled":
		return n.filler.result(args[0]), nil
	case "fills":
		return n.filler.fills.Load(), nil
	case "close":
		return nil, n.cache.Close()
	}
	return nil, fmt.Errorf("%q isn't done", command)
}

type got struct {
	Value string
	Found bool
}

func eachKey(prefix string, from, to int, f func(key string) error) error {
	for i := from; i < to; i++ {
		if err := f(prefix + strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

// nextTick returns a channel that delivers when the next multiple of d comes, by the wall
// clock: processes that wait for it do so together.
func nextTick(timer *time.Timer, d time.Duration) <-chan time.Time {
	now := time.Now()
	timer.Reset(now.Truncate(d).Add(d).Sub(now))
	return timer.C
}

// granter returns the node that this one would ask for the lease of a key.
func (n *testNode) granter(key string) uint64 {
	ids := []uint64{n.id}
	for _, m := range n.cache.Members() {
		ids = append(ids, m.ID)
	}
	id, _ := lease.Granter(key, ids)
	return id
}
