package bcache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

type observerKey struct{}

// A scribe writes down what an Observer is told.
type scribe struct {
	NoObserver
	mu     sync.Mutex
	begun  []FillInfo
	ended  []FillResult
	stales []StaleInfo
	waits  []LeaseWait
	lost   int // ends whose context isn't what FillBegun returned
}

func (s *scribe) FillBegun(ctx context.Context, f FillInfo) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = append(s.begun, f)
	return context.WithValue(ctx, observerKey{}, len(s.begun))
}

func (s *scribe) FillEnded(ctx context.Context, r FillResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, r)
	if ctx.Value(observerKey{}) == nil {
		s.lost++
	}
}

func (s *scribe) StaleServed(_ context.Context, i StaleInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stales = append(s.stales, i)
}

func (s *scribe) LeaseWaited(_ context.Context, w LeaseWait) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = append(s.waits, w)
}

// last returns how the last fill has ended.
func (s *scribe) last(t *testing.T) FillResult {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ended) == 0 || len(s.ended) != len(s.begun) || s.lost > 0 {
		t.Fatalf("%d begun, %d ended, %d of them without the context", len(s.begun), len(s.ended), s.lost)
	}
	r := s.ended[len(s.ended)-1]
	if r.FillInfo != s.begun[len(s.begun)-1] {
		t.Errorf("%+v has ended, %+v was begun", r.FillInfo, s.begun[len(s.begun)-1])
	}
	return r
}

// A fill is told when it begins and ends, and counted, by its outcome.
func TestObserverOfFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localWith(t, Config{MaxKeys: 100, MaxBytes: 10_000})
		s := &scribe{}
		down := errors.New("down")
		var during func()
		l := observed(t, b, LoaderConfig{
			Prefix: "p:", TTL: time.Minute, NegativeTTL: time.Minute, RetryAfter: time.Nanosecond, Observer: s,
			Fill: func(ctx context.Context, key string) (Loaded, error) {
				if ctx.Value(observerKey{}) == nil {
					t.Error("the Fill doesn't have the Observer's context")
				}
				testkit.Advance(time.Second)
				switch key {
				case "missing":
					return Loaded{}, fmt.Errorf("row: %w", ErrNotFound)
				case "failing":
					return Loaded{}, down
				case "panicking":
					panic(down)
				case "uncached":
					return Loaded{Value: "v", TTL: -1}, nil
				case "large":
					return Loaded{Value: strings.Repeat("x", 20_000)}, nil
				case "written":
					during()
				case "left":
					<-ctx.Done()
					return Loaded{}, ctx.Err()
				}
				return Loaded{Value: "v"}, nil
			},
		})
		during = func() { b.Set("p:written", "newer", 60) }
		ended := map[FillOutcome]uint64{}
		for _, tt := range []struct {
			key     string
			outcome FillOutcome
			err     error
		}{
			{"found", FillFound, nil},
			{"missing", FillNotFound, ErrNotFound},
			{"failing", FillFailed, down},
			{"panicking", FillFailed, ErrFillPanicked},
			{"uncached", FillUncached, nil},
			{"large", FillTooLarge, nil},
			{"written", FillRefused, nil},
			{"left", FillAbandoned, context.Canceled},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			if tt.key == "left" {
				go func() { testkit.Advance(2 * time.Second); cancel() }()
			}
			l.Get(ctx, tt.key)
			cancel()
			synctest.Wait()
			r := s.last(t)
			want := FillInfo{Prefix: "p:", Keys: 1, Cause: FillForeground}
			if r.FillInfo != want || !maps.Equal(r.Outcomes, map[FillOutcome]int{tt.outcome: 1}) {
				t.Errorf("%s: %+v", tt.key, r)
			}
			if !errors.Is(r.Err, tt.err) || r.Took < time.Second || r.Took > 2*time.Second {
				t.Errorf("%s: after %v: %v", tt.key, r.Took, r.Err)
			}
			ended[tt.outcome]++
			stats := l.Stats()
			for o, n := range stats.Ended {
				if n != ended[o] {
					t.Errorf("after %s: %d fills ended as %v, want %d", tt.key, n, o, ended[o])
				}
			}
			if stats.Running != 0 || stats.Took.Total() != stats.Begun[FillForeground] {
				t.Errorf("after %s: %d run, %d of %d were timed", tt.key, stats.Running, stats.Took.Total(),
					stats.Begun[FillForeground])
			}
		}
		n := len(s.begun)
		l.Get(t.Context(), "found")
		l.Get(t.Context(), "missing")
		if len(s.begun) != n {
			t.Error("a hit is told")
		}
		if stats, all := l.Stats(), b.Stats(); stats.Hits != 2 || stats.Misses != 8 || all.Hits != 2 ||
			all.Misses != 8 || all.Fills != 8 || all.FillErrors != 2 || all.FillsRefused != 1 ||
			all.FillsTooLarge != 1 {
			t.Errorf("the Loader has %+v, the cache %+v", stats, all)
		}
	})
}

