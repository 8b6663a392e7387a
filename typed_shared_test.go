package bcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/iwanbk/bcache/internal/testkit"
)

// A doc is a value that is shared by a pointer, so that one can see whether two are the same.
type doc struct {
	Key  string
	N    int
	Tags []string
}

// A docCodec is JSON that counts what it decodes.
type docCodec struct {
	JSON[*doc]
	decoded *atomic.Int64
	takes   time.Duration
}

func (c docCodec) Decode(s string) (*doc, error) {
	c.decoded.Add(1)
	if c.takes > 0 {
		testkit.Advance(c.takes)
	}
	defer runtime.Gosched() // others come meanwhile
	return c.JSON.Decode(s)
}

// docs is a Typed that shares, and how often it has decoded, and what its Fills have brought.
type docs struct {
	*Typed[*doc]
	decoded atomic.Int64
	n       atomic.Int64 // what the database has

	mu      sync.Mutex
	brought []*doc
}

func newDocs(t testing.TB, b *Bcache, edit ...func(*TypedConfig[*doc])) *docs {
	t.Helper()
	d := &docs{}
	d.init(t, b, edit...)
	return d
}

func (d *docs) init(t testing.TB, b *Bcache, edit ...func(*TypedConfig[*doc])) {
	t.Helper()
	cfg := TypedConfig[*doc]{
		Codec:  docCodec{decoded: &d.decoded},
		Fill:   d.fill,
		Shared: true,
		Loader: LoaderConfig{Prefix: "doc:", TTL: time.Minute},
	}
	for _, e := range edit {
		e(&cfg)
	}
	typed, err := NewTyped(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Typed = typed
}

func (d *docs) fill(_ context.Context, key string) (TypedLoaded[*doc], error) {
	v := &doc{key, int(d.n.Load()), []string{"filled"}}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.brought = append(d.brought, v)
	return TypedLoaded[*doc]{Value: v}, nil
}

// is gets a key by all ways there are, all of which must return the same value, and returns that.
func (d *docs) is(t *testing.T, key string, n int) *doc {
	t.Helper()
	v, err := d.Get(t.Context(), key)
	if err != nil || v.Key != key || v.N != n {
		t.Fatalf("Get = %+v, %v, want number %d", v, err, n)
	}
	if r := d.GetResult(t.Context(), key); r.Value != v || r.Err != nil {
		t.Errorf("GetResult = %+v, not %+v", r, v)
	}
	if got, err := d.GetMany(t.Context(), []string{key, key}); got[key] != v || err != nil {
		t.Errorf("GetMany = %+v, %v, not %+v", got, err, v)
	}
	if d.hasBrought(v) {
		t.Error("it is what a Fill brought")
	}
	return v
}

func (d *docs) hasBrought(v *doc) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.brought, v)
}

// times reports how often something was decoded since it was called last.
func (d *docs) times() int64 { return d.decoded.Swap(0) }

// All callers get the same value, however they ask, as long as the value is held; another value is
// decoded by itself. It is never what a Fill brought or a Set was given.
func TestTypedShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		d, other := newDocs(t, nodes[0]), newDocs(t, nodes[1])
		first := d.is(t, "k", 0)
		if n := d.times(); n != 2 { // and to see that it can be
			t.Errorf("decoded %d times", n)
		}
		for range 3 {
			if d.is(t, "k", 0) != first {
				t.Error("another one is shared")
			}
		}
		if all := maps.Collect(d.All()); all["k"] != first {
			t.Errorf("All: %+v", all)
		}
		if n := d.times(); n != 0 {
			t.Errorf("decoded %d times", n)
		}

		synctest.Wait()
		if all := maps.Collect(other.All()); len(all) != 1 || maps.Collect(other.All())["k"] == all["k"] {
			t.Errorf("All shares: %+v", all)
		}
		theirs := other.is(t, "k", 0)
		if other.is(t, "k", 0) != theirs || theirs == first {
			t.Error("a node shares with another")
		}

		given := &doc{"k", 7, nil}
		testkit.Must(t, d.Set("k", given, 0))
		synctest.Wait()
		second := d.is(t, "k", 7)
		if second == given || d.is(t, "k", 7) != second || other.is(t, "k", 7) == theirs {
			t.Error("what a Set was given is shared, or what was there before")
		}
		testkit.Must(t, other.Delete("k"))
		synctest.Wait()
		if d.is(t, "k", 0) == first || d.n.Add(1) != 1 {
			t.Error("what was deleted is shared")
		}
		testkit.Advance(time.Minute)
		d.is(t, "k", 1)
		testkit.Must(t, nodes[2].Clear())
		d.n.Add(1)
		synctest.Wait()
		d.is(t, "k", 2)
	})
}

