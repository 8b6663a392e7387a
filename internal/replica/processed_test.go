package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// lacks checks what a node says of a dot: how many writes it lacks, of which origin and neighbour, or
// that it can't tell.
func (w *network) lacks(id uint64, d delta.Dot, want string) {
	w.t.Helper()
	lacks, unknown := w.nodes[id].Lacks([]delta.Dot{d})
	got := ""
	for _, l := range lacks {
		got += fmt.Sprintf("%d of %d (node %d)", l.Writes, l.Origin, l.Peer)
	}
	if unknown != 0 {
		got += fmt.Sprintf("%d is unknown", unknown)
	}
	if got != want {
		w.t.Errorf("of dot %v node %d says %q, want %q", d, id, got, want)
	}
}

func TestLacks(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true)
	two := w.add(2, true)
	w.lacks(2, delta.Dot{Origin: 101, Seq: 1}, "101 is unknown")
	w.connect(1, 2)
	w.lacks(2, delta.Dot{Origin: 101, Seq: 1}, "1 of 101 (node 1)") // nothing was heard of it yet

	if d := w.nodes[1].Written(); d != (delta.Dot{Origin: 101}) {
		t.Errorf("a node that has written nothing has written up to %v", d)
	}
	w.set(1, "a", "1")
	w.lacks(1, w.nodes[1].Written(), "")
	w.lacks(1, delta.Dot{Origin: 101, Seq: 2}, "101 is unknown") // no token of this node says so
	w.lacks(2, w.nodes[1].Written(), "1 of 101 (node 1)")
	w.settle()
	w.lacks(2, w.nodes[1].Written(), "")

	w.lost = func(_, _ uint64, frame []byte) bool { return frame[1] == byte(wire.FrameDelta) }
	w.set(1, "a", "2")
	w.settle()
	w.lost = nil
	w.set(1, "b", "1")
	w.flush()
	for _, p := range w.queue { // the third without the second
		_ = w.nodes[p.to].Receive(w.now, p.from, p.frame)
	}
	w.queue = nil
	if s := two.state.vector.Get(101); s.Last() != 3 || s.Covered != 1 {
		t.Fatalf("node 2 has %+v", s)
	}
	w.lacks(2, delta.Dot{Origin: 101, Seq: 3}, "1 of 101 (node 1)")
	w.lacks(2, delta.Dot{Origin: 101, Seq: 1}, "")
	w.pass(5 * time.Second)
	w.lacks(2, delta.Dot{Origin: 101, Seq: 3}, "")

	two.state.vector.Forget(101) // as a node that is disbelieved
	w.lacks(2, delta.Dot{Origin: 101, Seq: 1}, "1 of 101 (node 1)")
	w.kill(1)
	w.lacks(2, delta.Dot{Origin: 101, Seq: 1}, "101 is unknown")
}

// A write from the future isn't processed until its time has come.
func TestLacksWhatIsFromTheFuture(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true)
	w.add(2, true)
	w.connect(1, 2)
	w.settle()
	ahead := w.now
	ahead.Wall += 10_000
	if err := w.nodes[1].Set(ahead, "a", "1", 0); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.lacks(2, w.nodes[1].Written(), "1 of 101 (node 1)")
	w.pass(30 * time.Second)
	w.lacks(2, w.nodes[1].Written(), "")
}

// Of origins that were dropped a node can't tell: the horizon doesn't say which dots it stands for.
func TestLacksWhatWasDropped(t *testing.T) {
	w := newNetwork(t)
	r := w.add(9, true, func(c *Config) { c.maxOrigins = 3 })
	for id := uint64(1); id <= 5; id++ {
		w.add(id, true)
		w.connect(id, 9)
		w.set(id, fmt.Sprint(id), "v")
		w.settle()
		w.lacks(9, delta.Dot{Origin: 100 + id, Seq: 1}, "")
		w.kill(id)
		w.now.Wall++
	}
	if r.state.vector.Horizon.Stamp == 0 {
		t.Fatal("nothing was dropped")
	}
	w.lacks(9, delta.Dot{Origin: 101, Seq: 1}, "101 is unknown")
	w.lacks(9, delta.Dot{Origin: 105, Seq: 1}, "")
}

// The first dot of a vector that is adopted isn't seen before all keys are touched: what was read before
// is then neither served nor joined.
func TestAdoptionTouchesBeforeItCovers(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true)
	w.add(2, true)
	w.connect(1, 2)
	for i := range 8 {
		w.set(1, fmt.Sprintf("one%d", i), "v")
		w.set(2, fmt.Sprintf("two%d", i), "v")
	}
	w.pass(3 * time.Second)
	cleared, halfway := 0, false
	r := w.add(3, false, func(c *Config) {
		c.Changed = func(_ string, kind delta.Kind) {
			if kind == delta.KindClear {
				cleared++
			}
		}
	})
	r.mu.stepWork = 1
	r.mu.between = func() {
		lacks, _ := r.Lacks([]delta.Dot{{Origin: 101, Seq: 8}})
		if r.state.vector.Origins[101] == nil || len(lacks) > 0 || r.standing.ready.synced {
			return
		}
		halfway = true
		if cleared == 0 {
			t.Error("a dot is covered, and who looks a key up may still join what was begun before it")
		}
		if r.Store.Epochs.Now() == 0 {
			t.Error("a dot is covered, and provisional values are still served")
		}
	}
	w.connect(1, 3)
	w.pass(5 * time.Second)
	w.lacks(3, delta.Dot{Origin: 102, Seq: 8}, "")
	if !halfway {
		t.Error("nobody looked while the vector was adopted")
	}
}
