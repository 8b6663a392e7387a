package bcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
)

// why asks a node about a key, and expects a report of each node, in their order.
func why(t *testing.T, b *Bcache, key string, values bool, nodes ...uint64) []KeyReport {
	t.Helper()
	reports, err := b.Inspect().Why(t.Context(), key, values)
	if err != nil || len(reports) != len(nodes) {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	for i, r := range reports {
		if r.Node != nodes[i] {
			t.Fatalf("report %d is that of node %x", i, r.Node)
		}
	}
	return reports
}

// Each node says what it holds of a key, and who wrote that.
func TestWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		testkit.Advance(5 * time.Second)
		start := time.Now()
		testkit.Must(t, nodes[1].SetWithTTL("k", "value", time.Minute))
		synctest.Wait()
		for _, r := range why(t, nodes[2], "k", false, 3, 1, 2) {
			h := r.Held
			if r.Err != nil || h == nil || h.Kind != KeyValue || h.Size != 6 || h.Value != "" || r.Cleared {
				t.Fatalf("node %x: %+v, %+v", r.Node, r, h)
			}
			if h.Version.Node != 2 || !h.Version.Time.Equal(start) || !h.Deadline.Equal(start.Add(time.Minute)) {
				t.Errorf("node %x: %+v", r.Node, h)
			}
			if !r.At.Equal(start) || r.Provisional != nil || r.Fills != 0 || len(r.Decisions) != 0 {
				t.Errorf("node %x: %+v", r.Node, r)
			}
		}
		if r := why(t, nodes[2], "k", true, 3, 1, 2); r[0].Held.Value != "value" || r[2].Held.Value != "value" {
			t.Errorf("the values are %+v", r)
		}

		testkit.Advance(time.Second)
		testkit.Must(t, nodes[0].Delete("k"))
		synctest.Wait()
		for _, r := range why(t, nodes[1], "k", true, 2, 1, 3) {
			h := r.Held
			if h == nil || h.Kind != KeyDeleted || h.Version.Node != 1 || h.Version.Time.Before(start.Add(time.Second)) {
				t.Errorf("node %x: %+v", r.Node, h)
			}
		}
		testkit.Must(t, nodes[2].Clear())
		synctest.Wait()
		for _, r := range why(t, nodes[1], "k", true, 2, 1, 3) {
			if r.Clear.Node != 3 || r.Clear.IsZero() || r.Held != nil && !r.Cleared {
				t.Errorf("node %x: %+v", r.Node, r)
			}
		}
	})
}

// What isn't a record is told too: a provisional value, a fill under way, the lease, a refusal.
func TestWhyOfFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Second}
		db.set("k", "v")
		_, nodes, ls := leased(t, 2, db)
		go ls[0].Get(t.Context(), "k")
		synctest.Wait()
		r := why(t, nodes[1], "k", true, 2, 1)
		if r[1].Fills != 1 || r[0].Fills != 0 {
			t.Errorf("%d fills at node 1, %d at node 2", r[1].Fills, r[0].Fills)
		}
		if r[0].Granter != r[1].Granter || r[0].Granter == 0 {
			t.Errorf("the granters are %x and %x", r[0].Granter, r[1].Granter)
		}
		for _, r := range r {
			if want := map[bool]uint64{true: 1}[r.Node == r.Granter]; r.Holder != want {
				t.Errorf("node %x says that %x has the lease, want %x", r.Node, r.Holder, want)
			}
		}
		testkit.Must(t, nodes[0].Delete("k"))
		testkit.Advance(2 * time.Second)
		synctest.Wait()
		if r := why(t, nodes[0], "k", true, 1, 2); len(r[0].Decisions) == 0 ||
			!strings.Contains(r[0].Decisions[0].What, "a fill wasn't cached") {
			t.Errorf("the decisions are %+v", r[0].Decisions)
		}
		if keys := nodes[0].Inspect().RefusedFills(10); len(keys) != 1 || keys[0].Key != "k" || keys[0].Count != 1 {
			t.Errorf("refused were %+v", keys)
		}
		testkit.Must(t, nodes[0].Delete("k"))
		ls[0].Get(t.Context(), "k")
		r = why(t, nodes[0], "k", true, 1, 2)
		p := r[0].Provisional
		if p == nil || p.Kind != KeyValue || p.Value != "v" || !p.Version.IsZero() || p.Deadline.IsZero() {
			t.Errorf("the provisional value is %+v", p)
		}
	})
}

