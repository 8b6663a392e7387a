package bcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
)

const isolatedAfter = 10 * time.Second // by default

// hides has a node miss when it is isolated.
func hides(minPeers int) func(*Config) {
	return func(c *Config) {
		c.Isolation, c.MinPeers = MissWhenIsolated, minPeers
		c.Peers = []string{"somebody:1"}
	}
}

// hiding starts nodes 1 to n, and waits until all are ready.
func hiding(t *testing.T, n, minPeers int, edit ...func(*Config)) (*memnet.Net, []*Bcache) {
	t.Helper()
	net, nodes := memnet.New(), make([]*Bcache, n)
	for i := range nodes {
		nodes[i] = memNode(t, net, uint64(i+1), 0, append([]func(*Config){hides(minPeers)}, edit...)...)
	}
	allReady(t, nodes)
	return net, nodes
}

func allReady(t *testing.T, nodes []*Bcache) {
	t.Helper()
	for _, b := range nodes {
		waitSynced(t, b, time.Minute)
	}
}

// cut cuts nodes, by PeerID, off from the others.
func cut(net *memnet.Net, ids ...uint64) {
	side := map[uint64]int{}
	for _, id := range ids {
		side[id] = 1
	}
	net.Partition(side)
}

func isIsolated(t *testing.T, b *Bcache, want bool) {
	t.Helper()
	s := b.Stats()
	if err := b.Ready(); s.Isolated != want || errors.Is(err, ErrIsolated) != want {
		t.Errorf("isolated %v, want %v; Ready = %v", s.Isolated, want, err)
	}
}

// A node that is cut off serves what it had for as long as the bound, and not longer. Connected again it
// serves what is right by then.
func TestIsolatedNodeMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines testkit.Log
		net, nodes := hiding(t, 3, 1, func(c *Config) {
			if c.PeerID == 1 {
				c.Logger = &lines
			}
		})
		a, b := nodes[0], nodes[1]
		testkit.Must(t, a.Set("old", "v", 3600))
		testkit.Must(t, a.SetWithTTL("same", "v", NoExpiry))
		synctest.Wait()
		cut(net, 1)
		lines.Take()
		cutAt := time.Now()
		testkit.Must(t, b.Set("old", "new", 3600))
		testkit.Advance(isolatedAfter/3*2 - time.Second) // the last word came before the cut
		get(t, a, "old", "v")
		isIsolated(t, a, false)
		testkit.Advance(time.Until(cutAt.Add(isolatedAfter + watchEvery)))
		for _, key := range []string{"old", "same"} {
			miss(t, a, key)
			get(t, b, key, map[string]string{"old": "new", "same": "v"}[key])
		}
		isIsolated(t, a, true)
		isIsolated(t, b, false)
		isIsolated(t, nodes[2], false)
		for range a.All() {
			t.Error("All lists what isn't served")
		}
		if keys := slices.Collect(a.Keys()); len(keys) > 0 || a.Len() != 2 {
			t.Errorf("Keys lists %q, Len is %d", keys, a.Len())
		}
		if s := a.Stats(); s.Isolations != 1 || s.Keys != 2 {
			t.Errorf("isolated %d times, %d keys", s.Isolations, s.Keys)
		}
		net.Heal()
		waitSynced(t, a, 5*time.Second)
		get(t, a, "old", "new")
		get(t, a, "same", "v")
		isIsolated(t, a, false)
		testkit.Advance(time.Second)
		said := strings.Join(lines.Take(), "\n")
		for _, line := range []string{
			"E bcache: isolated: too few other nodes are heard from: 0, and MinPeers asks for more;",
			"P bcache: not isolated any more: other nodes that are heard from: 1; it lasted ",
		} {
			if strings.Count(said, line) != 1 {
				t.Errorf("%q isn't, or is twice, in\n%s", line, said)
			}
		}
	})
}

