package natstest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
	"github.com/iwanbk/bcache/transport/nats"
)

// A node is a transport with a handler that notes everything.
type node struct {
	*nats.Transport
	id, origin uint64
	pending    int
	h          *testkit.Handler
	log        *lines
}

// newNode makes a node that isn't started.
func newNode(t testing.TB, id uint64, cfg nats.Config) *node {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = fmt.Sprintf("host-%x", id)
	}
	tr, err := nats.New(cfg)
	testkit.Ok(t, err)
	n := &node{
		Transport: tr, id: id, origin: rand.Uint64() | 1, pending: 64 << 20,
		h: &testkit.Handler{}, log: &lines{},
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("Close of node %x: %v", id, err)
		}
		if err := alternates(n.h); err != nil {
			t.Errorf("node %x: %v", id, err)
		}
		if t.Failed() {
			t.Logf("node %x: %s", id, n.log)
		}
	})
	return n
}

func (n *node) start(t testing.TB, cluster string) {
	t.Helper()
	testkit.Ok(t, n.starts(cluster))
}

func (n *node) starts(cluster string) error {
	return n.Start(transport.Node{
		PeerID: n.id, Origin: n.origin, ClusterName: cluster, MaxPending: n.pending, MaxClockSkew: time.Second,
		Now: time.Now, Log: n.log,
	}, n.h)
}

// startNodes starts so many nodes, with IDs from 1 on, and waits until all are joined with all.
func startNodes(t testing.TB, cfg nats.Config, ids ...uint64) []*node {
	t.Helper()
	var all []*node
	for _, id := range ids {
		n := newNode(t, id, cfg)
		n.start(t, t.Name())
		all = append(all, n)
	}
	together(t, all...)
	return all
}

// together waits until nodes are joined with each other, and with no other ones.
func together(t testing.TB, nodes ...*node) {
	t.Helper()
	testkit.Within(t, limit, func() error {
		for _, n := range nodes {
			var want []string
			for _, o := range nodes {
				if o != n {
					want = append(want, fmt.Sprintf("%x/%x", o.id, o.origin))
				}
			}
			slices.Sort(want)
			if got := joined(n.h); !slices.Equal(got, want) {
				return fmt.Errorf("node %x is joined with %v, want %v", n.id, got, want)
			}
		}
		return nil
	})
}

// joined lists whom a handler takes for joined.
func joined(h *testkit.Handler) (list []string) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	there := map[string]string{}
	for _, e := range h.Events {
		id, _, _ := strings.Cut(e[1:], "/")
		if delete(there, id); e[0] == '+' {
			there[id] = e[1:]
		}
	}
	for _, one := range there {
		list = append(list, one)
	}
	slices.Sort(list)
	return list
}

// alternates checks that each peer has joined before it left, and left before it joined again.
func alternates(h *testkit.Handler) error {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	there := map[string]bool{}
	for _, e := range h.Events {
		id, _, _ := strings.Cut(e[1:], "/")
		if there[id] == (e[0] == '+') {
			return fmt.Errorf("%s comes twice in %v", e, h.Events)
		}
		there[id] = e[0] == '+'
	}
	return nil
}

// arrives waits until a frame has come.
func arrives(t testing.TB, at *node, from *node, frame []byte) {
	t.Helper()
	testkit.Within(t, limit, func() error {
		if !at.h.Got(from.id, frame) {
			return fmt.Errorf("node %x hasn't got a frame of %d bytes of node %x", at.id, len(frame), from.id)
		}
		return nil
	})
}

// events waits until a handler was told of so many events that begin so.
func events(t testing.TB, n *node, prefix string, want int) {
	t.Helper()
	testkit.Within(t, limit, func() error {
		if got := n.h.Count(prefix); got < want {
			return fmt.Errorf("node %x was told %s... %d times, want %d", n.id, prefix, got, want)
		}
		return nil
	})
}

// lines is a transport.Logger that keeps its lines.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(level string, format string, v []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, level+" "+fmt.Sprintf(format, v...))
}

func (l *lines) Errorf(_ uint64, format string, v ...any) { l.add("E", format, v) }

func (l *lines) Printf(_ uint64, format string, v ...any) { l.add("P", format, v) }

func (l *lines) Debugf(_ uint64, format string, v ...any) { l.add("D", format, v) }

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n\t")
}

// says waits until a line with a text was logged.
func (l *lines) says(t testing.TB, text string) {
	t.Helper()
	testkit.Within(t, limit, func() error {
		if !strings.Contains(l.String(), text) {
			return fmt.Errorf("no line says %q; there are:\n\t%s", text, l)
		}
		return nil
	})
}