// A node that is cut off has a report that says so, within the limit, and the context is obeyed.
func TestWhyWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		testkit.Advance(5 * time.Second)
		net.Filter(func(from, _ uint64, _ []byte) bool { return from != 3 })
		start := time.Now()
		r := why(t, nodes[0], "k", false, 1, 2, 3)
		if took := time.Since(start); took != whyLimit {
			t.Errorf("it took %v", took)
		}
		if r[0].Err != nil || r[1].Err != nil || !errors.Is(r[2].Err, ErrNoAnswer) {
			t.Errorf("got %+v", r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start = time.Now()
		reports, err := nodes[0].Inspect().Why(ctx, "k", false)
		if took := time.Since(start); took != time.Millisecond || err != nil || reports[2].Err == nil {
			t.Errorf("after %v: %+v, %v", took, reports, err)
		}
	})
}

// Of a node that has just connected it isn't said that its version is too old.
func TestWhyOfOneThatHasJustConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		net.Delay(20 * time.Millisecond)
		b := memNode(t, net, 1, 0)
		testkit.Advance(5 * time.Second)
		memNode(t, net, 2, 0, func(c *Config) { c.Peers = []string{"mem:1"} })
		synctest.Wait() // its ping is under way
		if r := why(t, b, "k", false, 1, 2); !errors.Is(r[1].Err, ErrNoAnswer) {
			t.Errorf("got %v", r[1].Err)
		}
		testkit.Advance(time.Second)
		if r := why(t, b, "k", false, 1, 2); r[1].Err != nil {
			t.Errorf("a second later: %v", r[1].Err)
		}
	})
}

// What can't be asked is an error, and nobody is asked too much.
func TestWhyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		testkit.Advance(5 * time.Second)
		in := nodes[0].Inspect()
		if _, err := in.Why(t.Context(), strings.Repeat("k", MaxWhyKey+1), false); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a key that is too long: %v", err)
		}
		if _, err := in.Why(t.Context(), strings.Repeat("\xff", MaxWhyKey), false); err != nil {
			t.Errorf("the longest key: %v", err)
		}
		busy := 0
		for range 150 {
			for _, r := range why(t, nodes[0], "k", false, 1, 2, 3) {
				if errors.Is(r.Err, ErrBusy) {
					busy++
				}
			}
		}
		if busy < 90 || busy > 110 { // 150 to each of two, of which 100 are answered
			t.Errorf("%d were refused", busy)
		}
		testkit.Advance(time.Second)
		if r := why(t, nodes[0], "k", false, 1, 2, 3); r[1].Err != nil {
			t.Errorf("a second later: %v", r[1].Err)
		}
		nodes[0].Close()
		if _, err := in.Why(t.Context(), "k", false); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		select {
		case <-nodes[0].Done():
		default:
			t.Error("it isn't done after Close")
		}
	})
}

// What another node says makes no report that can't be shown.
func TestWhyOfNonsense(t *testing.T) {
	const most = 1<<64 - 1
	for _, n := range []uint64{most, 1 << 63, 1<<63 - 1} {
		h := &wire.Held{
			Kind: 200, Version: delta.Version{Stamp: n, Origin: n},
			Deadline: int64(n), StaleUntil: int64(n), RefreshFrom: int64(n), Size: n,
		}
		r := lives(nil).report(1, &wire.Report{
			Wall: int64(n), Held: h, Beside: h, Floor: n, ClearStamp: n, ClearOrigin: n, Fills: n,
			Decisions: []wire.Decision{{What: n, Wall: int64(n), Stamp: n}},
		})
		if _, err := json.Marshal(r); err != nil || r.Fills < 0 || r.Held.Size < 0 {
			t.Errorf("%x: %+v, %v", n, r, err)
		}
	}
}

// A local node has one report, and one that holds nothing says so.
func TestWhyOfALocalNode(t *testing.T) {
	b := localWith(t, Config{PeerID: 5, MaxKeys: 10})
	testkit.Must(t, b.Set("k", "v", 60))
	if r := why(t, b, "k", true, 5); r[0].Held == nil || r[0].Held.Value != "v" || r[0].Held.Version.Node != 5 {
		t.Errorf("got %+v", r[0])
	}
	if r := why(t, b, "none", true, 5); r[0].Held != nil || r[0].Provisional != nil || len(r[0].Decisions) != 0 {
		t.Errorf("got %+v", r[0])
	}
}