// Of five nodes the side of a partition serves on which each hears from MinPeers others.
func TestIsolatedMinority(t *testing.T) {
	for minPeers, isolated := range map[int][]bool{1: {false, false, false, false, false},
		2: {true, true, false, false, false}, 3: {true, true, true, true, true}} {
		synctest.Test(t, func(t *testing.T) {
			net, nodes := hiding(t, 5, minPeers)
			testkit.Must(t, nodes[0].Set("k", "v", 3600))
			synctest.Wait()
			cut(net, 1, 2)
			testkit.Advance(2 * isolatedAfter)
			for i, b := range nodes {
				if isIsolated(t, b, isolated[i]); isolated[i] {
					miss(t, b, "k")
				} else {
					get(t, b, "k", "v")
				}
			}
			net.Heal()
			allReady(t, nodes)
			for _, b := range nodes {
				get(t, b, "k", "v")
			}
		})
	}
}

// What is lost one way isolates too, whichever way that is.
func TestIsolatedOneWay(t *testing.T) {
	for name, lost := range map[string]func(from, to uint64) bool{
		"nothing reaches it":          func(_, to uint64) bool { return to == 1 },
		"nothing of it gets anywhere": func(from, _ uint64) bool { return from == 1 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net, nodes := hiding(t, 3, 1)
				testkit.Must(t, nodes[0].Set("k", "v", 3600))
				synctest.Wait()
				net.Filter(func(from, to uint64, _ []byte) bool { return !lost(from, to) })
				testkit.Advance(isolatedAfter + watchEvery)
				isIsolated(t, nodes[0], true)
				miss(t, nodes[0], "k")
				get(t, nodes[1], "k", "v")
				net.Filter(nil)
				waitSynced(t, nodes[0], 10*time.Second)
				get(t, nodes[0], "k", "v")
			})
		})
	}
}

// A neighbour whose answers say less than it has, as those of an older version do, isn't heard from. Nor is
// one whose writes don't come.
func TestIsolatedBesideOthers(t *testing.T) {
	for name, edit := range map[string]func(from, to uint64, frame []byte) bool{
		"it gets no deltas": func(_, to uint64, frame []byte) bool {
			typ, _ := wire.FrameType(frame)
			return to != 1 || typ != wire.FrameDelta
		},
		"its answers aren't exact": func(_, to uint64, frame []byte) bool {
			pong, err := wire.DecodePong(frame)
			return to != 1 || err != nil || pong.Flags&wire.PongExact == 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net, nodes := hiding(t, 2, 1)
				testkit.Must(t, nodes[0].Set("k", "v", 3600))
				testkit.Advance(20 * time.Second)
				net.Filter(edit)
				testkit.Must(t, nodes[1].Set("k", "new", 3600))
				testkit.Advance(isolatedAfter + watchEvery)
				isIsolated(t, nodes[0], true)
				miss(t, nodes[0], "k")
				isIsolated(t, nodes[1], false)
				net.Filter(nil)
				waitSynced(t, nodes[0], 10*time.Second)
				get(t, nodes[0], "k", "new")
			})
		})
	}
}

// A node that starts is isolated until it has heard from MinPeers others, and in an idle cluster of any
// size never again. The exchange doesn't grow with the keys.
func TestNotIsolatedWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		var frames, bytes atomic.Int64
		net.Filter(func(_, _ uint64, frame []byte) bool {
			frames.Add(1)
			bytes.Add(int64(len(frame)))
			return true
		})
		a := memNode(t, net, 1, 0, hides(1))
		testkit.Advance(time.Minute)
		isIsolated(t, a, true)
		if err := a.Ready(); !errors.Is(err, ErrNotSynced) ||
			!strings.Contains(err.Error(), "heard from too few others: 0 of at least 1") {
			t.Errorf("Ready = %v", err)
		}
		b := memNode(t, net, 2, 0, hides(1))
		allReady(t, []*Bcache{a, b})
		for i := range 1000 {
			testkit.Must(t, a.Set(fmt.Sprint(i), "v", 3600))
		}
		testkit.Advance(2 * time.Minute)
		frames.Store(0)
		bytes.Store(0)
		testkit.Advance(10 * time.Minute)
		// A ping and its pong, each way, every 3 seconds.
		if n := frames.Load(); n > 4*201 || bytes.Load() > 100*n {
			t.Errorf("%d frames of %d bytes in ten idle minutes", n, bytes.Load())
		}
		for _, b := range []*Bcache{a, b} {
			if s := b.Stats(); s.Isolated || s.Isolations > 0 {
				t.Errorf("isolated %v, %d times", s.Isolated, s.Isolations)
			}
			get(t, b, "7", "v")
		}
	})
}

