package bcache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

// Clears of prefixes and tags, as users see them: what is selected is gone for whoever reads when the call
// has returned, and on all nodes as with a Set.

// A teamDB has rows with the tags of their teams, and counts queries.
type teamDB struct {
	asked   atomic.Int64
	version atomic.Int64
	took    time.Duration
	rows    atomic.Bool // the rows that there are not are there
}

// fill reads first, and returns when the query has taken its time. A key that begins with "no" has no row.
func (db *teamDB) fill(_ context.Context, key string) (Loaded, error) {
	db.asked.Add(1)
	l := Loaded{Value: fmt.Sprint(key, " v", db.version.Load()), Tags: []string{"team:" + key[len(key)-1:], "all"}}
	missing := strings.HasPrefix(key, "no") && !db.rows.Load()
	time.Sleep(db.took)
	if missing {
		return Loaded{Tags: l.Tags}, fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	return l, nil
}

func (db *teamDB) fillMany(ctx context.Context, keys []string) (map[string]Loaded, error) {
	db.asked.Add(1)
	found, errs := map[string]Loaded{}, KeyErrors{}
	for _, key := range keys {
		before := db.asked.Load()
		l, err := db.fill(ctx, key)
		db.asked.Store(before)
		if found[key] = l; err != nil {
			errs[key] = err
		}
	}
	if len(errs) > 0 {
		return found, errs
	}
	return found, nil
}

func TestGroupsEveryNode(t *testing.T) {
	for name, tt := range map[string]struct {
		clear func(b *Bcache, pages *Loader, docs *docs) error
		gone  string
	}{
		"ClearTag":     {func(b *Bcache, _ *Loader, _ *docs) error { return b.ClearTag("t") }, "tagged page:tagged doc:tagged"},
		"another tag":  {func(b *Bcache, _ *Loader, _ *docs) error { return b.ClearTag("none") }, ""},
		"ClearPrefix":  {func(b *Bcache, _ *Loader, _ *docs) error { return b.ClearPrefix("pa") }, "page:plain page:tagged"},
		"a key":        {func(b *Bcache, _ *Loader, _ *docs) error { return b.ClearPrefix("page:plain") }, "page:plain"},
		"no prefix":    {func(b *Bcache, _ *Loader, _ *docs) error { return b.ClearPrefix("") }, "plain tagged other page:plain page:tagged doc:tagged"},
		"Loader.Clear": {func(_ *Bcache, pages *Loader, _ *docs) error { return pages.Clear() }, "page:plain page:tagged"},
		"Typed.Clear":  {func(_ *Bcache, _ *Loader, docs *docs) error { return docs.Clear() }, "doc:tagged"},
		"DeleteMany":   {func(b *Bcache, _ *Loader, _ *docs) error { return b.DeleteMany([]string{"tagged", "doc:tagged"}) }, "tagged doc:tagged"},
		"Put without": {func(b *Bcache, _ *Loader, _ *docs) error {
			return errors.Join(b.Put("tagged", "v", time.Minute), b.ClearTag("t"))
		}, "page:tagged doc:tagged"},
		"Clear, then Put": {func(b *Bcache, _ *Loader, _ *docs) error {
			return errors.Join(b.ClearTag("t"), b.Put("tagged", "v", time.Minute, "t"))
		}, "page:tagged doc:tagged"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, nodes := three(t)
				withPrefix := func(c *LoaderConfig) { c.Prefix = "page:" }
				pages := newLoader(t, nodes[0], (&teamDB{}).fill, withPrefix)
				pages2 := newLoader(t, nodes[1], (&teamDB{}).fill, withPrefix)
				d := newDocs(t, nodes[0], func(c *TypedConfig[*doc]) { c.Loader.Prefix = "doc:" })
				d2 := newDocs(t, nodes[1], func(c *TypedConfig[*doc]) { c.Loader.Prefix = "doc:" })
				testkit.Must(t, nodes[0].Set("plain", "v", 60))
				testkit.Must(t, nodes[0].Put("tagged", "v", time.Minute, "u", "t", "t"))
				testkit.Must(t, nodes[0].Put("other", "v", time.Minute, "u"))
				testkit.Must(t, pages.Set("plain", "v", 0))
				testkit.Must(t, pages.Put("tagged", "v", 0, "t"))
				testkit.Must(t, d.Put("tagged", &doc{}, 0, "t"))
				synctest.Wait()
				testkit.Must(t, tt.clear(nodes[1], pages2, d2))
				left := func(b *Bcache) (gone []string) {
					for _, key := range strings.Fields("plain tagged other page:plain page:tagged doc:tagged") {
						if _, ok := b.Get(key); !ok {
							gone = append(gone, key)
						}
					}
					return gone
				}
				if gone := strings.Join(left(nodes[1]), " "); gone != tt.gone { // at once
					t.Errorf("gone where it was called: %q", gone)
				}
				synctest.Wait()
				for i, b := range nodes {
					if gone := strings.Join(left(b), " "); gone != tt.gone {
						t.Errorf("node %d: gone are %q, want %q", i, gone, tt.gone)
					}
				}
				testkit.Advance(6 * time.Second)
				for i, b := range nodes {
					if got, want := b.Len(), 6-len(strings.Fields(tt.gone)); got != want {
						t.Errorf("node %d holds %d entries after seconds, want %d", i, got, want)
					}
				}
			})
		})
	}
}

