package bcache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

// cutOut returns a string of 16 bytes that is part of one of 256 KiB, as those are that were cut out of
// the body of a request.
func cutOut(s string) string {
	body := fmt.Sprintf("%-16s%s", s, strings.Repeat("x", 256<<10))
	return body[:16]
}

// Whatever a node is given, through whatever door, it keeps a copy: a part of a large string doesn't keep
// all of it. Nor does anything that is still known of a key keep a value that has gone.
func TestCopiesOfItsOwn(t *testing.T) {
	const n, limit = 100, 6 << 20 // of 25 MiB that are handed over
	val := func(string) (string, error) { return cutOut("v"), nil }
	big := strings.Repeat("b", 256<<10)
	load := func(_ context.Context, key string) (Loaded, error) {
		if strings.HasPrefix(key, "none") {
			return Loaded{}, fmt.Errorf("%s: %w", key, ErrNotFound)
		}
		return Loaded{Value: cutOut("v")}, nil
	}
	loading := func(b *Bcache, wide bool) *Loader {
		l, err := NewLoader(b, LoaderConfig{
			TTL: time.Hour, NegativeTTL: time.Hour, FillTimeout: time.Second, ClusterWide: wide, Fill: load,
		})
		testkit.Must(t, err)
		return l
	}
	many := func(b *Bcache) *Loader {
		l, err := NewLoader(b, LoaderConfig{
			TTL: time.Hour, FillTimeout: time.Second,
			FillMany: func(_ context.Context, keys []string) (map[string]Loaded, error) {
				values := map[string]Loaded{}
				for _, key := range keys {
					values[key] = Loaded{Value: cutOut("v")}
				}
				return values, nil
			},
		})
		testkit.Must(t, err)
		return l
	}
	raw := func(b *Bcache) *Typed[string] {
		ty, err := NewTyped(b, TypedConfig[string]{
			Codec: Raw[string]{}, Loader: LoaderConfig{TTL: time.Hour, FillTimeout: time.Second},
			Fill: func(context.Context, string) (TypedLoaded[string], error) {
				return TypedLoaded[string]{Value: cutOut("v")}, nil
			},
		})
		testkit.Must(t, err)
		return ty
	}
	for _, door := range []struct {
		name string
		held int // keys, in the end
		put  func(b *Bcache) func(key string)
	}{
		{"Set", n, func(b *Bcache) func(string) {
			return func(key string) { testkit.Must(t, b.Set(key, cutOut("v"), 3600)) }
		}},
		{"Set again", 1, func(b *Bcache) func(string) {
			return func(string) { testkit.Must(t, b.SetWithTTL("k", cutOut("v"), NoExpiry)) }
		}},
		{"the key of a Set", n, func(b *Bcache) func(string) {
			return func(key string) { testkit.Must(t, b.Set(cutOut(key), "v", 3600)) }
		}},
		{"an empty value", n, func(b *Bcache) func(string) {
			return func(key string) { testkit.Must(t, b.Set(key, cutOut("v")[:0], 3600)) }
		}},
		{"the key of a Delete", 0, func(b *Bcache) func(string) {
			return func(key string) { testkit.Must(t, b.Delete(cutOut(key))) }
		}},
		{"the key of a value that is too large", 0, func(b *Bcache) func(string) {
			return func(key string) { _ = b.Set(cutOut(key), strings.Repeat("v", MaxRecordSize), 60) }
		}},
		{"values that were deleted", 0, func(b *Bcache) func(string) {
			return func(key string) {
				testkit.Must(t, b.Set(key, big+key, 3600))
				testkit.Must(t, b.Delete(key))
			}
		}},
		{"values that were replaced", n, func(b *Bcache) func(string) {
			return func(key string) {
				testkit.Must(t, b.Set(key, big+key, 3600))
				testkit.Must(t, b.Set(key, "v", 3600))
			}
		}},
		{"GetWithFiller", n, func(b *Bcache) func(string) {
			return func(key string) { _, err := b.GetWithFiller(cutOut(key), val, 3600); testkit.Must(t, err) }
		}},
		{"a provisional value", n, func(b *Bcache) func(string) {
			return func(key string) { provisional(t, b, cutOut(key), cutOut("v")) }
		}},
		{"Loader.Get", n, func(b *Bcache) func(string) {
			l := loading(b, false)
			return func(key string) { _, err := l.Get(context.Background(), cutOut(key)); testkit.Must(t, err) }
		}},
		{"a negative", n, func(b *Bcache) func(string) {
			l := loading(b, false)
			return func(key string) { _, _ = l.Get(context.Background(), cutOut("none"+key)) }
		}},
		{"Loader.Get, cluster-wide", n, func(b *Bcache) func(string) {
			l := loading(b, true)
			return func(key string) { _, err := l.Get(context.Background(), cutOut(key)); testkit.Must(t, err) }
		}},
		{"Loader.GetMany", 2 * n, func(b *Bcache) func(string) {
			l := many(b)
			return func(key string) {
				_, err := l.GetMany(context.Background(), []string{cutOut(key), cutOut("-" + key)})
				testkit.Must(t, err)
			}
		}},
		{"Typed.Get", n, func(b *Bcache) func(string) {
			ty := raw(b)
			return func(key string) { _, err := ty.Get(context.Background(), cutOut(key)); testkit.Must(t, err) }
		}},
		{"Typed.Set", n, func(b *Bcache) func(string) {
			ty := raw(b)
			return func(key string) { testkit.Must(t, ty.Set(key, cutOut("v"), time.Hour)) }
		}},
	} {
		for _, nodes := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d nodes", door.name, nodes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					net := memnet.New()
					b := memNode(t, net, 1, 0)
					if nodes == 2 { // it holds a copy of everything too
						memNode(t, net, 2, 0)
						testkit.Advance(5 * time.Second) // they know that they are synced
					}
					put := door.put(b)
					before := testkit.Heap()
					for i := range n {
						put(fmt.Sprint("k", i))
					}
					synctest.Wait() // nothing is under way any more
					grew := testkit.Heap() - before
					if b.Len() != door.held {
						t.Errorf("%d keys are held, want %d", b.Len(), door.held)
					}
					if grew > limit {
						t.Errorf("the heap grew by %d MiB", grew>>20)
					}
				})
			})
		}
	}
}
