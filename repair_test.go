package bcache

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// losing has a net lose the deltas to a node while lose is true.
func losing(net *memNet, node uint64) (lose *atomic.Bool) {
	lose = new(atomic.Bool)
	net.mu.Lock()
	defer net.mu.Unlock()
	net.filter = func(_, to uint64, frame []byte) bool { return !lose.Load() || to != node || frame[1] != frameDelta }
	return lose
}

// What was lost at the end, with nothing after it that would show a gap.
func TestRepairOfALostTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		lose := losing(net, 3)
		must(t, nodes[0].Set("gone", "v", 3600))
		synctest.Wait()
		lose.Store(true)
		for i := range 100 {
			must(t, nodes[0].Set(fmt.Sprint(i), "v", 3600))
		}
		must(t, nodes[0].Delete("gone"))
		synctest.Wait()
		lose.Store(false)
		get(t, nodes[2], "gone", "v")
		advance(5 * time.Second)
		miss(t, nodes[2], "gone")
		for i := range 100 {
			get(t, nodes[2], fmt.Sprint(i), "v")
		}
		if s := nodes[2].Stats(); s.RepairsAsked == 0 || s.RecordsRepaired != 101 || s.SyncsReceived > 1 {
			t.Errorf("%+v", s)
		}
		if s := nodes[0].Stats(); s.RepairsAnswered+nodes[1].Stats().RepairsAnswered == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A gap is repaired at once.
func TestRepairOfAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		advance(time.Second)
		lose := losing(net, 3)
		lose.Store(true)
		must(t, nodes[0].Set("lost", "v", 3600))
		synctest.Wait()
		lose.Store(false)
		must(t, nodes[0].Set("next", "v", 3600))
		synctest.Wait()
		get(t, nodes[2], "lost", "v") // no time has passed
	})
}

// A repair doesn't bring back what was evicted, and says that what was overwritten is gone.
func TestRepairOfWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		a := memNode(t, net, 1, 0, func(c *Config) { c.MaxKeys = 4 })
		b := memNode(t, net, 2, 0)
		synctest.Wait()
		lose := losing(net, 2)
		must(t, a.Set("k", "old", 3600))
		synctest.Wait()
		advance(3 * time.Second)
		lose.Store(true)
		must(t, a.Set("k", "new", 3600))
		for i := range 10 { // evicts it
			must(t, a.Set(fmt.Sprint(i), "v", 3600))
		}
		synctest.Wait()
		lose.Store(false)
		get(t, b, "k", "old")
		advance(5 * time.Second)
		miss(t, b, "k")
		for i := range 6 {
			miss(t, b, fmt.Sprint(i))
		}
		for i := 6; i < 10; i++ {
			get(t, b, fmt.Sprint(i), "v")
		}
	})
}

// Where the log doesn't reach back there is one full sync, and deleted keys stay so.
func TestRepairBeyondTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		small := func(c *Config) { c.LogSize = 64 }
		a, b := memNode(t, net, 1, 0, small), memNode(t, net, 2, 0, small)
		synctest.Wait()
		lose := losing(net, 2)
		for i := range 300 {
			must(t, a.Set(fmt.Sprint(i), "v", 3600))
		}
		synctest.Wait()
		lose.Store(true)
		for i := range 200 {
			must(t, a.Delete(fmt.Sprint(i)))
		}
		must(t, a.Set("new", "v", 3600))
		synctest.Wait()
		lose.Store(false)
		advance(120 * time.Second) // longer than DeletionDelay: the tombstones are gone
		for i := range 200 {
			miss(t, b, fmt.Sprint(i))
		}
		get(t, b, "new", "v")
		if n := b.Stats().SyncsReceived; n != 1 {
			t.Errorf("%d full syncs", n)
		}
		if n := a.Stats().SyncsReceived; n != 0 {
			t.Errorf("%d full syncs in the other direction", n)
		}
	})
}

