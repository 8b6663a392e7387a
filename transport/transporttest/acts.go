package transporttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// make makes a node, which isn't started.
func (s *scene) make(opts ...with) *node {
	s.Helper()
	spec := Spec{Node: transport.Node{
		PeerID: uint64(len(s.all()) + 1), Origin: rand.Uint64() | 1, ClusterName: s.cluster,
		MaxPending: 64 << 20, MaxClockSkew: 500 * time.Millisecond, Now: time.Now,
	}}
	for _, n := range s.all() {
		if n.started && !n.dead.Load() {
			if addr := n.Addr(); addr != "" {
				spec.Peers = append(spec.Peers, addr)
			}
		}
	}
	for _, o := range opts {
		o(&spec)
	}
	n := &node{s: s, spec: spec, log: &log{}}
	n.spec.Log = n.log
	n.h = &handler{
		self: spec.PeerID, lives: s.lives, in: spec.ClusterName, telling: map[uint64]int{},
		peers: map[uint64]uint64{}, frames: map[gotFrame]int{},
	}
	s.lives.add(spec.ClusterName, spec.PeerID, spec.Origin)
	var err error
	if n.Transport, err = s.net.New(n.spec); err != nil {
		s.Fatalf("New of node %x: %v", spec.PeerID, err)
	}
	s.mu.Lock()
	s.nodes = append(s.nodes, n)
	s.mu.Unlock()
	return n
}

// start makes a node and starts it.
func (s *scene) start(opts ...with) *node {
	s.Helper()
	n := s.make(opts...)
	n.start()
	return n
}

// startAll starts nodes at the same time.
func (s *scene) startAll(nodes ...*node) {
	s.Helper()
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		n.h.set(started)
		n.started = true
		wg.Go(func() { errs[i] = s.runs(s.e.Within, func() error { return n.Start(n.spec.Node, n.h) }) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		s.Fatalf("Start: %v", err)
	}
}

// joined waits until all of some nodes know each other.
func (s *scene) joined(nodes ...*node) {
	s.Helper()
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				s.wait(fmt.Sprintf("node %x joins node %x", b.spec.PeerID, a.spec.PeerID), func() error {
					if got := a.h.has(b.spec.PeerID); got != b.spec.Origin {
						return fmt.Errorf("it is there as %x, not %x: %v", got, b.spec.Origin, a.h.told(b.spec.PeerID))
					}
					return nil
				})
			}
		}
	}
}

// left waits until a node is told that another one isn't there.
func (s *scene) left(d time.Duration, at, gone *node) {
	s.Helper()
	s.within(d, fmt.Sprintf("node %x leaves node %x", gone.spec.PeerID, at.spec.PeerID), func() error {
		if got := at.h.has(gone.spec.PeerID); got == gone.spec.Origin {
			return fmt.Errorf("it is still there: %v", at.h.told(gone.spec.PeerID))
		}
		return nil
	})
}

// broadcast has a frame reach some nodes. It tries again, as frames may be lost.
func (s *scene) broadcast(from *node, size int, to ...*node) {
	s.Helper()
	s.deliver(from, size, to, func(frame []byte) error {
		from.Broadcast(frame)
		return nil
	})
}

// send has a frame reach a node, likewise.
func (s *scene) send(from *node, size int, bulk bool, to *node) {
	s.Helper()
	s.deliver(from, size, []*node{to}, func(frame []byte) error {
		return from.Send(to.spec.PeerID, frame, bulk)
	})
}

const tries = 5 // of what may fail because a frame is lost

func (s *scene) deliver(from *node, size int, to []*node, send func(frame []byte) error) {
	s.Helper()
	id := from.next(size)
	before := map[*node]int{}
	for _, n := range to {
		before[n] = n.h.got(from.spec.PeerID, id)
	}
	arrived := func() bool {
		for _, n := range to {
			if n.h.got(from.spec.PeerID, id) == before[n] {
				return false
			}
		}
		return true
	}
	var err error
	for begin := time.Now(); time.Since(begin) < s.e.Within; {
		frame := id.frame()
		s.atOnce("Send or Broadcast", func() error {
			err = send(frame)
			return nil
		})
		ok := s.until(min(time.Second, s.e.Within/tries), arrived)
		if _, err := checkFrame(frame, false); err != nil {
			s.Fatalf("what was sent by node %x isn't what it was: %v", from.spec.PeerID, err)
		}
		if ok {
			return
		}
	}
	s.Fatalf("%v, doesn't arrive within %v, however often it is sent; the last error is %v",
		id, s.e.Within, err)
}

// talk checks that all of some nodes reach each other.
func (s *scene) talk(nodes ...*node) {
	s.Helper()
	for _, from := range nodes {
		to := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n == from })
		s.broadcast(from, 100, to...)
		for _, n := range to {
			s.send(from, 100, false, n)
		}
	}
}

// recent checks a time of the wall clock: it is within that since begin, but for rounding.
func (s *scene) recent(of string, since, begin time.Time) {
	s.Helper()
	if since.Before(begin.Add(-time.Second)) || since.After(time.Now().Add(time.Second)) {
		s.Errorf("Since of a %s is %v, and the node was started after %v", of, since, begin)
	}
}

// block has a node take nothing more: it stays in Receive until release is called.
func (s *scene) block(n *node) (inReceive <-chan struct{}, release func()) {
	in, out := make(chan struct{}), make(chan struct{})
	var once sync.Once
	n.h.hook(func(uint64, frameID) {
		once.Do(func() { close(in) })
		<-out
	})
	release = sync.OnceFunc(func() {
		n.h.hook(nil)
		close(out)
	})
	s.Cleanup(release)
	return in, release
}

// stuck has a node be in the middle of a Receive of another one.
func (s *scene) stuck(n, by *node) (release func()) {
	s.Helper()
	in, release := s.block(n)
	s.wait("a frame comes", func() error {
		var err error
		s.atOnce("Send", func() error {
			err = by.Send(n.spec.PeerID, by.next(100).frame(), false)
			return nil
		})
		if err == nil && !s.until(s.e.Within/tries, func() bool { return isClosed(in) }) {
			err = errors.New("it doesn't")
		}
		return err
	})
	return release
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// cut has a node disconnect another one, and waits for its Left.
func (s *scene) cut(a, b *node) {
	s.Helper()
	before := len(a.h.told(b.spec.PeerID))
	s.atOnce("Disconnect", func() error {
		a.Disconnect(b.spec.PeerID)
		return nil
	})
	s.wait("Left follows Disconnect", func() error {
		if _, ok := a.presence(b, time.Hour); !ok {
			s.Fatalf("for a moment node %x is neither there nor gone: Everybody lacks it", b.spec.PeerID)
		}
		if told := a.h.told(b.spec.PeerID); len(told) <= before {
			return fmt.Errorf("node %x was told %v", a.spec.PeerID, told)
		}
		return nil
	})
}

// mustBe returns an error unless err is one of those that are wanted.
func mustBe(err error, wanted ...error) error {
	for _, w := range wanted {
		if errors.Is(err, w) {
			return nil
		}
	}
	return fmt.Errorf("the error is %v, want one of %v", err, wanted)
}
