package fill

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/keyhash"
	"github.com/iwanbk/bcache/internal/testkit"
)

func oneShard(string) uint64 { return 0 }

func joinAlone(t *testing.T, f *Loads, key string, layout any) (ld *Load, isNew bool) {
	return f.Join(key, layout, NewRun(t.Context(), false), make(chan struct{}, 1))
}

// Callers of one key and layout have one load, whose context ends with the last of them, and says why. It
// isn't joined any more then.
func TestLoadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewLoads(oneShard, &clearList{})
		first, isNew := joinAlone(t, f, "k", nil)
		second, again := joinAlone(t, f, "k", nil)
		if !isNew || again || second != first || !f.Runs("k", nil) {
			t.Error("it isn't shared")
		}
		for _, other := range []struct {
			key    string
			layout any
		}{{"k", 1}, {"l", nil}} {
			if ld, isNew := joinAlone(t, f, other.key, other.layout); !isNew || ld == first {
				t.Errorf("%v is shared", other)
			}
		}
		for i, why := range []error{context.Canceled, context.DeadlineExceeded} {
			if first.Run.Ctx.Err() != nil {
				t.Errorf("it has ended after %d have left", i)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if why == context.DeadlineExceeded {
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			} else {
				cancel()
			}
			if res, ok := f.Wait(ctx, first, f.Caller(false)); !ok || res.Err != why {
				t.Errorf("who leaves has %v", res.Err)
			}
			cancel()
		}
		if cause := context.Cause(first.Run.Ctx); cause != context.DeadlineExceeded {
			t.Errorf("it ended for %v", cause)
		}
		if _, isNew := joinAlone(t, f, "k", nil); !isNew {
			t.Error("what has ended is joined")
		}
	})
}

// All who wait have the result, and later ones a load of their own.
func TestLoadsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewLoads(oneShard, &clearList{})
		ld, _ := joinAlone(t, f, "k", nil)
		got := make(chan Result, 1)
		go func() { res, _ := f.Wait(t.Context(), ld, f.Caller(false)); got <- res }()
		synctest.Wait()
		want := Result{Value: "v", Stale: true, Err: errors.New("down")}
		f.End(ld, want)
		if res := <-got; res != want {
			t.Errorf("%+v", res)
		}
		if f.count.Load() != 0 || f.Runs("k", nil) || ld.Run.Ctx.Err() == nil {
			t.Error("it goes on")
		}
	})
}

// MaxFills of a key have places, and who waits for one has that of the first that ends.
func TestLoadsPlaces(t *testing.T) {
	f := NewLoads(oneShard, &clearList{})
	var lds []*Load
	for range MaxFills + 2 {
		ld, isNew := joinAlone(t, f, "k", nil)
		if !isNew {
			t.Fatal("it is joined after a write")
		}
		f.Begin(ld)
		f.Written("k")
		lds = append(lds, ld)
	}
	placed := func() (n int) {
		for _, ld := range lds {
			if ld.HasPlace() {
				n++
			}
		}
		return n
	}
	if n := placed(); n != MaxFills || lds[MaxFills].HasPlace() {
		t.Errorf("%d have places", n)
	}
	f.End(lds[1], Result{})
	if next := lds[MaxFills]; placed() != MaxFills+1 || !next.HasPlace() || !next.IsStirred() || next.IsStirred() {
		t.Error("the next one doesn't know that it has a place")
	}
	if ld := f.Background("k", nil, NewRun(t.Context(), true), make(chan struct{}, 1)); ld != nil {
		t.Error("one in the background takes a place that others wait for")
	}
}

// A Fill that would wait for itself isn't joined.
func TestLoadsCycle(t *testing.T) {
	f := NewLoads(oneShard, &clearList{})
	ld, _ := joinAlone(t, f, "k", nil)
	inner, isNew := f.Join("l", nil, NewRun(ld.Run.Ctx, false), make(chan struct{}, 1))
	if inner == nil || !isNew {
		t.Fatal("another key can't be filled")
	}
	if ld, _ := f.Join("k", nil, NewRun(inner.Run.Ctx, false), make(chan struct{}, 1)); ld != nil {
		t.Error("it waits for itself")
	}
}

