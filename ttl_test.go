package bcache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

// What a ttl of 0, and a negative one, mean at each method that takes one, as their comments say: the
// value that was held before is deleted, kept, or lives for the Loader's TTL, which is a minute here.
func TestTTLZeroAndNegative(t *testing.T) {
	const (
		deletes = "deletes"
		caches  = "caches it for the TTL"
		returns = "returns it, caches nothing"
		fails   = "is an error of the config"
	)
	load := func(t *testing.T, b *Bcache, ttl time.Duration) {
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
			return Loaded{Value: "v", TTL: ttl}, nil
		})
		testkit.Must(t, b.Delete("k"))
		loaded(t, l, "k", "v")
	}
	loadMany := func(t *testing.T, b *Bcache, ttl time.Duration) {
		l := newLoader(t, b, nil, func(c *LoaderConfig) {
			c.FillMany = func(context.Context, []string) (map[string]Loaded, error) {
				return map[string]Loaded{"k": {Value: "v", TTL: ttl}}, nil
			}
		})
		testkit.Must(t, b.Delete("k"))
		got, err := l.GetMany(t.Context(), []string{"k"})
		if testkit.Must(t, err); got["k"] != "v" {
			t.Errorf("%q", got)
		}
	}
	typed := func(t *testing.T, b *Bcache, ttl time.Duration) *Typed[string] {
		typed, err := NewTyped(b, TypedConfig[string]{
			Codec: Raw[string]{},
			Fill: func(context.Context, string) (TypedLoaded[string], error) {
				return TypedLoaded[string]{Value: "v", TTL: ttl}, nil
			},
			Loader: LoaderConfig{TTL: time.Minute},
		})
		testkit.Must(t, err)
		return typed
	}
	config := func(t *testing.T, b *Bcache, edit func(*LoaderConfig)) {
		cfg := LoaderConfig{Fill: (&testDB{}).fill, TTL: time.Minute}
		edit(&cfg)
		if _, err := NewLoader(b, cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("NewLoader: %v", err)
		}
	}
	for _, tt := range []struct {
		name           string
		zero, negative string
		do             func(t *testing.T, b *Bcache, ttl time.Duration)
	}{
		{"Bcache.Set", deletes, deletes, func(t *testing.T, b *Bcache, ttl time.Duration) {
			testkit.Must(t, b.Set("k", "v", int(ttl)))
		}},
		{"Bcache.SetWithTTL", deletes, deletes, func(t *testing.T, b *Bcache, ttl time.Duration) {
			testkit.Must(t, b.SetWithTTL("k", "v", ttl))
		}},
		{"Loader.Set", caches, deletes, func(t *testing.T, b *Bcache, ttl time.Duration) {
			testkit.Must(t, newLoader(t, b, (&testDB{}).fill).Set("k", "v", ttl))
		}},
		{"Typed.Set", caches, deletes, func(t *testing.T, b *Bcache, ttl time.Duration) {
			testkit.Must(t, typed(t, b, 0).Set("k", "v", ttl))
		}},
		{"GetWithFiller", returns, returns, func(t *testing.T, b *Bcache, ttl time.Duration) {
			testkit.Must(t, b.Delete("k"))
			val, err := b.GetWithFiller("k", func(string) (string, error) { return "v", nil }, int(ttl))
			if testkit.Must(t, err); val != "v" {
				t.Errorf("%q", val)
			}
		}},
		{"Loaded.TTL of a Fill", caches, returns, load},
		{"Loaded.TTL of a FillMany", caches, returns, loadMany},
		{"TypedLoaded.TTL", caches, returns, func(t *testing.T, b *Bcache, ttl time.Duration) {
			testkit.Must(t, b.Delete("k"))
			v, err := typed(t, b, ttl).Get(t.Context(), "k")
			if testkit.Must(t, err); v != "v" {
				t.Errorf("%q", v)
			}
		}},
		{"LoaderConfig.TTL", fails, fails, func(t *testing.T, b *Bcache, ttl time.Duration) {
			config(t, b, func(c *LoaderConfig) { c.TTL = ttl })
		}},
	} {
		for ttl, want := range map[time.Duration]string{0: tt.zero, -1: tt.negative} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := localNode(t)
					testkit.Must(t, b.Set("k", "old", 3600))
					tt.do(t, b, ttl)
					val, _ := b.Get("k")
					testkit.Advance(time.Minute)
					left, _ := b.Get("k")
					switch want {
					case deletes, returns:
						if val != "" {
							t.Errorf("a ttl of %d: it holds %q", ttl, val)
						}
					case caches:
						if val != "v" || left != "" {
							t.Errorf("a ttl of %d: it holds %q, and after the TTL %q", ttl, val, left)
						}
					case fails:
						if left != "old" {
							t.Errorf("a ttl of %d: it holds %q", ttl, left)
						}
					}
				})
			})
		}
	}

	// NegativeTTL: 0 remembers nothing, and a negative one is an error.
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{}
		l := newLoader(t, b, db.fill)
		for range 2 {
			if _, err := l.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		}
		if db.asked() != 2 || b.Len() != 0 {
			t.Errorf("%d queries, %d entries", db.asked(), b.Len())
		}
		config(t, b, func(c *LoaderConfig) { c.NegativeTTL = -1 })
	})
}

