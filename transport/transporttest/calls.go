package transporttest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// beforeStart checks the methods before Start, and that a node can close that was never started.
func beforeStart(s *scene) {
	s.start()
	a := s.make()
	s.atOnce("a method before Start", func() error { return a.useAll(1) })
	if ms := a.Members(); len(ms) > 0 {
		s.Errorf("Members before Start: %+v", ms)
	}
	if len(a.spec.Peers) > 0 && !a.Expects() {
		s.Error("Expects is false, and the node was told of others")
	}
	a.shut()
	s.atOnce("a method after Close", func() error { return a.useAll(1) })
}

// afterClose checks the methods after Close.
func afterClose(s *scene) {
	a, b := s.start(), s.start()
	s.joined(a, b)
	a.shut()
	s.atOnce("a method after Close", func() error { return a.useAll(b.spec.PeerID) })
	s.atOnce("Close after Close", a.Close)
	if err := s.runs(s.e.Within, func() error { return a.Start(a.spec.Node, a.h) }); err == nil {
		s.Error("Start after Close returns no error")
	}
	s.left(s.e.Within, b, a)
}

// startTwice checks that Start is an error the second time, and harms nothing.
func startTwice(s *scene) {
	a, b := s.start(), s.start()
	s.joined(a, b)
	if err := s.runs(s.e.Within, func() error { return a.Start(a.spec.Node, a.h) }); err == nil {
		s.Error("the second Start returns no error")
	}
	s.talk(a, b)
}

// portInUse checks that a Start that fails leaves nothing, and that a port is free after Close.
func portInUse(s *scene) {
	addr := s.net.FreeAddr()
	a := s.start(at(addr))
	b := s.make(at(addr))
	b.h.set(started)
	if err := s.runs(s.e.Within, func() error { return b.Start(b.spec.Node, b.h) }); err == nil {
		s.Errorf("Start at %s, where another node listens, returns no error", addr)
	}
	s.atOnce("a method after a Start that failed", func() error { return b.useAll(a.spec.PeerID) })
	b.shut()
	a.shut()
	c, d := s.start(at(addr)), s.start()
	s.joined(c, d)
}

// closeInCall checks that Close waits for a call of the Handler that is under way.
func closeInCall(s *scene) {
	a, b := s.start(), s.start()
	s.joined(a, b)
	release := s.stuck(b, a)
	var returned atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		b.shut()
		returned.Store(true)
	})
	s.until(100*time.Millisecond, returned.Load)
	release()
	wg.Wait()
	s.left(s.e.Within, a, b)
}

// closeMeanwhile checks that Close may be called at the same time as everything else, itself too.
func closeMeanwhile(s *scene) {
	a, b := s.start(), s.start()
	s.joined(a, b)
	var done atomic.Bool
	var users, closers sync.WaitGroup
	for _, n := range []*node{a, b} {
		for range 2 {
			users.Go(func() {
				pace := time.NewTicker(50 * time.Microsecond)
				defer pace.Stop()
				for ; !done.Load(); <-pace.C {
					n.Broadcast(n.next(5000).frame())
					_ = n.Send(3-n.spec.PeerID, n.next(5000).frame(), true)
					n.Members()
					n.Everybody(time.Hour)
					n.Unreached()
					n.Stats()
					n.Supersede(3 - n.spec.PeerID)
				}
			})
		}
	}
	stop := sync.OnceFunc(func() { done.Store(true); users.Wait() })
	s.Cleanup(stop)
	s.wait("frames go", func() error {
		if a.h.total() == 0 || b.h.total() == 0 {
			return errors.New("none has come")
		}
		return nil
	})
	for range 3 {
		closers.Go(a.shut)
	}
	closers.Wait()
	s.left(s.e.Within, b, a)
	stop()
	c := s.start()
	s.joined(b, c)
}
