package bcache

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

type moody struct {
	tagged
	exits *atomic.Bool
}

func (c moody) Decode(s string) (string, error) {
	if c.exits.Load() && s == "poison" {
		runtime.Goexit()
	}
	return c.tagged.Decode(s)
}

// A Codec that calls runtime.Goexit leaves no load behind.
func TestGetManyCodecGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var exits atomic.Bool
		exits.Store(true)
		_, bs, _ := leased(t, 2, &testDB{})
		fills := 0
		hang := make(chan struct{})
		mk := func(b *Bcache) *Typed[string] {
			return taggedLoader(t, b, "", &fills, func(c *TypedConfig[string]) {
				c.Codec = moody{"", &exits}
				c.Loader.ClusterWide = true
				c.FillMany = func(ctx context.Context, keys []string) (map[string]TypedLoaded[string], error) {
					select {
					case <-hang:
					case <-ctx.Done():
					}
					return map[string]TypedLoaded[string]{}, ctx.Err()
				}
				c.Fill = nil
			})
		}
		a, b := mk(bs[0]), mk(bs[1])
		go a.GetMany(t.Context(), []string{"x", "y"})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		go b.GetMany(ctx, []string{"x", "y"}) // waits for the leases
		synctest.Wait()
		testkit.Must(t, bs[1].Set("x", "poison", 60))
		synctest.Wait()
		exits.Store(false)
		close(hang)
		testkit.Advance(10 * time.Second)
		synctest.Wait()
		if n := bs[1].loads.Len(); n != 0 {
			t.Errorf("%d loads are left for ever", n)
		}
		if v, err := getForTyped(b, time.Second, "y"); err == context.DeadlineExceeded {
			t.Errorf("y fails for ever: %q, %v", v, err)
		}
	})
}

// Nor does it keep a slot.
func TestLoaderCodecGoexitKeepsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var exits atomic.Bool
		exits.Store(true)
		net, bs, _ := leased(t, 2, &testDB{})
		fills := 0
		typed := taggedLoader(t, bs[1], "", &fills, func(c *TypedConfig[string]) {
			c.Codec = moody{"", &exits}
			c.Loader.MaxConcurrent, c.Loader.ClusterWide = 1, true
		})
		net.Filter(func(from, _ uint64, _ []byte) bool { return from != 1 }) // it doesn't answer for a while
		key := keyGrantedBy(t, bs, 0)
		go typed.Get(t.Context(), key)
		synctest.Wait()
		testkit.Must(t, bs[1].Set(key, "poison", 60))
		synctest.Wait()
		exits.Store(false)
		if n := len(typed.loader.slots); n != 0 {
			t.Errorf("%d slots of 1 are taken for ever", n)
		}
	})
}

// Nor does the store go on watching for writes of the key.
func TestLoaderCodecGoexitEndsTheFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var exits atomic.Bool
		b := localNode(t)
		fills := 0
		typed := taggedLoader(t, b, "new:", &fills, func(c *TypedConfig[string]) {
			c.Codec = moody{"new:", &exits}
			c.Fill = func(context.Context, string) (TypedLoaded[string], error) {
				exits.Store(true) // when the value is written, and what is held is looked at
				return TypedLoaded[string]{Value: "v"}, nil
			}
		})
		testkit.Must(t, b.Set("k", "poison", 60))
		if _, err := typed.Get(t.Context(), "k"); err != ErrFillAborted {
			t.Errorf("Get = %v", err)
		}
		synctest.Wait()
		if n := fillsLeft(b); n != 0 {
			t.Errorf("%d fills are left", n)
		}
	})
}

type second struct {
	tagged
	n *atomic.Int32
}

func (c second) Decode(s string) (string, error) {
	if s == "poison" && c.n.Add(1) > 1 {
		runtime.Goexit()
	}
	return c.tagged.Decode(s)
}

