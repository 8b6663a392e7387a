package transporttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// joins checks that nodes are told of each other, once, and reach each other.
func joins(s *scene) {
	a := s.start()
	b := s.start()
	s.joined(a, b)
	s.talk(a, b)
	c := s.start()
	s.joined(a, b, c)
	s.talk(a, b, c)
	for _, n := range []*node{a, b, c} {
		if lines := n.log.of("E "); len(lines) > 0 {
			s.Errorf("nothing is wrong, and node %x logs for its operator: %q", n.spec.PeerID, lines)
		}
	}
}

// crowd checks that many nodes find each other that are told of one of them, at the same time.
func crowd(s *scene) {
	const size = 8
	nodes := []*node{s.start()}
	for range size - 1 {
		nodes = append(nodes, s.make())
	}
	s.startAll(nodes[1:]...)
	s.joined(nodes...)
	for _, n := range nodes {
		s.wait("nodes know each other", func() error {
			if ms := n.Members(); len(ms) != size-1 {
				return fmt.Errorf("node %x lists %+v", n.spec.PeerID, ms)
			}
			return nil
		})
	}
	s.talk(nodes...)
}

// directMember checks that a node that Members lists as direct gets what is broadcast.
func directMember(s *scene) {
	a := s.start()
	lost := 0
	const rounds = 8
	for range rounds {
		b := s.start()
		s.wait("a node is listed as direct", func() error {
			if ms := a.Members(); !slices.ContainsFunc(ms, func(m transport.Member) bool {
				return m.ID == b.spec.PeerID && m.Direct
			}) {
				return fmt.Errorf("the list is %+v", ms)
			}
			return nil
		})
		frame := a.next(100)
		a.Broadcast(frame.frame())
		if !s.until(s.e.Within/rounds, func() bool { return b.h.got(a.spec.PeerID, frame) > 0 }) {
			lost++
		}
		b.shut()
	}
	if lost > 1 {
		s.Errorf("of %d nodes that were listed as direct %d don't get what is broadcast then", rounds, lost)
	}
}

// afterJoined checks that what is broadcast and sent in Joined reaches the peer, also if it was there
// before as another life.
func afterJoined(s *scene) {
	const rounds = 8
	var mu sync.Mutex
	type sent struct {
		by *node
		to uint64
		id frameID
	}
	var all []sent
	greets := func(n *node) {
		n.h.onJoined = func(peer, _ uint64) {
			direct, everybody := n.next(100), n.next(200)
			if err := n.Send(peer, direct.frame(), false); err != nil {
				s.Logf("Send to node %x in Joined: %v", peer, err) // it is lost
			}
			n.Broadcast(everybody.frame())
			mu.Lock()
			defer mu.Unlock()
			all = append(all, sent{n, peer, direct}, sent{n, peer, everybody})
		}
	}
	a := s.make()
	greets(a)
	a.start()
	lost, total := 0, 0
	for range rounds {
		b := s.make(id(2))
		greets(b)
		b.start()
		s.joined(a, b)
		var missing []sent
		arrived := func() bool {
			mu.Lock()
			defer mu.Unlock()
			missing = slices.DeleteFunc(slices.Clone(all), func(f sent) bool {
				to := a
				if f.by == a {
					to = b
				}
				return to.h.got(f.by.spec.PeerID, f.id) > 0
			})
			return len(all) >= 4 && len(missing) == 0
		}
		if !s.until(s.e.Within/rounds, arrived) {
			s.Logf("lost: %v", missing)
		}
		lost += len(missing)
		mu.Lock()
		total += len(all)
		all = nil
		mu.Unlock()
		b.shut()
		s.left(s.e.Within, a, b)
	}
	if lost > total/16 {
		s.Errorf("of %d frames that were sent in Joined %d are lost", total, lost)
	}
}

// members checks what Members and Everybody say of nodes that are there.
func members(s *scene) {
	ids := []uint64{300, 7, 1<<48 - 1}
	begin := time.Now()
	var nodes []*node
	for _, one := range ids {
		nodes = append(nodes, s.start(id(one)))
	}
	s.joined(nodes...)
	slices.Sort(ids)
	for _, n := range nodes {
		others := slices.DeleteFunc(slices.Clone(ids), func(one uint64) bool { return one == n.spec.PeerID })
		s.until(s.e.Within, func() bool { return len(n.Members()) == len(others) }) // Joined may come earlier
		ms, all := n.Members(), n.Everybody(time.Hour)
		if again := n.Everybody(time.Hour); !slices.EqualFunc(again, all, samePresence) {
			s.Errorf("nothing has happened, and Everybody lists %+v, and then %+v", all, again)
		}
		var listed, everybody []uint64
		for _, m := range ms {
			listed = append(listed, m.ID)
			if !m.Direct {
				s.Errorf("node %x has joined, and isn't direct: %+v", m.ID, m)
			}
			s.recent("Member", m.Since, begin)
		}
		for _, one := range all {
			everybody = append(everybody, one.ID)
			if i := slices.IndexFunc(nodes, func(o *node) bool { return o.spec.PeerID == one.ID }); i >= 0 {
				if one.Gone || one.Origin != nodes[i].spec.Origin {
					s.Errorf("node %x, of origin %x, is there: %+v", one.ID, nodes[i].spec.Origin, one)
				}
			}
			s.recent("Presence", one.Since, begin)
		}
		if !slices.Equal(listed, others) || !slices.Equal(everybody, others) {
			s.Errorf("node %x: Members lists %x, Everybody %x, want %x", n.spec.PeerID, listed, everybody, others)
		}
	}
}