// Under load, on a slow network, nobody is isolated.
func TestNotIsolatedUnderLoad(t *testing.T) {
	for _, delay := range []time.Duration{0, 300 * time.Millisecond, 900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			net, nodes := hiding(t, 4, 3)
			net.Delay(delay)
			for i := range 6000 { // a minute
				testkit.Must(t, nodes[i%len(nodes)].Set(fmt.Sprint(i%100), fmt.Sprint(i), 3600))
				testkit.Advance(10 * time.Millisecond)
			}
			for _, b := range nodes {
				if s := b.Stats(); s.Isolated || s.Isolations > 0 {
					t.Errorf("delay %v: isolated %v, %d times", delay, s.Isolated, s.Isolations)
				}
			}
		})
	}
}

// Connections that break, and come back within the bound, isolate nobody.
func TestNotIsolatedByFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := hiding(t, 3, 2)
		for range 30 {
			cut(net, 1)
			testkit.Advance(3 * time.Second)
			net.Heal()
			testkit.Advance(time.Second)
		}
		for _, b := range nodes {
			if s := b.Stats(); s.Isolated || s.Isolations > 0 {
				t.Errorf("isolated %v, %d times", s.Isolated, s.Isolations)
			}
		}
	})
}

// While a node is isolated, what fills bring is kept on it alone, for the bound from their beginning.
func TestIsolatedFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := hiding(t, 2, 1)
		a, b := nodes[0], nodes[1]
		db := &testDB{took: time.Second}
		db.set("k", "before")
		l := newLoader(t, a, db.fill, func(c *LoaderConfig) {
			c.TTL, c.StaleFor, c.StaleOnErrorFor, c.RefreshAhead = 5*time.Minute, time.Hour, time.Hour, 0.2
			c.ClusterWide = true
		})
		loaded(t, l, "k", "before")
		testkit.Advance(time.Minute)
		cut(net, 1)
		db.set("k", "after")
		testkit.Must(t, b.Delete("k"))
		testkit.Advance(isolatedAfter + watchEvery)
		isIsolated(t, a, true)
		asked := db.asked()
		begun := time.Now()
		loaded(t, l, "k", "after") // alone: nobody is asked for a lease
		if took := time.Since(begun); took > db.took+10*time.Millisecond || db.asked() != asked+1 {
			t.Errorf("%d queries in %v", db.asked()-asked, took)
		}
		loaded(t, l, "k", "after")
		get(t, a, "k", "after")
		if s := a.Stats(); db.asked() != asked+1 || s.ProvisionalKept != 1 {
			t.Errorf("%d queries, %d kept", db.asked()-asked, s.ProvisionalKept)
		}
		db.set("k", "later")
		testkit.Advance(time.Until(begun.Add(isolatedAfter - time.Millisecond)))
		loaded(t, l, "k", "after")
		testkit.Advance(time.Millisecond)
		miss(t, a, "k")
		db.fail(errors.New("down"))
		if r := l.GetResult(context.Background(), "k"); r.Err == nil || r.Value != "" {
			t.Errorf("what is older than the bound is served: %+v", r)
		}
		db.fail(nil)
		testkit.Advance(time.Minute) // the failure is forgotten
		loaded(t, l, "k", "later")
		testkit.Must(t, a.Set("k", "own", 3600)) // sent, and not served
		miss(t, a, "k")
		filled, err := a.GetWithFiller("f", func(string) (string, error) { return "filled", nil }, 3600)
		if err != nil || filled != "filled" {
			t.Errorf("GetWithFiller = %q, %v", filled, err)
		}
		get(t, a, "f", "filled")
		if v, err := a.GetWithFiller("k", func(string) (string, error) { return "db", nil }, 0); v != "db" || err != nil {
			t.Errorf("GetWithFiller of what is held = %q, %v", v, err)
		}
		if all := slices.Collect(a.Keys()); !slices.Equal(all, []string{"f"}) {
			t.Errorf("Keys lists %q", all)
		}
		net.Heal()
		waitSynced(t, a, 10*time.Second)
		synctest.Wait()
		get(t, a, "k", "own")
		testkit.Advance(5 * time.Second) // the other node pulls it
		get(t, b, "k", "own")
		miss(t, a, "f") // it was local
		miss(t, b, "f")
	})
}

