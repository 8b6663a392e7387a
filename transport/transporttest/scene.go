package transporttest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A scene is what a check works with: a network, and the nodes on it.
type scene struct {
	testing.TB
	e       Engine
	net     Network
	cluster string
	lives   *lives
	before  map[string]string // goroutines that were there

	mu     sync.Mutex
	nodes  []*node
	labels uint32
}

func newScene(t testing.TB, e Engine) *scene {
	t.Helper()
	s := &scene{
		TB: t, e: e, cluster: fmt.Sprintf("kit-%x", rand.Uint64()),
		lives: &lives{all: map[string]map[uint64][]uint64{}}, before: stacks(e.Packages, true),
	}
	t.Cleanup(func() { s.leaks("the network is gone", true) })
	s.net = e.Network(t)
	if s.net.New == nil {
		t.Fatal("transporttest: Network.New is nil")
	}
	t.Cleanup(s.end)
	return s
}

// end closes all nodes, and tells what was wrong with them.
func (s *scene) end() {
	var wg sync.WaitGroup
	for _, n := range s.all() {
		wg.Go(func() { n.shut() })
	}
	wg.Wait()
	for _, n := range s.all() {
		for _, fault := range n.h.takeFaults() {
			s.Errorf("node %x: %s", n.spec.PeerID, fault)
		}
	}
	s.leaks("all nodes are closed", false)
	if s.Failed() {
		for _, n := range s.all() {
			s.Logf("node %x of cluster %q was told %v, and logged:%s",
				n.spec.PeerID, n.spec.ClusterName, n.h.all(), n.log)
		}
	}
}

func (s *scene) all() []*node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nodes)
}

// leaks waits until no goroutine of the engine is left that wasn't there before.
func (s *scene) leaks(when string, all bool) {
	s.Helper()
	var left map[string]string
	if !poll(s.e.Within/3, 10*time.Millisecond, func() bool {
		left = stacks(s.e.Packages, all)
		maps.DeleteFunc(left, func(id, _ string) bool { return s.before[id] != "" })
		return len(left) == 0
	}) {
		s.Errorf("%s, and %d goroutines are left:\n%s",
			when, len(left), strings.Join(slices.Collect(maps.Values(left)), "\n\n"))
	}
}

// until waits until ok, for at most d, and reports whether it is.
func (s *scene) until(d time.Duration, ok func() bool) bool { return poll(d, time.Millisecond, ok) }

// poll looks whether ok at every tick, for at most d.
func poll(d, tick time.Duration, ok func() bool) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		if ok() {
			return true
		}
		select {
		case <-ticks.C:
		case <-timeout.C:
			return ok()
		}
	}
}

// wait waits until cond returns nil, and fails if that takes too long.
func (s *scene) wait(what string, cond func() error) {
	s.Helper()
	s.within(s.e.Within, what, cond)
}

func (s *scene) within(d time.Duration, what string, cond func() error) {
	s.Helper()
	var err error
	if !s.until(d, func() bool { err = cond(); return err == nil }) {
		s.Fatalf("%s: after %v: %v", what, d, err)
	}
}

// atOnce runs f, which mustn't wait for anything. If it does, or returns an error, that ends the check.
func (s *scene) atOnce(what string, f func() error) {
	s.Helper()
	if err := s.runs(min(s.e.Within/3, 5*time.Second), f); err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// runs returns what f returns, or that it panics, or that it takes longer than d.
func (s *scene) runs(d time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("it ends its goroutine")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
			done <- err
		}()
		err = f()
	}()
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	select {
	case err := <-done:
		return err
	case <-timeout.C:
		buf := make([]byte, 1<<20)
		return fmt.Errorf("it doesn't return within %v:\n%s", d, buf[:runtime.Stack(buf, true)])
	}
}
