package transporttest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// frames checks that frames of all sizes arrive whole.
func frames(s *scene) {
	a, b, c := s.start(), s.start(), s.start()
	s.joined(a, b, c)
	sizes := []int{
		1, 2, headLen, 100, 1000, 4095, 4096, 4097, 60<<10 - 1, 60 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1,
		100_000, 256 << 10, 1 << 20, transport.MaxFrame - 1, transport.MaxFrame,
	}
	for _, size := range sizes {
		s.broadcast(a, size, b, c)
		s.send(b, size, false, c)
		s.send(c, size, true, a)
	}
	many := func(from, to *node) { // that are under way at the same time
		rng := rand.New(rand.NewPCG(1, from.spec.PeerID))
		var ids []frameID
		for range 50 {
			id := from.next(headLen + rng.IntN(200_000))
			ids = append(ids, id)
			_ = from.Send(to.spec.PeerID, id.frame(), rng.IntN(2) == 0) // what is broadcast may get too old
		}
		s.wait("frames arrive", func() error {
			if n := to.arrived(from, ids); n < len(ids)*4/5 {
				return fmt.Errorf("%d of %d", n, len(ids))
			}
			return nil
		})
	}
	many(a, b)
	many(b, c)
}

// loss checks that hardly any frame is lost where nothing is wrong.
func loss(s *scene) {
	a, b := s.start(), s.start()
	s.joined(a, b)
	const rounds, each = 50, 20
	var all []frameID
	for range rounds {
		var ids []frameID
		for range each {
			id := a.next(200)
			ids = append(ids, id)
			_ = a.Send(b.spec.PeerID, id.frame(), false)
		}
		s.until(time.Second, func() bool { return b.arrived(a, ids) == each })
		all = append(all, ids...)
	}
	s.wait("frames arrive", func() error {
		if n := b.arrived(a, all); n < len(all)*99/100 {
			return fmt.Errorf("of %d frames %d have arrived", len(all), n)
		}
		return nil
	})
}

// unknownPeer checks what is sent to nobody.
func unknownPeer(s *scene) {
	a := s.start()
	for _, bulk := range []bool{false, true} {
		s.atOnce("Send to nobody", func() error {
			return mustBe(a.Send(99, a.next(100).frame(), bulk), transport.ErrUnknownPeer)
		})
	}
	b := s.start()
	s.joined(a, b)
	s.atOnce("Send to nobody", func() error {
		return mustBe(a.Send(99, a.next(100).frame(), false), transport.ErrUnknownPeer)
	})
	s.atOnce("Disconnect and Supersede of nobody", func() error {
		a.Disconnect(99)
		a.Supersede(99)
		return nil
	})
	b.shut()
	s.left(s.e.Within, a, b)
	s.wait("Send to a node that has left", func() error {
		return mustBe(a.Send(b.spec.PeerID, a.next(100).frame(), false), transport.ErrUnknownPeer)
	})
}

// supersede checks that Supersede takes nothing that comes later.
func supersede(s *scene) {
	a, b := s.start(), s.start()
	s.joined(a, b)
	for range 10 {
		a.Broadcast(a.next(1000).frame())
		a.Supersede(b.spec.PeerID)
		s.send(a, 1000, true, b)
		s.broadcast(a, 1000, b)
	}
}

// fromHandler checks that the methods of the transport may be called by its Handler.
func fromHandler(s *scene) {
	use := func(n *node, peer uint64) {
		n.Members()
		n.Everybody(time.Hour)
		n.Unreached()
		n.Stats()
		n.Addr()
		n.Supersede(peer)
		n.Broadcast(n.next(50).frame())
		_ = n.Send(peer, n.next(60).frame(), true)
	}
	wire := func(n *node) {
		n.h.onJoined = func(peer, _ uint64) { use(n, peer) }
		n.h.onLeft = func(peer uint64) { use(n, peer); n.Disconnect(peer) }
		n.h.onReceive = func(from uint64, id frameID) {
			if id.size == 1000 { // otherwise there is no end of it
				use(n, from)
			}
		}
	}
	a := s.make()
	wire(a)
	a.start()
	b := s.make()
	wire(b)
	b.start()
	s.joined(a, b)
	s.send(a, 1000, false, b)
	s.broadcast(b, 1000, a)
	a.h.hook(func(from uint64, id frameID) {
		if id.size == 2000 {
			a.Disconnect(from)
		}
	})
	s.send(b, 2000, false, a)
	s.wait("Disconnect in Receive", func() error {
		if n := len(a.h.told(b.spec.PeerID)); n < 3 {
			return fmt.Errorf("node %x was told %v", a.spec.PeerID, a.h.told(b.spec.PeerID))
		}
		return nil
	})
	s.joined(a, b)
	b.shut()
	s.left(s.e.Within, a, b)
}

// stats checks that frames are counted.
func stats(s *scene) {
	a, b, c := s.start(), s.start(), s.start()
	s.joined(a, b, c)
	before, beforeB := a.Stats(), b.Stats()
	const n, size = 10, 1000
	for range n {
		s.broadcast(a, size, b, c)
		s.send(a, size, false, b)
	}
	s.wait("frames are counted", func() error {
		out, in := a.Stats(), b.Stats()
		frames, bytes := out.FramesOut-before.FramesOut, out.BytesOut-before.BytesOut
		if frames < 3*n || bytes < 3*n*size {
			return fmt.Errorf("FramesOut and BytesOut grew by %d and %d; %d frames of %d bytes were sent",
				frames, bytes, 3*n, size)
		}
		frames, bytes = in.FramesIn-beforeB.FramesIn, in.BytesIn-beforeB.BytesIn
		if frames < 2*n || bytes < 2*n*size {
			return fmt.Errorf("FramesIn and BytesIn grew by %d and %d; %d frames of %d bytes have come",
				frames, bytes, 2*n, size)
		}
		return nil
	})
}
