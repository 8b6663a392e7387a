package bcache

import (
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

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

// A recorder is a subscriber that notes what it is told.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) note(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// take returns what was told since, a word each.
func (r *recorder) take() (words []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		word := e.Kind.String()
		if e.Key != "" {
			word += ":" + e.Key
		}
		if e.Value != "" {
			word += "=" + e.Value
		}
		if e.N != 0 {
			word += fmt.Sprint(e.N)
		}
		if !e.Local && e.Kind != EventLost {
			word += "/remote"
		}
		words = append(words, word)
	}
	r.events = nil
	return words
}

func told(t *testing.T, r *recorder, want string) {
	t.Helper()
	synctest.Wait()
	if got := strings.Join(r.take(), " "); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a := memNode(t, net, 1, 0, func(c *Config) { c.MaxKeys = 3 })
		b := memNode(t, net, 2, 0)
		synctest.Wait()
		testkit.Must(t, a.Set("before", "x", 60))
		testkit.Must(t, a.Delete("before"))
		var r recorder
		cancel := a.Subscribe(r.note)
		testkit.Must(t, a.Set("k", "1", 60))
		told(t, &r, "set:k=1")
		testkit.Must(t, b.Set("k", "2", 60))
		told(t, &r, "set:k=2/remote")
		testkit.Must(t, b.Delete("k"))
		testkit.Must(t, b.Delete("unknown"))
		told(t, &r, "delete:k/remote delete:unknown/remote")
		testkit.Must(t, a.Delete("k"))
		told(t, &r, "delete:k")
		_, err := a.GetWithFiller("f", func(string) (string, error) { return "v", nil }, 60)
		testkit.Must(t, err)
		testkit.Must(t, b.SetWithTTL("short", "v", time.Second))
		told(t, &r, "set:f=v set:short=v/remote")
		testkit.Advance(time.Second)
		miss(t, a, "short")
		told(t, &r, "expire:short/remote")
		for i := range 4 {
			testkit.Must(t, a.Set(fmt.Sprint(i), "v", 60))
		}
		told(t, &r, "set:0=v set:1=v evict:f set:2=v evict:0 set:3=v")
		testkit.Must(t, b.Clear())
		testkit.Must(t, b.Set("k", "3", 60))
		told(t, &r, "clear/remote set:k=3/remote")

		testkit.Advance(time.Second)
		db := &testDB{}
		l := newLoader(t, a, db.fill, func(c *LoaderConfig) { c.NegativeTTL = time.Minute })
		l.Get(t.Context(), "missing")
		told(t, &r, "delete:missing")
		cancel()
		cancel()
		testkit.Must(t, a.Set("k", "4", 60))
		told(t, &r, "")
		if n := a.Stats().EventsLost; n != 0 {
			t.Errorf("EventsLost = %d", n)
		}
	})
}

// A subscriber that is too slow is told how much it missed, where it missed it.
func TestSubscribeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var r recorder
		proceed := make(chan struct{})
		defer b.Subscribe(func(e Event) { r.note(e); <-proceed })()
		for i := range 2000 {
			testkit.Must(t, b.Set("k", fmt.Sprint(i), 60))
			if i == 0 {
				synctest.Wait() // it has the first one
			}
		}
		for range eventQueue / 2 {
			proceed <- struct{}{}
		}
		synctest.Wait()
		testkit.Must(t, b.Set("k", "after", 60)) // there is room again
		close(proceed)
		synctest.Wait()
		got := r.take()
		if len(got) != 1+eventQueue+2 || got[eventQueue] != "set:k=1024" || got[eventQueue+1] != "lost975" || got[eventQueue+2] != "set:k=after" {
			t.Errorf("%d events, at last %v", len(got), got[max(0, len(got)-4):])
		}
		if n := b.Stats().EventsLost; n != 975 {
			t.Errorf("EventsLost = %d", n)
		}

		// Nothing more comes: it is told nevertheless.
		var last recorder
		more := make(chan struct{})
		defer b.Subscribe(func(e Event) { last.note(e); <-more })()
		for i := range 1500 {
			testkit.Must(t, b.Set("k", fmt.Sprint(i), 60))
		}
		close(more)
		synctest.Wait()
		if got := last.take(); !strings.HasPrefix(got[len(got)-1], "lost") {
			t.Errorf("at last %v", got[len(got)-1])
		}
	})
}