// Thousands of Clears at once: nothing stale anywhere, and what none of them selects is still there.
func TestGroupsThousandsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		net := memnet.New()
		var nodes []*Bcache
		for i := range 3 {
			nodes = append(nodes, memNode(t, net, uint64(i+1), 0, func(c *Config) { c.MaxKeys = 4 * n }))
		}
		synctest.Wait()
		for i := range n {
			testkit.Must(t, nodes[0].Put(fmt.Sprint("k", i), "v", time.Hour, fmt.Sprint("t", i), "all"))
			if i%10 == 0 {
				testkit.Must(t, nodes[0].Put(fmt.Sprint("stays", i), "v", time.Hour, fmt.Sprint("u", i), "all"))
			}
		}
		synctest.Wait()
		testkit.Advance(time.Second)
		for i := range n {
			testkit.Must(t, nodes[1].ClearTag(fmt.Sprint("t", i)))
		}
		synctest.Wait()
		for at, b := range nodes {
			for i := range n {
				if val, ok := b.Get(fmt.Sprint("k", i)); ok {
					t.Fatalf("node %d serves %q of k%d", at, val, i)
				}
				if _, ok := b.Get(fmt.Sprint("stays", i)); i%10 == 0 && !ok {
					t.Fatalf("node %d has lost stays%d", at, i)
				}
			}
			if got := b.store.Clears.Len(); got > 4096 {
				t.Errorf("node %d remembers %d Clears", at, got)
			}
		}
	})
}

func TestGroupsOfFills(t *testing.T) {
	for _, many := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, nodes := three(t)
			db := &teamDB{}
			edit := func(c *LoaderConfig) {
				c.NegativeTTL = time.Minute
				if many {
					c.Fill, c.FillMany = nil, db.fillMany
				}
			}
			var ls []*Loader
			for _, b := range nodes {
				ls = append(ls, newLoader(t, b, db.fill, edit))
			}
			read := func(l *Loader, version int) {
				t.Helper()
				got, err := l.GetMany(t.Context(), []string{"a7", "a8", "no7", "no8"})
				var errs KeyErrors
				if err != nil && !errors.As(err, &errs) || got["a7"] != fmt.Sprint("a7 v", version) || len(got) != 2 {
					t.Errorf("%v, %v", got, err)
				}
			}
			read(ls[0], 0)
			synctest.Wait()
			before := db.asked.Load()
			read(ls[1], 0)
			if n := db.asked.Load() - before; n != 0 {
				t.Fatalf("many %v: %d queries for what is cached", many, n)
			}
			testkit.Advance(2 * time.Second)
			db.version.Store(1)
			testkit.Must(t, nodes[2].ClearTag("team:7"))
			synctest.Wait()
			for _, key := range []string{"a7", "no7"} {
				if _, held := nodes[0].store.Peek(key); held {
					t.Errorf("many %v: %s is held", many, key)
				}
			}
			for _, key := range []string{"a8", "no8"} {
				if _, held := nodes[0].store.Peek(key); !held {
					t.Errorf("many %v: %s isn't held", many, key)
				}
			}
			read(ls[0], 1)
		})
	}
}

// A stale value that is cleared isn't served any more, nor what a refresh brings that had begun before.
func TestGroupsOfStaleValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &teamDB{}
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.StaleFor, c.RefreshAhead = time.Hour, 0.5 })
		loaded(t, l, "a7", "a7 v0")
		testkit.Advance(90 * time.Second)
		db.took = time.Second
		loaded(t, l, "a7", "a7 v0") // stale, and it is being refreshed
		synctest.Wait()
		db.version.Store(1)
		testkit.Must(t, b.ClearTag("team:7"))
		loaded(t, l, "a7", "a7 v1")
		testkit.Advance(2 * time.Second)
		loaded(t, l, "a7", "a7 v1")
		if n := db.asked.Load(); n != 3 {
			t.Errorf("%d queries", n)
		}
	})
}

