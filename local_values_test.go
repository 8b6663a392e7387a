package bcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
)

// localThree is three nodes that are synced, and a Loader of each that keeps what it fills.
func localThree(
	t *testing.T, db *testDB, edits ...func(*LoaderConfig),
) (*memnet.Net, []*Bcache, []*Loader) {
	t.Helper()
	net, nodes := three(t)
	testkit.Advance(3 * time.Second)
	synctest.Wait() // the pings of this moment
	return net, nodes, loaders(t, nodes, db, func(c *LoaderConfig) {
		c.LocalValues, c.TTL = true, time.Hour
		for _, e := range edits {
			e(c)
		}
	})
}

// asks verifies how many queries something takes.
func (db *testDB) asks(t *testing.T, n int, do func()) {
	t.Helper()
	before := db.asked()
	do()
	synctest.Wait()
	if got := db.asked() - before; got != n {
		t.Fatalf("%d queries, want %d", got, n)
	}
}

// Each node has what it was asked for, and nobody else learns of it.
func TestLocalValuesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, ls := localThree(t, &testDB{rows: map[string]string{"k": "v", "other": "w"}})
		frames := nodes[0].Stats().FramesOut
		for range 3 {
			loaded(t, ls[0], "k", "v")
			loaded(t, ls[0], "other", "w")
		}
		loaded(t, ls[1], "k", "v")
		synctest.Wait()
		for i, want := range []int{2, 1, 0} {
			b, st := nodes[i], nodes[i].Stats()
			if b.Len() != want || len(slices.Collect(b.Keys())) != want || st.Fills != uint64(want) {
				t.Errorf("node %d: %d entries, %d fills", i+1, b.Len(), st.Fills)
			}
			for key, val := range b.All() {
				if val != map[string]string{"k": "v", "other": "w"}[key] {
					t.Errorf("node %d has %q of %s", i+1, val, key)
				}
			}
			sum := st.RecordsIn + st.RecordsOut + uint64(st.LogRecords) + st.ProvisionalOffered +
				st.ProvisionalAccepted + st.ProvisionalRefused + st.FillsRefused
			if sum != 0 {
				t.Errorf("node %d: %+v", i+1, st)
			}
		}
		if n := nodes[0].Stats().FramesOut - frames; n != 0 {
			t.Errorf("%d frames were sent", n)
		}
		get(t, nodes[0], "k", "v")
		miss(t, nodes[2], "k")
		r := why(t, nodes[0], "k", true, 1, 2, 3)
		if p := r[0].Provisional; p == nil || p.Value != "v" || r[0].Held != nil || r[0].BesideLive {
			t.Errorf("node 1: %+v", r[0])
		}
		if r[2].Provisional != nil || r[2].Held != nil {
			t.Errorf("node 3: %+v", r[2])
		}
	})
}

// Whatever node a write comes from, it ends what all nodes have.
func TestLocalValuesEnd(t *testing.T) {
	for name, write := range map[string]func(b *Bcache, l *Loader) error{
		"Set":               func(b *Bcache, _ *Loader) error { return b.Set("k", "new", 60) },
		"Delete":            func(b *Bcache, _ *Loader) error { return b.Delete("k") },
		"DeleteMany":        func(b *Bcache, _ *Loader) error { return b.DeleteMany([]string{"x", "k"}) },
		"Clear":             func(b *Bcache, _ *Loader) error { return b.Clear() },
		"ClearPrefix":       func(b *Bcache, _ *Loader) error { return b.ClearPrefix("k") },
		"ClearTag":          func(b *Bcache, _ *Loader) error { return b.ClearTag("tag") },
		"a Loader's Set":    func(_ *Bcache, l *Loader) error { return l.Set("k", "new", 0) },
		"a Loader's Delete": func(_ *Bcache, l *Loader) error { return l.Delete("k") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := &testDB{rows: map[string]string{"k": "old"}}
				_, nodes, ls := localThree(t, db, func(c *LoaderConfig) {
					c.Fill = func(ctx context.Context, key string) (Loaded, error) {
						v, err := db.fill(ctx, key)
						v.Tags = []string{"tag"}
						return v, err
					}
				})
				for _, l := range ls[:2] {
					loaded(t, l, "k", "old")
				}
				testkit.Must(t, write(nodes[2], ls[2]))
				testkit.Advance(time.Millisecond) // a fill that begins right now isn't kept after ClearTag
				set := strings.HasSuffix(name, "Set")
				for _, b := range nodes {
					if val, ok := b.Get("k"); ok != set || ok && val != "new" {
						t.Errorf("%q, %v", val, ok)
					}
				}
				db.set("k", "new")
				for _, l := range ls {
					loaded(t, l, "k", "new")
					loaded(t, l, "k", "new")
				}
				want := 5
				if set {
					want = 2
				}
				if n := db.asked(); n != want {
					t.Errorf("%d queries, want %d", n, want)
				}
			})
		})
	}
}