// Config.Settle holds for each way to fill the cache, and for what is remembered as missing: what is
// read too soon after a write isn't cached.
func TestSettleThroughEveryDoor(t *testing.T) {
	const lag = 50 * time.Millisecond
	ctx := context.Background()
	fl := func(_ context.Context, key string) (Loaded, error) { return Loaded{Value: "v"}, nil }
	for name, get := range map[string]func(t *testing.T, b *Bcache){
		"GetWithFiller": func(t *testing.T, b *Bcache) {
			_, err := b.GetWithFiller("k", func(string) (string, error) { return "v", nil }, 60)
			testkit.Must(t, err)
		},
		"Loader.Get":       func(t *testing.T, b *Bcache) { loaded(t, newLoader(t, b, fl), "k", "v") },
		"Loader.GetResult": func(t *testing.T, b *Bcache) { newLoader(t, b, fl).GetResult(ctx, "k") },
		"ClusterWide": func(t *testing.T, b *Bcache) {
			loaded(t, newLoader(t, b, fl, func(c *LoaderConfig) { c.ClusterWide = true }), "k", "v")
		},
		"GetMany, a Fill": func(t *testing.T, b *Bcache) {
			_, err := newLoader(t, b, fl).GetMany(ctx, []string{"k"})
			testkit.Must(t, err)
		},
		"GetMany, a FillMany": func(t *testing.T, b *Bcache) {
			l := newLoader(t, b, nil, func(c *LoaderConfig) {
				c.FillMany = func(context.Context, []string) (map[string]Loaded, error) {
					return map[string]Loaded{"k": {Value: "v"}}, nil
				}
			})
			_, err := l.GetMany(ctx, []string{"k"})
			testkit.Must(t, err)
		},
		"Typed.Get": func(t *testing.T, b *Bcache) {
			typed, err := NewTyped(b, TypedConfig[string]{
				Fill: func(context.Context, string) (TypedLoaded[string], error) {
					return TypedLoaded[string]{Value: "v"}, nil
				},
				Loader: LoaderConfig{TTL: time.Minute},
			})
			testkit.Must(t, err)
			_, err = typed.Get(ctx, "k")
			testkit.Must(t, err)
		},
		"a missing row": func(t *testing.T, b *Bcache) {
			l := newLoader(t, b, (&testDB{}).fill, func(c *LoaderConfig) { c.NegativeTTL = time.Minute })
			_, _ = l.Get(ctx, "k")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := memNode(t, memnet.New(), 1, 0, func(c *Config) { c.Settle = lag })
				testkit.Must(t, b.Delete("k"))
				testkit.Advance(20 * time.Millisecond)
				get(t, b)
				synctest.Wait()
				if b.Len() != 0 {
					t.Error("what was read within Settle after a write is cached")
				}
				testkit.Advance(lag)
				get(t, b)
				if synctest.Wait(); b.Len() != 1 {
					t.Error("what was read later isn't cached")
				}
			})
		})
	}
}
