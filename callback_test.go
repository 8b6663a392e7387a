package bcache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/env"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
)

// A callbackWorld is a node with all callbacks that there are. One of them does what the test wants,
// the first time that it is called.
type callbackWorld struct {
	b           *Bcache
	one, many   *Loader
	typed       *Typed[string]
	cancel      func() // of the subscription
	down        atomic.Bool
	which       string
	do          func(ctx context.Context) // nil, or done already: it does nothing
	mu          sync.Mutex
	fillTimeout time.Duration
}

// called is what each callback does.
func (w *callbackWorld) called(which string, ctx context.Context) {
	w.mu.Lock()
	do := w.do
	if which == w.which {
		w.do = nil
	}
	w.mu.Unlock()
	if which == w.which && do != nil {
		do(ctx)
	}
}

func (w *callbackWorld) Errorf(string, ...any) { w.called("Logger", context.Background()) }
func (w *callbackWorld) Printf(string, ...any) {}
func (w *callbackWorld) Debugf(string, ...any) {}

func (w *callbackWorld) Encode(v string) (string, error) {
	w.called("Encode", context.Background())
	return v, nil
}

func (w *callbackWorld) Decode(s string) (string, error) {
	w.called("Decode", context.Background())
	return s, nil
}

func (w *callbackWorld) filler(string) (string, error) {
	w.called("Filler", context.Background())
	return "v", nil
}

func (w *callbackWorld) fill(ctx context.Context, _ string) (Loaded, error) {
	w.called("Fill", ctx)
	if w.down.Load() {
		return Loaded{}, errors.New("down")
	}
	return Loaded{Value: "v"}, nil
}

func (w *callbackWorld) fillMany(ctx context.Context, keys []string) (map[string]Loaded, error) {
	w.called("FillMany", ctx)
	found := map[string]Loaded{}
	for _, key := range keys {
		found[key] = Loaded{Value: "v"}
	}
	return found, nil
}

func (w *callbackWorld) subscriber(e Event) {
	if e.Key == "k" {
		w.called("subscriber", context.Background())
	}
}

func newCallbackWorld(t *testing.T, which string) *callbackWorld {
	w := &callbackWorld{which: which, fillTimeout: 5 * time.Second}
	b, err := New(Config{MaxKeys: 100, Logger: w})
	testkit.Must(t, err)
	w.b = b
	cfg := LoaderConfig{
		TTL: time.Minute, StaleOnErrorFor: time.Hour, FillTimeout: w.fillTimeout,
		OnStale: func(string, error) { w.called("OnStale", context.Background()) },
	}
	one, many, typed := cfg, cfg, cfg
	one.Fill, many.FillMany = w.fill, w.fillMany
	typed.Prefix, typed.OnStale = "t:", nil
	w.one, err = NewLoader(b, one)
	testkit.Must(t, err)
	w.many, err = NewLoader(b, many)
	testkit.Must(t, err)
	w.typed, err = NewTyped(b, TypedConfig[string]{
		Codec: w, Loader: typed,
		Fill: func(context.Context, string) (TypedLoaded[string], error) {
			return TypedLoaded[string]{Value: "v"}, nil
		},
	})
	testkit.Must(t, err)
	w.cancel = b.Subscribe(w.subscriber)
	return w
}

// trigger has each callback called.
func (w *callbackWorld) trigger(t *testing.T) {
	ctx := context.Background()
	switch w.which {
	case "Filler":
		w.b.GetWithFiller("k", w.filler, 60)
	case "Fill":
		w.one.Get(ctx, "k")
	case "FillMany":
		w.many.GetMany(ctx, []string{"k", "k2"})
	case "OnStale", "Logger":
		if v, err := w.one.Get(ctx, "k"); v != "v" || err != nil {
			t.Errorf("%q, %v", v, err)
		}
		testkit.Advance(2 * time.Minute)
		w.down.Store(true)
		start := time.Now()
		if v, err := w.one.Get(ctx, "k"); v != "v" || err != nil || time.Since(start) != 0 {
			t.Errorf("%q, %v after %v: it waits for %s", v, err, time.Since(start), w.which)
		}
	case "Encode":
		w.typed.Get(ctx, "k")
	case "Decode":
		w.typed.Set("k", "v", 0)
		w.typed.Get(ctx, "k")
	case "subscriber":
		w.b.Set("k", "v", 60)
	}
}