// What can't be applied ends it too, and so does a Clear that loses, or comes from a clock that is
// wrong.
func TestLocalValuesEndByWhatIsNotApplied(t *testing.T) {
	for name, rec := range map[string]func(wall int64) delta.Record{
		"one that loses": func(wall int64) delta.Record {
			return delta.Record{Key: "k", Val: "older", Version: delta.Version{Stamp: delta.StampOf(wall - 3_000), Origin: 9}}
		},
		"one from the future": func(wall int64) delta.Record {
			return delta.Record{Key: "k", Val: "new", Version: delta.Version{Stamp: delta.StampOf(wall + 3_600_000), Origin: 9}}
		},
		"a Clear from the future": func(wall int64) delta.Record {
			return delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: delta.StampOf(wall + 3_600_000), Origin: 9}}
		},
		"a Clear that loses": func(wall int64) delta.Record {
			return delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: delta.StampOf(wall - 3_000), Origin: 9}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := &testDB{rows: map[string]string{"k": "v"}}
				_, nodes, ls := localThree(t, db)
				testkit.Must(t, nodes[0].Clear())
				testkit.Must(t, nodes[0].Delete("k"))
				testkit.Advance(time.Second)
				loaded(t, ls[0], "k", "v")
				db.asks(t, 0, func() { loaded(t, ls[0], "k", "v") })
				r := nodes[0].peer.replica
				frame := wire.AppendDelta(nil, 9, 1, []delta.Record{rec(nodes[0].wall())})
				_ = r.Receive(nodes[0].peer.instant(), 2, frame)
				miss(t, nodes[0], "k")
				db.asks(t, 1, func() { loaded(t, ls[0], "k", "v") })
			})
		})
	}
}

// A write that comes while a fill runs keeps what that brings from being kept, on every node.
func TestLocalValuesWriteDuringTheFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{rows: map[string]string{"k": "old"}, took: time.Second}
		_, nodes, ls := localThree(t, db)
		for _, l := range ls[:2] {
			go func() { _, _ = l.Get(t.Context(), "k") }()
		}
		testkit.Advance(500 * time.Millisecond)
		db.set("k", "new")
		testkit.Must(t, nodes[2].Delete("k"))
		testkit.Advance(time.Second)
		for i, l := range ls[:2] {
			miss(t, nodes[i], "k")
			if n := l.Stats().Ended[FillRefused]; n != 1 {
				t.Errorf("%d fills were refused", n)
			}
			loaded(t, l, "k", "new")
			get(t, nodes[i], "k", "new")
		}
	})
}

// What a node missed while it was cut off ends what it has as soon as it learns of that.
func TestLocalValuesAfterAPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{rows: map[string]string{"a": "1", "b": "1"}}
		net, nodes, ls := localThree(t, db)
		for _, key := range []string{"a", "b"} {
			loaded(t, ls[2], key, "1")
		}
		syncs := nodes[2].Stats().SyncsReceived
		net.Partition(map[uint64]int{3: 1})
		testkit.Must(t, nodes[0].Delete("a"))
		testkit.Advance(10 * time.Second)
		get(t, nodes[2], "a", "1") // it can't know
		net.Heal()
		testkit.Advance(10 * time.Second)
		miss(t, nodes[2], "a")
		get(t, nodes[2], "b", "1")
		if n := nodes[2].Stats().SyncsReceived - syncs; n != 0 {
			t.Errorf("%d full syncs", n)
		}
	})
}

