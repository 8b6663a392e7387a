package replica

import (
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// A value with tags is only offered to a node that has said that it takes such a one; others, which
// would take the frame for one of a later version, get those without.
func TestOffersWithTags(t *testing.T) {
	tags, _ := delta.MakeTags([]string{"t"})
	ping := func(flags uint64) []byte {
		return wire.AppendPing(nil, wire.Ping{Origin: 101, Flags: flags, Echo: 7})
	}
	pong := func(flags uint64) []byte {
		return wire.AppendPong(nil, wire.Pong{Origin: 101, Flags: flags, Echo: 7})
	}
	for name, c := range map[string]struct {
		said  []byte
		takes bool
	}{
		"nothing but an echo":          {ping(wire.PingTags), false}, // without a context
		"a ping of the release before": {ping(wire.PingContext | wire.PingAnswers), false},
		"a ping of this one":           {ping(wire.PingContext | wire.PingTags), true},
		"a pong of the release before": {pong(wire.PongAnswers), false},
		"a pong of this one":           {pong(wire.PongTags), true},
	} {
		g := newRig(t, 2, nil)
		r := g.replicas[0]
		testkit.Must(t, r.Receive(g.now(), 1, c.said))
		for key, rec := range map[string]*delta.Record{
			"plain": {Key: "plain", Val: "v"}, "tagged": {Key: "tagged", Val: "v", Tags: tags},
		} {
			testkit.Must(t, r.Delete(g.now(), key))
			f := r.Fills.Begin(g.now(), 0, key)[0]
			want := FillKept
			if rec.Tags == "" || c.takes {
				want = FillOffered
			}
			if got := r.Fills.End(g.now(), f, rec, FillForAll); got != want {
				t.Errorf("%s: the outcome of %s is %d, want %d", name, key, got, want)
			}
		}
	}
}

// Nodes of this release say so.
func TestOffersWithTagsAreTaken(t *testing.T) {
	g := newRig(t, 2, nil)
	g.settle()
	for _, r := range g.replicas {
		for id, p := range r.neighbours.byID {
			if !p.tags {
				t.Errorf("node %d doesn't know that %d takes them", r.ID, id)
			}
		}
	}
}