var callbacks = []string{
	"Filler", "Fill", "FillMany", "OnStale", "Encode", "Decode", "Logger", "subscriber",
}

// What each callback may call, by itself and from a goroutine that it waits for, and how long that takes
// at most: the table in docs/callbacks.md. Nothing waits for ever, and Close keeps its limits.
func TestCallbacksMayCall(t *testing.T) {
	plain := func(string) (string, error) { return "plain", nil }
	bg := context.Background()
	closing := callLimit + lastLines
	calls := []struct {
		name string
		do   func(w *callbackWorld, ctx context.Context)
		most func(w *callbackWorld) time.Duration // nil: it waits for nothing
	}{
		{"Get", func(w *callbackWorld, _ context.Context) { w.b.Get("k") }, nil},
		{"Set", func(w *callbackWorld, _ context.Context) { w.b.Set("k", "w", 60) }, nil},
		{"Delete", func(w *callbackWorld, _ context.Context) { w.b.Delete("k") }, nil},
		{"Clear", func(w *callbackWorld, _ context.Context) { w.b.Clear() }, nil},
		{"Stats", func(w *callbackWorld, _ context.Context) { w.b.Stats(); w.b.Len(); w.b.Members() }, nil},
		{"All", func(w *callbackWorld, _ context.Context) {
			for range w.b.All() {
				w.b.Set("k", "w", 60)
			}
		}, nil},
		{"Subscribe", func(w *callbackWorld, _ context.Context) { w.b.Subscribe(func(Event) {}) }, nil},
		{"Subscribe and cancel", func(w *callbackWorld, _ context.Context) {
			w.b.Subscribe(func(Event) {})()
		}, nil},
		{"cancel", func(w *callbackWorld, _ context.Context) { w.cancel() },
			func(*callbackWorld) time.Duration { return callLimit }},
		{"Close", func(w *callbackWorld, _ context.Context) { w.b.Close() },
			func(*callbackWorld) time.Duration { return closing }},
		{"GetWithFiller of another key", func(w *callbackWorld, _ context.Context) {
			w.b.GetWithFiller("other", plain, 60)
		}, nil},
		{"GetWithFiller of the key", func(w *callbackWorld, _ context.Context) {
			w.b.GetWithFiller("k", plain, 60)
		}, func(w *callbackWorld) time.Duration {
			if w.which == "Filler" {
				return fillerPatience
			}
			return 0
		}},
		{"Loader.Get of another key", func(w *callbackWorld, ctx context.Context) {
			w.one.Get(ctx, "other")
			w.many.GetMany(ctx, []string{"other 1", "other 2"})
			w.typed.Get(ctx, "other")
		}, nil},
		{"Loader.Get of the key, with the Fill's context", func(w *callbackWorld, ctx context.Context) {
			w.one.Get(ctx, "k")
			w.many.GetMany(ctx, []string{"k", "k2"})
		}, nil},
		{"Loader.Get of the key", func(w *callbackWorld, _ context.Context) {
			w.one.Get(bg, "k")
			w.many.Get(bg, "k")
			w.typed.Set("k", "w", 0)
			w.typed.Get(bg, "k")
		}, func(w *callbackWorld) time.Duration {
			if w.which == "Fill" || w.which == "FillMany" {
				return w.fillTimeout + fill.FillSlack
			}
			return 0
		}},
	}
	for _, which := range callbacks {
		for _, call := range calls {
			for _, how := range []string{"itself", "a goroutine", "a Filler"} {
				t.Run(which+"/"+call.name+"/"+how, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newCallbackWorld(t, which)
						var most time.Duration
						if call.most != nil {
							most = call.most(w)
						}
						var ended atomic.Int64
						ended.Store(-1)
						w.do = func(ctx context.Context) {
							start := time.Now()
							switch how {
							case "itself":
								call.do(w, ctx)
							case "a goroutine":
								done := make(chan struct{})
								go func() { defer close(done); call.do(w, ctx) }()
								<-done
							case "a Filler":
								w.b.GetWithFiller("in between", func(string) (string, error) {
									call.do(w, ctx)
									return "", nil
								}, -1)
							}
							ended.Store(int64(time.Since(start)))
						}
						w.trigger(t)
						testkit.Advance(fillerPatience + time.Second)
						if took := time.Duration(ended.Load()); took < 0 || took > most {
							t.Errorf("it took %v, at most %v", took, most)
						}
						start := time.Now()
						if err := w.b.Close(); call.name != "Close" && err != nil || time.Since(start) != 0 {
							t.Errorf("Close = %v after %v", err, time.Since(start))
						}
					})
				})
			}
		}
	}
}