// What waits is bounded in bytes too, however large the keys and values are; one event always fits.
func TestSubscribeLostBytes(t *testing.T) {
	for _, size := range []int{0, 512 << 10, MaxRecordSize - 10} {
		synctest.Test(t, func(t *testing.T) {
			b := localNode(t)
			var r recorder
			proceed := make(chan struct{})
			s := newSubscription(b, func(e Event) { r.note(e); <-proceed })
			b.watchers.add(s)
			held := func() int {
				_, bytes := s.calls.Waiting()
				return bytes
			}
			const sets = 500
			for i := range sets {
				if i%2 == 0 {
					testkit.Must(t, b.Set("k", strings.Repeat("v", size), 60))
				} else {
					testkit.Must(t, b.Delete(strings.Repeat("k", size)))
				}
				if n := held(); n > eventQueueBytes {
					t.Fatalf("%d bytes wait", n)
				}
				synctest.Wait()
			}
			lost := b.Stats().EventsLost
			if want := uint64(sets - 1 - eventQueueBytes/(size+eventOverhead)); size > 0 && lost-want > 5 {
				t.Errorf("%d events of %d bytes are lost, want %d", lost, size, want)
			} else if size == 0 && lost != 0 {
				t.Errorf("%d small events are lost", lost)
			}
			close(proceed)
			synctest.Wait()
			n := 0
			for _, e := range r.events {
				if n++; e.Kind == EventLost {
					n += e.N - 1
				}
			}
			if last := r.events[len(r.events)-1]; n != sets || (last.Kind == EventLost) != (size > 0) {
				t.Errorf("told of %d, at last %v", n, last.Kind)
			}
			if n := held(); n != 0 {
				t.Errorf("%d bytes are left", n)
			}
		})
	}
}

// Events of a key come in the order in which they happened, whoever writes.
func TestSubscribeOrder(t *testing.T) {
	b := localNode(t)
	var mu sync.Mutex
	last := map[string]string{}
	lost := 0
	cancel := b.Subscribe(func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		last[e.Key] = e.Value
		lost += e.N
	})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				key := fmt.Sprint(i % 5)
				if i%7 == 0 {
					b.Delete(key)
				} else {
					b.Set(key, fmt.Sprint(g, ".", i), 60)
				}
				if i%50 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	testkit.Must(t, b.Set("end", "x", 60))
	for done := false; !done; runtime.Gosched() {
		mu.Lock()
		done = last["end"] == "x" || lost > 0
		mu.Unlock()
	}
	cancel()
	for i := range 5 {
		key := fmt.Sprint(i)
		if val, _ := b.Get(key); lost == 0 && val != last[key] {
			t.Errorf("%s is %q, told at last was %q", key, val, last[key])
		}
	}
}

// A subscriber may use the cache, panic and call Goexit.
func TestSubscribeMisbehaviour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines testkit.Log
		b, err := New(Config{MaxKeys: 10, Logger: &lines})
		testkit.Must(t, err)
		defer b.Close()
		var r recorder
		b.Subscribe(func(e Event) {
			r.note(e)
			switch e.Key {
			case "panic":
				panic("boom")
			case "goexit":
				runtime.Goexit()
			case "write":
				if err := b.Set("derived", e.Value, 60); err != nil {
					t.Error(err)
				}
			}
		})
		for _, key := range []string{"panic", "goexit", "write"} {
			testkit.Must(t, b.Set(key, "v", 60))
		}
		told(t, &r, "set:panic=v set:goexit=v set:write=v set:derived=v")
		if text := strings.Join(lines.Take(), "\n"); !strings.Contains(text, "a subscriber panicked: boom") {
			t.Errorf("logged %q", text)
		}
	})
}

