package replica

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// The parts of a replica, each by itself.

func TestReplicaRounds(t *testing.T) {
	r := rounds{most: RoundMax}
	at := func(d time.Duration) delta.Instant { return delta.Instant{Mono: d} }
	r.end(at(0), false)
	r.interval = RoundMin
	for _, next := range []time.Duration{2 * time.Second, 3 * time.Second, 4500 * time.Millisecond} {
		r.end(at(0), next > RoundMin) // while nothing happens they are further and further apart
		if r.due(at(next-TickEvery), true, false) || !r.due(at(next), true, false) {
			t.Errorf("the next round is at %v, want %v", r.next, next)
		}
	}
	if r.due(at(RoundFew-TickEvery), true, true) || !r.due(at(RoundFew), true, true) {
		t.Error("all are asked, and no round comes in time, or it comes too soon")
	}
	if !r.due(at(RoundMin), false, false) {
		t.Error("something has happened, and no round comes")
	}
	r.end(at(time.Minute), true)
	if r.soon(); !r.due(at(time.Minute), true, false) || !r.active {
		t.Error("no round comes at once")
	}
}

func TestReplicaPulls(t *testing.T) {
	p := newPulls()
	at := func(d time.Duration) delta.Instant { return delta.Instant{Mono: d} }
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
	if !p.early(at(time.Minute+RoundMin-1)) || p.early(at(time.Minute+RoundMin)) {
		t.Errorf("%+v", p)
	}
	if !p.mustSurvey(at(time.Minute)) || p.mustSurvey(at(time.Hour)) {
		t.Error("the others are asked twice, or not at all")
	}
}

