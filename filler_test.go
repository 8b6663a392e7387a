package bcache

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/keyhash"
	"github.com/iwanbk/bcache/internal/testkit"
)

// Fills of keys that somebody has chosen don't share a group.
func TestCraftedFillsAreSpread(t *testing.T) {
	hash := keyhash.New()
	for _, c := range testkit.Crafted {
		flights := newFlights(hash)
		ofFlights := map[*flightShard]int{}
		for i := range uint64(6400) {
			ofFlights[flights.of(testkit.KeyOf(c.Hash(i)))]++
		}
		for _, n := range ofFlights {
			if n > 200 {
				t.Errorf("%s: %d of 6,400 fills in one of 64 groups", c.Name, n)
			}
		}
	}
}

func TestFillOnceForManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var fills atomic.Int32
		filler := func(key string) (string, error) {
			fills.Add(1)
			testkit.Advance(time.Second)
			return "value of " + key, nil
		}
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if val, err := b.GetWithFiller("k", filler, 60); val != "value of k" || err != nil {
					t.Errorf("GetWithFiller = %q, %v", val, err)
				}
			})
		}
		wg.Wait()
		if n := fills.Load(); n != 1 {
			t.Errorf("%d fills", n)
		}
		get(t, b, "k", "value of k")
		if s := b.Stats(); s.Fills != 1 || s.FillErrors != 0 {
			t.Errorf("Stats: Fills %d, FillErrors %d", s.Fills, s.FillErrors)
		}
	})
}

func TestFillFailures(t *testing.T) {
	errDB := errors.New("the database is down")
	for _, tt := range []struct {
		name   string
		filler Filler
		want   []error
		text   string
	}{
		{"error", func(string) (string, error) { return "ignored", errDB }, []error{errDB}, errDB.Error()},
		{"panic", func(string) (string, error) { panic("boom") }, []error{ErrFillPanicked}, "boom"},
		{"panic with an error", func(string) (string, error) { panic(errDB) }, []error{ErrFillPanicked, errDB}, "filler_test.go"},
		{"panic with nil", func(string) (string, error) { panic(nil) }, []error{ErrFillPanicked}, "nil"},
		{"Goexit", func(string) (string, error) { runtime.Goexit(); return "", nil }, []error{ErrFillAborted}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := localNode(t)
				slow := func(key string) (string, error) { testkit.Advance(time.Second); return tt.filler(key) }
				var wg sync.WaitGroup
				var returned atomic.Int32
				for range 20 {
					wg.Go(func() {
						val, err := b.GetWithFiller("k", slow, 60)
						for _, want := range tt.want {
							if val != "" || !errors.Is(err, want) || !strings.Contains(err.Error(), tt.text) {
								t.Errorf("GetWithFiller = %q, %v", val, err)
							}
						}
						if tt.name == "error" && err != errDB {
							t.Errorf("the error isn't the filler's own: %v", err)
						}
						returned.Add(1)
					})
				}
				wg.Wait()
				if returned.Load() != 20 {
					t.Errorf("only %d of 20 callers went on", returned.Load())
				}
				miss(t, b, "k")
				val, err := b.GetWithFiller("k", func(string) (string, error) { return "v", nil }, 60)
				if val != "v" || err != nil {
					t.Errorf("the next fill: %q, %v", val, err)
				}
			})
		})
	}
}

func TestFillNil(t *testing.T) {
	b := localNode(t)
	if _, err := b.GetWithFiller("k", nil, 60); err != ErrNilFiller {
		t.Errorf("err = %v", err)
	}
}

func TestFillWithoutTTLIsNotCached(t *testing.T) {
	b := localNode(t)
	for _, ttl := range []int{0, -1} {
		if val, err := b.GetWithFiller("k", func(string) (string, error) { return "v", nil }, ttl); val != "v" || err != nil {
			t.Errorf("ttl %d: %q, %v", ttl, val, err)
		}
		miss(t, b, "k")
	}
	if n := b.Stats().Tombstones; n != 0 {
		t.Errorf("%d tombstones", n)
	}
}

func TestFillTooLargeIsReturned(t *testing.T) {
	b := localNode(t)
	big := strings.Repeat("x", MaxRecordSize)
	val, err := b.GetWithFiller("k", func(string) (string, error) { return big, nil }, 60)
	if val != big || err != nil {
		t.Errorf("len %d, %v", len(val), err)
	}
	miss(t, b, "k")
	if s := b.Stats(); s.FillsTooLarge != 1 || s.Tombstones != 0 {
		t.Errorf("FillsTooLarge %d, Tombstones %d", s.FillsTooLarge, s.Tombstones)
	}
}

func TestFillReplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		_, err := nodes[0].GetWithFiller("k", func(string) (string, error) { return "v", nil }, 10)
		testkit.Must(t, err)
		synctest.Wait()
		for _, b := range nodes {
			get(t, b, "k", "v")
		}
		testkit.Advance(10 * time.Second)
		for _, b := range nodes {
			miss(t, b, "k")
		}
	})
}

func TestFillDuringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		proceed := make(chan struct{})
		filled := make(chan string)
		go func() {
			val, err := nodes[0].GetWithFiller("k", func(string) (string, error) { <-proceed; return "v", nil }, 60)
			if err != nil {
				t.Error(err)
			}
			filled <- val
		}()
		synctest.Wait()
		testkit.Must(t, nodes[0].Close())
		close(proceed)
		if val := <-filled; val != "v" {
			t.Errorf("val = %q", val)
		}
		synctest.Wait()
		miss(t, nodes[1], "k")
	})
}

func TestFillerMayUseTheCache(t *testing.T) {
	b := localNode(t)
	val, err := b.GetWithFiller("outer", func(string) (string, error) {
		if err := b.Set("side", "effect", 60); err != nil {
			return "", err
		}
		inner, err := b.GetWithFiller("inner", func(string) (string, error) { return "in", nil }, 60)
		return "out+" + inner, err
	}, 60)
	if val != "out+in" || err != nil {
		t.Errorf("%q, %v", val, err)
	}
	get(t, b, "side", "effect")
}

// A filler that hangs makes callers wait who came in its first 30 seconds; later ones have fillers of
// their own, three at a time in all.
func TestGetWithFillerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		calls, hang := 0, make(chan struct{})
		filler := func(string) (string, error) {
			calls++
			<-hang
			return "v", nil
		}
		var wg sync.WaitGroup
		get := func() {
			wg.Go(func() {
				if val, err := b.GetWithFiller("k", filler, -1); val != "v" || err != nil {
					t.Errorf("%q, %v", val, err)
				}
			})
			synctest.Wait()
		}
		for i, want := range []int{1, 1, 2, 2, 3, 3, 3, 3} { // every 15 s
			if get(); calls != want {
				t.Errorf("after %d s: %d fillers", 15*i, calls)
			}
			testkit.Advance(defaultFillTimeout / 2)
		}
		if other, err := b.GetWithFiller("other", func(string) (string, error) { return "w", nil }, 1); other != "w" {
			t.Errorf("%q, %v", other, err)
		}
		close(hang)
		wg.Wait()
		if f := b.flights.of("k"); len(f.byKey) != 0 || calls > 5 {
			t.Errorf("%d fillers, left %v", calls, f.byKey)
		}
	})
}

// Nobody waits for others' fillers for ever: two minutes, be it for the result of one or for a place.
// Whose own filler runs has its result, however long that takes.
func TestGetWithFillerWaitsTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		hang := make(chan struct{})
		filler := func(string) (string, error) { <-hang; return "v", nil }
		var own, others atomic.Int32
		var wg sync.WaitGroup
		for range 10 { // every 20 s: the 1st, 3rd and 5th have fillers, the 7th waits for a place
			start := time.Now()
			wg.Go(func() {
				switch val, err := b.GetWithFiller("k", filler, 60); {
				case val == "v" && err == nil:
					own.Add(1)
				case errors.Is(err, ErrFillersHang) && time.Since(start) <= fillerPatience:
					others.Add(1)
				default:
					t.Errorf("%q, %v after %v", val, err, time.Since(start))
				}
			})
			testkit.Advance(20 * time.Second)
		}
		testkit.Advance(10 * time.Minute)
		if n := others.Load(); n != 7 {
			t.Errorf("%d have given up", n)
		}
		close(hang)
		wg.Wait()
		if n := own.Load(); n != 3 {
			t.Errorf("%d had their own", n)
		}
		get(t, b, "k", "v")
		if f := b.flights.of("k"); len(f.byKey) != 0 || f.running.Load() != 0 {
			t.Errorf("left %v, %d", f.byKey, f.running.Load())
		}
	})
}

// What else one caller, or one key, mustn't do to others. Each of these has been red.

// A write forgets no filler that only waits for its place: what it brings is newer.
func TestGetWithFillerQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var calls atomic.Int32
		filler := func(string) (string, error) { calls.Add(1); testkit.Advance(2 * time.Second); return "v", nil }
		var wg sync.WaitGroup
		var most atomic.Int64
		for range 200 { // 20 s
			wg.Go(func() {
				start := time.Now()
				b.GetWithFiller("k", filler, 60)
				took := int64(time.Since(start))
				for old := most.Load(); took > old && !most.CompareAndSwap(old, took); old = most.Load() {
				}
			})
			synctest.Wait()
			testkit.Must(t, b.Delete("k"))
			testkit.Advance(100 * time.Millisecond)
		}
		wg.Wait()
		t.Logf("slowest %v, %d fills", time.Duration(most.Load()), calls.Load())
		if d := time.Duration(most.Load()); d > 6*time.Second {
			t.Errorf("a query takes 2 s, GetWithFiller %v (%d fills)", d, calls.Load())
		}
	})
}