// A fill that is under way when the isolation begins is returned, and neither kept nor written.
func TestIsolationEndsFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := hiding(t, 2, 1)
		a := nodes[0]
		cut(net, 1)
		testkit.Advance(isolatedAfter - 5*time.Second)
		db := &testDB{took: 8 * time.Second}
		db.set("k", "1")
		l := newLoader(t, a, db.fill)
		first, second := make(chan string, 1), make(chan string, 1)
		fill := func(to chan string) { v, _ := l.Get(context.Background(), "k"); to <- v }
		go fill(first)
		testkit.Advance(6 * time.Second)
		isIsolated(t, a, true)
		db.set("k", "2")
		go fill(second) // it doesn't join
		testkit.Advance(2*time.Second + time.Millisecond)
		if v := <-first; v != "1" || len(second) > 0 {
			t.Errorf("it returns %q", v)
		}
		miss(t, a, "k")
		if v := <-second; v != "2" {
			t.Errorf("who came after the isolation began is given %q", v)
		}
		get(t, a, "k", "2")
		if s := a.Stats(); s.RecordsOut > 0 || s.Keys != 1 {
			t.Errorf("%d records are sent, %d held", s.RecordsOut, s.Keys)
		}
	})
}

// A machine that was suspended isn't trusted before the others were asked, though its monotonic clock has
// stood still: it may have been suspended for hours. The same goes for a clock that is set.
func TestIsolatedAfterSuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines testkit.Log
		net := memnet.New()
		var skew atomic.Int64
		a := memNodeAt(t, net, 1, &skew, hides(1), func(c *Config) { c.Logger, c.MaxClockSkew = &lines, time.Hour })
		b := memNode(t, net, 2, 0, hides(1), func(c *Config) { c.MaxClockSkew = time.Hour })
		allReady(t, []*Bcache{a, b})
		testkit.Must(t, a.SetWithTTL("k", "v", NoExpiry))
		testkit.Advance(time.Minute)
		get(t, a, "k", "v")
		lines.Take()
		net.Delay(300 * time.Millisecond)
		skew.Store(int64(2 * time.Second)) // nobody has slept here, but that doesn't show
		testkit.Advance(watchEvery)
		synctest.Wait()
		miss(t, a, "k")
		isIsolated(t, a, true)
		testkit.Advance(500 * time.Millisecond)
		miss(t, a, "k")
		testkit.Advance(150 * time.Millisecond)
		get(t, a, "k", "v")
		isIsolated(t, a, false)
		skew.Add(int64(-900 * time.Millisecond)) // NTP
		testkit.Advance(watchEvery)
		get(t, a, "k", "v")
		if said := strings.Join(lines.Take(), "\n"); !strings.Contains(said, "E bcache: isolated: the clock has jumped by 2s,") {
			t.Error(said)
		}
	})
}

// From Close on nothing is served: nobody watches the clocks any more.
func TestIsolationAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := hiding(t, 2, 1)
		testkit.Must(t, nodes[0].Set("k", "v", 3600))
		release := net.Hold(2) // Close waits for it
		closed := make(chan error)
		go func() { closed <- nodes[0].Close() }()
		synctest.Wait()
		testkit.Advance(time.Second)
		miss(t, nodes[0], "k")
		release()
		<-closed
	})
}

// Without the option all is as ever.
func TestServesWhenIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a := memNode(t, net, 1, 0, func(c *Config) { c.MinPeers, c.IsolatedAfter = 1, 3*time.Second })
		memNode(t, net, 2, 0)
		waitSynced(t, a, time.Minute)
		testkit.Must(t, a.SetWithTTL("k", "v", NoExpiry))
		cut(net, 1)
		testkit.Advance(time.Hour)
		get(t, a, "k", "v")
		if err := a.Ready(); errors.Is(err, ErrIsolated) || !errors.Is(err, ErrNotSynced) {
			t.Errorf("Ready = %v", err)
		}
	})
}
