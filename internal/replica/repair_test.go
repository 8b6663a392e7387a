package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// For each dot a repair has the version that it wrote, or says that this is gone. A newer one in its
// place would be held without its dot, and nobody could ask for that.
func TestRepairSendsVeryVersions(t *testing.T) {
	w := newNetwork(t)
	a := w.add(1, true)
	w.add(2, true)
	w.connect(1, 2)
	w.settle()
	repaired := map[uint64]delta.Record{}
	w.lost = func(_, _ uint64, frame []byte) bool {
		d, err := wire.OpenDelta(frame)
		if err == nil && d.Newest != 0 {
			for seq := d.Seq; ; seq = d.Seq {
				w, ok := d.Advance()
				if !ok {
					break
				}
				repaired[seq] = w.Record(string(w.Key))
			}
		}
		return err == nil && d.Newest == 0
	}
	for i := range 3 {
		w.set(1, "k", fmt.Sprint(i))
	}
	w.pass(5 * time.Second)
	for seq := uint64(1); seq <= 3; seq++ {
		slot, _ := a.state.log.Get(a.state.Origin, seq)
		rec, ok := repaired[seq]
		if !ok || rec.Version != slot.Version || (rec.Kind == delta.KindValue) != (seq == 3) {
			t.Errorf("dot %d, %v, was repaired by %+v", seq, slot.Version, rec)
		}
	}
	w.holds(2, "k", "2")
}

// What was written before two nodes met isn't on its way: it is there as soon as they have compared, and
// not with a later round.
func TestRepairOfWhatWasBefore(t *testing.T) {
	for _, n := range []uint64{2, 9, 50} {
		w := newNetwork(t)
		for id := uint64(1); id <= n; id++ {
			w.add(id, true, func(c *Config) { c.LogSize = 1 << 16 }) // a page for each of them
			w.set(id, fmt.Sprint(id), "v")
		}
		for id := range n {
			for other := range id {
				w.connect(id+1, other+1)
			}
		}
		if w.settle(); n > Fanout+1 {
			w.pass(10 * time.Second) // not all are asked again after a pull
		}
		for id := range w.nodes {
			for of := range w.nodes {
				w.holds(id, fmt.Sprint(of), "v")
			}
		}
		pulls := w.pulls()
		if w.pass(30 * time.Second); pulls > n*(Fanout+2) || w.pulls() != pulls {
			t.Errorf("%d nodes: %d pulls, and %d more", n, pulls, w.pulls()-pulls)
		}
	}
}

// pulls counts those of all nodes.
func (w *network) pulls() (n uint64) {
	for _, r := range w.nodes {
		n += r.allCounts().RepairsAsked
	}
	return n
}

// One of them may notice that they are connected before the other does, and pull too early: it does that
// once, and again when the other one has noticed.
func TestRepairOfWhatWasBeforeAskedEarly(t *testing.T) {
	w := newNetwork(t)
	a, b := w.add(1, true), w.add(2, true)
	w.set(1, "k", "v")
	b.Joined(w.now, 1, a.state.Origin)
	for range 100 {
		w.step()
	}
	if w.misses(2, "k"); w.pulls() != 1 {
		t.Errorf("%d pulls from a node that doesn't answer", w.pulls())
	}
	a.Joined(w.now, 2, b.state.Origin)
	w.settle()
	w.holds(2, "k", "v")
}
