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
	must(t, err)
	w.b = b
	cfg := LoaderConfig{
		TTL: time.Minute, StaleOnErrorFor: time.Hour, FillTimeout: w.fillTimeout,
		OnStale: func(string, error) { w.called("OnStale", context.Background()) },
	}
	one, many, typed := cfg, cfg, cfg
	one.Fill, many.FillMany = w.fill, w.fillMany
	typed.Prefix, typed.OnStale = "t:", nil
	w.one, err = NewLoader(b, one)
	must(t, err)
	w.many, err = NewLoader(b, many)
	must(t, err)
	w.typed, err = NewTyped(b, TypedConfig[string]{
		Codec: w, Loader: typed,
		Fill: func(context.Context, string) (TypedLoaded[string], error) {
			return TypedLoaded[string]{Value: "v"}, nil
		},
	})
	must(t, err)
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
		advance(2 * time.Minute)
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
// at most: the table in docs/loader.md. Nothing waits for ever, and Close keeps its limits.
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
				return w.fillTimeout + leaseSlack
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
						took := time.Duration(-1)
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
							took = time.Since(start)
						}
						w.trigger(t)
						advance(fillerPatience + time.Second)
						if took < 0 || took > most {
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
					advance(2 * time.Hour)
					if !over.Load() {
						t.Error("it isn't over")
					}
				})
			})
		}
	}
}