// What a fill brings that was under way isn't cached if it has what was cleared; who comes later doesn't get
// it. With other tags it is.
func TestGroupsDuringFills(t *testing.T) {
	for name, tt := range map[string]struct {
		clear  func(*Bcache) error
		cached bool
	}{
		"its tag":        {func(b *Bcache) error { return b.ClearTag("team:7") }, false},
		"another tag":    {func(b *Bcache) error { return b.ClearTag("team:8") }, true},
		"its prefix":     {func(b *Bcache) error { return b.ClearPrefix("a") }, false},
		"another prefix": {func(b *Bcache) error { return b.ClearPrefix("b") }, true},
	} {
		for _, nodes := range []int{1, 3} {
			t.Run(fmt.Sprint(name, " ", nodes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := localNode(t)
					other := b
					if nodes == 3 {
						_, all := three(t)
						b, other = all[0], all[2]
						testkit.Advance(5 * time.Second)
					}
					db := &teamDB{took: time.Second}
					l := newLoader(t, b, db.fill)
					first := make(chan string)
					go func() { v, _ := l.Get(t.Context(), "a7"); first <- v }()
					synctest.Wait()
					db.version.Store(1)
					testkit.Must(t, tt.clear(other))
					synctest.Wait()
					later, err := l.Get(t.Context(), "a7")
					if err != nil || !tt.cached && later != "a7 v1" {
						t.Errorf("who came later got %q, %v", later, err)
					}
					<-first // who came before may get either
					synctest.Wait()
					rec, ok := b.store.Entry("a7", b.wall())
					if tt.cached && !ok || !tt.cached && rec.Val == "a7 v0" {
						t.Errorf("cached is %+v, %v", rec, ok)
					}
				})
			})
		}
	}
}

// What is decoded, and shared, has the tags of its value.
func TestGroupsOfSharedValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		var d []*docs
		for _, b := range nodes {
			d = append(d, newDocs(t, b))
		}
		testkit.Must(t, d[0].Put("k", &doc{Key: "k", N: 1}, 0, "t"))
		testkit.Must(t, d[0].Put("stays", &doc{Key: "stays", N: 2}, 0, "u"))
		synctest.Wait()
		for _, d := range d {
			for range 3 {
				d.is(t, "k", 1)
				d.is(t, "stays", 2)
			}
		}
		if e := nodes[1].store.Fresh("doc:k", nodes[1].wall); e == nil {
			t.Fatal("nothing is held")
		} else if _, shared := e.Shared(&d[1].owner); !shared {
			t.Error("what was decoded isn't kept")
		}
		testkit.Must(t, nodes[2].ClearTag("t"))
		synctest.Wait()
		for i, b := range nodes {
			miss(t, b, "doc:k")
			d[i].is(t, "stays", 2)
		}
	})
}

func TestGroupsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		var events []Event
		cancel := nodes[0].Subscribe(func(e Event) { events = append(events, e) })
		testkit.Must(t, nodes[0].Put("k", "v", time.Minute, "t"))
		testkit.Must(t, nodes[1].ClearTag("t"))
		synctest.Wait()
		testkit.Must(t, nodes[0].ClearPrefix("p"))
		testkit.Must(t, nodes[1].Clear())
		miss(t, nodes[0], "k")
		testkit.Advance(6 * time.Second) // nothing is told of what is swept
		cancel()
		var got []string
		for _, e := range events {
			got = append(got, fmt.Sprint(e.Kind, " ", e.Key, e.Prefix, "/", e.Tag, " ", e.Local))
		}
		want := fmt.Sprint([]string{
			fmt.Sprint(EventSet, " k/ true"), fmt.Sprint(EventClear, " /t false"), fmt.Sprint(EventClear, " p/ true"), fmt.Sprint(EventClear, " / false"),
		})
		if fmt.Sprint(got) != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestGroupsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		long, many := strings.Repeat("t", MaxTagLen+1), make([]string, MaxTags+1)
		for i := range many {
			many[i] = fmt.Sprint(i)
		}
		for name, tags := range map[string][]string{"too many": many, "empty": {"t", ""}, "too long": {long}} {
			db := 0
			l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
				db++
				return Loaded{Value: "v", Tags: tags}, nil
			})
			d := newDocs(t, b)
			testkit.Must(t, b.Set("k", "v", 60))
			if err := b.Put("k", "w", time.Minute, tags...); !errors.Is(err, ErrTags) {
				t.Errorf("%s: Put: %v", name, err)
			}
			miss(t, b, "k")
			testkit.Must(t, l.Set("k", "v", 0))
			if err := l.Put("k", "w", 0, tags...); !errors.Is(err, ErrTags) {
				t.Errorf("%s: Loader.Put: %v", name, err)
			}
			miss(t, b, "k")
			testkit.Must(t, d.Set("k", &doc{}, 0))
			if err := d.Put("k", &doc{}, 0, tags...); !errors.Is(err, ErrTags) {
				t.Errorf("%s: Typed.Put: %v", name, err)
			}
			miss(t, b, "doc:k")
			for range 2 {
				loaded(t, l, "filled", "v")
			}
			if db != 2 {
				t.Errorf("%s: what a Fill brings with such tags is cached", name)
			}
			if err := b.ClearTag(tags[len(tags)-1]); (name != "too many") != errors.Is(err, ErrTags) {
				t.Errorf("%s: ClearTag: %v", name, err)
			}
		}
		testkit.Must(t, b.Put("k", "v", time.Minute, append(many[:MaxTags:MaxTags], many[0])...)) // one of them twice
		testkit.Must(t, b.ClearTag(strings.Repeat("t", MaxTagLen)))
		testkit.Must(t, b.ClearPrefix(strings.Repeat("p", MaxPrefixLen)))
		err := b.ClearPrefix(strings.Repeat("p", MaxPrefixLen+1))
		if !errors.Is(err, ErrTooLarge) || !strings.Contains(fmt.Sprint(err), "a prefix of 4097 bytes") {
			t.Errorf("ClearPrefix of a long prefix: %v", err)
		}
		get(t, b, "k", "v")
		testkit.Must(t, b.Close())
		for _, err := range []error{b.ClearTag("t"), b.ClearPrefix("p"), b.Put("k", "v", time.Minute, "t")} {
			if err != ErrClosed {
				t.Errorf("after Close: %v", err)
			}
		}
	})
}