// A node that joins gets nothing of it, and one that needs a full sync gives all of it up.
func TestLocalValuesFullSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		small := func(c *Config) { c.LogSize = 64 }
		nodes := []*Bcache{memNode(t, net, 1, 0, small), memNode(t, net, 2, 0, small)}
		testkit.Advance(3 * time.Second)
		db := &testDB{rows: map[string]string{"k": "v"}}
		ls := loaders(t, nodes, db, func(c *LoaderConfig) { c.LocalValues, c.TTL = true, time.Hour })
		for _, l := range ls {
			loaded(t, l, "k", "v")
		}
		for i := range 800 { // more than the log has
			testkit.Must(t, nodes[0].Set(fmt.Sprint("record", i), "v", 3600))
		}
		synctest.Wait()
		joiner := memNode(t, net, 3, 0, small)
		testkit.Advance(10 * time.Second)
		if st := joiner.Stats(); st.Keys != 800 || st.SyncsReceived != 1 {
			t.Errorf("the joiner has %d entries, by %d full syncs", st.Keys, st.SyncsReceived)
		}
		get(t, nodes[0], "k", "v")

		syncs := nodes[1].Stats().SyncsReceived
		lose := losing(net, 2)
		lose.Store(true)
		for i := range 200 {
			testkit.Must(t, nodes[0].Set(fmt.Sprint(i), "v", 3600))
		}
		synctest.Wait()
		lose.Store(false)
		get(t, nodes[1], "k", "v")
		testkit.Advance(10 * time.Second)
		if n := nodes[1].Stats().SyncsReceived - syncs; n != 1 {
			t.Fatalf("%d full syncs", n)
		}
		miss(t, nodes[1], "k")
		get(t, nodes[0], "k", "v")
	})
}

// What was read sooner than Settle after a write isn't kept.
func TestLocalValuesSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{rows: map[string]string{"k": "behind"}}
		_, nodes, ls := localThree(t, db, func(c *LoaderConfig) { c.Settle = time.Second })
		testkit.Must(t, nodes[1].Delete("k"))
		synctest.Wait()
		testkit.Advance(900 * time.Millisecond)
		db.asks(t, 2, func() { loaded(t, ls[0], "k", "behind"); loaded(t, ls[0], "k", "behind") })
		db.set("k", "v")
		testkit.Advance(200 * time.Millisecond)
		db.asks(t, 1, func() { loaded(t, ls[0], "k", "v"); loaded(t, ls[0], "k", "v") })
	})
}

func TestLocalValuesGetMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{rows: map[string]string{"a": "value of a", "b": "value of b", "c": "value of c"}}
		_, nodes, ls := localThree(t, db, func(c *LoaderConfig) {
			c.Fill, c.FillMany, c.NegativeTTL = nil, db.fillMany, time.Hour
		})
		for _, l := range ls[:2] {
			db.asks(t, 1, func() {
				wantMany(t, l, "a b c none", "a b c")
				wantMany(t, l, "a b c none", "a b c")
			})
		}
		testkit.Must(t, nodes[2].DeleteMany([]string{"a", "b"}))
		synctest.Wait()
		for i, l := range ls[:2] {
			get(t, nodes[i], "c", "value of c")
			db.asks(t, 1, func() { wantMany(t, l, "a b c none", "a b c") })
		}
		if last := db.queries[len(db.queries)-1]; last != "a b" {
			t.Errorf("asked for %q", last)
		}
		if nodes[2].Len() != 0 {
			t.Error("the third node has something")
		}
	})
}

// A negative stays on its node as well, and a Set of another node ends it.
func TestLocalValuesNegative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{}
		_, nodes, ls := localThree(t, db, func(c *LoaderConfig) { c.NegativeTTL = time.Minute })
		none := func(l *Loader) {
			t.Helper()
			if val, err := l.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
				t.Fatalf("Get = %q, %v", val, err)
			}
		}
		db.asks(t, 2, func() { none(ls[0]); none(ls[0]); none(ls[1]); none(ls[1]) })
		testkit.Must(t, ls[2].Set("k", "v", 0))
		synctest.Wait()
		db.asks(t, 0, func() { loaded(t, ls[0], "k", "v"); loaded(t, ls[1], "k", "v") })
		testkit.Must(t, nodes[2].Delete("k"))
		synctest.Wait()
		db.asks(t, 1, func() { none(ls[0]); none(ls[0]) })
		testkit.Advance(time.Minute)
		db.asks(t, 1, func() { none(ls[0]) })
	})
}

