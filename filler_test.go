package bcache

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFillOnceForManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var fills atomic.Int32
		filler := func(key string) (string, error) {
			fills.Add(1)
			advance(time.Second)
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
				slow := func(key string) (string, error) { advance(time.Second); return tt.filler(key) }
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

// A caller that comes after a write must not get the result of a fill begun before
// it; those that came before may.
func TestFillIsForgottenByAWrite(t *testing.T) {
	for _, remote := range []bool{false, true} {
		t.Run(fmt.Sprint("remote ", remote), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, nodes := three(t)
				b, writer := nodes[0], nodes[0]
				if remote {
					writer = nodes[1]
				}
				var db atomic.Value
				db.Store("old")
				filler := func(string) (string, error) {
					val := db.Load().(string)
					advance(10 * time.Second)
					return val, nil
				}
				first := make(chan string)
				go func() { val, _ := b.GetWithFiller("k", filler, 60); first <- val }()
				synctest.Wait()
				db.Store("new")
				must(t, writer.Delete("k"))
				synctest.Wait()
				val, err := b.GetWithFiller("k", filler, 60)
				if val != "new" || err != nil {
					t.Errorf("after the Delete: %q, %v", val, err)
				}
				if val := <-first; val != "old" && val != "new" {
					t.Errorf("before the Delete: %q", val)
				}
				advance(time.Minute)
				for _, n := range nodes {
					if val, ok := n.Get("k"); ok && val == "old" {
						t.Error("the old value is served")
					}
				}
			})
		})
	}
}

// The fence: whatever write comes during a fill, on any node, whatever the clocks
// say within MaxClockSkew, and whichever of the two arrives first, the fill doesn't beat it.
func TestFillNeverBeatsAWrite(t *testing.T) {
	const skew = 500 * time.Millisecond
	for _, clocks := range [][]time.Duration{{0, 0, 0}, {skew, 0, 0}, {0, skew, 0}, {0, skew / 2, skew}, {skew, 0, skew / 2}} {
		for _, del := range []bool{true, false} {
			for _, late := range []uint64{0, 1, 2, 3} { // the node to which frames come late
				for _, gap := range []time.Duration{0, time.Millisecond, time.Second} { // from begin to write
					name := fmt.Sprintf("clocks %v delete %v late %d gap %v", clocks, del, late, gap)
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { fillAgainstWrite(t, clocks, del, late, gap) })
					})
				}
			}
		}
	}
}

func fillAgainstWrite(t *testing.T, clocks []time.Duration, del bool, late uint64, gap time.Duration) {
	net, nodes := three(t, clocks...)
	release := func() {}
	if late != 0 {
		release = net.hold(late)
	}
	proceed := make(chan struct{})
	began := make(chan struct{})
	filled := make(chan string)
	go func() {
		val, err := nodes[0].GetWithFiller("k", func(string) (string, error) {
			close(began)
			<-proceed
			return "old", nil
		}, 3600)
		if err != nil {
			t.Error(err)
		}
		filled <- val
	}()
	<-began
	advance(gap)
	if del {
		must(t, nodes[1].Delete("k"))
	} else {
		must(t, nodes[1].Set("k", "new", 3600))
	}
	synctest.Wait()
	seen := late != 1 // the write reached the filling node before the fill ended
	close(proceed)
	if val := <-filled; seen && !del && val != "new" {
		t.Errorf("GetWithFiller returned %q though the cache held a newer value", val)
	}
	synctest.Wait()
	release()
	synctest.Wait()
	for i, b := range nodes {
		if del {
			miss(t, b, "k")
		} else if val, ok := b.Get("k"); ok && val != "new" {
			t.Errorf("node %d serves %q", i+1, val)
		}
	}
}

