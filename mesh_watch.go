package bcache

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weaveworks/mesh"
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
		case <-t.ctx.Done():
			return
		}
	}
}

// sayAlone tells people that no other node is reached, and why, once until that changes. It is
// called every 5 seconds.
func (t *meshTransport) sayAlone() {
	if len(t.cfg.Peers) == 0 || len(t.joinedPeers()) > 0 {
		t.saidAlone = false
		return
	}
	if t.saidAlone {
		return
	}
	t.saidAlone = true
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
	hops := run.router.Routes.BroadcastAll(mesh.PeerName(t.cfg.PeerID))
	reached := func(peer uint64) bool {
		hop, ok := run.router.Routes.UnicastAll(mesh.PeerName(peer))
		return ok && uint64(hop) == peer && slices.Contains(hops, mesh.PeerName(peer))
	}
	relayed := make(map[uint64]bool)
	for name := range run.router.Routes.PeerNames() {
		if hop, ok := run.router.Routes.UnicastAll(name); ok && hop != name && uint64(name) != t.cfg.PeerID {
			relayed[uint64(name)] = true
		}
	}

	var newcomers []uint64
	events := t.compare(reached, relayed)
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

func (t *meshTransport) compare(reached func(uint64) bool, relayed map[uint64]bool) (events []meshEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.peers {
		// What was pending dies with a connection: another one is another Joined, also
		// when it is to the same life of the node.
		if p.joined != nil && !slices.Contains(p.conns, p.joined) {
			events = append(events, meshEvent{peer: id, addr: p.joined.addr, why: p.joined.farewell()})
			p.joined, p.told = nil, false
		}
		if c := p.current(); c != nil && p.joined == nil && reached(id) {
			p.joined = c
			events = append(events, meshEvent{joined: true, peer: id, origin: c.origin, addr: c.addr})
		}
		if p.idle() {
			delete(t.peers, id)
		}
	}
	for id := range t.relayed {
		if !relayed[id] || t.peers[id] != nil {
			delete(t.relayed, id)
		}
	}
	for id := range relayed {
		if _, ok := t.relayed[id]; !ok && t.peers[id] == nil {
			t.relayed[id] = t.cfg.Now()
		}
	}
	return events
}

// call calls the handler, unless the transport closes.
func (t *meshTransport) call(name string, f func()) {
	if t.ctx.Err() != nil {
		return
	}
	defer t.recovered(name)
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
	if err := t.push(peer, meshItem{frame: encodeMembers(entries), member: true}); err != nil {
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

// memberGossiper receives what the transports of other nodes say to each other.
type memberGossiper struct{ t *meshTransport }

func (g memberGossiper) Gossip() mesh.GossipData                  { return nil }
func (g memberGossiper) OnGossip([]byte) (mesh.GossipData, error) { return nil, nil }

func (g memberGossiper) OnGossipBroadcast(_ mesh.PeerName, msg []byte) (mesh.GossipData, error) {
	return newFrameBatch(&g.t.count, msg, false), nil // for a later version
}

func (g memberGossiper) OnGossipUnicast(src mesh.PeerName, msg []byte) error {
	t := g.t
	if !t.gate.enter() {
		return nil
	}
	defer t.gate.leave()
	m, err := decodeMembers(msg)
	if err != nil {
		t.log.Debugf(uint64(src), "node %x sent a malformed message about members: %v", uint64(src), err)
		return nil
	}
	switch m.kind {
	case membersPing:
		// Only queued: this is mesh's receiving goroutine.
		_ = t.push(uint64(src), meshItem{frame: encodeMeshPong(m.nonce, t.cfg.Origin), member: true})
	case membersPong:
		t.mu.Lock()
		answer := t.pings[m.nonce]
		t.mu.Unlock()
		select {
		case answer <- m.origin:
		default:
		}
	case membersNoWay:
		t.log.Errorf(uint64(src), "node %x can't connect to %s, which this node advertises: %s; is AdvertiseAddr right?",
			uint64(src), m.addr, m.why)
	case membersAddrs:
		for _, e := range m.entries {
			if e.id != t.cfg.PeerID && !t.connected(e.id) {
				t.book.learn(e.id, e.origin, e.addr, time.Now())
				t.dials.heardOf(e.id, time.Now())
			}
		}
		t.dials.resolveNow()
	}
	return nil
}