// A fill that finds nothing ends what is there: a value that is due or stale, and a record that is
// stale, which other nodes keep.
func TestLocalValuesNothingIsFoundAnyMore(t *testing.T) {
	for _, negative := range []time.Duration{0, time.Second} {
		for _, record := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				db := &testDB{rows: map[string]string{"k": "v"}}
				_, nodes, ls := localThree(t, db, func(c *LoaderConfig) {
					c.TTL, c.StaleFor, c.NegativeTTL = time.Minute, time.Hour, negative
				})
				if record {
					testkit.Must(t, ls[0].Set("k", "v", 0))
				} else {
					loaded(t, ls[0], "k", "v")
				}
				testkit.Advance(2 * time.Minute)
				db.mu.Lock()
				delete(db.rows, "k")
				db.mu.Unlock()
				stale(t, ls[0], "k", "v", nil)
				synctest.Wait() // the fill in the background
				for range 3 {
					if r := ls[0].GetResult(t.Context(), "k"); r.Value != "" || !errors.Is(r.Err, ErrNotFound) {
						t.Errorf("negative %v, record %v: %+v", negative, record, r)
					}
					testkit.Advance(2 * negative)
				}
				if n := nodes[0].peer.replica.Store.Tombstones(); n != 0 {
					t.Errorf("%d tombstones: a fill has written something", n)
				}
				if held, ok := nodes[1].store.Peek("k"); ok != record || ok && held.Kind != delta.KindValue {
					t.Errorf("another node has %+v, %v", held, ok)
				}
			})
		}
	}
}

// A value that goes doesn't bring back the record that was stale when it came.
func TestLocalValuesEndWhatIsStale(t *testing.T) {
	for _, keep := range []replica.FillScope{replica.FillHere, replica.FillForAll} {
		synctest.Test(t, func(t *testing.T) {
			_, nodes := three(t)
			b := nodes[0]
			now := b.wall()
			rec := delta.Record{Key: "k", Val: "old", Deadline: now + 100, StaleUntil: now + 3_600_000}
			testkit.Must(t, b.peer.replica.SetRecord(b.peer.instant(), &rec))
			var told []string
			defer b.Subscribe(func(e Event) { told = append(told, fmt.Sprint(e.Kind, e.Value, e.Provisional)) })()
			testkit.Advance(200 * time.Millisecond) // within MaxClockSkew: the fence refuses a fill for all
			f := b.peer.replica.Fills.Begin(b.peer.instant(), 0, "k")[0]
			val := delta.Record{Key: "k", Val: "new", Deadline: b.wall() + 1000}
			if o := b.peer.replica.Fills.End(b.peer.instant(), f, &val, keep); o != replica.FillKept && o != replica.FillOffered {
				t.Fatal(o)
			}
			get(t, b, "k", "new")
			if b.Len() != 1 {
				t.Errorf("%d entries", b.Len())
			}
			testkit.Advance(time.Second)
			if held, ok := b.store.Entry("k", b.wall()); ok {
				t.Errorf("%+v is back", held)
			}
			testkit.Advance(6 * time.Second)
			synctest.Wait()
			if want := []string{"evictfalse", "setnewtrue", "expiretrue"}; !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
		})
	}
}

// A hit near the deadline has the value read again, and what was read later takes its place, unless a
// write came meanwhile.
func TestLocalValuesRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{rows: map[string]string{"k": "1"}}
		_, nodes, ls := localThree(t, db, func(c *LoaderConfig) { c.TTL, c.RefreshAhead = 100*time.Second, 0.5 })
		loaded(t, ls[0], "k", "1")
		db.set("k", "2")
		testkit.Advance(60 * time.Second)
		db.asks(t, 1, func() { loaded(t, ls[0], "k", "1") })
		db.asks(t, 0, func() { loaded(t, ls[0], "k", "2") })
		miss(t, nodes[1], "k")

		testkit.Advance(60 * time.Second)
		db.mu.Lock()
		db.took = time.Second
		db.mu.Unlock()
		loaded(t, ls[0], "k", "2")
		testkit.Advance(500 * time.Millisecond)
		db.set("k", "3")
		testkit.Must(t, nodes[1].Delete("k"))
		testkit.Advance(time.Second)
		miss(t, nodes[0], "k")
		loaded(t, ls[0], "k", "3")
	})
}

func TestLocalValuesStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{rows: map[string]string{"k": "1"}}
		_, nodes, ls := localThree(t, db, func(c *LoaderConfig) {
			c.TTL, c.StaleFor, c.StaleOnErrorFor, c.RetryAfter = time.Minute, time.Minute, time.Hour, time.Second
		})
		loaded(t, ls[0], "k", "1")
		db.set("k", "2")
		testkit.Advance(90 * time.Second)
		miss(t, nodes[0], "k")
		db.asks(t, 1, func() { stale(t, ls[0], "k", "1", nil) })
		loaded(t, ls[0], "k", "2")

		testkit.Advance(10 * time.Minute)
		down := errors.New("down")
		db.fail(down)
		if r := ls[0].GetResult(t.Context(), "k"); r != (Result{"2", true, down}) {
			t.Errorf("%+v", r)
		}
		testkit.Must(t, nodes[2].Delete("k"))
		synctest.Wait()
		testkit.Advance(time.Minute)
		if r := ls[0].GetResult(t.Context(), "k"); r.Stale || r.Err != down {
			t.Errorf("after a Delete: %+v", r)
		}
	})
}

// What a Set wrote is served everywhere until its deadline, and not refreshed ahead; then each node
// fills.
func TestLocalValuesRecordWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{rows: map[string]string{"k": "filled"}}
		_, nodes, ls := localThree(t, db, func(c *LoaderConfig) { c.TTL, c.RefreshAhead = 100*time.Second, 0.5 })
		loaded(t, ls[0], "k", "filled")
		testkit.Must(t, ls[1].Set("k", "set", 0))
		synctest.Wait()
		now := nodes[2].wall()
		other := delta.Record{Key: "other", Val: "set", Deadline: now + 100_000, RefreshFrom: now + 50_000}
		testkit.Must(t, nodes[2].peer.replica.SetRecord(nodes[2].peer.instant(), &other)) // by other options
		testkit.Advance(99 * time.Second)
		db.asks(t, 0, func() {
			for _, l := range ls {
				loaded(t, l, "k", "set")
				loaded(t, l, "other", "set")
			}
		})
		testkit.Advance(time.Second)
		db.asks(t, 2, func() { loaded(t, ls[0], "k", "filled"); loaded(t, ls[1], "k", "filled") })
		miss(t, nodes[2], "k")
	})
}

// Only the first node has the option. What the second one fills is a write for both.
func TestLocalValuesOnSomeNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{rows: map[string]string{"k": "1", "other": "1"}}
		_, nodes, ls := localThree(t, db)
		fills := loaders(t, nodes[1:2], db, func(c *LoaderConfig) { c.TTL = time.Minute })[0]
		loaded(t, ls[0], "k", "1")
		db.set("k", "2") // and the Delete is still to come
		db.asks(t, 1, func() { loaded(t, fills, "k", "2") })
		db.asks(t, 0, func() { loaded(t, ls[0], "k", "2") })
		testkit.Must(t, nodes[2].Delete("k"))
		synctest.Wait()
		for _, b := range nodes {
			miss(t, b, "k")
		}
		// The fence refuses a fill of the second node now: it offers the value.
		loaded(t, ls[0], "k", "2")
		db.asks(t, 1, func() { loaded(t, fills, "k", "2") })
		get(t, nodes[2], "k", "2")
		if st := nodes[1].Stats(); st.ProvisionalOffered != 2 || nodes[0].Stats().ProvisionalOffered != 0 {
			t.Errorf("%d offered", st.ProvisionalOffered)
		}
		testkit.Must(t, nodes[0].Delete("k"))
		synctest.Wait()
		for _, b := range nodes {
			miss(t, b, "k")
		}
	})
}

// Nodes of two layouts don't see each other's values, and so don't need each other's queries.
func TestLocalValuesTyped(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, nodes := three(t)
			testkit.Advance(3 * time.Second)
			var fills [2]int
			var ls []*Typed[string]
			for i := range fills {
				ls = append(ls, taggedLoader(t, nodes[i], fmt.Sprint("layout ", i, ":"), &fills[i],
					func(c *TypedConfig[string]) { c.Loader.LocalValues, c.Shared = true, shared }))
			}
			for range 3 {
				typedGet(t, ls[0], "k", "by layout 0:")
				typedGet(t, ls[1], "k", "by layout 1:")
			}
			if fills != [2]int{1, 1} {
				t.Errorf("%d fills", fills)
			}
			// A live record of the other layout: its own value stands beside that, and for its own node.
			testkit.Must(t, ls[0].Set("k", "set", 0))
			synctest.Wait()
			for range 3 {
				typedGet(t, ls[0], "k", "set")
				typedGet(t, ls[1], "k", "by layout 1:")
			}
			if r := why(t, nodes[1], "k", false, 2, 1, 3)[0]; !r.BesideLive || r.Held == nil {
				t.Errorf("%+v", r)
			}
			testkit.Must(t, nodes[2].Delete("k"))
			synctest.Wait()
			for i, l := range ls {
				miss(t, nodes[i], "k")
				typedGet(t, l, "k", fmt.Sprintf("by layout %d:", i))
			}
			if fills != [2]int{2, 3} {
				t.Errorf("%d fills", fills)
			}
		})
	}
}