// What is done with what is held, by time.
func TestPolicyJudges(t *testing.T) {
	p := Policy{StaleForMs: 10, OnErrorMs: 30}
	value := delta.Record{Deadline: 100, RefreshFrom: 80, StaleUntil: 125}
	short := delta.Record{Deadline: 100, StaleUntil: 105}
	negative := delta.Record{Kind: delta.KindNegative, Deadline: 100}
	for _, tt := range []struct {
		name string
		rec  delta.Record
		wall int64
		want Verdict
	}{
		{"fresh", value, 79, VerdictServe},
		{"to be refreshed", value, 80, VerdictRefresh},
		{"still so", value, 99, VerdictRefresh},
		{"stale", value, 100, VerdictStale},
		{"still stale", value, 109, VerdictStale},
		{"for failures", value, 110, VerdictFallback},
		{"still for failures", value, 124, VerdictFallback},
		{"the value's own end", value, 125, VerdictFill},
		{"an earlier one", short, 104, VerdictStale},
		{"at that", short, 105, VerdictFill},
		{"without a deadline", delta.Record{}, 1 << 40, VerdictServe},
		{"missing", negative, 99, VerdictMissing},
		{"perhaps there again", negative, 100, VerdictFill},
		{"deleted", delta.Record{Kind: delta.KindTombstone}, 0, VerdictFill},
	} {
		if got := p.Judge(&tt.rec, true, tt.wall); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := p.Judge(&delta.Record{}, false, 0); got != VerdictFill {
		t.Errorf("nothing is held: %d", got)
	}
}

// What a fill writes, by time.
func TestPolicyWrites(t *testing.T) {
	now := time.UnixMilli(1000)
	p := Policy{
		Ttl: 100 * time.Millisecond, NegativeTTL: 50 * time.Millisecond, Jitter: 0.5, RefreshAhead: 0.1,
		StaleForMs: 10, OnErrorMs: 30,
	}
	for _, tt := range []struct {
		ttl     time.Duration
		shorter float64
		want    delta.Record
	}{
		{0, 0, delta.Record{Deadline: 1100, RefreshFrom: 1090, StaleUntil: 1130}},
		{0, 1, delta.Record{Deadline: 1050, RefreshFrom: 1045, StaleUntil: 1080}},
		{time.Second, 0, delta.Record{Deadline: 2000, RefreshFrom: 1900, StaleUntil: 2030}},
		{time.Nanosecond, 0, delta.Record{Deadline: 1001, RefreshFrom: 1000, StaleUntil: 1031}},
		{delta.NoExpiry, 1, delta.Record{}},
	} {
		tt.want.Key, tt.want.Val = "k", "v"
		if got, ok := p.Value(now, "k", "v", tt.ttl, tt.shorter); !ok || got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.ttl, got, tt.want)
		}
	}
	if _, ok := p.Value(now, "k", "v", -1, 0); ok {
		t.Error("what isn't to be cached is written")
	}
	if got := p.Missing(now, "k", 0); got != (delta.Record{Key: "k", Kind: delta.KindNegative, Deadline: 1050}) {
		t.Errorf("%+v", got)
	}
	if p.NegativeTTL = 0; p.Missing(now, "k", 0) != (delta.Record{Key: "k", Kind: delta.KindTombstone}) {
		t.Error("a tombstone ends what is held")
	}
}

// Who comes after a write doesn't get what was looked up before it, by a load whose Fill hadn't begun.
func TestLoaderLookUpIsForgotten(t *testing.T) {
	f := NewLoads(oneShard, &clearList{})
	r := NewRun(t.Context(), false)
	ld, _ := f.Join("k", nil, r, make(chan struct{}, 1))
	other := func() bool {
		ld2, isNew := f.Join("k", nil, NewRun(t.Context(), false), make(chan struct{}, 1))
		if isNew {
			f.End(ld2, Result{})
		}
		return isNew
	}
	f.Written("k")
	if other() {
		t.Error("before its Fill a write forgets it")
	}
	f.LookUp(ld, func() bool {
		f.Written("k")
		if !other() {
			t.Error("what is being looked up is joined after a write")
		}
		return false
	})
	if other() {
		t.Error("nothing was found, and it isn't joined")
	}
	f.LookUp(ld, func() bool { return true })
	if f.Written("k"); !other() {
		t.Error("what was looked up is joined after a write")
	}
	f.End(ld, Result{})
}

// Loads of keys that somebody has chosen don't share a group.
func TestCraftedLoadsAreSpread(t *testing.T) {
	hash := keyhash.New()
	for _, c := range testkit.Crafted {
		loads := NewLoads(hash.Of, &clearList{})
		of := map[*shard]int{}
		for i := range uint64(6400) {
			of[loads.of(testkit.KeyOf(c.Hash(i)))]++
		}
		for _, n := range of {
			if n > 200 {
				t.Errorf("%s: %d of 6,400 loads in one of 64 groups", c.Name, n)
			}
		}
	}
}
