package bcache

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What Loaders owe the core.

// fillsLeft counts the fills that a node has begun and not ended.
func fillsLeft(b *Bcache) (n int) {
	for sh := range b.store.table.all {
		sh.mu.Lock()
		n += len(sh.fills)
		sh.mu.Unlock()
	}
	return n
}

// Every fill that is begun is ended, whatever becomes of it.
func TestLoaderFillsEnd(t *testing.T) {
	big := strings.Repeat("x", MaxRecordSize)
	for name, fill := range map[string]func(context.Context) (Loaded, error){
		"value":     func(context.Context) (Loaded, error) { return Loaded{Value: "v"}, nil },
		"uncached":  func(context.Context) (Loaded, error) { return Loaded{Value: "v", TTL: -1}, nil },
		"too large": func(context.Context) (Loaded, error) { return Loaded{Value: big}, nil },
		"not found": func(context.Context) (Loaded, error) { return Loaded{}, ErrNotFound },
		"error":     func(context.Context) (Loaded, error) { return Loaded{}, fs("down") },
		"panic":     func(context.Context) (Loaded, error) { panic("boom") },
		"exit":      func(context.Context) (Loaded, error) { runtime.Goexit(); return Loaded{}, nil },
		"cancelled": func(ctx context.Context) (Loaded, error) { <-ctx.Done(); return Loaded{}, ctx.Err() },
	} {
		for _, negative := range []time.Duration{0, time.Minute} {
			for _, many := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					b := localNode(t)
					var begun atomic.Bool
					l := newLoader(t, b, nil, func(c *LoaderConfig) {
						c.NegativeTTL = negative
						c.Fill = func(ctx context.Context, key string) (Loaded, error) {
							begun.Store(begun.Load() || fillsLeft(b) > 0)
							return fill(ctx)
						}
						if !many {
							return
						}
						c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
							begun.Store(fillsLeft(b) == len(keys))
							v, err := fill(ctx)
							return map[string]Loaded{keys[0]: v}, err
						}
					})
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					l.GetMany(ctx, []string{"a", "b", "c"})
					synctest.Wait()
					if n := fillsLeft(b); n != 0 || !begun.Load() {
						t.Errorf("%s, negative %v, many %v: %d fills are left", name, negative, many, n)
					}
				})
			}
		}
	}
}

// A Loader's Settle goes before that of the node.
func TestLoaderSettle(t *testing.T) {
	const lag = 50 * time.Millisecond
	for _, tt := range []struct {
		node, loader time.Duration
		cached       bool // what is read 20 ms after a Delete
	}{{0, 0, true}, {lag, 0, false}, {lag, -1, true}, {0, lag, false}, {lag, 10 * time.Millisecond, true}} {
		synctest.Test(t, func(t *testing.T) {
			b := memNode(t, newMemNet(), 1, 0, func(c *Config) { c.Settle = tt.node })
			l := newLoader(t, b, func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, nil },
				func(c *LoaderConfig) { c.Settle = tt.loader })
			must(t, b.Delete("k"))
			advance(20 * time.Millisecond)
			loaded(t, l, "k", "v")
			if _, ok := b.Get("k"); ok != tt.cached {
				t.Errorf("Config.Settle %v, LoaderConfig.Settle %v: cached %v", tt.node, tt.loader, ok)
			}
			advance(lag)
			loaded(t, l, "k", "v")
			get(t, b, "k", "v")
		})
	}
}

// What the fence refuses is served on this node until the key is written, and ends what is remembered
// of a failure; so is it that there is no value.
func TestLoaderKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		db := &testDB{}
		b := nodes[0]
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.NegativeTTL, c.RetryAfter = time.Minute, 1 })
		must(t, b.Delete("k"))
		db.fail(fs("down"))
		if _, err := l.Get(t.Context(), "k"); err != fs("down") {
			t.Error(err)
		}
		advance(time.Millisecond)
		db.fail(nil)
		for range 10 {
			if _, err := l.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		}
		db.set("k", "v")
		must(t, nodes[1].Delete("k"))
		synctest.Wait()
		for range 10 {
			loaded(t, l, "k", "v")
		}
		if s := b.Stats(); db.asked() != 3 || s.FillsRefused != 0 || s.ProvisionalKept != 2 {
			t.Errorf("%d queries, %+v", db.asked(), s)
		}
	})
}
