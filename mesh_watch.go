package bcache

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	meshTellEvery = 15 * time.Second // addresses, to some of the peers
	meshTellPeers = 8
	maxAloneAddrs = 16              // that are named
	meshAlone     = 5 * time.Second // without any other node, after which this one says so
)

// watch tells the handler who joins and leaves, and peers of each other. It is woken
// by mesh's own goroutines, which must not wait for it.
func (t *meshTransport) watch() {
	tick := time.NewTicker(meshTellEvery)
	defer tick.Stop()
	alone := time.NewTicker(meshAlone)
	defer alone.Stop()
	for {
		select {
		case <-t.wake:
			t.reconcile()
		case <-tick.C:
			t.tellSome()
		case <-alone.C:
			t.sayAlone()
		case <-t.scope.ctx.Done():
			return
		}
	}
}

// sayAlone tells people that no other node is reached, and why, once until that changes. It is
// called every 5 seconds.
func (t *meshTransport) sayAlone() {
	alone := len(t.cfg.Peers) > 0 && len(t.joinedPeers()) == 0
	t.mu.Lock()
	said := t.saidAlone
	t.saidAlone = alone
	t.mu.Unlock()
	if !alone || said {
		return
	}
	why := "all of Peers is this node itself, or hasn't been tried yet"
	if fs := t.Unreached(); len(fs) > 0 {
		var parts []string
		for _, f := range fs[:min(len(fs), maxAloneAddrs)] {
			parts = append(parts, f.String())
		}
		if more := len(fs) - len(parts); more > 0 {
			parts = append(parts, strconv.Itoa(more)+" more")
		}
		why = strings.Join(parts, "; ")
	}
	t.log.Printf(0, "no other node is reached: %s", why)
}

type meshEvent struct {
	joined       bool
	peer, origin uint64
	addr         string
	why          string // of one that left, for people
}

// reconcile compares who is there with what the handler knows.
func (t *meshTransport) reconcile() {
	run := t.run.Load()
	relayed := make(map[uint64]uint64) // by whom
	for name := range run.router.Routes.PeerNames() {
		if hop, ok := run.router.Routes.UnicastAll(name); ok && hop != name && uint64(name) != t.cfg.PeerID {
			relayed[uint64(name)] = uint64(hop)
		}
	}

	var newcomers []uint64
	events := t.compare(relayed)
	t.book.touch(t.joinedPeers(), time.Now())
	for _, e := range events {
		if e.joined {
			// Another life of a node is another line: none is held back as a repetition.
			t.log.Printf(e.peer^e.origin, "node %x (%s) joined", e.peer, e.addr)
			t.call("Joined", func() { run.handler.Joined(e.peer, e.origin) })
			t.mu.Lock()
			if p := t.peers[e.peer]; p != nil && p.joined != nil {
				p.told = true
			}
			t.mu.Unlock()
			newcomers = append(newcomers, e.peer)
			continue
		}
		t.log.Printf(e.peer, "node %x (%s) left: %s", e.peer, e.addr, e.why)
		t.call("Left", func() { run.handler.Left(e.peer) })
	}
	t.introduce(newcomers)
}

func (t *meshTransport) compare(relayed map[uint64]uint64) (events []meshEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.peers {
		// What was pending dies with a connection: another one is another Joined, also
		// when it is to the same life of the node.
		if p.joined != nil && !slices.Contains(p.conns, p.joined) {
			events = append(events, meshEvent{peer: id, addr: p.joined.addr, why: p.joined.farewell()})
			p.joined, p.told = nil, false
		}
		if c := p.current(); c != nil && p.joined == nil {
			p.joined = c
			events = append(events, meshEvent{joined: true, peer: id, origin: c.origin, addr: c.addr})
		}
		if p.idle() {
			delete(t.peers, id)
		}
	}
	for id := range t.relayed {
		if relayed[id] == 0 || t.peers[id] != nil {
			delete(t.relayed, id)
		}
	}
	for id, hop := range relayed {
		if t.peers[id] != nil {
			continue
		}
		way, ok := t.relayed[id]
		if way.hop = hop; !ok {
			way.since = t.cfg.Now()
		}
		t.relayed[id] = way
	}
	return events
}

// call calls the handler, unless the transport closes.
func (t *meshTransport) call(name string, f func()) {
	if t.scope.ctx.Err() != nil {
		return
	}
	defer t.scope.recovered(name)
	f()
}

// introduce gives the addresses of all peers to new ones, and theirs to some of the peers:
// who has just come dials all that it is told of, and every peer that it meets tells some
// others. If all were told by all, n nodes that start together would send n^3 messages.
func (t *meshTransport) introduce(newcomers []uint64) {
	if len(newcomers) == 0 {
		return
	}
	all := t.joinedPeers()
	var others []uint64
	for _, id := range all {
		if slices.Contains(newcomers, id) {
			t.tell(id, all)
		} else {
			others = append(others, id)
		}
	}
	for _, id := range someOf(others, meshTellPeers) {
		t.tell(id, newcomers)
	}
}

// someOf returns at most n of ids, which it shuffles.
func someOf(ids []uint64, n int) []uint64 {
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids[:min(len(ids), n)]
}

// tellSome repeats to some peers what may have been lost.
func (t *meshTransport) tellSome() {
	ids := t.joinedPeers()
	t.book.touch(ids, time.Now())
	t.mu.Lock()
	t.dropRests(time.Now())
	t.mu.Unlock()
	for _, id := range someOf(ids, meshTellPeers) {
		t.tell(id, ids)
	}
}

// tell sends a peer the addresses of others. Only who is connected here is passed on:
// so the address of a node that is gone doesn't go round for ever.
func (t *meshTransport) tell(peer uint64, about []uint64) {
	entries := t.book.entries(about, peer)
	if len(entries) == 0 {
		return
	}
	if err := t.send(peer, lineItem{kind: itemMember, bytes: encodeMembers(entries)}, laneFirst); err != nil {
		t.log.Debugf(peer, "node %x isn't told of others: %v", peer, err)
	}
}

func (t *meshTransport) joinedPeers() (ids []uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.peers {
		if p.joined != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// receiveMember deals with what the transport of another node says.
func (t *meshTransport) receiveMember(from uint64, msg []byte) {
	if !t.scope.enter() {
		return
	}
	defer t.scope.leave()
	m, err := decodeMembers(msg)
	if err != nil {
		t.log.Debugf(from, "node %x sent a malformed message about members: %v", from, err)
		return
	}
	switch m.kind {
	case membersPing:
		// Only queued: this is mesh's receiving goroutine.
		_ = t.send(from, lineItem{kind: itemMember, bytes: encodeMeshPong(m.nonce, t.cfg.Origin)}, laneFirst)
	case membersPong:
		t.mu.Lock()
		answer := t.pings[m.nonce]
		t.mu.Unlock()
		select {
		case answer <- m.origin:
		default:
		}
	case membersNoWay:
		t.log.Errorf(from, "node %x can't connect to %s, which this node advertises: %s; is AdvertiseAddr right?",
			from, m.addr, m.why)
	case membersAddrs:
		for _, e := range m.entries {
			if e.id != t.cfg.PeerID && !t.connected(e.id) {
				t.book.learn(e.id, e.origin, e.addr, time.Now())
				t.dials.heardOf(e.id, time.Now())
			}
		}
		t.dials.resolveNow()
	}
}