// Those who wait for a fill get one value, whether or not what it brought is held, and although they
// decode it at the same time.
func TestTypedSharedByWaiters(t *testing.T) {
	for name, ttl := range map[string]time.Duration{"held": time.Hour, "not cached": -1} {
		synctest.Test(t, func(t *testing.T) {
			d := &docs{}
			d.init(t, localNode(t), func(c *TypedConfig[*doc]) {
				c.Codec = docCodec{decoded: &d.decoded, takes: time.Millisecond}
				c.Fill = func(ctx context.Context, key string) (TypedLoaded[*doc], error) {
					testkit.Advance(time.Second)
					v, err := d.fill(ctx, key)
					v.TTL = ttl
					return v, err
				}
			})
			var wg sync.WaitGroup
			var got sync.Map
			for i := range 20 {
				wg.Go(func() {
					var v *doc
					var err error
					if i%2 == 0 {
						v, err = d.Get(t.Context(), "k")
					} else {
						var many map[string]*doc
						many, err = d.GetMany(t.Context(), []string{"k"})
						v = many["k"]
					}
					if testkit.Must(t, err); v.N != 0 || d.hasBrought(v) {
						t.Errorf("%+v", v)
					}
					got.Store(v, i)
				})
			}
			wg.Wait()
			n := 0
			got.Range(func(any, any) bool { n++; return true })
			if n != 1 {
				t.Errorf("%s: %d values of one fill", name, n)
			}
		})
	}
}

// What is served although it is due, stale, or provisional, is shared as well.
func TestTypedSharedWhateverIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		b := nodes[0]
		var down atomic.Bool
		d := &docs{}
		d.init(t, b, func(c *TypedConfig[*doc]) {
			c.Loader.RefreshAhead, c.Loader.StaleFor, c.Loader.RetryAfter = 0.2, time.Hour, time.Second
			c.Fill = func(ctx context.Context, key string) (TypedLoaded[*doc], error) {
				if down.Load() {
					return TypedLoaded[*doc]{}, fs("down")
				}
				return d.fill(ctx, key)
			}
		})
		served := func(what string, want *doc) {
			t.Helper()
			d.times()
			for range 3 {
				if d.is(t, "k", 0) != want {
					t.Errorf("%s: another one is shared", what)
				}
				synctest.Wait()
			}
			if n := d.times(); n != 0 {
				t.Errorf("%s: decoded %d times", what, n)
			}
		}
		first := d.is(t, "k", 0)
		down.Store(true)
		testkit.Advance(55 * time.Second)
		served("due", first)
		testkit.Advance(time.Minute)
		d.times()
		if v, err := d.Get(t.Context(), "k"); v != first || err != nil || d.times() != 0 {
			t.Errorf("stale: %+v, %v", v, err)
		}
		if r := d.GetResult(t.Context(), "k"); !r.Stale || r.Value != first {
			t.Errorf("stale: %+v", r)
		}
		down.Store(false)
		testkit.Must(t, d.Delete("k"))
		provisional := d.is(t, "k", 0)
		if provisional == first || b.Stats().ProvisionalKept != 1 {
			t.Errorf("%+v, %+v", provisional, b.Stats())
		}
		served("provisional", provisional)
		testkit.Must(t, d.Delete("k"))
		if d.is(t, "k", 0) == provisional {
			t.Error("what was written is shared")
		}
	})
}