// It counts like any entry, makes room like any, and leaves nothing behind when it goes.
func TestLocalValuesCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		b := memNode(t, net, 1, 0, func(c *Config) { c.MaxKeys, c.MaxBytes = 10, 10*(EntryOverhead+10) })
		memNode(t, net, 2, 0)
		synctest.Wait()
		l := newLoader(t, b, func(_ context.Context, key string) (Loaded, error) {
			return Loaded{Value: key[:3]}, nil
		}, func(c *LoaderConfig) { c.LocalValues = true })
		for i := range 40 {
			loaded(t, l, fmt.Sprintf("key%d", i), "key")
			if st := b.Stats(); st.Keys > 10 || st.Bytes > 10*(EntryOverhead+10) {
				t.Fatalf("%d entries, %d bytes", st.Keys, st.Bytes)
			}
		}
		if st := b.Stats(); st.Evictions != 30 || st.FillsRefused != 0 || l.Stats().Ended[FillLocal] != 40 {
			t.Errorf("%d evictions, %+v", st.Evictions, l.Stats().Ended)
		}
		for i := range 40 {
			if f := b.store.FloorOf(delta.BucketOf(fmt.Sprintf("key%d", i))); f != 0 {
				t.Errorf("the floor of key%d is %d", i, f)
			}
		}
	})
}

// Who watches is told of the values of its own node, and that they have no version.
func TestLocalValuesAreToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		testkit.Advance(3 * time.Second)
		s := &scribe{}
		l := observed(t, nodes[0], LoaderConfig{TTL: time.Minute, Observer: s, LocalValues: true,
			Fill: func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, nil },
		})
		var told [2][]string
		for i := range told {
			cancel := nodes[i].Subscribe(func(e Event) {
				told[i] = append(told[i], fmt.Sprint(e.Kind, " ", e.Key, e.Value, " ", e.Provisional, e.Local))
			})
			defer cancel()
		}
		loaded(t, l, "k", "v")
		if r := s.last(t); r.Outcomes[FillLocal] != 1 || FillLocal.String() != "local" {
			t.Errorf("told %+v", r)
		}
		synctest.Wait()
		testkit.Must(t, nodes[1].Delete("k"))
		synctest.Wait()
		want := [2][]string{{"set kv true true", "delete k false false"}, {"delete k false true"}}
		if !slices.Equal(told[0], want[0]) || !slices.Equal(told[1], want[1]) {
			t.Errorf("told %q, want %q", told, want)
		}
		if n := l.Stats().Ended[FillLocal]; n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}

// Without a network it makes no difference.
func TestLocalValuesOnALocalNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{rows: map[string]string{"k": "1"}}
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.LocalValues = true })
		db.asks(t, 1, func() { loaded(t, l, "k", "1"); loaded(t, l, "k", "1") })
		db.set("k", "2")
		testkit.Must(t, b.Delete("k"))
		db.asks(t, 1, func() { loaded(t, l, "k", "2"); loaded(t, l, "k", "2") })
		testkit.Must(t, b.Set("k", "3", 60))
		db.asks(t, 0, func() { loaded(t, l, "k", "3") })
		testkit.Must(t, b.Clear())
		db.asks(t, 1, func() { loaded(t, l, "k", "2") })
	})
}

func TestLocalValuesNotClusterWide(t *testing.T) {
	_, err := NewLoader(localNode(t), LoaderConfig{
		TTL: time.Minute, LocalValues: true, ClusterWide: true,
		Fill: func(context.Context, string) (Loaded, error) { return Loaded{}, nil },
	})
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "LocalValues and ClusterWide") {
		t.Error(err)
	}
}
