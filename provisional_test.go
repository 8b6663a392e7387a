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
)

// provisional has nodes fill a key right after a Delete of it, so that the fence refuses that.
func provisional(t *testing.T, b *Bcache, key, val string) {
	t.Helper()
	must(t, b.Delete(key))
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
		if st := b.Stats(); st.Keys != 1 || st.Bytes != entryCost("k", "v") {
			t.Errorf("%d keys, %d bytes", st.Keys, st.Bytes)
		}
	})
}

func nil2(string) (string, error) { return "", errors.New("asked") }

// Any write of the key that is processed ends it, whatever becomes of that write.
func TestProvisionalEnds(t *testing.T) {
	for name, write := range map[string]func(now instant, r *replica, old uint64) record{
		"a value": func(now instant, r *replica, old uint64) record {
			return record{key: "k", val: "new", version: version{stampOf(now.wall), 9}}
		},
		"a delete": func(now instant, r *replica, old uint64) record {
			return record{key: "k", kind: kindTombstone, version: version{stampOf(now.wall), 9}}
		},
		"one that loses": func(now instant, r *replica, old uint64) record {
			return record{key: "k", val: "older", version: version{old - 1, 9}}
		},
		"a forget that loses": func(now instant, r *replica, old uint64) record {
			return record{key: "k", kind: kindForget, version: version{old - 1, 9}}
		},
		"one that arrives expired": func(now instant, r *replica, old uint64) record {
			return record{key: "k", val: "new", version: version{stampOf(now.wall), 9}, deadline: now.wall}
		},
		"one from the future": func(now instant, r *replica, old uint64) record {
			return record{key: "k", val: "new", version: version{stampOf(now.wall + 3_600_000), 9}}
		},
		"a Clear": func(now instant, r *replica, old uint64) record {
			return record{kind: kindClear, version: version{stampOf(now.wall), 9}}
		},
		"a Clear that loses": func(now instant, r *replica, old uint64) record {
			return record{kind: kindClear, version: version{old - 1, 9}}
		},
		"a Clear from the future": func(now instant, r *replica, old uint64) record {
			return record{kind: kindClear, version: version{stampOf(now.wall + 3_600_000), 9}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, nodes := three(t)
				b := nodes[0]
				must(t, b.Clear()) // one of this node's, for one that loses
				provisional(t, b, "k", "v")
				provisional(t, b, "other", "v")
				var lost []Event
				cancel := b.Subscribe(func(e Event) { lost = append(lost, e) })
				defer cancel()
				r := b.peer.replica
				held, _ := r.store.peek("k")
				rec := write(b.peer.instant(), r, held.stamp)
				_ = r.receive(b.peer.instant(), 2, appendDelta(nil, 9, 1, []record{rec}))
				if val, ok := b.Get("k"); ok && val != "new" {
					t.Errorf("%q is still served", val)
				}
				if _, ok := b.Get("other"); ok == (rec.kind == kindClear) {
					t.Errorf("another key is served: %v", ok)
				}
				if n := b.Len(); rec.kind != kindClear && n > 2 {
					t.Errorf("%d entries", n)
				}
				advance(6 * time.Second) // a sweep
				synctest.Wait()
				told := slices.ContainsFunc(lost, func(e Event) bool {
					gone := e.Kind == EventEvict || e.Kind == EventDelete || e.Kind == EventSet && e.Value == "new"
					return e.Key == "k" && gone || e.Kind == EventClear
				})
				if !told {
					t.Errorf("nobody is told: %v", lost)
				}
				if rec.kind == kindClear && b.Len() != 0 {
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
			must(t, b.Delete("k"))
			held, _ := b.store.peek("k")
			var mu sync.Mutex
			db := "old"
			read := func(string) (string, error) {
				mu.Lock()
				val := db
				mu.Unlock()
				advance(time.Second)
				return val, nil
			}
			first := make(chan string)
			go func() { val, _ := b.GetWithFiller("k", read, 60); first <- val }()
			advance(100 * time.Millisecond)
			mu.Lock()
			db = "new"
			mu.Unlock()
			rec := record{key: "k", kind: kindTombstone, version: version{stampOf(b.wall()), 9}}
			if loses {
				rec.stamp = held.stamp - 1
			}
			must(t, b.peer.replica.receive(b.peer.instant(), 2, appendDelta(nil, 9, 1, []record{rec})))
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
		advance(3 * time.Second)
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
		must(t, nodes[1].Delete("k"))
		synctest.Wait()
		for _, b := range nodes {
			miss(t, b, "k")
			if n := b.Stats().ProvisionalDropped; n != 1 {
				t.Errorf("%d dropped", n)
			}
		}

		// Node 3's write doesn't reach node 1 before its fill has ended.
		net.mu.Lock()
		net.filter = func(from, to uint64, _ []byte) bool { return from != 3 || to != 1 }
		net.mu.Unlock()
		must(t, nodes[2].Delete("k"))
		synctest.Wait()
		got, err := nodes[0].GetWithFiller("k", func(string) (string, error) { return "old", nil }, 60)
		must(t, err)
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
		advance(3 * time.Second)
		db.set("k", "v")
		for _, key := range []string{"k", "none"} {
			must(t, nodes[0].Delete(key))
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
		advance(200 * time.Millisecond)
		db.fail(errors.New("down"))
		db.mu.Lock()
		db.took = 50 * time.Millisecond
		db.mu.Unlock()
		for i, l := range ls {
			miss(t, nodes[i], "k")
			stale(t, l, "k", "v", nil)
		}
		advance(100 * time.Millisecond)
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
			must(t, b.Set(fmt.Sprint(i), "v", 3600))
		}
		must(t, b.Delete("k"))
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
			return Loaded{Value: "v", TTL: 100 * time.Millisecond}, nil
		})
		loaded(t, l, "k", "v")
		advance(99 * time.Millisecond)
		get(t, b, "k", "v")
		get(t, b, "k", "v")
		advance(time.Millisecond)
		miss(t, b, "k")
		if b.Stats().ProvisionalKept != 1 {
			t.Error("it isn't provisional")
		}
	})
}