// One call of FillMany is told once, with the outcomes of its keys.
func TestObserverOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localWith(t, Config{MaxKeys: 100})
		s := &scribe{}
		down := errors.New("down")
		l := observed(t, b, LoaderConfig{TTL: time.Minute, BatchSize: 10, Observer: s,
			FillMany: func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				if ctx.Value(observerKey{}) == nil {
					t.Error("the FillMany doesn't have the Observer's context")
				}
				return map[string]Loaded{"a": {Value: "1"}, "b": {Value: "2"}}, KeyErrors{"c": down}
			},
		})
		l.GetMany(t.Context(), []string{"a", "b", "c", "d"})
		r := s.last(t)
		want := map[FillOutcome]int{FillFound: 2, FillFailed: 1, FillNotFound: 1}
		if len(s.ended) != 1 || r.Keys != 4 || !maps.Equal(r.Outcomes, want) || !errors.Is(r.Err, down) {
			t.Errorf("told %+v", s.ended)
		}
		if stats := l.Stats(); stats.Begun[FillForeground] != 4 || stats.Ended[FillFound] != 2 || stats.Took.Total() != 1 {
			t.Errorf("counted %+v", stats)
		}
	})
}

// What is stale is told to the Observer, as is the fill in the background.
func TestObserverOfStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localWith(t, Config{MaxKeys: 100})
		s := &scribe{}
		var down error
		l := observed(t, b, LoaderConfig{Prefix: "p:", TTL: time.Second, StaleFor: time.Minute, Observer: s,
			StaleOnErrorFor: time.Minute,
			Fill:            func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, down },
		})
		l.Get(t.Context(), "k")
		testkit.Advance(2 * time.Second)
		down = errors.New("down")
		l.Get(t.Context(), "k")
		synctest.Wait()
		if r := s.last(t); r.Cause != FillRefresh || r.Outcomes[FillFailed] != 1 {
			t.Errorf("told %+v", r)
		}
		l.GetMany(t.Context(), []string{"k"})
		synctest.Wait()
		if len(s.stales) != 2 || s.stales[0] != (StaleInfo{Prefix: "p:"}) || s.stales[1].Err != down {
			t.Errorf("told %+v", s.stales)
		}
		if stats := l.Stats(); stats.StaleServed != 2 || stats.StaleHits != 2 || stats.StaleFailures != 1 || stats.Begun[FillRefresh] != 1 {
			t.Errorf("counted %+v", stats)
		}
	})
}

// The node with the lease is told that it fills for all, and each how it waited.
func TestObserverOfLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scribes := make([]*scribe, 3)
		i := 0
		db := &testDB{took: 50 * time.Millisecond}
		db.set("k", "v")
		_, _, ls := leased(t, 3, db, func(c *LoaderConfig) {
			scribes[i] = &scribe{}
			c.Observer = scribes[i]
			i++
		})
		var wg sync.WaitGroup
		for _, l := range ls {
			wg.Go(func() { l.Get(t.Context(), "k") })
		}
		wg.Wait()
		synctest.Wait()
		granted, filled := 0, 0
		for i, s := range scribes {
			if len(s.waits) != 1 {
				t.Fatalf("node %d waited %+v", i, s.waits)
			}
			stats := ls[i].Stats()
			switch w := s.waits[0]; w.End {
			case LeaseGranted:
				granted++
				if r := s.last(t); r.Cause != FillLease || stats.Begun[FillLease] != 1 {
					t.Errorf("the holder's fill: %+v", r)
				}
			case LeaseFilled:
				filled++
				if w.Took < 40*time.Millisecond || len(s.begun) != 0 || w.Background {
					t.Errorf("node %d waited %v, and began %d fills", i, w.Took, len(s.begun))
				}
			}
			if stats.LeaseWaits[s.waits[0].End] != 1 || stats.LeaseTook.Total() != 1 {
				t.Errorf("node %d counted %+v", i, stats)
			}
		}
		if granted != 1 || filled != 2 {
			t.Errorf("%d granted, %d filled by others", granted, filled)
		}
	})
}

