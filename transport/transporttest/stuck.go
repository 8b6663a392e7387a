package transporttest

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// blocked checks that a node that takes nothing delays nobody else, and itself sends what it has to.
func blocked(s *scene) {
	a, b, c := s.start(), s.start(), s.start()
	s.joined(a, b, c)
	release := s.stuck(b, a)
	for range 50 {
		s.broadcast(a, 100_000, c)
		s.send(a, 1000, false, c)
		s.atOnce("Send to a node that is stuck", func() error {
			return mustBe(a.Send(b.spec.PeerID, a.next(100_000).frame(), true), nil, transport.ErrQueueFull)
		})
	}
	s.broadcast(b, 1000, a, c)
	s.send(b, 1000, false, c)
	d := s.start() // and it keeps nobody from joining others
	s.joined(a, c, d)
	release()
	s.joined(a, b, c, d)
	s.talk(a, b, c, d)
}

// queue checks that no more than MaxPending is kept for a node, and what becomes of more.
func queue(s *scene) {
	const most, size = 2 << 20, 256 << 10
	a, b, c := s.start(pending(most)), s.start(pending(most)), s.start(pending(most))
	s.joined(a, b, c)
	release := s.stuck(b, a)
	limit := most + s.e.Buffers
	// If there is a server between nodes, what is too much may be dropped where it comes in.
	dropped := func() uint64 { return a.Stats().DroppedFrames + b.Stats().DroppedFrames }
	before, droppedBefore := heap(), dropped()
	// keeps waits until what is on its way to those that take it is there: more may be, for a moment.
	keeps := func(bytes int, what string) {
		grown := 0
		passed := func() bool { grown = heap() - before; return grown <= limit }
		if !poll(s.e.Within, 200*time.Millisecond, passed) {
			s.Errorf("of %d bytes that were %s %d are kept; MaxPending is %d, Buffers %d",
				bytes, what, grown, most, s.e.Buffers)
		}
	}
	sent := 0
	for full := false; !full && sent < 2*limit; {
		s.atOnce("Send to a node that is stuck", func() error {
			err := a.Send(b.spec.PeerID, a.next(size).frame(), true)
			if full = errors.Is(err, transport.ErrQueueFull); full {
				return nil
			}
			sent += size
			return err
		})
	}
	s.Logf("Send takes %d bytes for a node that is stuck; MaxPending is %d", sent, most)
	keeps(sent, "sent to a node that is stuck")
	for range 2 * limit / size {
		s.atOnce("Broadcast", func() error {
			a.Broadcast(a.next(size).frame())
			return nil
		})
	}
	keeps(sent+2*limit, "sent or broadcast")
	s.wait("what is dropped is counted", func() error {
		if now := dropped(); now == droppedBefore {
			return fmt.Errorf("DroppedFrames is %d, as before", now)
		}
		return nil
	})
	s.broadcast(a, size, c)
	release()
	s.joined(a, b, c)
	s.talk(a, b, c)
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// bulkIsPassed checks that a small frame passes bulk that waits, and that bulk keeps its order.
func bulkIsPassed(s *scene) {
	const size = 256 << 10
	a, b := s.start(), s.start()
	s.joined(a, b)
	n := (s.e.Buffers + 16<<20) / size
	if most := a.spec.MaxPending * 7 / 8 / size; n > most {
		s.Skipf("Buffers is %d: it isn't observable what passes what", s.e.Buffers)
	}
	behind := 0
	for range tries { // all bulk may be on its way before the small frame is there
		var mu sync.Mutex
		var order []frameID
		in, out := make(chan struct{}), make(chan struct{})
		b.h.hook(func(_ uint64, id frameID) {
			mu.Lock()
			order = append(order, id)
			first := len(order) == 1
			mu.Unlock()
			if first {
				close(in)
				<-out
			}
		})
		release := sync.OnceFunc(func() { close(out) })
		s.Cleanup(release)
		var last frameID
		for range n {
			last = a.next(size)
			s.atOnce("Send", func() error { return a.Send(b.spec.PeerID, last.frame(), true) })
		}
		if !s.until(s.e.Within/tries, func() bool { return isClosed(in) }) {
			release()
			continue
		}
		small := a.next(100)
		s.atOnce("Send", func() error { return a.Send(b.spec.PeerID, small.frame(), false) })
		release()
		arrived := func() bool { return b.h.got(a.spec.PeerID, small)*b.h.got(a.spec.PeerID, last) > 0 }
		if !s.until(s.e.Within/tries, arrived) {
			continue
		}
		b.h.hook(nil)
		mu.Lock()
		passes := order[len(order)-1] != small
		bulk := frameID{}
		for _, id := range order {
			switch {
			case id == small:
			case id.label < bulk.label:
				s.Errorf("bulk comes out of order: %v, after %v", id, bulk)
			default:
				bulk = id
			}
		}
		mu.Unlock()
		if passes {
			return
		}
		behind++
	}
	if behind > 0 {
		s.Errorf("a small frame comes behind %d frames of bulk, each of %d times", n, behind)
		return
	}
	s.Fatalf("a frame doesn't arrive in %d tries", tries)
}

// disconnect checks that Disconnect ends a connection, which comes back.
func disconnect(s *scene) {
	a, b, c := s.start(), s.start(), s.start()
	s.joined(a, b, c)
	for range 3 {
		s.cut(a, b)
		s.joined(a, b, c)
		s.talk(a, b, c)
	}
	for _, n := range []*node{a, b} {
		if got := n.h.told(c.spec.PeerID); len(got) != 1 {
			s.Errorf("of node %x, which nobody has disconnected, node %x was told %v",
				c.spec.PeerID, n.spec.PeerID, got)
		}
	}
}

// disconnectStuck checks that Disconnect ends a connection to which nothing can be written.
func disconnectStuck(s *scene) {
	a, b, c := s.start(), s.start(), s.start()
	s.joined(a, b, c)
	release := s.stuck(b, a)
	for range (a.spec.MaxPending + s.e.Buffers) / (512 << 10) {
		if err := a.Send(b.spec.PeerID, a.next(512<<10).frame(), true); err != nil {
			break
		}
	}
	s.cut(a, b)
	s.broadcast(a, 1000, c)
	release()
	s.joined(a, b, c)
	s.talk(a, b, c)
}

// freeze checks that a node that neither takes nor says anything delays nobody, and that Disconnect ends
// its connection.
func freeze(s *scene) {
	a, b, c := s.start(), s.start(), s.start()
	s.joined(a, b, c)
	thaw := sync.OnceFunc(s.net.Freeze(b.Transport))
	s.Cleanup(thaw)
	for range 20 {
		s.broadcast(a, 100_000, c)
		s.broadcast(c, 100, a)
	}
	s.cut(a, b)
	s.cut(c, b)
	s.broadcast(a, 1000, c)
	thaw()
	s.joined(a, b, c)
	s.talk(a, b, c)
}
