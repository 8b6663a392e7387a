package replica

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// A Clear of a tag that got lost comes by a repair as what it was: what it doesn't select stays.
func TestRepairOfAClear(t *testing.T) {
	for _, by := range []delta.Selector{delta.SelectTag("t"), delta.SelectPrefix("x")} {
		w := newNetwork(t)
		w.add(1, true)
		b := w.add(2, true)
		w.connect(1, 2)
		w.pass(10 * time.Second)
		w.put(1, "x", "v", "t")
		w.put(1, "y", "v", "u")
		w.settle()
		w.holds(2, "x", "v")
		syncs := b.repair.client.counts.SyncsReceived
		w.part(1, 2)
		w.clear(1, by)
		w.settle()
		w.connect(1, 2)
		w.pass(10 * time.Second)
		w.misses(2, "x")
		w.holds(2, "y", "v")
		if n := b.repair.client.counts.SyncsReceived; n != syncs {
			t.Errorf("by %q: %d full syncs: the test is broken", by, n-syncs)
		}
	}
}
