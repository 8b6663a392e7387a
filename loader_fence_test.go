package bcache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

// The fence, for fills that somebody waits for and for those in the background.
func TestLoaderNeverBeatsAWrite(t *testing.T) {
	for _, background := range []bool{false, true} {
		for _, remote := range []bool{false, true} {
			for _, write := range []string{"Delete", "Set", "Clear"} {
				t.Run(fmt.Sprintf("background %v remote %v %s", background, remote, write), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { loaderAgainstWrite(t, background, remote, write) })
				})
			}
		}
	}
}

func loaderAgainstWrite(t *testing.T, background, remote bool, write string) {
	_, nodes := three(t)
	b, writer := nodes[0], nodes[0]
	if remote {
		writer = nodes[1]
	}
	db := &testDB{}
	db.set("k", "old")
	l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.StaleFor = time.Hour })
	if background {
		loaded(t, l, "k", "old")
		testkit.Advance(time.Minute)
	}
	db.took = 10 * time.Second
	first := make(chan Result, 1)
	go func() { first <- l.GetResult(t.Context(), "k") }()
	synctest.Wait()
	db.set("k", "new")
	switch write {
	case "Delete":
		testkit.Must(t, writer.Delete("k"))
	case "Set":
		testkit.Must(t, writer.Set("k", "new", 3600))
	case "Clear":
		testkit.Must(t, writer.Clear())
	}
	synctest.Wait()
	loaded(t, l, "k", "new") // it doesn't wait for the first fill
	if r := <-first; r.Err != nil {
		t.Errorf("%+v", r)
	}
	for range 100 {
		testkit.Advance(time.Second)
		for i, n := range nodes {
			if val, ok := n.Get("k"); ok && val != "new" {
				t.Fatalf("node %d serves %q", i+1, val)
			}
		}
		if r := l.GetResult(t.Context(), "k"); r.Value != "new" {
			t.Fatalf("%+v", r)
		}
	}
}

// A refresh in the background doesn't beat what another node writes meanwhile, whatever the
// clocks say within MaxClockSkew, and whichever arrives first.
func TestLoaderRefreshNeverBeatsAWrite(t *testing.T) {
	const skew = 500 * time.Millisecond
	for _, clocks := range [][]time.Duration{{0, 0, 0}, {skew, 0, 0}, {0, skew, 0}} {
		for _, late := range []uint64{0, 1, 2, 3} {
			for _, del := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					net, nodes := three(t, clocks...)
					db := &testDB{}
					db.set("k", "old")
					ls := loaders(t, nodes, db, func(c *LoaderConfig) { c.StaleFor = time.Hour })
					loaded(t, ls[0], "k", "old")
					testkit.Advance(time.Minute)
					db.took = time.Second
					stale(t, ls[0], "k", "old", nil)
					synctest.Wait() // the refresh has begun
					release := func() {}
					if late != 0 {
						release = net.Hold(late)
					}
					db.set("k", "new")
					if del {
						testkit.Must(t, nodes[1].Delete("k"))
					} else {
						testkit.Must(t, nodes[1].Set("k", "new", 3600))
					}
					testkit.Advance(2 * time.Second)
					release()
					synctest.Wait()
					for i, l := range ls {
						if r := l.GetResult(t.Context(), "k"); r.Err != nil || r.Value != "new" {
							t.Errorf("clocks %v, late %d, delete %v: node %d returns %+v", clocks, late, del, i+1, r)
						}
					}
				})
			}
		}
	}
}

// What Loaders owe the core.

// fillsLeft counts the fills that a node has begun and not ended.
func fillsLeft(b *Bcache) int { return b.store.Fills.Len() }

// Every fill that is begun is ended, whatever becomes of it.
func TestLoaderFillsEnd(t *testing.T) {
	big := strings.Repeat("x", MaxRecordSize)
	for name, fl := range map[string]func(context.Context) (Loaded, error){
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
							return fl(ctx)
						}
						if !many {
							return
						}
						c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
							begun.Store(fillsLeft(b) == len(keys))
							v, err := fl(ctx)
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
			b := memNode(t, memnet.New(), 1, 0, func(c *Config) { c.Settle = tt.node })
			l := newLoader(t, b, func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, nil },
				func(c *LoaderConfig) { c.Settle = tt.loader })
			testkit.Must(t, b.Delete("k"))
			testkit.Advance(20 * time.Millisecond)
			loaded(t, l, "k", "v")
			if _, ok := b.Get("k"); ok != tt.cached {
				t.Errorf("Config.Settle %v, LoaderConfig.Settle %v: cached %v", tt.node, tt.loader, ok)
			}
			testkit.Advance(lag)
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
		testkit.Must(t, b.Delete("k"))
		db.fail(fs("down"))
		if _, err := l.Get(t.Context(), "k"); err != fs("down") {
			t.Error(err)
		}
		testkit.Advance(time.Millisecond)
		db.fail(nil)
		for range 10 {
			if _, err := l.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		}
		db.set("k", "v")
		testkit.Must(t, nodes[1].Delete("k"))
		synctest.Wait()
		for range 10 {
			loaded(t, l, "k", "v")
		}
		if s := b.Stats(); db.asked() != 3 || s.FillsRefused != 0 || s.ProvisionalKept != 2 {
			t.Errorf("%d queries, %+v", db.asked(), s)
		}
	})
}

// A Loader whose reads lag caches what nobody has written for long, from its first fill on.
func TestLoaderSettleOfALateLoader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		testkit.Must(t, b.Set("written", "v", 3600))
		testkit.Advance(time.Hour)
		fills := 0
		l, err := NewLoader(b, LoaderConfig{
			TTL: time.Hour, Settle: time.Minute,
			Fill: func(context.Context, string) (Loaded, error) { fills++; return Loaded{Value: "v"}, nil },
		})
		testkit.Must(t, err)
		for range 50 {
			_, err := l.Get(t.Context(), "never written")
			testkit.Must(t, err)
			testkit.Advance(time.Second)
		}
		if fills != 1 {
			t.Errorf("%d fills, want 1", fills)
		}
	})
}
