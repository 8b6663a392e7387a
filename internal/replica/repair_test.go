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
