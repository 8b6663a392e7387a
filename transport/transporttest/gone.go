package transporttest

import (
	"fmt"
	"maps"
	"time"
)

// goodbye checks that who closes is gone at once, and isn't waited for.
func goodbye(s *scene) {
	a, b, c := s.start(), s.start(), s.start()
	s.joined(a, b, c)
	b.shut()
	for _, n := range []*node{a, c} {
		s.left(s.e.Within, n, b)
		s.wait("a node that has closed", func() error {
			if p, ok := n.presence(b, time.Hour); ok || n.isMember(b) {
				return fmt.Errorf("it is in Everybody: %v (%+v), in Members: %v", ok, p, n.isMember(b))
			}
			return nil
		})
	}
	s.talk(a, c)
	again := s.start(id(b.spec.PeerID))
	s.joined(a, again, c)
}

// farewell checks that what was sent right before Close arrives.
func farewell(s *scene) {
	const rounds, each = 5, 20
	a := s.start()
	lost := 0
	for range rounds {
		b := s.start(id(2))
		s.joined(a, b)
		missing := map[frameID]bool{}
		for range each {
			one, all := b.next(1000), b.next(500)
			_ = b.Send(a.spec.PeerID, one.frame(), false)
			b.Broadcast(all.frame())
			missing[one], missing[all] = true, true
		}
		b.shut()
		s.left(s.e.Within, a, b)
		s.until(s.e.Within/rounds/2, func() bool {
			maps.DeleteFunc(missing, func(id frameID, _ bool) bool { return a.h.got(b.spec.PeerID, id) > 0 })
			return len(missing) == 0
		})
		lost += len(missing)
	}
	if total := 2 * rounds * each; lost > total/5 {
		s.Errorf("of %d frames that were sent right before Close %d are lost", total, lost)
	}
}

// kill checks that a node that vanishes is left, and remembered.
func kill(s *scene) {
	a, b, c := s.start(), s.start(), s.start()
	s.joined(a, b, c)
	begin := time.Now()
	before, _ := a.presence(b, time.Hour)
	b.kill()
	for _, n := range []*node{a, c} {
		s.within(s.e.LeftWithin, "a node that was killed leaves", func() error {
			p, ok := n.presence(b, time.Hour)
			if !ok {
				s.Fatalf("for a moment it is neither there nor gone: Everybody lacks it")
			}
			if n.h.has(b.spec.PeerID) != 0 || n.isMember(b) || !p.Gone {
				return fmt.Errorf("node %x was told %v; %+v", n.spec.PeerID, n.h.told(b.spec.PeerID), p)
			}
			s.recent("Presence that is gone", p.Since, begin)
			return nil
		})
		if p, ok := n.presence(b, 0); ok {
			s.Errorf("Everybody(0) lists a node that is gone: %+v", p)
		}
	}
	s.talk(a, c)
	again := s.start(id(b.spec.PeerID))
	s.joined(a, again, c)
	s.talk(a, again, c)
	for _, n := range []*node{a, c} {
		if p, _ := n.presence(again, time.Hour); p.Gone || p.Origin != again.spec.Origin {
			s.Errorf("node %x is there again, as origin %x: %+v", p.ID, again.spec.Origin, p)
		}
	}
	if now, _ := a.presence(again, time.Hour); now.Since.Equal(before.Since) {
		s.Errorf("another life of a node is there since the same time: %+v, before %+v", now, before)
	}
}

// killRestart checks that another life of a node takes the place of one that was killed just before.
func killRestart(s *scene) {
	addr := ""
	if s.net.FreeAddr != nil {
		addr = s.net.FreeAddr()
	}
	a, c := s.start(), s.start()
	b := s.start(id(3), at(addr))
	s.joined(a, b, c)
	for range 2 {
		b.kill()
		b = s.start(id(3), at(addr))
		s.joined(a, b, c)
		s.talk(a, b, c)
	}
}