// Whatever callback doesn't return, or lasts: Close and cancel return in time, Close says what still
// runs, and nothing is called afterwards. What is left ends with the callback, of which synctest makes
// sure.
func TestCloseWhateverCallbacksDo(t *testing.T) {
	names := map[string]string{"subscriber": "a subscriber", "Logger": "the Logger", "OnStale": "OnStale"}
	for _, which := range callbacks {
		for _, lasts := range []time.Duration{time.Second, time.Hour} {
			t.Run(fmt.Sprint(which, " ", lasts), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newCallbackWorld(t, which)
					var over, closed atomic.Bool
					entered := make(chan struct{})
					w.do = func(context.Context) {
						close(entered)
						time.Sleep(lasts)
						over.Store(true)
					}
					w.b.Subscribe(func(Event) {
						if closed.Load() {
							t.Error("called after Close")
						}
					})
					go w.trigger(t)
					<-entered
					start := time.Now()
					err := w.b.Close()
					closed.Store(true)
					name, waited := names[which]
					limit := callLimit + lastLines
					switch took := time.Since(start); {
					case !waited && (err != nil || took != 0):
						t.Errorf("Close = %v after %v", err, took)
					case waited && lasts == time.Second && (err != nil || took > lasts):
						t.Errorf("Close = %v after %v", err, took)
					case waited && lasts > limit && (!errors.Is(err, ErrCallback) ||
						!strings.HasSuffix(err.Error(), ": "+name) || took > limit):
						t.Errorf("Close = %v after %v", err, took)
					}
					if again := w.b.Close(); again != err {
						t.Errorf("a second Close = %v", again)
					}
					start = time.Now()
					if w.cancel(); time.Since(start) > callLimit {
						t.Errorf("cancel took %v", time.Since(start))
					}
					testkit.Advance(2 * time.Hour)
					if !over.Load() {
						t.Error("it isn't over")
					}
				})
			})
		}
	}
}

type callbackKey struct{} // of a value in a context

