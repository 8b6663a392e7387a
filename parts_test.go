package bcache

import (
	"slices"
	"testing"
	"time"
)

// The parts of a replica, each by itself.

func TestReplicaRounds(t *testing.T) {
	var r rounds
	at := func(d time.Duration) instant { return instant{mono: d} }
	r.end(at(0), false)
	r.interval = roundMin
	for _, next := range []time.Duration{2 * time.Second, 3 * time.Second, 4500 * time.Millisecond} {
		r.end(at(0), next > roundMin) // while nothing happens they are further and further apart
		if r.due(at(next-tickEvery), true) || !r.due(at(next), true) {
			t.Errorf("the next round is at %v, want %v", r.next, next)
		}
	}
	if !r.due(at(roundMin), false) {
		t.Error("something has happened, and no round comes")
	}
	r.end(at(time.Minute), true)
	if r.soon(); !r.due(at(time.Minute), true) || !r.active {
		t.Error("no round comes at once")
	}
}

func TestReplicaPulls(t *testing.T) {
	p := newPulls()
	at := func(d time.Duration) instant { return instant{mono: d} }
	p.begin(at(0), 2, 7)
	if !p.early(at(pullEvery - 1)) {
		t.Error("gaps are asked for at once")
	}
	p.moved(3, time.Second) // isn't asked
	if _, expired := p.expire(at(pullTimeout - 1)); expired {
		t.Error("it is given up too early")
	}
	p.moved(2, time.Second)
	if _, expired := p.expire(at(pullTimeout)); expired {
		t.Error("it is given up although something of it has come")
	}
	if done, _ := p.endedBy(2, 8); done {
		t.Error("the pong of another ping ends it")
	}
	if done, got := p.endedBy(2, 7); !done || got {
		t.Errorf("done %v, something came %v", done, got)
	}
	p.got()
	if done, got := p.endedBy(2, 7); !done || !got {
		t.Errorf("done %v, something came %v", done, got)
	}
	if peer, expired := p.expire(at(time.Second + pullTimeout)); peer != 2 || !expired || p.current != nil {
		t.Errorf("node %d, expired %v, %+v", peer, expired, p.current)
	}
	p.end(at(time.Minute), false) // what can't be had isn't asked for again at once
	if !p.early(at(time.Minute+roundMin-1)) || p.early(at(time.Minute+roundMin)) {
		t.Errorf("%+v", p)
	}
	if !p.mustSurvey(at(time.Minute)) || p.mustSurvey(at(time.Hour)) {
		t.Error("the others are asked twice, or not at all")
	}
}

func TestReplicaReadiness(t *testing.T) {
	at := func(d time.Duration) instant { return instant{mono: d} }
	near := newNeighbours()
	r := newReadiness(&near, &replicaConfig{syncTimeout: 10 * time.Second})
	if r.mayDeclare(at(9*time.Second), false, false, true) || !r.mayDeclare(at(10*time.Second), false, false, true) {
		t.Error("alone it doesn't wait for SyncTimeout")
	}
	other := newNeighbour(at(0), 102, 0)
	near.add(2, other)
	r.unsyncedSince = 0
	if r.mayDeclare(at(electAfter-1), false, false, true) || !r.mayDeclare(at(electAfter), false, false, true) {
		t.Error("who holds most isn't elected")
	}
	if r.mayDeclare(at(electAfter), false, false, false) || r.mayDeclare(at(time.Hour), false, true, true) {
		t.Error("somebody else leads, or a full sync is under way")
	}
	other.synced = true
	if r.mayDeclare(at(time.Hour), false, false, true) {
		t.Error("there is a synced neighbour")
	}
	if r.note(at(time.Hour), 0, false, false) {
		t.Error("it is complete and not synced")
	}
	r.synced = true
	if r.note(at(time.Hour), 0, false, false) {
		t.Error("it is complete before the neighbour has said what it holds")
	}
	if r.lacks(at(time.Hour), "", "") == "" {
		t.Error("it is ready")
	}
	other.known = true
	if r.note(at(time.Hour), 0, true, true) || !r.note(at(time.Hour), 0, false, false) {
		t.Error("it isn't complete when nobody holds more, or while a full sync is under way")
	}
	if why := r.lacks(at(time.Hour), "", ""); why != "" {
		t.Error(why)
	}
}

