package replica

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
)

var statsNow = delta.Instant{Wall: testkit.Wall, Mono: time.Hour}

// neighbours256 is a replica with as many neighbours as MaxConns allows by default, of which there is
// something to tell.
func neighbours256(t rigT) *Replica {
	r := newRig(t, 1, nil).replicas[0]
	for id := range uint64(256) {
		r.Joined(statsNow, 100+id, 1000+id)
		p := r.neighbours.byID[100+id]
		for i := range 1000 {
			p.delays.all.Add(time.Duration(i) * time.Microsecond)
			p.delays.minute.Add(statsNow.Mono-time.Duration(i)*60*time.Millisecond, time.Millisecond)
		}
	}
	return r
}

// Others get the lock between, as a scrape mustn't hold up who writes for long.
func TestStatsLetsOthers(t *testing.T) {
	r := neighbours256(t)
	let := 0
	r.mu.between = func() { let++ }
	if _, g := r.Stats(statsNow); len(g.Peers) != 256 || let != 256/statsStep {
		t.Errorf("of %d peers; others were let %d times", len(g.Peers), let)
	}
	r.mu.between = func() { // all but the first ones leave
		for _, id := range r.neighbours.ids[statsStep:] {
			delete(r.neighbours.byID, id)
		}
	}
	if _, g := r.Stats(statsNow); len(g.Peers) != statsStep {
		t.Errorf("%d peers are told of, of which only %d are left", len(g.Peers), statsStep)
	}
}

// BenchmarkStats is of a node with 256 neighbours.
func BenchmarkStats(b *testing.B) {
	r := neighbours256(b)
	b.ReportAllocs()
	for b.Loop() {
		r.Stats(statsNow)
	}
}