// After a Delete what a fill brings is cached at once, though for MaxClockSkew only provisionally; where
// there is no other node it is a write like any other.
func TestFillAfterADelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fill := func(b *Bcache) {
			val, err := b.GetWithFiller("k", func(string) (string, error) { return "v", nil }, 60)
			if must(t, err); val != "v" {
				t.Errorf("returned %q", val)
			}
		}
		_, nodes := three(t)
		b := nodes[0]
		must(t, b.Delete("k"))
		fill(b)
		get(t, b, "k", "v")
		if st := b.Stats(); st.FillsRefused != 0 || st.ProvisionalKept != 1 {
			t.Errorf("%d fills refused, %d kept", st.FillsRefused, st.ProvisionalKept)
		}
		must(t, b.Delete("k"))
		miss(t, b, "k")
		advance(502 * time.Millisecond)
		fill(b)
		get(t, b, "k", "v")
		if st := b.Stats(); st.ProvisionalKept != 1 || st.ProvisionalDropped != 1 {
			t.Errorf("%d kept, %d dropped", st.ProvisionalKept, st.ProvisionalDropped)
		}

		alone := localNode(t)
		must(t, alone.Delete("k"))
		fill(alone)
		get(t, alone, "k", "v")
		must(t, alone.SetWithTTL("k", "short", time.Millisecond))
		advance(time.Millisecond)
		fill(alone)
		get(t, alone, "k", "v")
	})
}

// The fence holds on a local node too.
func TestFillNeverBeatsALocalWrite(t *testing.T) {
	for _, write := range []func(b *Bcache) error{
		func(b *Bcache) error { return b.Set("k", "new", 60) },
		func(b *Bcache) error { return b.Delete("k") },
	} {
		b := localNode(t)
		val, err := b.GetWithFiller("k", func(string) (string, error) { return "old", write(b) }, 60)
		must(t, err)
		if got, ok := b.Get("k"); ok && got != "new" {
			t.Errorf("returned %q, serves %q", val, got)
		}
	}
}

// A Clear from another node ends the joining of all flights.
func TestFillIsForgottenByAClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		b := memNode(t, net, 1, 0)
		other, err := net.transport(Config{PeerID: 9}, 77, nil, nil)
		must(t, err)
		must(t, other.Start(make(pongHandler, 1)))
		defer other.Close()
		synctest.Wait()
		fills := 0
		filler := func(string) (string, error) { fills++; advance(time.Second); return "v", nil }
		go b.GetWithFiller("k", filler, 60)
		synctest.Wait()
		now := stampOf(time.Now().UnixMilli())
		other.Broadcast(appendDelta(nil, 77, 1, []record{{kind: kindClear, version: version{now + 1, 77}}}))
		synctest.Wait()
		b.GetWithFiller("k", filler, 60)
		if fills != 2 {
			t.Errorf("%d fills", fills)
		}
	})
}

func TestDeadlines(t *testing.T) {
	at := time.UnixMilli(1000)
	for _, tt := range []struct {
		now  time.Time
		ttl  time.Duration
		want int64
	}{
		{at, time.Second, 2000},
		{at, time.Millisecond, 1001},
		{at, 1, 1001},
		{at.Add(1), time.Millisecond, 1002},
		{at.Add(-1), 1, 1000},
		{at, NoExpiry, 0},
		{at, NoExpiry - 1, 0}, // beyond what can be told
		{at, seconds(1), 2000},
	} {
		if got := deadlineAt(tt.now, tt.ttl); got != tt.want {
			t.Errorf("deadlineAt(%v, %v) = %d, want %d", tt.now, tt.ttl, got, tt.want)
		}
	}
	want := NoExpiry
	if math.MaxInt == math.MaxInt32 {
		want = math.MaxInt32 * time.Second
	}
	if got := seconds(math.MaxInt); got != want {
		t.Errorf("seconds(MaxInt) = %v, want %v", got, want)
	}
}

func TestFillReplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		_, err := nodes[0].GetWithFiller("k", func(string) (string, error) { return "v", nil }, 10)
		must(t, err)
		synctest.Wait()
		for _, b := range nodes {
			get(t, b, "k", "v")
		}
		advance(10 * time.Second)
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
		must(t, nodes[0].Close())
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
			advance(defaultFillTimeout / 2)
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
			advance(20 * time.Second)
		}
		advance(10 * time.Minute)
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
		filler := func(string) (string, error) { calls.Add(1); advance(2 * time.Second); return "v", nil }
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
			must(t, b.Delete("k"))
			advance(100 * time.Millisecond)
		}
		wg.Wait()
		t.Logf("slowest %v, %d fills", time.Duration(most.Load()), calls.Load())
		if d := time.Duration(most.Load()); d > 6*time.Second {
			t.Errorf("a query takes 2 s, GetWithFiller %v (%d fills)", d, calls.Load())
		}
	})
}