func TestReplicaReadiness(t *testing.T) {
	at := func(d time.Duration) delta.Instant { return delta.Instant{Mono: d} }
	near := newNeighbours()
	r := newReadiness(&near, &Config{SyncTimeout: 10 * time.Second})
	if r.mayDeclare(at(9*time.Second), false, false, true) || !r.mayDeclare(at(10*time.Second), false, false, true) {
		t.Error("alone it doesn't wait for SyncTimeout")
	}
	other := newNeighbour(at(0), 102, 0)
	near.add(2, other)
	r.unsyncedSince = 0
	if r.mayDeclare(at(ElectAfter-1), false, false, true) || !r.mayDeclare(at(ElectAfter), false, false, true) {
		t.Error("who holds most isn't elected")
	}
	if r.mayDeclare(at(ElectAfter), false, false, false) || r.mayDeclare(at(time.Hour), false, true, true) {
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
	if !o.clear(delta.Version{Stamp: 90, Origin: 1}, 15) || o.clear(delta.Version{Stamp: 90, Origin: 1}, 50) {
		t.Error("a Clear isn't new, or is twice")
	}
	if o.upTo(7) != 20 || o.upTo(8) != 15 {
		t.Errorf("%+v", o)
	}
	for i := range uint64(2 * maxClears) {
		o.clear(delta.Version{Stamp: 100 + i, Origin: 1}, 0)
	}
	if len(o.clears) != maxClears {
		t.Errorf("%d Clears are remembered", len(o.clears))
	}
}

func TestReplicaNeighbours(t *testing.T) {
	n := newNeighbours()
	for _, id := range []uint64{3, 1, 2} {
		n.add(id, newNeighbour(delta.Instant{}, 100+id, 5))
	}
	n.byID[1].tell(true, 0)
	n.byID[3].tell(true, 0)
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
	// One lacks the sixth, which it was to get; the second has all that it was to get; the third is synced,
	// and lacks what came before.
	for id, from := range map[uint64]uint64{1: 6, 2: 5, 3: 5} {
		p := n.byID[id]
		if p.tell(p.synced, 0); p.confirm(from, 9) == (id == 1) || p.confirm(from, 9) || p.confirmed(9) != (id == 2) {
			t.Errorf("node %d: %+v", id, p)
		}
	}
	if n.byID[2].told = false; n.byID[2].confirmed(9) {
		t.Error("nobody knows whether it is synced")
	}
	n.byID[2].held = 10
	if n.outdone(1, 10) || !n.outdone(1, 9) || !n.outdone(4, 10) {
		t.Error("it leads though others hold more, or as much with a lower PeerID; or it doesn't")
	}
	n.remove(2)
	if n.hear(delta.Instant{Mono: 1}, 2, 102, 1) != nil || n.hear(delta.Instant{Mono: 1}, 1, 101, 1).heard != 1 {
		t.Error("who has left is heard, or who hasn't isn't")
	}
}

// testState is a state by itself, of which nobody is told.
func testState() *state {
	s := newState(Config{Origin: 101, LogSize: 10, MaxSkew: time.Second, Changed: func(string, delta.Kind) {}})
	return &s
}

func TestReplicaLocalWrites(t *testing.T) {
	near, woken := newNeighbours(), 0
	out := outgoing{wake: func() { woken++ }, outbox: outbox{most: 1000}}
	w := localWrites{state: testState(), neighbours: &near, rounds: &rounds{}, out: &out}
	now := delta.Instant{Wall: 1000}
	write := func() {
		rec := &delta.Record{Key: "k", Val: "v"}
		w.write(now, rec, w.state.Store.PlaceOf(rec.Key))
	}
	write()
	if w.state.seq != 1 || !w.rounds.active || out.outbox.n != 0 || woken != 0 {
		t.Errorf("seq %d, active %v; %d records wait for nobody", w.state.seq, w.rounds.active, out.outbox.n)
	}
	near.add(2, newNeighbour(now, 102, w.state.seq))
	write()
	write()
	if out.outbox.n != 2 || out.outbox.first != 2 || woken != 1 {
		t.Errorf("%d records wait, from seq %d on; woken %d times", out.outbox.n, out.outbox.first, woken)
	}
	w.skipSeq(now)
	if w.state.seq != 4 || !w.state.vector.Get(101).Has(4) || out.outbox.n != 0 || out.counts.DroppedOutbox != 2 {
		t.Errorf("seq %d, %d records wait, and %d were dropped", w.state.seq, out.outbox.n, out.counts.DroppedOutbox)
	}
}

// Writes that come together leave in one frame, and whoever writes in between doesn't wait for the rest.
func TestReplicaGathers(t *testing.T) {
	woken := 0
	out := outgoing{wake: func() { woken++ }, outbox: outbox{most: 1 << 20}}
	seq := uint64(0)
	write := func(n, size int, together bool) {
		out.gathering = together
		for range n {
			seq++
			out.broadcast(seq, &delta.Record{Key: strings.Repeat("k", size), Kind: delta.KindTombstone})
		}
		out.gathering = false
	}
	is := func(what string, want int) {
		t.Helper()
		if woken != want {
			t.Errorf("%s: woken %d times, want %d", what, woken, want)
		}
		woken = 0
	}
	flush := func() { out.outbox.take(); out.unwoken = false }

	write(64, 1, true)
	write(64, 1, true)
	is("more comes", 0)
	out.release()
	is("that was all", 1)
	out.release()
	write(1, 1, false)
	is("somebody was woken before", 0)
	flush()

	write(64, 1, true)
	write(1, 1, false)
	is("another write in between", 1)
	write(64, 1, true)
	out.release()
	is("after that", 0)
	flush()

	write(64, 1, true)
	out.send(message{})
	is("a message in between", 1)
	out.messages = nil
	flush()

	write(outboxChunk-1, 1, true)
	is("a frame but for one", 0)
	write(1, 1, true)
	is("as many as a frame has", 1)
	flush()
	write(1, wire.CutFrame, true)
	is("as many bytes as a frame has", 1)
	flush()
	out.release()
	is("nothing waits", 0)
}

func TestReplicaStanding(t *testing.T) {
	near, became := newNeighbours(), 0
	out := outgoing{wake: func() {}}
	s := standing{
		id: 1, state: testState(), neighbours: &near, arrivals: &arrivals{}, client: &syncClient{},
		repaired: &deltaCounts{}, out: &out, became: func() { became++ },
		ready: newReadiness(&near, &Config{SyncTimeout: 10 * time.Second}),
	}
	now := delta.Instant{Wall: 1000, Mono: 10 * time.Second}
	if s.noteComplete(now); s.whole(now) || !s.mayDeclare(now) || became != 0 {
		t.Error("it is whole, or may not declare itself synced")
	}
	s.declare(now)
	s.noteComplete(now)
	s.noteComplete(now)
	if !s.whole(now) || became != 1 || len(out.notices) != 1 || out.notices[0].Took != now.Mono {
		t.Errorf("whole %v, told of %d times, %+v", s.whole(now), became, out.notices)
	}
	if s.client.unvouched = true; s.whole(now) {
		t.Error("it is whole with what nobody vouches for")
	}
	s.client.unvouched = false
	if s.state.clock.Observe(delta.StampOf(now.Wall + 5000)); s.whole(now) {
		t.Error("it is whole with stamps that nobody accepts")
	}
}

func TestReplicaSyncServer(t *testing.T) {
	near := newNeighbours()
	s := syncServer{state: testState(), neighbours: &near, sessions: map[uint64]*syncOut{}, chunkBytes: 1000}
	at := func(d time.Duration) delta.Instant { return delta.Instant{Mono: d} }
	for id := range uint64(SyncServing) {
		near.add(id, newNeighbour(at(0), 100+id, 0))
		s.begin(at(time.Duration(id)), id, 100+id, 7)
	}
	if !s.busy(9) || s.busy(0) {
		t.Error("it serves one too many, or doesn't serve the same node again")
	}
	if s.session(0, 7) == nil || s.session(0, 8) != nil {
		t.Error("another session is meant")
	}
	if s.joined(at(0), 0, 100); s.session(0, 7) == nil {
		t.Error("a session ends as the requester comes back")
	}
	if s.joined(at(0), 0, 200); s.session(0, 7) != nil {
		t.Error("another life of the requester goes on with it")
	}
	near.remove(1)
	if s.busy(9) {
		t.Error("it keeps a place for a node that has left")
	}
	s.moved(2, time.Minute)
	if s.tick(at(time.Minute)); len(s.sessions) != 1 || s.session(2, 7) == nil {
		t.Errorf("%d sessions are left", len(s.sessions))
	}
	if s.end(2); len(s.sessions) != 0 || s.counts.SyncsServed != 1 {
		t.Errorf("%d sessions are left, %d were served", len(s.sessions), s.counts.SyncsServed)
	}
}

// A comparison lists what another node lacks, but for what it has dropped, or may still be on its way.
func TestVectorComparison(t *testing.T) {
	v := dots.NewVector(1, dots.MaxOrigins)
	for seq := range uint64(4) {
		v.Add(2, seq+1, 100, 0)
		v.Add(3, seq+1, 10, 0)
	}
	lacking := func(theirs dots.Claim, all bool) (m []dots.OriginDots) {
		for c := v.Compare(theirs, all); c.Next(); {
			if l := c.Lacking(); len(l.Dots) > 0 {
				m = append(m, l)
			}
		}
		return m
	}
	has := []dots.Entry{{Origin: 2, Set: dots.Set{Covered: 2}}}
	if m := lacking(dots.Claim{Origin: 9, Entries: has, All: true}, true); len(m) != 2 ||
		!slices.Equal(m[0].Dots, []dots.Interval{{From: 2, To: 4}}) || m[1].Origin != 3 {
		t.Errorf("%+v", m)
	}
	if m := lacking(dots.Claim{Origin: 9, Entries: has}, true); len(m) != 1 {
		t.Errorf("what isn't listed: %+v", m)
	}
	if m := lacking(dots.Claim{Origin: 9, Entries: has, All: true, Horizon: dots.Horizon{Stamp: 10, Print: 0}}, true); len(m) != 1 {
		t.Errorf("what it has dropped: %+v", m)
	}
	if m := lacking(dots.Claim{Origin: 9, Entries: has, All: true}, false); len(m) != 0 {
		t.Errorf("what may be on its way: %+v", m)
	}
	v.Settle()
	v.Settle()
	if m := lacking(dots.Claim{Origin: 2, Entries: has, All: true}, false); len(m) != 1 || m[0].Origin != 3 {
		t.Errorf("its own: %+v", m)
	}
}
