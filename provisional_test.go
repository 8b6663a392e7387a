package bcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
)

// provisional has nodes fill a key right after a Delete of it, so that the fence refuses that.
func provisional(t *testing.T, b *Bcache, key, val string) {
	t.Helper()
	testkit.Must(t, b.Delete(key))
	before := b.Stats().ProvisionalKept
	got, err := b.GetWithFiller(key, func(string) (string, error) { return val, nil }, 60)
	if after := b.Stats().ProvisionalKept; err != nil || got != val || after != before+1 {
		t.Fatalf("GetWithFiller = %q, %v; %d kept", got, err, after-before)
	}
}

// Whatever asks for it sees it.
func TestProvisionalIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		b := nodes[0]
		provisional(t, b, "k", "v")
		get(t, b, "k", "v")
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
			return Loaded{}, errors.New("asked")
		})
		loaded(t, l, "k", "v")
		if many, err := l.GetMany(t.Context(), []string{"k"}); err != nil || many["k"] != "v" {
			t.Errorf("GetMany = %v, %v", many, err)
		}
		if val, err := b.GetWithFiller("k", nil2, 60); err != nil || val != "v" {
			t.Errorf("GetWithFiller = %q, %v", val, err)
		}
		all := map[string]string{}
		for key, val := range b.All() {
			all[key] = val
		}
		keys := slices.Collect(b.Keys())
		if len(all) != 1 || all["k"] != "v" || len(keys) != 1 || b.Len() != 1 {
			t.Errorf("All %v, Keys %v, Len %d", all, keys, b.Len())
		}
		if st := b.Stats(); st.Keys != 1 || st.Bytes != store.CostOf(&delta.Record{Key: "k", Val: "v"}) {
			t.Errorf("%d keys, %d bytes", st.Keys, st.Bytes)
		}
	})
}

func nil2(string) (string, error) { return "", errors.New("asked") }

// Any write of the key that is processed ends it, whatever becomes of that write.
func TestProvisionalEnds(t *testing.T) {
	for name, write := range map[string]func(now delta.Instant, r *replica.Replica, old uint64) delta.Record{
		"a value": func(now delta.Instant, r *replica.Replica, old uint64) delta.Record {
			return delta.Record{Key: "k", Val: "new", Version: delta.Version{Stamp: delta.StampOf(now.Wall), Origin: 9}}
		},
		"a delete": func(now delta.Instant, r *replica.Replica, old uint64) delta.Record {
			return delta.Record{Key: "k", Kind: delta.KindTombstone, Version: delta.Version{Stamp: delta.StampOf(now.Wall), Origin: 9}}
		},
		"one that loses": func(now delta.Instant, r *replica.Replica, old uint64) delta.Record {
			return delta.Record{Key: "k", Val: "older", Version: delta.Version{Stamp: old - 1, Origin: 9}}
		},
		"a forget that loses": func(now delta.Instant, r *replica.Replica, old uint64) delta.Record {
			return delta.Record{Key: "k", Kind: delta.KindForget, Version: delta.Version{Stamp: old - 1, Origin: 9}}
		},
		"one that arrives expired": func(now delta.Instant, r *replica.Replica, old uint64) delta.Record {
			return delta.Record{Key: "k", Val: "new", Version: delta.Version{Stamp: delta.StampOf(now.Wall), Origin: 9}, Deadline: now.Wall}
		},
		"one from the future": func(now delta.Instant, r *replica.Replica, old uint64) delta.Record {
			return delta.Record{Key: "k", Val: "new", Version: delta.Version{Stamp: delta.StampOf(now.Wall + 3_600_000), Origin: 9}}
		},
		"a Clear": func(now delta.Instant, r *replica.Replica, old uint64) delta.Record {
			return delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: delta.StampOf(now.Wall), Origin: 9}}
		},
		"a Clear that loses": func(now delta.Instant, r *replica.Replica, old uint64) delta.Record {
			return delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: old - 1, Origin: 9}}
		},
		"a Clear from the future": func(now delta.Instant, r *replica.Replica, old uint64) delta.Record {
			return delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: delta.StampOf(now.Wall + 3_600_000), Origin: 9}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, nodes := three(t)
				b := nodes[0]
				testkit.Must(t, b.Clear()) // one of this node's, for one that loses
				provisional(t, b, "k", "v")
				provisional(t, b, "other", "v")
				var lost []Event
				cancel := b.Subscribe(func(e Event) { lost = append(lost, e) })
				defer cancel()
				r := b.peer.replica
				held, _ := r.Store.Peek("k")
				rec := write(b.peer.instant(), r, held.Stamp)
				_ = r.Receive(b.peer.instant(), 2, wire.AppendDelta(nil, 9, 1, []delta.Record{rec}))
				if val, ok := b.Get("k"); ok && val != "new" {
					t.Errorf("%q is still served", val)
				}
				if _, ok := b.Get("other"); ok == (rec.Kind == delta.KindClear) {
					t.Errorf("another key is served: %v", ok)
				}
				if n := b.Len(); rec.Kind != delta.KindClear && n > 2 {
					t.Errorf("%d entries", n)
				}
				testkit.Advance(6 * time.Second) // a sweep
				synctest.Wait()
				told := slices.ContainsFunc(lost, func(e Event) bool {
					gone := e.Kind == EventEvict || e.Kind == EventDelete || e.Kind == EventSet && e.Value == "new"
					return e.Key == "k" && gone || e.Kind == EventClear
				})
				if !told {
					t.Errorf("nobody is told: %v", lost)
				}
				if rec.Kind == delta.KindClear && b.Len() != 0 {
					t.Errorf("%d entries are left", b.Len())
				}
			})
		})
	}
}

