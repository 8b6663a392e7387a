package meshnet

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
)

const (
	tellEvery = 15 * time.Second // addresses, to some of the peers
	tellPeers = 8
)

// A discovery tells peers of each other, and learns of others from them.
type discovery struct {
	self, origin uint64
	scope        *scope
	peers        *peerTable
	book         *book
	sender       *sender
	asker        *asker
	targets      *dialTargets
	resolver     *resolver
}

// introduce tells newcomers of all peers, and some of the peers of the newcomers. These suffice: a
// newcomer dials all that it is told of, and every peer that it meets tells some others. If all
// peers told all others, n nodes that start together would send n^3 messages.
func (d *discovery) introduce(newcomers []uint64) {
	if len(newcomers) == 0 {
		return
	}
	all := d.peers.joined()
	var others []uint64
	for _, id := range all {
		if slices.Contains(newcomers, id) {
			d.tell(id, all)
		} else {
			others = append(others, id)
		}
	}
	for _, id := range someOf(others, tellPeers) {
		d.tell(id, newcomers)
	}
}

// tellSome repeats to some peers what may have been lost.
func (d *discovery) tellSome() {
	ids := d.peers.joined()
	d.book.touch(ids, time.Now())
	for _, id := range someOf(ids, tellPeers) {
		d.tell(id, ids)
	}
}

// tell sends a peer the addresses of other nodes, which are connected here: so the address of a node
// that is gone doesn't go round for ever.
func (d *discovery) tell(peer uint64, about []uint64) {
	entries := d.book.entries(about, peer)
	if len(entries) == 0 {
		return
	}
	it := lineItem{kind: itemMember, bytes: encodeMembers(entries)}
	if err := d.sender.send(peer, it, laneFirst); err != nil {
		d.scope.log.Debugf(peer, "node %x isn't told of others: %v", peer, linelog.Field("err", err))
	}
}

// receive deals with what the transport of another node says.
func (d *discovery) receive(from uint64, msg []byte) {
	if !d.scope.Enter() {
		return
	}
	defer d.scope.Leave()
	m, err := decodeMembers(msg)
	if err != nil {
		d.scope.log.Debugf(from, "node %x sent a malformed message about members: %v",
			from, linelog.Field("err", err))
		return
	}
	switch m.kind {
	case membersPing:
		// Only queued: this is mesh's receiving goroutine.
		it := lineItem{kind: itemMember, bytes: encodeMeshPong(m.nonce, d.origin)}
		_ = d.sender.send(from, it, laneFirst)
	case membersPong:
		d.asker.answered(m.nonce, m.origin)
	case membersNoWay:
		d.scope.log.Errorf(from, "node %x can't connect to %s, which this node advertises: %s; "+
			"is AdvertiseAddr right?", from, linelog.Field("addr", m.addr), linelog.Field("reason", m.why))
	case membersGone:
		d.peers.farewell(from)
	case membersAddrs:
		for _, e := range m.entries {
			if e.id != d.self && !d.peers.connected(e.id) {
				d.book.hear(e.id, e.origin, e.addr, time.Now())
				d.targets.heardOf(e.id)
			}
		}
		d.resolver.resolveNow()
	}
}

// someOf returns at most n of ids, which it shuffles.
func someOf(ids []uint64, n int) []uint64 {
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids[:min(len(ids), n)]
}
