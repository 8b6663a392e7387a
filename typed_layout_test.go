package bcache

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// A tagged Codec reads only what begins with its tag.
type tagged string

func (c tagged) Encode(s string) (string, error) { return string(c) + s, nil }

func (c tagged) Decode(s string) (string, error) {
	v, ok := strings.CutPrefix(s, string(c))
	if !ok {
		return "", errOdd
	}
	return v, nil
}

// taggedLoader makes a Typed with a Codec of its own, whose Fill brings its tag and the key.
func taggedLoader(t *testing.T, b *Bcache, tag string, fills *int, edit ...func(*TypedConfig[string])) *Typed[string] {
	t.Helper()
	var mu sync.Mutex
	cfg := TypedConfig[string]{
		Codec: tagged(tag),
		Fill: func(_ context.Context, key string) (TypedLoaded[string], error) {
			mu.Lock()
			defer mu.Unlock()
			*fills++
			return TypedLoaded[string]{Value: "by " + tag}, nil
		},
		Loader: LoaderConfig{TTL: time.Hour},
	}
	for _, e := range edit {
		e(&cfg)
	}
	l, err := NewTyped(b, cfg)
	testkit.Must(t, err)
	return l
}

func typedGet(t *testing.T, l *Typed[string], key, want string) {
	t.Helper()
	if v, err := l.Get(t.Context(), key); v != want || err != nil {
		t.Errorf("Get(%q) = %q, %v, want %q", key, v, err, want)
	}
}

// What a Fill brings that its own Codec can't read is a failure: it isn't written, and the key rests.
func TestTypedFillThatCannotBeDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		fills := 0
		typed, err := NewTyped(b, TypedConfig[int]{
			Codec: oddCodec{},
			Fill: func(context.Context, string) (TypedLoaded[int], error) {
				fills++
				return TypedLoaded[int]{Value: 12}, nil
			},
			Loader: LoaderConfig{TTL: time.Minute, RetryAfter: time.Minute},
		})
		testkit.Must(t, err)
		for range 1000 {
			if _, err := typed.Get(t.Context(), "k"); !errors.Is(err, ErrDecode) || !errors.Is(err, errOdd) {
				t.Fatal(err)
			}
		}
		if s := b.Stats(); fills != 1 || s.Hits != 0 || s.Misses != 1000 || s.FillErrors != 1 || b.Len() != 0 {
			t.Errorf("%d fills, %+v", fills, s)
		}
	})
}

// A refill that fails rests too, while a value is held that can't be decoded; each Get is one miss.
func TestTypedRefillRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		fills := 0
		typed := taggedLoader(t, b, "x", &fills, func(c *TypedConfig[string]) {
			c.Fill = func(context.Context, string) (TypedLoaded[string], error) {
				fills++
				return TypedLoaded[string]{}, fs("down")
			}
		})
		testkit.Must(t, b.Set("k", "garbled", 3600))
		for i := range 100 {
			if _, err := typed.Get(t.Context(), "k"); err != fs("down") {
				t.Fatal(err)
			}
			if i%10 == 9 {
				testkit.Advance(200 * time.Millisecond)
			}
		}
		if s := b.Stats(); fills != 2 || s.Hits != 0 || s.Misses != 100 || s.Undecodable != 100 {
			t.Errorf("%d fills, %+v", fills, s)
		}
		get(t, b, "k", "garbled")
	})
}

// Two layouts live side by side, on one node and on two, whoever fills first; a write ends both.
func TestTypedLayoutsSideBySide(t *testing.T) {
	for _, wide := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, nodes := three(t)
			testkit.Advance(3 * time.Second)
			fills := [2]int{}
			edit := func(c *TypedConfig[string]) { c.Loader.ClusterWide = wide }
			one := taggedLoader(t, nodes[0], "1", &fills[0], edit)
			two := taggedLoader(t, nodes[1], "2", &fills[1], edit)
			also := taggedLoader(t, nodes[0], "2", &fills[1], edit)
			for range 3 {
				before := fills
				for range 100 {
					typedGet(t, one, "k", "by 1")
					synctest.Wait()
					typedGet(t, two, "k", "by 2")
					synctest.Wait()
					testkit.Advance(10 * time.Millisecond)
				}
				if n := [2]int{fills[0] - before[0], fills[1] - before[1]}; n != [2]int{1, 1} {
					t.Errorf("ClusterWide %v: %d fills", wide, n)
				}
				typedGet(t, also, "k", "by 2")
				get(t, nodes[0], "k", "1by 1")
				if all := maps.Collect(two.All()); !maps.Equal(all, map[string]string{"k": "by 2"}) {
					t.Errorf("All: %v", all)
				}
				got, err := also.GetMany(t.Context(), []string{"k"})
				if err != nil || got["k"] != "by 2" {
					t.Errorf("%v, %v", got, err)
				}
				s := nodes[1].Stats()
				typedGet(t, two, "k", "by 2")
				if now := nodes[1].Stats(); now.Hits != s.Hits+1 || now.Misses != s.Misses || now.Undecodable != s.Undecodable {
					t.Errorf("what stands beside isn't a hit")
				}
				testkit.Must(t, nodes[2].Delete("k"))
				synctest.Wait()
				testkit.Advance(time.Second) // the fence is open again
			}
		})
	}
}