// A write that comes during the fill keeps it from being kept, also one that loses; and who comes
// after that write doesn't join the fill. (The model found that a losing Delete left it joinable.)
func TestProvisionalWriteDuringTheFill(t *testing.T) {
	for _, loses := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, nodes := three(t)
			b := nodes[0]
			testkit.Must(t, b.Delete("k"))
			held, _ := b.store.Peek("k")
			var mu sync.Mutex
			db := "old"
			read := func(string) (string, error) {
				mu.Lock()
				val := db
				mu.Unlock()
				testkit.Advance(time.Second)
				return val, nil
			}
			first := make(chan string)
			go func() { val, _ := b.GetWithFiller("k", read, 60); first <- val }()
			testkit.Advance(100 * time.Millisecond)
			mu.Lock()
			db = "new"
			mu.Unlock()
			rec := delta.Record{Key: "k", Kind: delta.KindTombstone, Version: delta.Version{Stamp: delta.StampOf(b.wall()), Origin: 9}}
			if loses {
				rec.Stamp = held.Stamp - 1
			}
			testkit.Must(t, b.peer.replica.Receive(b.peer.instant(), 2, wire.AppendDelta(nil, 9, 1, []delta.Record{rec})))
			if val, _ := b.GetWithFiller("k", read, 60); val != "new" {
				t.Errorf("loses %v: who comes after a Delete gets %q", loses, val)
			}
			if val := <-first; val != "old" && val != "new" {
				t.Errorf("who came before gets %q", val)
			}
			get(t, b, "k", "new")
		})
	}
}

// The neighbours have it too, without a query; a node that has processed a write that the fill hadn't
// seen doesn't take it.
func TestProvisionalIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		testkit.Advance(3 * time.Second)
		provisional(t, nodes[0], "k", "v")
		synctest.Wait()
		for _, b := range nodes {
			get(t, b, "k", "v")
		}
		for i, want := range []Stats{
			{ProvisionalKept: 1, ProvisionalOffered: 2},
			{ProvisionalAccepted: 1},
			{ProvisionalAccepted: 1},
		} {
			st := nodes[i].Stats()
			got := Stats{ProvisionalKept: st.ProvisionalKept, ProvisionalOffered: st.ProvisionalOffered,
				ProvisionalAccepted: st.ProvisionalAccepted, ProvisionalRefused: st.ProvisionalRefused}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("node %d: %+v", i+1, got)
			}
		}
		testkit.Must(t, nodes[1].Delete("k"))
		synctest.Wait()
		for _, b := range nodes {
			miss(t, b, "k")
			if n := b.Stats().ProvisionalDropped; n != 1 {
				t.Errorf("%d dropped", n)
			}
		}

		// Node 3's write doesn't reach node 1 before its fill has ended.
		net.Filter(func(from, to uint64, _ []byte) bool { return from != 3 || to != 1 })
		testkit.Must(t, nodes[2].Delete("k"))
		synctest.Wait()
		got, err := nodes[0].GetWithFiller("k", func(string) (string, error) { return "old", nil }, 60)
		testkit.Must(t, err)
		synctest.Wait()
		get(t, nodes[0], "k", got) // it knows nothing of the Delete
		miss(t, nodes[1], "k")
		miss(t, nodes[2], "k")
		if n := nodes[1].Stats().ProvisionalRefused + nodes[2].Stats().ProvisionalRefused; n != 2 {
			t.Errorf("%d refused", n)
		}
	})
}