// samePresence reports whether the same is said of a node twice.
func samePresence(a, b transport.Presence) bool {
	same := a.Since.Equal(b.Since)
	a.Since, b.Since = time.Time{}, time.Time{}
	return same && a == b
}

// restart checks that another life of a node takes the place of one that has closed.
func restart(s *scene) {
	addr := ""
	if s.net.FreeAddr != nil {
		addr = s.net.FreeAddr()
	}
	a := s.start()
	c := s.start()
	for range 3 {
		b := s.start(id(3), at(addr))
		s.joined(a, b, c)
		s.talk(a, b, c)
		b.shut()
	}
}

// churn restarts nodes in a random order, without waiting for what that does.
func churn(s *scene) {
	const nodes, restarts = 4, 12
	rng := rand.New(rand.NewPCG(1, 2))
	addrs := make([]string, nodes)
	if s.net.FreeAddr != nil {
		for i := range addrs {
			addrs[i] = s.net.FreeAddr()
		}
	}
	var now []*node
	for i := range nodes {
		now = append(now, s.start(id(uint64(i+1)), at(addrs[i])))
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	steady := now[0]
	wg.Go(func() { // frames go all the time
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for !done.Load() {
			steady.Broadcast(steady.next(1000).frame())
			<-tick.C
		}
	})
	stop := sync.OnceFunc(func() { done.Store(true); wg.Wait() })
	s.Cleanup(stop)
	for range restarts {
		i := 1 + rng.IntN(nodes-1)
		if s.net.Kill != nil && rng.IntN(2) == 0 {
			now[i].kill()
		} else {
			now[i].shut()
		}
		now[i] = s.start(id(uint64(i+1)), at(addrs[i]))
		if rng.IntN(3) == 0 {
			s.joined(now...)
		}
	}
	stop()
	s.joined(now...)
	s.talk(now...)
}

// crossedDials checks that two nodes that connect to each other at the same time are told of each other
// once at a time.
func crossedDials(s *scene) {
	for i := range uint64(5) {
		one, other := s.net.FreeAddr(), s.net.FreeAddr()
		a := s.make(id(2*i+1), at(one), peers(other), cluster(fmt.Sprint(s.cluster, i)))
		b := s.make(id(2*i+2), at(other), peers(one), cluster(fmt.Sprint(s.cluster, i)))
		s.startAll(a, b)
		s.joined(a, b)
		s.talk(a, b)
	}
}

// clusters checks that nodes of different names never join, whatever the names are.
func clusters(s *scene) {
	names := []string{"", "a", "A", "a.b", "a.*", ">", "a b", "ä/\n"}
	var first, second []*node
	for _, name := range names {
		first = append(first, s.start(cluster(name)))
	}
	for _, name := range names {
		second = append(second, s.start(cluster(name)))
	}
	for i := range names {
		s.joined(first[i], second[i])
		s.talk(first[i], second[i])
	}
	for _, n := range slices.Concat(first, second) {
		ms, all := n.Members(), n.Everybody(time.Hour)
		if len(ms) != 1 || len(all) != 1 {
			s.Errorf("a node of %q has members %+v and everybody %+v", n.spec.ClusterName, ms, all)
		}
	}
	if s.net.Dial == nil { // they don't meet
		return
	}
	s.wait("somebody of another cluster is refused, and counted or logged as an error", func() error {
		for _, n := range s.all() {
			if n.Stats().RefusedOther > 0 || len(n.log.of("E ")) > 0 {
				return nil
			}
		}
		return errors.New("nobody is")
	})
}

// sameIDs checks that two clusters on one network may have nodes of the same PeerIDs.
func sameIDs(s *scene) {
	other := cluster(s.cluster + "'")
	a, x := s.start(id(1)), s.start(id(1), other)
	b, y := s.start(id(2)), s.start(id(2), other)
	s.joined(a, b)
	s.joined(x, y)
	s.talk(a, b)
	s.talk(x, y)
	b.shut()
	s.left(s.e.Within, a, b)
	s.talk(x, y)
}

// unreached checks that Unreached lists an address as long as nobody is there.
func unreached(s *scene) {
	addr, own := s.net.FreeAddr(), s.net.FreeAddr()
	a := s.start(at(own), peers(own, addr))
	listed := func() (fs []transport.DialFailure) { return a.Unreached() }
	s.wait("an address at which nobody is", func() error {
		for _, f := range listed() {
			if f.Addr == addr && f.Configured && f.Err != nil {
				return nil
			}
		}
		return fmt.Errorf("listed are %v, not %s", listed(), addr)
	})
	b := s.start(at(addr), peers())
	s.joined(a, b)
	s.wait("a node that is reached", func() error {
		if fs := listed(); len(fs) > 0 {
			return fmt.Errorf("listed are %v", fs)
		}
		return nil
	})
}
