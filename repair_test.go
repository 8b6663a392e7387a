package bcache

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
)

// losing has a net lose the deltas to a node while lose is true.
func losing(net *memnet.Net, node uint64) (lose *atomic.Bool) {
	lose = new(atomic.Bool)
	net.Filter(func(_, to uint64, frame []byte) bool {
		return !lose.Load() || to != node || frame[1] != wire.FrameDelta
	})
	return lose
}

// What was lost at the end, with nothing after it that would show a gap.
func TestRepairOfALostTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		lose := losing(net, 3)
		testkit.Must(t, nodes[0].Set("gone", "v", 3600))
		synctest.Wait()
		lose.Store(true)
		for i := range 100 {
			testkit.Must(t, nodes[0].Set(fmt.Sprint(i), "v", 3600))
		}
		testkit.Must(t, nodes[0].Delete("gone"))
		synctest.Wait()
		lose.Store(false)
		get(t, nodes[2], "gone", "v")
		testkit.Advance(5 * time.Second)
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
		testkit.Advance(time.Second)
		lose := losing(net, 3)
		lose.Store(true)
		testkit.Must(t, nodes[0].Set("lost", "v", 3600))
		synctest.Wait()
		lose.Store(false)
		testkit.Must(t, nodes[0].Set("next", "v", 3600))
		synctest.Wait()
		get(t, nodes[2], "lost", "v") // no time has passed
	})
}

// A repair doesn't bring back what was evicted, and says that what was overwritten is gone.
func TestRepairOfWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a := memNode(t, net, 1, 0, func(c *Config) { c.MaxKeys, c.Eviction = 4, LRU })
		b := memNode(t, net, 2, 0)
		synctest.Wait()
		lose := losing(net, 2)
		testkit.Must(t, a.Set("k", "old", 3600))
		synctest.Wait()
		testkit.Advance(3 * time.Second)
		lose.Store(true)
		testkit.Must(t, a.Set("k", "new", 3600))
		for i := range 10 { // evicts it
			testkit.Must(t, a.Set(fmt.Sprint(i), "v", 3600))
		}
		synctest.Wait()
		lose.Store(false)
		get(t, b, "k", "old")
		testkit.Advance(5 * time.Second)
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
		net := memnet.New()
		small := func(c *Config) { c.LogSize = 64 }
		a, b := memNode(t, net, 1, 0, small), memNode(t, net, 2, 0, small)
		synctest.Wait()
		lose := losing(net, 2)
		for i := range 300 {
			testkit.Must(t, a.Set(fmt.Sprint(i), "v", 3600))
		}
		synctest.Wait()
		lose.Store(true)
		for i := range 200 {
			testkit.Must(t, a.Delete(fmt.Sprint(i)))
		}
		testkit.Must(t, a.Set("new", "v", 3600))
		synctest.Wait()
		lose.Store(false)
		testkit.Advance(120 * time.Second) // longer than DeletionDelay: the tombstones are gone
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
			net := memnet.New()
			var lines testkit.Log
			a := memNode(t, net, 1, 0, func(c *Config) { c.Logger = &lines })
			b, c := memNode(t, net, 2, 0), memNode(t, net, 3, 0, func(c *Config) { c.Logger = &lines })
			testkit.Advance(2*time.Minute + time.Duration(begins)*time.Second) // it is quiet
			release := net.Hold(3)
			start := time.Now()
			const limit = replica.RoundFew + 2*replica.RoundMin
			for i := 0; len(a.Members()) == 2; i++ {
				if time.Since(start) > limit {
					t.Fatalf("after %v it is still a member", limit)
				}
				if traffic {
					testkit.Must(t, a.Set(fmt.Sprint(i%100), "v", 3600))
				}
				testkit.Advance(100 * time.Millisecond)
			}
			// Node 3 hears as little of node 1, so either may be the first.
			if n := a.Stats().StuckCut + c.Stats().StuckCut; n == 0 {
				t.Error("nobody has cut the connection")
			}
			synctest.Wait() // lines are queued
			if got := strings.Join(lines.Take(), "\n"); !strings.Contains(got, "is cut: nothing has come from it for") {
				t.Errorf("logged %q", got)
			}
			testkit.Must(t, a.Set("after", "v", 3600))
			synctest.Wait()
			get(t, b, "after", "v")
			release()
			testkit.Advance(15 * time.Second)
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
		net := memnet.New()
		a := memNode(t, net, 1, 0)
		memNode(t, net, 2, 0)
		synctest.Wait()
		for i := range 60 {
			release := net.Hold(2)
			testkit.Must(t, a.Set(fmt.Sprint(i), "v", 3600))
			testkit.Advance(4 * time.Second)
			release()
			testkit.Advance(100 * time.Millisecond)
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
		testkit.Must(t, nodes[1].Set("k", "v", 3600))
		synctest.Wait()
		testkit.Advance(3 * time.Second)
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
		testkit.Advance(5 * time.Second)
		lose := losing(net, 3)
		lose.Store(true)
		for i := range 500 { // written once, before
			testkit.Must(t, nodes[i%2].Set(fmt.Sprint("once", i), "v", 3600))
		}
		for round := range 10 {
			for i := range 400 {
				testkit.Must(t, nodes[0].Set(fmt.Sprint("often", i), fmt.Sprint(round), 3600))
			}
			testkit.Advance(time.Millisecond)
		}
		lose.Store(false)
		testkit.Advance(5 * time.Second)
		if s := nodes[2].Stats(); nodes[2].Len() != 900 || s.RefusedFloor != 0 || s.SyncsReceived > 1 {
			t.Errorf("%d entries, %d refused, %d full syncs", nodes[2].Len(), s.RefusedFloor, s.SyncsReceived)
		}
	})
}