// Nor does it have a GetMany hang.
func TestGetManyCodecGoexitHangsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		fills := 0
		typed := taggedLoader(t, b, "", &fills, func(c *TypedConfig[string]) {
			c.Codec = second{"", new(atomic.Int32)}
			c.Fill = func(_ context.Context, key string) (TypedLoaded[string], error) {
				if key == "a" {
					return TypedLoaded[string]{Value: "poison"}, nil
				}
				time.Sleep(100 * time.Millisecond)
				return TypedLoaded[string]{Value: "v"}, nil
			}
		})
		done := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			defer close(done)
			typed.GetMany(ctx, []string{"a", "b", "c"})
		}()
		select {
		case <-done:
		case <-time.After(3 * time.Second):
			t.Error("GetMany hangs beyond its context, and for ever")
		}
	})
}

type cipher struct{ key []byte }

func (c cipher) Encode(s string) (string, error) { return string(c.key) + s, nil }

func (c cipher) Decode(s string) (string, error) { return tagged(c.key).Decode(s) }

// Codecs that can't be compared share nothing.
func TestTypedIncomparableCodecs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		mk := func(key string) *Typed[string] {
			l, err := NewTyped(b, TypedConfig[string]{
				Codec: cipher{[]byte(key)},
				Fill: func(context.Context, string) (TypedLoaded[string], error) {
					testkit.Advance(time.Second)
					return TypedLoaded[string]{Value: "v"}, nil
				},
				Loader: LoaderConfig{TTL: time.Hour},
			})
			testkit.Must(t, err)
			return l
		}
		one, two := mk("1:"), mk("2:")
		go one.Get(t.Context(), "k")
		synctest.Wait()
		typedGet(t, two, "k", "v")
	})
}

type panicking struct{ what any }

func (c panicking) Encode(string) (string, error) { panic(c.what) }

func (c panicking) Decode(string) (string, error) { panic(c.what) }

// A Codec that panics is an error for its caller, and for nobody else.
func TestTypedCodecPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, what := range []any{"boom", errOdd, nil} {
			b := localNode(t)
			fills := 0
			typed := taggedLoader(t, b, "", &fills, func(c *TypedConfig[string]) { c.Codec = panicking{what} })
			testkit.Must(t, b.Set("k", "v", 60))
			says := func(err, is error) {
				t.Helper()
				if !errors.Is(err, is) || what == errOdd && !errors.Is(err, errOdd) ||
					what == "boom" && !strings.Contains(err.Error(), `of "k": the Codec panicked: boom`) {
					t.Errorf("%v: %v", what, err)
				}
			}
			_, err := typed.Get(t.Context(), "k")
			says(err, ErrEncode) // of what the Fill brought
			says(typed.Set("k", "v", 0), ErrEncode)
			_, err = typed.GetMany(t.Context(), []string{"k"})
			says(err.(KeyErrors)["k"], ErrEncode)
			for range typed.All() {
				t.Error("All")
			}
			get(t, b, "k", "v")
		}
	})
}

// exiting is a Codec that takes its goroutine with it.
type exiting struct{ tagged }

func (exiting) Decode(string) (string, error) { runtime.Goexit(); return "", nil }

// Nothing hangs because of one.
func TestTypedCodecExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		fills := 0
		typed := taggedLoader(t, b, "", &fills, func(c *TypedConfig[string]) { c.Codec = exiting{} })
		if _, err := typed.Get(t.Context(), "k"); !errors.Is(err, ErrFillAborted) {
			t.Error(err)
		}
		var wg sync.WaitGroup
		typed = taggedLoader(t, b, "", &fills, func(c *TypedConfig[string]) {
			c.Codec = exiting{}
			c.Fill = func(ctx context.Context, key string) (TypedLoaded[string], error) {
				testkit.Must(t, b.Set(key, "written meanwhile", 60)) // the load looks at it
				return TypedLoaded[string]{}, fs("down")
			}
		})
		var got error
		wg.Go(func() { _, got = typed.Get(t.Context(), "other") })
		wg.Wait()
		synctest.Wait()
		if !errors.Is(got, ErrFillAborted) {
			t.Error(got)
		}
		if n := b.loads.Len(); n != 0 {
			t.Errorf("%d loads are left", n)
		}
	})
}