// Of a call of FillMany each key counts by its own cause.
func TestObserverOfLeasesOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scribe{}
		_, _, ls := leased(t, 1, &testDB{}, func(c *LoaderConfig) {
			c.Observer = s
			c.FillMany = func(_ context.Context, keys []string) (map[string]Loaded, error) { return nil, nil }
		})
		tooLong := strings.Repeat("k", 1025) // for a lease
		ls[0].GetMany(t.Context(), []string{"a", "b", tooLong})
		if r := s.last(t); r.Cause != FillLease || r.Keys != 3 {
			t.Errorf("told %+v", r.FillInfo)
		}
		stats := ls[0].Stats()
		if stats.Begun[FillLease] != 2 || stats.Begun[FillForeground] != 1 || stats.Ended[FillNotFound] != 3 {
			t.Errorf("counted %+v", stats)
		}
	})
}

// A provisional value is an outcome of its own.
func TestObserverOfProvisional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		s := &scribe{}
		l := observed(t, nodes[0], LoaderConfig{TTL: time.Minute, Observer: s,
			Fill: func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, nil },
		})
		nodes[0].Delete("k") // younger than what a fill that begins now may write
		l.Get(t.Context(), "k")
		if r := s.last(t); r.Outcomes[FillProvisional] != 1 {
			t.Errorf("told %+v", r)
		}
	})
}

// An Observer that panics, or that returns no context, disturbs nobody.
func TestObserverPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &testkit.Log{}
		b := localWith(t, Config{MaxKeys: 100, Logger: log})
		l := observed(t, b, LoaderConfig{TTL: time.Second, StaleFor: time.Minute, Observer: badObserver{},
			Fill: func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, nil },
		})
		if v, err := l.Get(t.Context(), "k"); v != "v" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
		testkit.Advance(2 * time.Second)
		if v, err := l.Get(t.Context(), "k"); v != "v" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
		synctest.Wait()
		lines := strings.Join(log.Take(), "\n")
		for _, method := range []string{"FillEnded", "StaleServed"} {
			if !strings.Contains(lines, method+" of an Observer panicked: oops") {
				t.Errorf("%s isn't logged: %s", method, lines)
			}
		}
	})
}

// A quitter is an Observer that ends the goroutine by which it is told.
type quitter struct {
	NoObserver
	ends []LeaseEnd // of which waits
	mu   sync.Mutex
	told []LeaseEnd
}

func (q *quitter) LeaseWaited(_ context.Context, w LeaseWait) {
	q.mu.Lock()
	q.told = append(q.told, w.End)
	q.mu.Unlock()
	if slices.Contains(q.ends, w.End) {
		runtime.Goexit()
	}
}

func (q *quitter) StaleServed(context.Context, StaleInfo) { runtime.Goexit() }

// Nobody waits for ever for what an Observer has ended: neither for a fill that another node did, nor
// for the other keys of a FillMany.
func TestObserverEndsTheGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: 50 * time.Millisecond}
		db.set("k", "v")
		_, _, ls := leased(t, 3, db, func(c *LoaderConfig) {
			c.Observer = &quitter{ends: []LeaseEnd{LeaseFilled}}
		})
		getAll(t, ls, db, "k", "v")
	})
	synctest.Test(t, func(t *testing.T) {
		q := &quitter{ends: []LeaseEnd{LeaseMissed, LeaseAbandoned}}
		l := observed(t, localNode(t), LoaderConfig{
			TTL: time.Minute, RetryAfter: time.Nanosecond, ClusterWide: true, MaxConcurrent: 1,
			Observer: q,
			FillMany: func(context.Context, []string) (map[string]Loaded, error) { return nil, nil },
		})
		for range 2 { // the slot isn't lost
			_, err := l.GetMany(t.Context(), []string{"a", "b", "c"})
			var errs KeyErrors
			if !errors.As(err, &errs) || len(errs) != 3 || !errors.Is(err, ErrFillAborted) {
				t.Errorf("got %v", err)
			}
			testkit.Advance(time.Second)
		}
		if s := l.Stats(); s.Running != 0 || s.Ended[FillFailed] != 6 || len(q.told) != 6 {
			t.Errorf("%d run, %d have failed, told were %v", s.Running, s.Ended[FillFailed], q.told)
		}
	})
}

// A hang before the Fill is one of the Fill: its callers wait no longer than FillTimeout.
func TestObserverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		l := observed(t, localNode(t), LoaderConfig{
			TTL: time.Minute, ClusterWide: true, FillTimeout: time.Second,
			Observer: hangs{until: release},
			Fill:     func(context.Context, string) (Loaded, error) { return Loaded{}, nil },
		})
		start := time.Now()
		_, err := l.Get(t.Context(), "k")
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		close(release)
		synctest.Wait()
	})
}

type hangs struct {
	NoObserver
	until chan struct{}
}