func TestReplicaOvertaken(t *testing.T) {
	o := newOvertaken()
	o.write(7, 20)
	o.write(7, 10)
	if o.upTo(7) != 20 || o.upTo(8) != 0 {
		t.Errorf("%+v", o)
	}
	if !o.clear(version{90, 1}, 15) || o.clear(version{90, 1}, 50) {
		t.Error("a Clear isn't new, or is twice")
	}
	if o.upTo(7) != 20 || o.upTo(8) != 15 {
		t.Errorf("%+v", o)
	}
	for i := range uint64(2 * maxClears) {
		o.clear(version{100 + i, 1}, 0)
	}
	if len(o.clears) != maxClears {
		t.Errorf("%d Clears are remembered", len(o.clears))
	}
}

func TestReplicaNeighbours(t *testing.T) {
	n := newNeighbours()
	for _, id := range []uint64{3, 1, 2} {
		n.add(id, newNeighbour(instant{}, 100+id, 5))
	}
	n.byID[1].synced, n.byID[3].synced = true, true
	n.byID[3].missed = 1 // it doesn't get on
	if got := n.where(isSynced); !slices.Equal(got, []uint64{1}) {
		t.Errorf("synced: %v", got)
	}
	if got := n.where(isUnknown); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("unknown: %v", got)
	}
	first := n.choose([]uint64{1, 2}, 0)
	if second := n.choose([]uint64{1, 2}, 0); first == second {
		t.Errorf("node %d is chosen twice", first)
	}
	n.byID[1].confirm(6, 9) // it lacks the sixth, which it was to get
	n.byID[2].confirm(5, 9)
	if got := n.unconfirmed(9); !slices.Equal(got, []uint64{1, 3}) {
		t.Errorf("unconfirmed: %v", got)
	}
	n.byID[2].held = 10
	if n.outdone(1, 10) || !n.outdone(1, 9) || !n.outdone(4, 10) {
		t.Error("it leads though others hold more, or as much with a lower PeerID; or it doesn't")
	}
	n.remove(2)
	if n.hear(instant{mono: 1}, 2, 102, 1) != nil || n.hear(instant{mono: 1}, 1, 101, 1).heard != 1 {
		t.Error("who has left is heard, or who hasn't isn't")
	}
}

// A comparison lists what another node lacks, but for what it has dropped, or may still be on its way.
func TestVectorComparison(t *testing.T) {
	v := newVersionVector(1, maxOrigins)
	for seq := range uint64(4) {
		v.add(2, seq+1, 100, 0)
		v.add(3, seq+1, 10, 0)
	}
	lacking := func(theirs vectorClaim, all bool) (m []originDots) {
		for c := v.compare(theirs, all); c.next(); {
			if l := c.lacking(); len(l.dots) > 0 {
				m = append(m, l)
			}
		}
		return m
	}
	has := []vectorEntry{{2, dotSet{covered: 2}}}
	if m := lacking(vectorClaim{origin: 9, entries: has, all: true}, true); len(m) != 2 ||
		!slices.Equal(m[0].dots, []interval{{2, 4}}) || m[1].origin != 3 {
		t.Errorf("%+v", m)
	}
	if m := lacking(vectorClaim{origin: 9, entries: has}, true); len(m) != 1 {
		t.Errorf("what isn't listed: %+v", m)
	}
	if m := lacking(vectorClaim{origin: 9, entries: has, all: true, horizon: horizon{10, 0}}, true); len(m) != 1 {
		t.Errorf("what it has dropped: %+v", m)
	}
	if m := lacking(vectorClaim{origin: 9, entries: has, all: true}, false); len(m) != 0 {
		t.Errorf("what may be on its way: %+v", m)
	}
	v.settle()
	v.settle()
	if m := lacking(vectorClaim{origin: 2, entries: has, all: true}, false); len(m) != 1 || m[0].origin != 3 {
		t.Errorf("its own: %+v", m)
	}
}