// What stands beside a value of another layout is shared too.
func TestTypedSharedBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		d := newDocs(t, b, func(c *TypedConfig[*doc]) { c.Version = "2" })
		testkit.Must(t, b.Set("doc:k", `{"Key":"k","N":9}`, 60))
		first := d.is(t, "k", 0)
		d.times()
		if d.is(t, "k", 0) != first || maps.Collect(d.All())["k"] != first || d.times() != 0 {
			t.Errorf("another one is shared")
		}
		get(t, b, "doc:k", `{"Key":"k","N":9}`)
	})
}

// Two Typeds of the same keys never get each other's, whatever they have in common. The one that was
// first shares as long as the value is held; they don't take turns.
func TestTypedSharedByOne(t *testing.T) {
	b := localNode(t)
	one, same := newDocs(t, b), newDocs(t, b)
	anything, err := NewTyped(b, TypedConfig[map[string]any]{
		Fill: func(context.Context, string) (TypedLoaded[map[string]any], error) {
			return TypedLoaded[map[string]any]{}, ErrNotFound
		},
		Shared: true, Loader: LoaderConfig{Prefix: "doc:", TTL: time.Minute},
	})
	testkit.Must(t, err)
	first := one.is(t, "k", 0)
	one.times()
	for range 5 {
		if one.is(t, "k", 0) != first {
			t.Error("the first one shares no more")
		}
		if v, err := same.Get(t.Context(), "k"); v == first || v.Key != "k" || err != nil {
			t.Errorf("%+v, %v", v, err)
		}
		if v, err := anything.Get(t.Context(), "k"); v["Key"] != "k" || err != nil {
			t.Errorf("%+v, %v", v, err)
		}
	}
	if n, theirs := one.times(), same.times(); n != 0 || theirs != 5 {
		t.Errorf("decoded %d and %d times", n, theirs)
	}
	testkit.Must(t, one.Set("k", &doc{Key: "k", N: 3}, 0))
	m, err := anything.Get(t.Context(), "k")
	testkit.Must(t, err)
	m["mark"] = true
	if m, _ := anything.Get(t.Context(), "k"); m["mark"] != true {
		t.Error("the next one that was first doesn't share")
	}
	if v, err := one.Get(t.Context(), "k"); v.N != 3 || err != nil {
		t.Errorf("%+v, %v", v, err)
	}
}

// It counts for MaxBytes. Where there is no room it isn't kept, and nothing is evicted for it.
func TestTypedSharedMaxBytes(t *testing.T) {
	held := `{"Key":"k","N":0,"Tags":["filled"]}`
	cost := int64(EntryOverhead + len("doc:k") + len(held))
	for name, tt := range map[string]struct {
		size func(*doc) int
		room int64 // beside the entry
		took int64
	}{
		"its encoded length":   {nil, int64(len(held)), int64(len(held))},
		"one byte too much":    {nil, int64(len(held)) - 1, 0},
		"its Size":             {func(*doc) int { return 100 }, 100, 100},
		"a Size that is large": {func(*doc) int { return 1000 }, 999, 0},
		"a negative Size":      {func(*doc) int { return -1 }, 1000, 0},
		"none at all":          {func(*doc) int { return 0 }, 0, 0},
	} {
		b, err := New(Config{MaxKeys: 10, MaxBytes: cost + tt.room})
		testkit.Must(t, err)
		d := newDocs(t, b, func(c *TypedConfig[*doc]) { c.Size = tt.size })
		first, err := d.Get(t.Context(), "k")
		testkit.Must(t, err)
		second, err := d.Get(t.Context(), "k")
		testkit.Must(t, err)
		if isKept := tt.took > 0 || name == "none at all"; (first == second) != isKept {
			t.Errorf("%s: kept %v", name, first == second)
		}
		if s := b.Stats(); s.Bytes != cost+tt.took || s.Evictions != 0 || s.Keys != 1 {
			t.Errorf("%s: %d bytes, %d more than the entry; %d evictions, %d keys",
				name, s.Bytes, s.Bytes-cost, s.Evictions, s.Keys)
		}
		testkit.Must(t, d.Delete("k"))
		if s := b.Stats(); s.Bytes != 0 {
			t.Errorf("%s: %d bytes are left", name, s.Bytes)
		}
		testkit.Must(t, b.Close())
	}
}