// A node describes itself, and not its Secret.
func TestInspectNode(t *testing.T) {
	testkit.SkipIfMeshRaces(t)
	const secret = "a secret of 32 bytes, or of more"
	cfg := Config{PeerID: 7, MaxKeys: 100, Secret: secret, ClusterName: "c", ListenAddr: "127.0.0.1:0"}
	b := localWith(t, cfg)
	n := b.Inspect().Node()
	if n.ID != 7 || n.Origin == 0 || n.Addr == "" || !n.Synced || n.SyncedAt.Before(n.Since) || n.Go == "" {
		t.Errorf("got %+v", n)
	}
	if n.Config.MaxKeys != 100 || n.Config.LogSize == 0 || n.Config.Secret != "(set)" {
		t.Errorf("the configuration is %+v", n.Config)
	}
	if strings.Contains(fmt.Sprintf("%+v", n), secret) {
		t.Error("the Secret is shown")
	}
}

// A node that has got what another one held says from whom, and when.
func TestInspectSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		memNode(t, net, 1, 0)
		testkit.Advance(5 * time.Second)
		b := memNode(t, net, 2, 0, func(c *Config) { c.Peers = []string{"mem:1"} })
		since := time.Now()
		testkit.Advance(5 * time.Second)
		n := b.Inspect().Node()
		if !n.Since.Equal(since) || !n.Synced || n.SyncedFrom != 1 || n.SyncedAt.Before(since) ||
			n.SyncedAt.After(since.Add(time.Second)) {
			t.Errorf("got %+v", n)
		}
		if n.Config.Peers[0] = "changed"; b.Inspect().Node().Config.Peers[0] != "mem:1" {
			t.Error("the node's Peers can be changed")
		}
	})
}

// The keys that are read most are known once somebody has asked.
func TestHotKeys(t *testing.T) {
	b := localNode(t)
	for i := range 100 {
		testkit.Must(t, b.Set(fmt.Sprint("cold", i), "v", 60))
	}
	testkit.Must(t, b.Set("hot", "v", 60))
	in := b.Inspect()
	if keys, hits := in.HotKeys(10); len(keys) != 0 || hits != 0 {
		t.Errorf("before: %+v, %d", keys, hits)
	}
	for i := range 100_000 {
		b.Get("hot")
		b.Get(fmt.Sprint("cold", i%100))
	}
	keys, hits := in.HotKeys(10)
	if len(keys) == 0 || keys[0].Key != "hot" || keys[0].Count < 50_000 || hits < 100_000 || hits > 400_000 {
		t.Errorf("after: %+v, %d", keys, hits)
	}
}

// The times of slow fills are those of the clock as it shows now, though it was set since New.
func TestSlowFillsAfterTheClockWasSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, clock := clockNode(t)
		clock.ahead.Store(int64(time.Hour))
		b.GetWithFiller("k", func(string) (string, error) { return "v", nil }, 60)
		end := clock.now()
		testkit.Advance(time.Minute)
		if slow := b.Inspect().SlowFills(1); len(slow) != 1 || !slow[0].At.Equal(end) {
			t.Errorf("got %+v, want one that ended at %v", slow, end)
		}
	})
}

// The slowest fills are known, of Loaders and of Fillers.
func TestSlowFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		l := newLoader(t, b, func(_ context.Context, key string) (Loaded, error) {
			testkit.Advance(time.Duration(len(key)) * time.Second)
			return Loaded{}, errors.New("down")
		}, func(c *LoaderConfig) { c.Prefix = "p:" })
		l.Get(t.Context(), "a")
		l.Get(t.Context(), "ccc")
		b.GetWithFiller("bb", func(string) (string, error) {
			testkit.Advance(2 * time.Second)
			return "v", nil
		}, 60)
		end := time.Now()
		slow := b.Inspect().SlowFills(2)
		if len(slow) != 2 || slow[0].Key != "p:ccc" || slow[0].Took != 3*time.Second || slow[1].Key != "bb" ||
			!slow[1].At.Equal(end) {
			t.Errorf("got %+v", slow)
		}
		all := b.Inspect().Loaders()
		if len(all) != 2 || !all[0].Fillers || all[0].Ended[FillFound] != 1 || all[1].Prefix != "p:" ||
			all[1].Ended[FillFailed] != 2 {
			t.Errorf("got %+v", all)
		}
	})
}