// None runs after cancel or Close has returned, and both may be called from within.
func TestSubscribeEnds(t *testing.T) {
	for _, how := range []string{"cancel", "Close", "cancel within", "Close within", "Close within Close"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := localNode(t)
				var running, calls atomic.Int32
				var cancel func()
				within := make(chan struct{})
				cancel = b.Subscribe(func(Event) {
					running.Store(1)
					calls.Add(1)
					testkit.Advance(time.Second)
					switch how {
					case "cancel within":
						cancel()
					case "Close within", "Close within Close":
						testkit.Must(t, b.Close())
					}
					running.Store(0)
					if how == "cancel within" || how == "Close within" {
						close(within)
					}
				})
				testkit.Must(t, b.Set("k", "v", 60))
				testkit.Must(t, b.Set("k", "w", 60))
				synctest.Wait()
				switch how {
				case "cancel":
					cancel()
				case "Close", "Close within Close":
					testkit.Must(t, b.Close())
				default:
					<-within
				}
				if running.Load() != 0 || calls.Load() != 1 {
					t.Errorf("running %d, %d calls", running.Load(), calls.Load())
				}
				b.Set("k", "x", 60)
				testkit.Advance(time.Minute)
				if n := calls.Load(); n != 1 {
					t.Errorf("%d calls", n)
				}
				cancel()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		b.Subscribe(nil)()
		testkit.Must(t, b.Close())
		b.Subscribe(func(Event) { t.Error("called after Close") })()
	})
}

// One that has cancelled itself may still run: Close waits for it.
func TestSubscribeCloseWaitsForTheCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var cancel func()
		var over atomic.Bool
		cancel = b.Subscribe(func(Event) {
			cancel()
			testkit.Advance(time.Second)
			over.Store(true)
		})
		testkit.Must(t, b.Set("k", "v", 60))
		synctest.Wait()
		for range 100 { // what has ended isn't kept
			b.Subscribe(func(Event) {})()
		}
		if n := b.calls.Len(); n != 1 {
			t.Errorf("%d are ending", n)
		}
		testkit.Must(t, b.Close())
		if !over.Load() {
			t.Error("it runs after Close")
		}
	})
}

// Two that end each other don't wait for each other.
func TestSubscribersEndEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var cancels [2]func()
		var mu sync.Mutex
		var ended []int
		for i := range cancels {
			cancels[i] = b.Subscribe(func(Event) {
				testkit.Advance(time.Second)
				cancels[1-i]()
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, i)
			})
		}
		testkit.Must(t, b.Set("k", "v", 60))
		testkit.Advance(2 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if slices.Sort(ended); !slices.Equal(ended, []int{0, 1}) {
			t.Errorf("ended: %v", ended)
		}
	})
}

// The writes of a local node aren't serialised with a Clear. What is derived from the events holds
// what the cache holds all the same.
func TestSubscribeLocalClear(t *testing.T) {
	const rounds, keys = 3000, 4
	b, err := New(Config{MaxKeys: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	derived, round := map[string]string{}, make(chan map[string]string)
	b.Subscribe(func(e Event) {
		switch {
		case e.Kind == EventClear:
			clear(derived)
		case e.Key == "end":
			round <- maps.Clone(derived)
		case e.Kind == EventSet:
			derived[e.Key] = e.Value
		case e.Kind == EventLost:
			t.Errorf("%d events lost", e.N)
		}
	})
	for key := range keys {
		b.Set(fmt.Sprint(key), "before", 60) // a Set of a key that is held is what isn't serialised
	}
	for i := range rounds {
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := range 20 {
				b.Set(fmt.Sprint(n%keys), fmt.Sprint(i, n), 60)
			}
		})
		for range 3 {
			b.Clear()
		}
		wg.Wait()
		b.Set("end", "", 60)
		got := <-round
		want := map[string]string{}
		for key, val := range b.All() {
			if key != "end" {
				want[key] = val
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("round %d: derived %v, held %v", i, got, want)
		}
	}
}