// It counts for MaxKeys and MaxBytes at every moment, and goes like any entry, without a floor.
func TestProvisionalCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		b := memNode(t, net, 1, 0, func(c *Config) { c.MaxKeys, c.MaxBytes = 10, 10*(EntryOverhead+10) })
		memNode(t, net, 2, 0)
		synctest.Wait()
		for i := range 40 {
			key := fmt.Sprint("k", i)
			must(t, b.Delete(key))
			if i%3 == 0 {
				must(t, b.Set(key, "set", 60))
			} else {
				val := func(string) (string, error) { return strings.Repeat("v", i%5+1), nil }
				_, err := b.GetWithFiller(key, val, 60)
				must(t, err)
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
		before := b.store.floorOf(bucketOf("k1"))
		for i := range 20 {
			must(t, b.Set(fmt.Sprint("x", i), "v", 60))
		}
		miss(t, b, "k1")
		if b.store.floorOf(bucketOf("k1")) != before {
			t.Error("its floor has risen")
		}
	})
}

func TestProvisionalEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		advance(3 * time.Second)
		var told [2][]string
		for i := range told {
			cancel := nodes[i].Subscribe(func(e Event) {
				told[i] = append(told[i], fmt.Sprint(e.Kind, " ", e.Key, e.Value, " ", e.Provisional, e.Local))
			})
			defer cancel()
		}
		provisional(t, nodes[0], "k", "v")
		synctest.Wait()
		must(t, nodes[0].Delete("k"))
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
					must(t, err)
					defer b.Close()
					nodes = []*Bcache{b}
				} else {
					net := newMemNet()
					for i := range tt.nodes {
						nodes = append(nodes, memNode(t, net, uint64(i+1), 0, edit))
					}
				}
				advance(3 * time.Second)
				start := time.Now()
				var version int // of the database; it is what was committed at its times
				var commits []time.Time
				var mu sync.Mutex
				behind := func(string) (string, error) {
					advance(20 * time.Millisecond)
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
							advance(5*time.Millisecond + time.Duration(i)*time.Microsecond)
						}
					})
				}
				for time.Since(start) < 10*time.Second {
					advance(tt.every)
					mu.Lock()
					version++
					commits = append(commits, time.Now())
					mu.Unlock()
					must(t, nodes[0].Delete("k"))
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
		net := newMemNet()
		// Keys are evicted before they are half a second old.
		b := memNode(t, net, 1, 0, func(c *Config) { c.MaxKeys = 4000 })
		other := memNode(t, net, 2, 0, func(c *Config) { c.MaxKeys = 4000 })
		advance(3 * time.Second)
		const fills, query = 300, 20
		written, again := 0, 0
		write := func(n int) {
			for range n {
				must(t, other.Set(fmt.Sprint("w", written), "v", 3600))
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
					advance(time.Millisecond)
				}
				return "v", nil
			}, 3600)
			must(t, err)
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