// With a Clone each caller has a value of its own, and alters nobody else's.
func TestTypedSharedClone(t *testing.T) {
	var clones atomic.Int64
	d := newDocs(t, localNode(t), func(c *TypedConfig[*doc]) {
		c.Clone = func(v *doc) *doc {
			clones.Add(1)
			return &doc{v.Key, v.N, append([]string(nil), v.Tags...)}
		}
	})
	ways := map[string]func() *doc{
		"Get":       func() *doc { v, _ := d.Get(t.Context(), "k"); return v },
		"GetResult": func() *doc { return d.GetResult(t.Context(), "k").Value },
		"GetMany":   func() *doc { m, _ := d.GetMany(t.Context(), []string{"k"}); return m["k"] },
		"All":       func() *doc { return maps.Collect(d.All())["k"] },
	}
	ways["Get"]()
	d.times()
	clones.Store(0)
	for name, way := range ways {
		for range 3 {
			v := way()
			if v == nil || v.Tags[0] != "filled" {
				t.Fatalf("%s: %+v", name, v)
			}
			v.Tags[0] = "altered"
		}
	}
	if n := clones.Load(); d.times() != 0 || n != 12 {
		t.Errorf("%d clones", n)
	}
}

// A Clone or a Size that panics is an error for its caller, that of the Codec. The Fill isn't called for
// that.
func TestTypedSharedPanics(t *testing.T) {
	boom := func() { panic(errOdd) }
	for name, edit := range map[string]func(*TypedConfig[*doc]){
		"Clone": func(c *TypedConfig[*doc]) { c.Clone = func(v *doc) *doc { boom(); return v } },
		"Size":  func(c *TypedConfig[*doc]) { c.Size = func(*doc) int { boom(); return 0 } },
	} {
		d := newDocs(t, localNode(t), edit)
		testkit.Must(t, d.Set("k", &doc{Key: "k"}, 0))
		says := func(err error) {
			t.Helper()
			if !errors.Is(err, ErrDecode) || !errors.Is(err, errOdd) || !strings.Contains(err.Error(), `of "k": `+name+" panicked: ") {
				t.Errorf("%s: %v", name, err)
			}
		}
		for range 3 {
			_, err := d.Get(t.Context(), "k")
			says(err)
			says(d.GetResult(t.Context(), "k").Err)
			_, err = d.GetMany(t.Context(), []string{"k"})
			says(err.(KeyErrors)["k"])
		}
		if len(d.brought) != 0 {
			t.Errorf("%s: %d fills", name, len(d.brought))
		}
		_, err := d.Get(t.Context(), "filled")
		if !errors.Is(err, ErrDecode) || len(d.brought) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTypedSharedConfig(t *testing.T) {
	for _, edit := range []func(*TypedConfig[*doc]){
		func(c *TypedConfig[*doc]) { c.Clone = func(v *doc) *doc { return v } },
		func(c *TypedConfig[*doc]) { c.Size = func(*doc) int { return 0 } },
	} {
		cfg := TypedConfig[*doc]{Loader: LoaderConfig{TTL: time.Minute}, Fill: (&docs{}).fill}
		edit(&cfg)
		if _, err := NewTyped(localNode(t), cfg); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "set Shared") {
			t.Error(err)
		}
	}
}

// Nobody is told that something is shared: neither who subscribes, nor other nodes; and no caller counts
// for it.
func TestTypedSharedIsNobodysBusiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		d := newDocs(t, nodes[0])
		testkit.Must(t, d.Set("k", &doc{Key: "k"}, 0))
		synctest.Wait()
		var r recorder
		defer nodes[0].Subscribe(r.note)()
		before := nodes[0].Stats()
		first := d.is(t, "k", 0)
		synctest.Wait()
		if d.is(t, "k", 0) != first {
			t.Error("it isn't shared")
		}
		after := nodes[0].Stats()
		after.Hits -= 6
		after.Bytes -= int64(len(`{"Key":"k","N":0,"Tags":null}`))
		if told := r.take(); len(told) != 0 || fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("told %v\n%+v\n%+v", told, before, after)
		}
	})
}

