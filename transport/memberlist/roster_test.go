package memberlist

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

// said says who is there, and how.
func said(all []transport.Presence) (s string) {
	for _, p := range all {
		s += fmt.Sprintf("%x/%x", p.ID, p.Origin)
		if p.Gone {
			s += " gone"
		}
		s += ";"
	}
	return s
}

func rosterRig(t *testing.T) (*roster, func(id, origin uint64) *link) {
	life := newLife()
	t.Cleanup(life.end)
	r := newRoster(2)
	h := &hub{
		node: &transport.Node{MaxPending: 1 << 20, Log: &noted{}}, life: life, roster: r,
		keys: newKeyring(nil), count: &engine.Counters{},
	}
	return r, func(id, origin uint64) *link {
		here, there := testPipe(t)
		_ = there
		return newLink(&session{raw: here, conn: here, peer: hello{id: id, origin: origin}}, h)
	}
}

// A node that isn't connected counts as there as long as memberlist says so; then as gone; one that has said
// that it closes doesn't.
func TestEverybody(t *testing.T) {
	r, link := rosterRig(t)
	want := func(what, want string) {
		t.Helper()
		if got := said(r.everybody(time.Hour)); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	name := nodeName(5, 50)
	r.alive(name, meta{5, 50, "a:1"})
	want("memberlist tells of it", "5/0;")
	l := link(5, 50)
	testkit.Must(t, r.add(l, nil))
	want("it is connected", "5/32;")
	l.end(errHungUp)
	want("its link ends", "5/32;")
	r.drop(l)
	want("it isn't connected", "5/0;")
	if p := r.everybody(0); !p[0].Since.After(l.since) {
		t.Errorf("it is in this state since %v, and was connected at %v", p[0].Since, l.since)
	}
	if open := r.unlinked(); len(open) != 1 || open[0].addr != "a:1" {
		t.Errorf("to be dialled are %+v", open)
	}
	r.dead(name)
	want("memberlist takes it for dead", "5/0 gone;")
	if open := r.unlinked(); len(open) != 1 || open[0].origin != 50 {
		t.Errorf("who has just gone isn't dialled: %+v", open)
	}
	if got := said(r.everybody(0)); got != "" {
		t.Errorf("within no time: %q", got)
	}

	// It ends no link that memberlist takes a node for dead: that is the handler's to judge.
	r.alive(name, meta{5, 50, "a:1"})
	l = link(5, 50)
	testkit.Must(t, r.add(l, nil))
	r.dead(name)
	want("it is connected, and dead to memberlist", "5/32;")
	if l.ended() != nil {
		t.Errorf("its link has ended: %v", l.ended())
	}
	l.end(errDisconnect)
	r.drop(l)
	want("its link ends, too", "5/0 gone;")

	// Another life comes, and says that it closes.
	other := nodeName(5, 51)
	r.alive(other, meta{5, 51, "a:2"})
	l = link(5, 51)
	testkit.Must(t, r.add(l, nil))
	want("another life", "5/33;")
	l.said = true
	l.end(errBye)
	r.drop(l)
	want("it has said that it closes", "")
	if open := r.unlinked(); len(open) != 0 {
		t.Errorf("to be dialled are %+v", open)
	}
	r.dead(other)
	want("memberlist says so too", "")
}

// A life of a node that was met makes the earlier ones be over, whatever memberlist says of them.
func TestEarlierLivesAreOver(t *testing.T) {
	r, link := rosterRig(t)
	r.alive(nodeName(5, 50), meta{5, 50, "a:1"})
	l := link(5, 51)
	testkit.Must(t, r.add(l, nil))
	l.said = true
	r.drop(l)
	if got := said(r.everybody(time.Hour)); got != "" {
		t.Errorf("there are %q", got)
	}
	l = link(6, 60)
	testkit.Must(t, r.add(l, nil))
	r.alive(nodeName(6, 59), meta{6, 59, "b:1"})
	l.said = true
	r.drop(l)
	if got := said(r.everybody(time.Hour)); got != "" {
		t.Errorf("there are %q", got)
	}
}

// An earlier life of the node itself is nobody.
func TestOwnEarlierLife(t *testing.T) {
	r, _ := rosterRig(t)
	r.own(5)
	r.alive(nodeName(5, 50), meta{5, 50, "a:1"})
	if got := said(r.everybody(time.Hour)); got != "" || len(r.unlinked()) > 0 {
		t.Errorf("there are %q, and %+v are dialled", got, r.unlinked())
	}
}

func TestRosterBounds(t *testing.T) {
	r, link := rosterRig(t)
	for id := range uint64(2) {
		testkit.Must(t, r.add(link(id+1, 1), nil))
	}
	if err := r.add(link(3, 1), nil); err != refusedFull || !r.full() {
		t.Errorf("a third link where two may be: %v", err)
	}
	one := r.link(1)
	if err := r.add(link(1, 1), nil); err != refusedHave {
		t.Errorf("a second link with one node: %v", err)
	}
	two := link(1, 1)
	testkit.Must(t, r.add(two, one))
	if one.ended() == nil || two.prev != one || r.link(1) != two {
		t.Error("the first link lives")
	}

	d := make(departures)
	for id := range uint64(transport.MaxGone + 5) {
		d.note(id, departure{at: time.Unix(int64(id), 0)})
	}
	if _, oldest := d[4]; len(d) != transport.MaxGone || oldest {
		t.Errorf("%d are remembered, the oldest: %v", len(d), oldest)
	}
}

// memberlist tells of so many nodes and no more, with those that are dead and that it hasn't forgotten.
func TestMembersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoster(2)
		name := func(i int) string { return nodeName(5, uint64(i+1)) }
		come := func(i int) {
			t.Helper()
			if !r.room(name(i)) {
				t.Fatalf("there is no room for %d", i)
			}
			r.alive(name(i), meta{5, uint64(i + 1), "x"})
		}
		for i := range maxMembers {
			come(i)
			if i >= 10 {
				r.dead(name(i))
			}
		}
		if r.room("more") || !r.room(name(5)) {
			t.Error("memberlist may tell of any number of nodes")
		}
		come(10) // it knows that one
		testkit.Advance(deadTime + 10*probeInterval)
		if r.room("more") {
			t.Error("memberlist hasn't forgotten those that are dead")
		}
		testkit.Advance(4 * probeInterval)
		if !r.room("more") || len(r.buried) > 0 || len(r.members) != 11 {
			t.Errorf("%d are buried, of %d", len(r.buried), len(r.members))
		}
	})
}