// Its times are those of the fill, on all nodes; a negative and a stale value are treated alike.
func TestProvisionalTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		db := &testDB{}
		ls := loaders(t, nodes, db, func(c *LoaderConfig) {
			c.TTL, c.StaleFor, c.NegativeTTL = 200*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond
		})
		testkit.Advance(3 * time.Second)
		db.set("k", "v")
		for _, key := range []string{"k", "none"} {
			testkit.Must(t, nodes[0].Delete(key))
		}
		loaded(t, ls[0], "k", "v")
		if _, err := ls[0].Get(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		synctest.Wait()
		if n := db.asked(); n != 2 || nodes[0].Stats().ProvisionalKept != 2 {
			t.Fatalf("%d queries, %d kept", n, nodes[0].Stats().ProvisionalKept)
		}
		for _, l := range ls { // no query
			loaded(t, l, "k", "v")
			if _, err := l.Get(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		}
		testkit.Advance(200 * time.Millisecond)
		db.fail(errors.New("down"))
		db.mu.Lock()
		db.took = 50 * time.Millisecond
		db.mu.Unlock()
		for i, l := range ls {
			miss(t, nodes[i], "k")
			stale(t, l, "k", "v", nil)
		}
		testkit.Advance(100 * time.Millisecond)
		for _, l := range ls {
			if r := l.GetResult(t.Context(), "k"); r.Stale || r.Err == nil {
				t.Errorf("%+v", r)
			}
		}
	})
}

// A deadline is kept where Gets take no lock, too.
func TestProvisionalDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		b := nodes[0]
		for i := range 200 {
			testkit.Must(t, b.Set(fmt.Sprint(i), "v", 3600))
		}
		testkit.Must(t, b.Delete("k"))
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
			return Loaded{Value: "v", TTL: 100 * time.Millisecond}, nil
		})
		loaded(t, l, "k", "v")
		testkit.Advance(99 * time.Millisecond)
		get(t, b, "k", "v")
		get(t, b, "k", "v")
		testkit.Advance(time.Millisecond)
		miss(t, b, "k")
		if b.Stats().ProvisionalKept != 1 {
			t.Error("it isn't provisional")
		}
	})
}

// It counts for MaxKeys and MaxBytes at every moment, and goes like any entry, without a floor.
func TestProvisionalCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		b := memNode(t, net, 1, 0, func(c *Config) { c.MaxKeys, c.MaxBytes = 10, 10*(EntryOverhead+10) })
		memNode(t, net, 2, 0)
		synctest.Wait()
		for i := range 40 {
			key := fmt.Sprint("k", i)
			testkit.Must(t, b.Delete(key))
			if i%3 == 0 {
				testkit.Must(t, b.Set(key, "set", 60))
			} else {
				val := func(string) (string, error) { return strings.Repeat("v", i%5+1), nil }
				_, err := b.GetWithFiller(key, val, 60)
				testkit.Must(t, err)
			}
			if _, ok := b.Get(key); !ok {
				t.Errorf("%s isn't there", key)
			}
			if st := b.Stats(); st.Keys > 10 || st.Bytes > 10*(EntryOverhead+10) {
				t.Fatalf("%d entries, %d bytes", st.Keys, st.Bytes)
			}
		}
		if st := b.Stats(); st.ProvisionalKept < 20 || st.Evictions == 0 {
			t.Errorf("%d kept, %d evicted", st.ProvisionalKept, st.Evictions)
		}
		// Evicted, it is filled again and kept again: no floor has risen for it.
		before := b.store.FloorOf(delta.BucketOf("k1"))
		for i := range 20 {
			testkit.Must(t, b.Set(fmt.Sprint("x", i), "v", 60))
		}
		miss(t, b, "k1")
		if b.store.FloorOf(delta.BucketOf("k1")) != before {
			t.Error("its floor has risen")
		}
	})
}

func TestProvisionalEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		testkit.Advance(3 * time.Second)
		var told [2][]string
		for i := range told {
			cancel := nodes[i].Subscribe(func(e Event) {
				told[i] = append(told[i], fmt.Sprint(e.Kind, " ", e.Key, e.Value, " ", e.Provisional, e.Local))
			})
			defer cancel()
		}
		provisional(t, nodes[0], "k", "v")
		synctest.Wait()
		testkit.Must(t, nodes[0].Delete("k"))
		synctest.Wait()
		want := [2][]string{
			{"delete k false true", "set kv true true", "delete k false true"},
			{"delete k false false", "set kv true false", "delete k false false"},
		}
		if !slices.Equal(told[0], want[0]) || !slices.Equal(told[1], want[1]) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// A fill reads a replica of the database that is 50 ms behind.