// A Fill that would wait for itself is told so if that can be seen, whoever is in between; what only looks like
// it isn't taken for it.
func TestFillCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var outer, inner, many *Loader
		forever := func(c *LoaderConfig) { c.FillTimeout, c.TTL = -1, time.Second }
		get := func(l **Loader, key string) func(context.Context, string) (Loaded, error) {
			return func(ctx context.Context, _ string) (Loaded, error) {
				val, err := (*l).Get(context.WithValue(ctx, callbackKey{}, "value"), key)
				return Loaded{Value: val + "+"}, err
			}
		}
		cycle := func(l *Loader, key string) {
			t.Helper()
			start := time.Now()
			if val, err := l.Get(t.Context(), key); !errors.Is(err, ErrFillCycle) || time.Since(start) != 0 {
				t.Errorf("%q, %v after %v", val, err, time.Since(start))
			}
		}
		outer = newLoader(t, b, get(&outer, "k"), forever)
		cycle(outer, "k")
		// By another Loader, and back; also by way of a batch.
		outer = newLoader(t, b, get(&inner, "i"), forever)
		inner = newLoader(t, b, get(&outer, "o"), forever)
		cycle(outer, "o")
		many = newLoader(t, b, nil, forever, func(c *LoaderConfig) {
			c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				_, err := many.GetMany(ctx, []string{"m2", "m3"})
				return nil, err
			}
		})
		_, err := many.GetMany(t.Context(), []string{"m1", "m2"})
		if errs, _ := err.(KeyErrors); !errors.Is(errs["m2"], ErrFillCycle) {
			t.Errorf("%v", err)
		}

		// Other keys are no cycle, nor is the same key by another Fill, nor what runs in the background.
		outer = newLoader(t, b, get(&inner, "leaf"), forever)
		inner = newLoader(t, b, func(context.Context, string) (Loaded, error) {
			return Loaded{Value: "leaf"}, nil
		}, forever)
		loaded(t, outer, "root", "leaf+")
		var ran sync.WaitGroup
		ran.Add(1)
		refreshed := newLoader(t, b, func(ctx context.Context, _ string) (Loaded, error) {
			val, err := outer.Get(ctx, "waits") // whose Fill doesn't wait for this one
			if val != "" {
				ran.Done()
			}
			return Loaded{Value: "new"}, err
		}, func(c *LoaderConfig) { c.StaleFor, c.RetryAfter = time.Hour, time.Minute })
		testkit.Must(t, b.Delete("r"))
		testkit.Must(t, b.Delete("waits"))
		outer = newLoader(t, b, func(ctx context.Context, _ string) (Loaded, error) {
			return Loaded{Value: "slow", TTL: time.Hour}, nil
		}, forever)
		loaded(t, refreshed, "r", "new")
		ran.Wait()
		testkit.Advance(2 * time.Minute)
		testkit.Must(t, b.Delete("waits"))
		ran.Add(1)
		outer = newLoader(t, b, func(ctx context.Context, _ string) (Loaded, error) {
			val, err := refreshed.Get(ctx, "r") // stale, and refreshed in the background
			time.Sleep(time.Second)
			return Loaded{Value: val, TTL: time.Hour}, err
		}, forever)
		loaded(t, outer, "waits", "new")
		ran.Wait()
	})
}

// Who waits for a Fill that ignores its context doesn't wait longer than FillTimeout, has the old value if
// there is one, and others don't wait at all. What the Fill brings at last is cached.
func TestFillIgnoresItsContext(t *testing.T) {
	for _, many := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := localNode(t)
			db := &testDB{}
			db.set("k", "old")
			var hang atomic.Pointer[chan struct{}]
			wait := func() {
				if c := hang.Load(); c != nil {
					<-*c
				}
			}
			fl := func(ctx context.Context, key string) (Loaded, error) {
				wait()
				return db.fill(ctx, key)
			}
			l := newLoader(t, b, fl, func(c *LoaderConfig) {
				c.FillTimeout, c.StaleOnErrorFor = 3*time.Second, time.Hour
				if many {
					c.Fill = nil
					c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
						found := map[string]Loaded{}
						wait()
						for _, key := range keys {
							if v, err := db.fill(ctx, key); err == nil {
								found[key] = v
							}
						}
						return found, nil
					}
				}
			})
			loaded(t, l, "k", "old")
			testkit.Advance(2 * time.Minute)
			db.set("k", "new")
			db.set("none", "new")
			c := make(chan struct{})
			hang.Store(&c)
			ctx := context.Background()
			start := time.Now()
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					got, err := l.GetMany(ctx, []string{"k", "none"})
					errs, _ := err.(KeyErrors)
					if got["k"] != "old" || !errors.Is(errs["none"], context.DeadlineExceeded) {
						t.Errorf("%v, %v", got, err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(start); took != 3*time.Second+fill.FillSlack {
				t.Errorf("it took %v", took)
			}
			stale(t, l, "k", "old", fill.ErrOverdue)
			if took := time.Since(start); took != 3*time.Second+fill.FillSlack {
				t.Error("who comes later waits")
			}
			close(c)
			hang.Store(nil)
			synctest.Wait()
			get(t, b, "k", "new")
			get(t, b, "none", "new")
		})
	}
}

