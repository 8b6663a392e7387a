package bcache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func oneShard(string) uint64 { return 0 }

func joinAlone(t *testing.T, f *loads, key string, layout any) (ld *load, isNew bool) {
	return f.join(key, layout, newRun(t.Context(), false), make(chan struct{}, 1))
}

// Callers of one key and layout have one load, whose context ends with the last of them, and says why. It
// isn't joined any more then.
func TestLoadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newLoads(oneShard)
		first, isNew := joinAlone(t, f, "k", nil)
		second, again := joinAlone(t, f, "k", nil)
		if !isNew || again || second != first || !f.runs("k", nil) {
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
			if first.run.ctx.Err() != nil {
				t.Errorf("it has ended after %d have left", i)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if why == context.DeadlineExceeded {
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			} else {
				cancel()
			}
			if res := f.wait(ctx, first); res.Err != why {
				t.Errorf("who leaves has %v", res.Err)
			}
			cancel()
		}
		if cause := context.Cause(first.run.ctx); cause != context.DeadlineExceeded {
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
		f := newLoads(oneShard)
		ld, _ := joinAlone(t, f, "k", nil)
		got := make(chan loadResult, 1)
		go func() { got <- f.wait(t.Context(), ld) }()
		synctest.Wait()
		want := loadResult{Value: "v", Stale: true, Err: errors.New("down")}
		f.end(ld, want)
		if res := <-got; res != want {
			t.Errorf("%+v", res)
		}
		if f.count.Load() != 0 || f.runs("k", nil) || ld.run.ctx.Err() == nil {
			t.Error("it goes on")
		}
	})
}

// maxFills of a key have places, and who waits for one has that of the first that ends.
func TestLoadsPlaces(t *testing.T) {
	f := newLoads(oneShard)
	var lds []*load
	for range maxFills + 2 {
		ld, isNew := joinAlone(t, f, "k", nil)
		if !isNew {
			t.Fatal("it is joined after a write")
		}
		f.begin(ld)
		f.written("k")
		lds = append(lds, ld)
	}
	placed := func() (n int) {
		for _, ld := range lds {
			if ld.hasPlace() {
				n++
			}
		}
		return n
	}
	if n := placed(); n != maxFills || lds[maxFills].hasPlace() {
		t.Errorf("%d have places", n)
	}
	f.end(lds[1], loadResult{})
	if next := lds[maxFills]; placed() != maxFills+1 || !next.hasPlace() || !next.isStirred() || next.isStirred() {
		t.Error("the next one doesn't know that it has a place")
	}
	if ld := f.background("k", nil, newRun(t.Context(), true), make(chan struct{}, 1)); ld != nil {
		t.Error("one in the background takes a place that others wait for")
	}
}

// A Fill that would wait for itself isn't joined.
func TestLoadsCycle(t *testing.T) {
	f := newLoads(oneShard)
	ld, _ := joinAlone(t, f, "k", nil)
	inner, isNew := f.join("l", nil, newRun(ld.run.ctx, false), make(chan struct{}, 1))
	if inner == nil || !isNew {
		t.Fatal("another key can't be filled")
	}
	if ld, _ := f.join("k", nil, newRun(inner.run.ctx, false), make(chan struct{}, 1)); ld != nil {
		t.Error("it waits for itself")
	}
}