func TestProvisionalSettle(t *testing.T) {
	const lag = 50 * time.Millisecond
	for _, tt := range []struct {
		nodes         int
		settle, every time.Duration
		skew          time.Duration // MaxClockSkew
		clean         bool
	}{
		{3, lag + time.Millisecond, 400 * time.Millisecond, 0, true},
		{3, 0, 400 * time.Millisecond, 0, false},
		// Settle above MaxClockSkew:
		{3, lag + time.Millisecond, 400 * time.Millisecond, 10 * time.Millisecond, true},
		{3, 0, 400 * time.Millisecond, 10 * time.Millisecond, false},
		{1, lag + time.Millisecond, 400 * time.Millisecond, 0, true}, // a local node
		{1, 0, 400 * time.Millisecond, 0, false},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				edit := func(c *Config) { c.Settle, c.MaxClockSkew = tt.settle, tt.skew }
				var nodes []*Bcache
				if tt.nodes == 1 {
					c := Config{MaxKeys: 100}
					edit(&c)
					b, err := New(c)
					testkit.Must(t, err)
					defer b.Close()
					nodes = []*Bcache{b}
				} else {
					net := memnet.New()
					for i := range tt.nodes {
						nodes = append(nodes, memNode(t, net, uint64(i+1), 0, edit))
					}
				}
				testkit.Advance(3 * time.Second)
				start := time.Now()
				var version int // of the database; it is what was committed at its times
				var commits []time.Time
				var mu sync.Mutex
				behind := func(string) (string, error) {
					testkit.Advance(20 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					v := version
					for v > 0 && time.Since(commits[v-1]) < lag {
						v--
					}
					return strconv.Itoa(v), nil
				}
				stale, hits := 0, 0
				var wg sync.WaitGroup
				for i, b := range nodes {
					wg.Go(func() {
						for time.Since(start) < 10*time.Second {
							mu.Lock()
							least := version
							if least > 0 && time.Since(commits[least-1]) < 2*lag {
								least-- // until then a query of one's own may be behind
							}
							mu.Unlock()
							if val, ok := b.Get("k"); ok {
								if v, _ := strconv.Atoi(val); v < least {
									mu.Lock()
									stale++
									mu.Unlock()
								}
								mu.Lock()
								hits++
								mu.Unlock()
							} else {
								_, _ = b.GetWithFiller("k", behind, 3600)
							}
							testkit.Advance(5*time.Millisecond + time.Duration(i)*time.Microsecond)
						}
					})
				}
				for time.Since(start) < 10*time.Second {
					testkit.Advance(tt.every)
					mu.Lock()
					version++
					commits = append(commits, time.Now())
					mu.Unlock()
					testkit.Must(t, nodes[0].Delete("k"))
				}
				wg.Wait()
				if (stale == 0) != tt.clean || hits == 0 {
					t.Errorf("%d of %d hits were stale", stale, hits)
				}
				if tt.clean && hits < 3000*len(nodes)/4 {
					t.Errorf("only %d hits", hits)
				}
				t.Logf("%d of %d hits stale", stale, hits)
			})
		})
	}
}

// A full cache into which another node writes ten thousand new keys a second: what was filled is
// there when it is asked for again at once. (The floors that evictions raise refuse about half of the
// fills.)
func TestProvisionalInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		// Keys are evicted before they are half a second old.
		b := memNode(t, net, 1, 0, func(c *Config) { c.MaxKeys = 4000 })
		other := memNode(t, net, 2, 0, func(c *Config) { c.MaxKeys = 4000 })
		testkit.Advance(3 * time.Second)
		const fills, query = 300, 20
		written, again := 0, 0
		write := func(n int) {
			for range n {
				testkit.Must(t, other.Set(fmt.Sprint("w", written), "v", 3600))
				written++
			}
			synctest.Wait()
		}
		write(20_000)
		for i := range fills {
			key := fmt.Sprint("k", i)
			_, err := b.GetWithFiller(key, func(string) (string, error) {
				for range query {
					write(10)
					testkit.Advance(time.Millisecond)
				}
				return "v", nil
			}, 3600)
			testkit.Must(t, err)
			if _, ok := b.Get(key); ok {
				again++
			}
		}
		t.Logf("%d of %d fills are cached; %d provisionally", again, fills, b.Stats().ProvisionalKept)
		if again < fills*95/100 {
			t.Errorf("%d of %d fills are cached", again, fills)
		}
	})
}

// A row that is gone isn't served any more, as soon as a fill has found that.
func TestProvisionalRowIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		db := &testDB{}
		l := newLoader(t, nodes[0], db.fill, func(c *LoaderConfig) {
			c.TTL, c.StaleFor = 100*time.Millisecond, time.Minute
		})
		db.set("k", "v")
		testkit.Must(t, nodes[0].Delete("k"))
		loaded(t, l, "k", "v")
		testkit.Advance(100 * time.Millisecond)
		db.mu.Lock()
		delete(db.rows, "k")
		db.mu.Unlock()
		stale(t, l, "k", "v", nil)
		synctest.Wait()
		if r := l.GetResult(t.Context(), "k"); !errors.Is(r.Err, ErrNotFound) || r.Stale {
			t.Errorf("%+v", r)
		}
	})
}