// Tags count, for MaxBytes and for the largest record.
func TestGroupsCount(t *testing.T) {
	b, err := New(Config{MaxKeys: 1000, MaxBytes: 10_000})
	testkit.Must(t, err)
	defer b.Close()
	testkit.Must(t, b.Put("k", "value", time.Minute, "tag", "other"))
	want := int64(len("k")+len("value")+EntryOverhead) + int64(len("tag")+1+len("other")+1+2*TagOverhead)
	if got := b.Stats().Bytes; int64(got) != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	if err := b.Put("k", strings.Repeat("v", int(10_000-want)+len("value")+1), time.Minute, "tag", "other"); err != ErrTooLarge {
		t.Errorf("a byte too many: %v", err)
	}
	testkit.Must(t, b.Put("k", strings.Repeat("v", int(10_000-want)+len("value")), time.Minute, "tag", "other"))

	large := localNode(t)
	fits := strings.Repeat("v", MaxRecordSize-len("k")-len("tag")-1)
	testkit.Must(t, large.Put("k", fits, time.Minute, "tag"))
	get(t, large, "k", fits)
	if err := large.Put("k", fits+"v", time.Minute, "tag"); err != ErrTooLarge {
		t.Errorf("above 1 MiB: %v", err)
	}
	miss(t, large, "k")
}

// Who joins after Clears has what they left, and nothing comes back.
func TestGroupsJoiner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		for i := range 100 {
			testkit.Must(t, nodes[0].Put(fmt.Sprint("k", i), "v", time.Hour, fmt.Sprint("t", i%2)))
		}
		synctest.Wait()
		testkit.Must(t, nodes[1].ClearTag("t0"))
		testkit.Must(t, nodes[1].ClearPrefix("k1"))
		synctest.Wait()
		joiner := memNode(t, net, 9, 0, func(c *Config) { c.Peers = []string{"mem:1"} })
		testkit.Advance(3 * time.Second)
		testkit.Must(t, joiner.WaitSynced(t.Context()))
		for i := range 100 {
			key := fmt.Sprint("k", i)
			if _, ok := joiner.Get(key); ok != (i%2 == 1 && !strings.HasPrefix(key, "k1")) {
				t.Errorf("the joiner serves %s: %v", key, ok)
			}
		}
		testkit.Must(t, joiner.Put("k3", "new", time.Hour, "t1"))
		testkit.Must(t, joiner.ClearTag("t1"))
		synctest.Wait()
		for _, b := range nodes {
			for i := range 100 {
				miss(t, b, fmt.Sprint("k", i))
			}
		}
	})
}

// On a local node a write can be applied before a Clear and told of after it: then it is told of no more.
func TestGroupsEventsAfterClears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var r recorder
		defer b.Subscribe(r.note)()
		testkit.Must(t, b.Put("k", "v", time.Minute, "t"))
		rec, _ := b.store.Peek("k")
		told(t, &r, "set:k=v")
		testkit.Must(t, b.ClearTag("t"))
		testkit.Must(t, b.ClearPrefix("p"))
		synctest.Wait()
		r.take()
		for key, tags := range map[string]delta.Tags{"k": rec.Tags, "pk": ""} {
			b.watchers.tell(store.Change{Kind: store.ChangeSet, Key: key, Val: "late", Tags: tags, Stamp: rec.Stamp})
		}
		b.watchers.tell(store.Change{Kind: store.ChangeSet, Key: "other", Val: "late", Stamp: rec.Stamp})
		told(t, &r, "set:other=late/remote")
	})
}