// What is done with what is held, by time.
func TestPolicyJudges(t *testing.T) {
	p := loadPolicy{staleForMs: 10, onErrorMs: 30}
	value := record{deadline: 100, refreshFrom: 80, staleUntil: 125}
	short := record{deadline: 100, staleUntil: 105}
	negative := record{kind: kindNegative, deadline: 100}
	for _, tt := range []struct {
		name string
		rec  record
		wall int64
		want verdict
	}{
		{"fresh", value, 79, verdictServe},
		{"to be refreshed", value, 80, verdictRefresh},
		{"still so", value, 99, verdictRefresh},
		{"stale", value, 100, verdictStale},
		{"still stale", value, 109, verdictStale},
		{"for failures", value, 110, verdictFallback},
		{"still for failures", value, 124, verdictFallback},
		{"the value's own end", value, 125, verdictFill},
		{"an earlier one", short, 104, verdictStale},
		{"at that", short, 105, verdictFill},
		{"without a deadline", record{}, 1 << 40, verdictServe},
		{"missing", negative, 99, verdictMissing},
		{"perhaps there again", negative, 100, verdictFill},
		{"deleted", record{kind: kindTombstone}, 0, verdictFill},
	} {
		if got := p.judge(&tt.rec, true, tt.wall); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := p.judge(&record{}, false, 0); got != verdictFill {
		t.Errorf("nothing is held: %d", got)
	}
}

// What a fill writes, by time.
func TestPolicyWrites(t *testing.T) {
	now := time.UnixMilli(1000)
	p := loadPolicy{
		ttl: 100 * time.Millisecond, negativeTTL: 50 * time.Millisecond, jitter: 0.5, refreshAhead: 0.1,
		staleForMs: 10, onErrorMs: 30,
	}
	for _, tt := range []struct {
		ttl     time.Duration
		shorter float64
		want    record
	}{
		{0, 0, record{deadline: 1100, refreshFrom: 1090, staleUntil: 1130}},
		{0, 1, record{deadline: 1050, refreshFrom: 1045, staleUntil: 1080}},
		{time.Second, 0, record{deadline: 2000, refreshFrom: 1900, staleUntil: 2030}},
		{time.Nanosecond, 0, record{deadline: 1001, refreshFrom: 1000, staleUntil: 1031}},
		{noExpiry, 1, record{}},
	} {
		tt.want.key, tt.want.val = "k", "v"
		if got, ok := p.value(now, "k", "v", tt.ttl, tt.shorter); !ok || got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.ttl, got, tt.want)
		}
	}
	if _, ok := p.value(now, "k", "v", -1, 0); ok {
		t.Error("what isn't to be cached is written")
	}
	if got := p.missing(now, "k", 0); got != (record{key: "k", kind: kindNegative, deadline: 1050}) {
		t.Errorf("%+v", got)
	}
	if p.negativeTTL = 0; p.missing(now, "k", 0) != (record{key: "k", kind: kindTombstone}) {
		t.Error("a tombstone ends what is held")
	}
}

// Who comes after a write doesn't get what was looked up before it, by a load whose Fill hadn't begun.
func TestLoaderLookUpIsForgotten(t *testing.T) {
	f := newLoads(oneShard)
	r := newRun(t.Context(), false)
	ld, _ := f.join("k", nil, r, make(chan struct{}, 1))
	other := func() bool {
		ld2, isNew := f.join("k", nil, newRun(t.Context(), false), make(chan struct{}, 1))
		if isNew {
			f.end(ld2, loadResult{})
		}
		return isNew
	}
	f.written("k")
	if other() {
		t.Error("before its Fill a write forgets it")
	}
	f.lookUp(ld, func() bool {
		f.written("k")
		if !other() {
			t.Error("what is being looked up is joined after a write")
		}
		return false
	})
	if other() {
		t.Error("nothing was found, and it isn't joined")
	}
	f.lookUp(ld, func() bool { return true })
	if f.written("k"); !other() {
		t.Error("what was looked up is joined after a write")
	}
	f.end(ld, loadResult{})
}

// Loads of keys that somebody has chosen don't share a group.
func TestCraftedLoadsAreSpread(t *testing.T) {
	hash := newKeyHash()
	for _, c := range crafted {
		loads := newLoads(hash.of)
		of := map[*loadShard]int{}
		for i := range uint64(6400) {
			of[loads.of(keyOf(c.hash(i)))]++
		}
		for _, n := range of {
			if n > 200 {
				t.Errorf("%s: %d of 6,400 loads in one of 64 groups", c.name, n)
			}
		}
	}
}