func (h hangs) LeaseWaited(context.Context, LeaseWait) { <-h.until }

// Who asks for many keys is told of stale values by its own goroutine, and ends with it: it never gets
// a map that lacks them.
func TestObserverOfStaleEndsTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down error
		l := observed(t, localNode(t), LoaderConfig{
			TTL: time.Second, StaleOnErrorFor: time.Minute, Observer: &quitter{},
			Fill: func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, down },
		})
		l.Get(t.Context(), "k")
		testkit.Advance(2 * time.Second)
		down = errors.New("down")
		go func() {
			values, err := l.GetMany(t.Context(), []string{"k"})
			t.Errorf("got %v, %v", values, err)
		}()
		synctest.Wait()
	})
}

// observed makes a Loader of a configuration that is complete.
func observed(t *testing.T, b *Bcache, cfg LoaderConfig) *Loader {
	t.Helper()
	return newLoader(t, b, nil, func(c *LoaderConfig) { *c = cfg })
}

func localWith(t *testing.T, cfg Config) *Bcache {
	t.Helper()
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

type badObserver struct{ NoObserver }

func (badObserver) FillBegun(context.Context, FillInfo) context.Context { return nil }
func (badObserver) FillEnded(context.Context, FillResult)               { panic("oops") }
func (badObserver) StaleServed(context.Context, StaleInfo)              { panic("oops") }

// What a Loader has counted stays when it is gone, and Loaders with one prefix have one sum.
func TestLoaderStatsOutliveTheLoader(t *testing.T) {
	b := localWith(t, Config{MaxKeys: 100})
	cfg := LoaderConfig{Prefix: "p:", TTL: time.Minute,
		Fill: func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, nil }}
	for range 10 {
		l := observed(t, b, cfg)
		l.Get(t.Context(), "k")
		b.Delete("p:k")
		if s := l.Stats(); s.Begun[FillForeground] != 1 {
			t.Fatalf("one Loader has %+v", s)
		}
	}
	testkit.Within(t, 10*time.Second, func() error {
		runtime.GC()
		if open := b.ledger.Open(); open > 0 {
			return fmt.Errorf("%d Loaders are left", open)
		}
		return nil
	})
	if all := b.ledger.All(); len(all) != 1 {
		t.Errorf("%d accounts", len(all))
	}
	if s := b.Stats(); s.Fills != 10 || s.Misses != 10 {
		t.Errorf("%d fills, %d misses; want 10", s.Fills, s.Misses)
	}
}

// A cache that is closed goes with its Loaders, even if it still refers to one of them: by its Logger.
func TestClosedCacheIsCollected(t *testing.T) {
	type logger struct {
		testkit.Log
		loader *Loader
	}
	gone := make(chan struct{})
	func() {
		log := &logger{}
		b, err := New(Config{MaxKeys: 10, Logger: log})
		testkit.Must(t, err)
		log.loader = observed(t, b, LoaderConfig{TTL: time.Minute,
			Fill: func(context.Context, string) (Loaded, error) { return Loaded{}, nil }})
		runtime.AddCleanup(b, func(gone chan struct{}) { close(gone) }, gone)
		testkit.Must(t, b.Close())
	}()
	testkit.Within(t, 10*time.Second, func() error {
		runtime.GC()
		select {
		case <-gone:
			return nil
		default:
			return errors.New("the cache is still there")
		}
	})
}

// Each figure says what it is, and is listed once.
func TestMetrics(t *testing.T) {
	b := localWith(t, Config{MaxKeys: 100})
	b.Set("k", "v", 60)
	b.Get("k")
	got := map[string]Metric{}
	for m := range b.Stats().Metrics() {
		if _, twice := got[m.Name+m.Of]; twice || m.Kind != MetricCounter && m.Kind != MetricGauge {
			t.Errorf("%+v", m)
		}
		got[m.Name+m.Of] = m
	}
	if m := got["Hits"]; m != (Metric{"Hits", "", MetricCounter, 1}) {
		t.Errorf("got %+v", m)
	}
	if m := got["Synced"]; m != (Metric{"Synced", "", MetricGauge, 1}) {
		t.Errorf("got %+v", m)
	}
	got = map[string]Metric{}
	for m := range (LoaderStats{Ended: map[FillOutcome]uint64{FillFound: 2}, Running: 3}).Metrics() {
		got[m.Name+m.Of] = m
	}
	if m := got["Endedfound"]; m != (Metric{"Ended", "found", MetricCounter, 2}) {
		t.Errorf("got %+v", m)
	}
	if m := got["Running"]; m != (Metric{"Running", "", MetricGauge, 3}) {
		t.Errorf("got %+v", m)
	}
}