// A neighbour that takes nothing any more is cut: within 6 seconds if there is something to send,
// within 25 if not, whenever that begins. It is connected again when it lives.
func TestStuckNeighbourIsCut(t *testing.T) {
	for begins := range 12 { // between two rounds
		traffic := begins == 0
		synctest.Test(t, func(t *testing.T) {
			net := newMemNet()
			var lines logLines
			a := memNode(t, net, 1, 0, func(c *Config) { c.Logger = &lines })
			b, c := memNode(t, net, 2, 0), memNode(t, net, 3, 0, func(c *Config) { c.Logger = &lines })
			advance(2*time.Minute + time.Duration(begins)*time.Second) // it is quiet
			release := net.hold(3)
			start := time.Now()
			limit := 25 * time.Second
			if traffic {
				limit = 6*time.Second + tickEvery
			}
			for i := 0; len(a.Members()) == 2; i++ {
				if time.Since(start) > limit {
					t.Fatalf("after %v it is still a member", limit)
				}
				if traffic {
					must(t, a.Set(fmt.Sprint(i%100), "v", 3600))
				}
				advance(100 * time.Millisecond)
			}
			// Node 3 hears as little of node 1, so either may be the first.
			if n := a.Stats().StuckCut + c.Stats().StuckCut; n == 0 {
				t.Error("nobody has cut the connection")
			}
			synctest.Wait() // lines are queued
			if got := strings.Join(lines.take(), "\n"); !strings.Contains(got, "is cut: nothing has come from it for") {
				t.Errorf("logged %q", got)
			}
			must(t, a.Set("after", "v", 3600))
			synctest.Wait()
			get(t, b, "after", "v")
			release()
			advance(15 * time.Second)
			get(t, c, "after", "v")
			if len(a.Members()) != 2 || len(c.Members()) != 2 {
				t.Errorf("members %v, %v", a.Members(), c.Members())
			}
		})
	}
}

// One that is only slow to answer isn't cut, as long as it says something.
func TestSlowNeighbourIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		a := memNode(t, net, 1, 0)
		memNode(t, net, 2, 0)
		synctest.Wait()
		for i := range 60 {
			release := net.hold(2)
			must(t, a.Set(fmt.Sprint(i), "v", 3600))
			advance(4 * time.Second)
			release()
			advance(100 * time.Millisecond)
		}
		if n := a.Stats().StuckCut; n != 0 {
			t.Errorf("cut %d times", n)
		}
	})
}

// What each neighbour's writes are behind is told.
func TestStatsOfPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		must(t, nodes[1].Set("k", "v", 3600))
		synctest.Wait()
		advance(3 * time.Second)
		p := nodes[0].Stats().Peers
		if len(p) != 2 || p[0].ID != 2 || p[0].Lag != 3*time.Second || p[1].Lag != -1 || !p[0].Synced || p[0].Behind || p[0].Silent > 3*time.Second {
			t.Errorf("%+v", p)
		}
	})
}

// What was overwritten while a node missed it raises no floor there, as its newest value comes
// first: otherwise it would keep out other keys of its bucket.
func TestRepairKeepsFloorsLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		advance(5 * time.Second)
		lose := losing(net, 3)
		lose.Store(true)
		for i := range 500 { // written once, before
			must(t, nodes[i%2].Set(fmt.Sprint("once", i), "v", 3600))
		}
		for round := range 10 {
			for i := range 400 {
				must(t, nodes[0].Set(fmt.Sprint("often", i), fmt.Sprint(round), 3600))
			}
			advance(time.Millisecond)
		}
		lose.Store(false)
		advance(5 * time.Second)
		if s := nodes[2].Stats(); nodes[2].Len() != 900 || s.RefusedFloor != 0 || s.SyncsReceived > 1 {
			t.Errorf("%d entries, %d refused, %d full syncs", nodes[2].Len(), s.RefusedFloor, s.SyncsReceived)
		}
	})
}

// For each dot a repair has the version that it wrote, or says that this is gone. A newer one in its
// place would be held without its dot, and nobody could ask for that.
func TestRepairSendsVeryVersions(t *testing.T) {
	w := newWire(t)
	a := w.add(1, true)
	w.add(2, true)
	w.connect(1, 2)
	w.settle()
	repaired := map[uint64]record{}
	w.lost = func(_, _ uint64, frame []byte) bool {
		d, err := openDelta(frame)
		if err == nil && d.newest != 0 {
			for seq := d.seq; ; seq = d.seq {
				w, ok := d.advance()
				if !ok {
					break
				}
				repaired[seq] = w.record(string(w.key))
			}
		}
		return err == nil && d.newest == 0
	}
	for i := range 3 {
		w.set(1, "k", fmt.Sprint(i))
	}
	w.pass(5 * time.Second)
	for seq := uint64(1); seq <= 3; seq++ {
		slot, _ := a.log.get(a.origin, seq)
		rec, ok := repaired[seq]
		if !ok || rec.version != slot.version || (rec.kind == kindValue) != (seq == 3) {
			t.Errorf("dot %d, %v, was repaired by %+v", seq, slot.version, rec)
		}
	}
	w.holds(2, "k", "2")
}