// A value that is nil is shared as such.
func TestTypedSharedNil(t *testing.T) {
	var decoded atomic.Int64
	typed, err := NewTyped(localNode(t), TypedConfig[any]{
		Codec: anyCodec{&decoded},
		Fill: func(context.Context, string) (TypedLoaded[any], error) {
			return TypedLoaded[any]{}, nil
		},
		Shared: true, Loader: LoaderConfig{TTL: time.Minute},
	})
	testkit.Must(t, err)
	for range 5 {
		if v, err := typed.Get(t.Context(), "k"); v != nil || err != nil {
			t.Errorf("%v, %v", v, err)
		}
	}
	if n := decoded.Load(); n != 2 {
		t.Errorf("decoded %d times", n)
	}
}

type anyCodec struct{ decoded *atomic.Int64 }

func (anyCodec) Encode(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

func (c anyCodec) Decode(s string) (v any, err error) {
	c.decoded.Add(1)
	return v, json.Unmarshal([]byte(s), &v)
}

// Nothing of a value that has gone is kept, nor of its Typed.
func TestTypedSharedGoes(t *testing.T) {
	b := localNode(t)
	d := newDocs(t, b)
	held := map[string]weak.Pointer[doc]{}
	for _, key := range []string{"deleted", "replaced", "stays"} {
		v, err := d.Get(t.Context(), key)
		testkit.Must(t, err)
		held[key] = weak.Make(v)
	}
	testkit.Must(t, d.Delete("deleted"))
	testkit.Must(t, d.Set("replaced", &doc{Key: "replaced"}, 0))
	runtime.GC()
	runtime.GC()
	for key, p := range held {
		if isHeld := p.Value() != nil; isHeld != (key == "stays") {
			t.Errorf("what was decoded of the key that was %s: still there %v", key, isHeld)
		}
	}
	runtime.KeepAlive(b)
}

func TestTypedSharedAllocatesNothing(t *testing.T) {
	b := localNode(t)
	d := newDocs(t, b)
	values, err := NewTyped(b, TypedConfig[user]{
		Fill: func(context.Context, string) (TypedLoaded[user], error) {
			return TypedLoaded[user]{Value: user{"Ada", 36}}, nil
		},
		Shared: true, Loader: LoaderConfig{Prefix: "user:", TTL: time.Minute},
	})
	testkit.Must(t, err)
	ctx := context.Background()
	for name, f := range map[string]func(){
		"Get of a pointer": func() { d.Get(ctx, "k") },
		"GetResult":        func() { d.GetResult(ctx, "k") },
		"Get of a struct":  func() { values.Get(ctx, "k") },
	} {
		f()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Whatever happens at the same time, what a caller gets is of its key, and no older than what it got
// before.
func TestTypedSharedConcurrently(t *testing.T) {
	const writes = 3000
	b, err := New(Config{MaxKeys: 8, MaxBytes: 10 * EntryOverhead})
	testkit.Must(t, err)
	d := newDocs(t, b)
	keys := []string{"a", "b", "c", "d", "e"}
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done.Store(true)
		for i := range writes {
			n := int(d.n.Add(1)) // the commit
			switch key := keys[i%len(keys)]; {
			case i%100 == 99:
				testkit.Must(t, b.Clear())
			case i%3 == 0:
				testkit.Must(t, d.DeleteMany(keys))
			default:
				testkit.Must(t, d.Delete(key))
				testkit.Must(t, d.Set(key, &doc{Key: key, N: n}, 0))
			}
		}
		testkit.Must(t, b.Close())
	})
	for range 3 {
		wg.Go(func() {
			last := map[string]int{}
			seen := func(key string, v *doc, err error) {
				if err != nil || v.Key != key || v.N < last[key] {
					t.Errorf("%s is %+v, %v after %d", key, v, err, last[key])
				}
				last[key] = v.N
			}
			for i := 0; !done.Load() || i < 100; i++ {
				key := keys[i%len(keys)]
				v, err := d.Get(context.Background(), key)
				seen(key, v, err)
				if i%10 == 0 {
					got, err := d.GetMany(context.Background(), keys)
					for key, v := range got {
						seen(key, v, err)
					}
				}
			}
		})
	}
	wg.Wait()
}