// An offer that was meant for an earlier life of a node isn't accepted, nor does what that life has
// said count: another life counts its touches anew.
func TestProvisionalOfAnotherLife(t *testing.T) {
	g := newRig(t, 2, nil)
	a, b := g.replicas[0], g.replicas[1]
	g.settle()
	for range 3 {
		g.write(1, "k", func(r *replica) { must(t, r.delete(g.now(), "k")) })
	}
	g.settle()
	if got := a.neighbours.byID[1].echoes[0].count; got != b.touches.echo() {
		t.Fatalf("the echo of the other node is %d, and it has counted %d touches", got, b.touches.count)
	}
	f := a.beginFills(g.now(), 0, "k")[0]
	if outcome := a.endFill(g.now(), f, &record{key: "k", val: "v"}, false); outcome != fillOffered {
		t.Fatal(outcome)
	}
	_, sends := a.flush(g.now())
	if len(sends) != 1 {
		t.Fatalf("%d offers", len(sends))
	}

	// Node 1 begins another life, which knows of a Delete that the fill didn't see.
	other := newRig(t, 2, func(c *replicaConfig) { c.origin += 1000 }).replicas[1]
	must(t, other.delete(g.now(), "k"))
	must(t, other.receive(g.now(), 0, sends[0].frame))
	if _, ok := other.store.fills.peek("k"); ok || other.counts.provisionalRefused != 1 {
		t.Error("an offer for another life was accepted")
	}

	a.left(g.now(), 1)
	a.joined(g.now(), 1, other.origin)
	late := appendPing(nil, ping{origin: b.origin, wall: g.wall, echo: 1 << 30})
	must(t, a.receive(g.now(), 1, late))
	if got := a.neighbours.byID[1].echoes[0].count; got != 0 {
		t.Errorf("the echo %d of another life counts", got)
	}
}

// The echoes that are remembered reach back for a minute, and the last one before a time is one of
// those heard not much earlier.
func TestEchoLog(t *testing.T) {
	var l echoLog
	if l.before(time.Hour) != 0 {
		t.Error("an empty one has an echo")
	}
	const last = 200_000 // one each millisecond
	for i := uint64(1); i <= last; i++ {
		l.add(i, time.Duration(i)*time.Millisecond)
	}
	l.add(last, time.Hour) // no news
	for ago := time.Millisecond; ago < 50*time.Second; ago = ago*3/2 + 1 {
		at := last*time.Millisecond - ago
		got := time.Duration(l.before(at)) * time.Millisecond
		if got >= at || got < at-4*ago-10*time.Millisecond {
			t.Errorf("%v before the last, the echo is one of %v before", ago, last*time.Millisecond-got)
		}
	}
}

// Offers that wait are bounded in number and in bytes.
func TestOffersAreBounded(t *testing.T) {
	var o offers
	n, four := 0, make([]peerEcho, 4) // a frame for each
	for o.put(offered{rec: record{key: "k"}, to: four}) {
		n++
	}
	if n != maxOffers/4 {
		t.Errorf("%d offers to 4 nodes", n)
	}
	o.take()
	for n = 0; o.put(offered{rec: record{val: strings.Repeat("v", 1<<20)}, to: four}); n++ {
	}
	if n != maxOfferBytes>>22 || o.empty() {
		t.Errorf("%d offers of 1 MiB to 4 nodes", n)
	}
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
		must(t, nodes[0].Delete("k"))
		loaded(t, l, "k", "v")
		advance(100 * time.Millisecond)
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