// Where one layout is held and another one stands beside, a third one gets neither.
func TestTypedThreeLayouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		fills := 0
		var ls []*Typed[string]
		for _, tag := range []string{"1", "2", "3"} {
			ls = append(ls, taggedLoader(t, b, tag, &fills))
		}
		for range 3 {
			for i, l := range ls {
				typedGet(t, l, "k", "by "+string(l.codec.(tagged)))
				if got, err := l.GetMany(t.Context(), []string{"k"}); got["k"] == "" || err != nil {
					t.Errorf("%d: %v, %v", i, got, err)
				}
				for _, v := range l.All() {
					if v != "by "+string(l.codec.(tagged)) {
						t.Errorf("%d: All has %q", i, v)
					}
				}
			}
		}
		get(t, b, "k", "1by 1")
	})
}

// That there is no value stands beside another layout's too.
func TestTypedNegativeBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		fills := 0
		typed := taggedLoader(t, b, "x", &fills, func(c *TypedConfig[string]) {
			c.Loader.NegativeTTL = time.Minute
			c.Fill = func(context.Context, string) (TypedLoaded[string], error) {
				fills++
				return TypedLoaded[string]{}, ErrNotFound
			}
		})
		testkit.Must(t, b.Set("k", "garbled", 3600))
		for range 10 {
			if _, err := typed.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		}
		if fills != 1 {
			t.Errorf("%d fills", fills)
		}
		get(t, b, "k", "garbled")
	})
}

// When what can't be decoded has expired, a refill is a fill like any other.
func TestTypedRefillOfExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		fills := 0
		typed := taggedLoader(t, nodes[0], "x", &fills)
		testkit.Must(t, nodes[0].Set("k", "garbled", 5))
		testkit.Advance(5 * time.Second)
		typedGet(t, typed, "k", "by x")
		synctest.Wait()
		get(t, nodes[1], "k", "xby x")
	})
}

// GetMany refills what can't be decoded together with what is missing.
func TestTypedGetManyUndecodable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{}
		b := localNode(t)
		keys := numbered(db, 100)
		typed, err := NewTyped(b, TypedConfig[string]{
			Codec: tagged("x"),
			FillMany: func(ctx context.Context, keys []string) (map[string]TypedLoaded[string], error) {
				values, err := db.fillMany(ctx, keys)
				typed := map[string]TypedLoaded[string]{}
				for key, v := range values {
					typed[key] = TypedLoaded[string]{Value: v.Value}
				}
				return typed, err
			},
			Loader: LoaderConfig{TTL: time.Minute},
		})
		testkit.Must(t, err)
		for _, key := range keys[:50] {
			testkit.Must(t, b.Set(key, "garbled", 60))
		}
		for range 2 {
			got, err := typed.GetMany(t.Context(), append(keys, keys...))
			if len(got) != 100 || err != nil || got[keys[7]] != "value of "+keys[7] {
				t.Errorf("%d values, %v", len(got), err)
			}
		}
		if s := b.Stats(); db.asked() != 1 || s.Misses != 100 || s.Hits != 100 || s.Undecodable != 50 {
			t.Errorf("%d queries, %+v", db.asked(), s)
		}
	})
}