// An OnStale that hangs is told later of what fits, in order; what doesn't is counted.
func TestOnStaleIsBounded(t *testing.T) {
	for _, size := range []int{0, 100_000} { // of the keys
		synctest.Test(t, func(t *testing.T) {
			b, err := New(Config{MaxKeys: 10_000})
			testkit.Must(t, err)
			defer b.Close()
			db := &testDB{}
			release := make(chan struct{})
			var told []string
			l := newLoader(t, b, db.fill, func(c *LoaderConfig) {
				c.Prefix, c.StaleOnErrorFor = "p:", time.Hour
				c.OnStale = func(key string, err error) { told = append(told, key); <-release }
			})
			keys := 1500
			if size > 0 {
				keys = 100
			}
			var want []string
			for i := range keys {
				key := fmt.Sprint(i, strings.Repeat("k", size))
				want = append(want, key)
				db.set(key, "v")
				loaded(t, l, key, "v")
			}
			testkit.Advance(2 * time.Minute)
			db.fail(errors.New("down"))
			start := time.Now()
			for _, key := range want {
				if val, err := l.Get(t.Context(), key); val != "v" || err != nil {
					t.Fatal(val, err)
				}
				synctest.Wait()
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("it took %v", took)
			}
			most := min(1+staleQueue, 1+staleQueueBytes/(staleOverhead+size))
			if n := keys - int(b.Stats().OnStaleMissed); n > most || n < most*9/10 {
				t.Errorf("%d calls, want %d", n, most)
			}
			close(release)
			synctest.Wait()
			if n := len(told); n != keys-int(b.Stats().OnStaleMissed) || told[n-1] != want[n-1] {
				t.Errorf("told of %d", n)
			}
		})
	}
}

// A New that fails has told the Logger why, and calls it no more.
func TestNewFailsAndHasLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines testkit.Log
		lines.Hook = func() { time.Sleep(time.Second) }
		errBusy := errors.New("the port is in use")
		_, err := New(Config{ListenAddr: ":1", MaxKeys: 1, Logger: &lines, Env: env.New(time.Now, func(_, _ uint64, log *linelog.Log) (transport.Transport, error) {
			log.Printf(0, "it begins")
			return nil, errBusy
		}, nil)})
		if !errors.Is(err, errBusy) {
			t.Error(err)
		}
		lines.Want(t, "P bcache: it begins")
	})
}

// Close from within the Logger ends it: no line comes afterwards.
func TestCloseWithinTheLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines testkit.Log
		b, err := New(Config{MaxKeys: 10, Logger: &lines})
		testkit.Must(t, err)
		closed := make(chan error, 1)
		lines.Hook = func() {
			lines.Hook = nil
			closed <- b.Close()
		}
		start := time.Now()
		b.peer.log.Printf(0, "first")
		b.peer.log.Printf(0, "second")
		if err := <-closed; err != nil || time.Since(start) != 0 {
			t.Errorf("Close = %v after %v", err, time.Since(start))
		}
		b.peer.log.Printf(0, "third")
		synctest.Wait()
		lines.Want(t, "P bcache: first")
	})
}

// Who has something to tell while Close is under way, to a queue that is empty, calls nobody any more.
func TestNothingIsCalledAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		s := newSubscription(b, func(Event) { t.Error("called after Close") })
		testkit.Must(t, b.Close())
		if !s.put(Event{Kind: EventSet}, func() bool { return false }) {
			t.Error("it counts as lost")
		}
		synctest.Wait()
	})
}