// A caller never gets what the Fill of another layout brought, while that runs.
func TestTypedLayoutsDoNotJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var wg sync.WaitGroup
		var fills atomic.Int64
		slow := func(v string) func(c *TypedConfig[string]) {
			return func(c *TypedConfig[string]) {
				c.Codec, c.Version = Raw[string]{}, v
				c.Fill = func(context.Context, string) (TypedLoaded[string], error) {
					fills.Add(1)
					testkit.Advance(time.Second)
					return TypedLoaded[string]{Value: "of " + v}, nil
				}
			}
		}
		for range 2 {
			for _, v := range []string{"1", "2"} {
				l := taggedLoader(t, b, "", nil, slow(v))
				wg.Go(func() { typedGet(t, l, "k", "of "+v) })
			}
		}
		wg.Go(func() {
			l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
				fills.Add(1)
				testkit.Advance(time.Second)
				return Loaded{Value: "plain"}, nil
			})
			if _, err := l.Get(t.Context(), "k"); err != nil { // or what a Typed has written meanwhile
				t.Error(err)
			}
		})
		wg.Wait()
		if n := fills.Load(); n != 3 {
			t.Errorf("%d fills", n)
		}
	})
}

func TestVersionMarks(t *testing.T) {
	long := strings.Repeat("v", maxVersion)
	values := []string{"", "x", "{}", versionMark, versionMark + "\x00", versionMark + "\x01", versionMark + "\x01ax", "\x00\xff"}
	versions := []string{"", "1", "2", "a", "ab", long, versionMark}
	for _, s := range values {
		for _, v := range versions {
			held := markVersion(v, s)
			for _, w := range versions {
				got, err := unmarkVersion(w, held)
				if (err == nil) != (v == w) || err == nil && got != s {
					t.Errorf("%q of %q, read as %q: %q, %v", s, v, w, got, err)
				}
			}
			if v == "" && !strings.HasPrefix(s, versionMark) && held != s {
				t.Errorf("%q is marked: %q", s, held)
			}
		}
	}
	for _, held := range []string{versionMark, versionMark + "\x01", versionMark + "\xffa"} {
		for _, v := range versions {
			if got, err := unmarkVersion(v, held); err == nil {
				t.Errorf("%q is read as %q", held, got)
			}
		}
	}
}

// Values of another Version, or of none, can't be decoded; the keys are the same.
func TestTypedVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		rows := map[string]user{"1": {"Ada", 36}}
		version := func(v string) (*Typed[user], func() int64) {
			l, fills := users(t, b, rows, func(c *TypedConfig[user]) { c.Version = v })
			return l, fills.Load
		}
		check := func(l *Typed[user], want user) {
			t.Helper()
			if u, err := l.Get(t.Context(), "1"); u != want || err != nil {
				t.Errorf("%v, %v", u, err)
			}
		}
		old, _ := version("")
		one, fills1 := version("1")
		again, fillsAgain := version("1")
		two, fills2 := version("2")
		testkit.Must(t, old.Set("1", user{"of none", 0}, 0))
		get(t, b, "user:1", `{"Name":"of none","Age":0}`)
		check(old, user{"of none", 0})
		check(one, rows["1"])
		check(again, rows["1"])
		testkit.Must(t, one.Set("1", user{"of 1", 1}, 0))
		check(one, user{"of 1", 1})
		check(again, user{"of 1", 1})
		check(two, rows["1"])
		if fills1() != 1 || fillsAgain() != 0 || fills2() != 1 {
			t.Errorf("%d, %d, %d fills", fills1(), fillsAgain(), fills2())
		}
		testkit.Must(t, two.Delete("1"))
		if all := maps.Collect(one.All()); len(all) != 0 {
			t.Errorf("All: %v", all)
		}
		_, err := NewTyped(b, TypedConfig[int]{Version: strings.Repeat("v", 256), Loader: LoaderConfig{TTL: 1}})
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "Version") {
			t.Error(err)
		}
	})
}

// A value that happens to look marked is none the worse for it.
func TestTypedRawThatLooksMarked(t *testing.T) {
	b := localNode(t)
	fills := 0
	typed := taggedLoader(t, b, "", &fills, func(c *TypedConfig[string]) { c.Codec = Raw[string]{} })
	for _, v := range []string{versionMark, versionMark + "\x01a", versionMark + "\x00"} {
		testkit.Must(t, typed.Set("k", v, 0))
		typedGet(t, typed, "k", v)
	}
	if fills != 0 {
		t.Errorf("%d fills", fills)
	}
}
