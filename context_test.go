package bcache

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A dotSet is a set: whatever the order, it holds what was added, as few
// intervals as there are gaps, and covered is the end of what has no gap.
func TestDotSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s dotSet
		model := map[uint64]bool{}
		for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 60)).Draw(t, "seqs") {
			if !s.add(seq) {
				t.Fatalf("add(%d) = false", seq)
			}
			model[seq] = true
			covered := uint64(0)
			for model[covered+1] {
				covered++
			}
			if s.covered != covered {
				t.Fatalf("covered = %d, want %d", s.covered, covered)
			}
			last := s.covered
			for _, iv := range s.ahead {
				if iv.from <= last || iv.to <= iv.from {
					t.Fatalf("intervals %v after %d", s.ahead, s.covered)
				}
				last = iv.to
			}
			for seq := range uint64(62) {
				if got := s.has(seq); got != (model[seq] || seq == 0) {
					t.Fatalf("has(%d) = %v", seq, got)
				}
				run := s.run(seq)
				if s.has(seq) != (seq == 0 || run.from < seq && seq <= run.to) {
					t.Fatalf("run(%d) = %v", seq, run)
				}
			}
		}
	})
}

func TestDotSetIsBounded(t *testing.T) {
	var s dotSet
	for i := range uint64(maxIntervals) {
		if !s.add(10 + 2*i) {
			t.Fatalf("add nr %d = false", i)
		}
	}
	if s.add(1_000_000) {
		t.Error("one too many at the far end was remembered")
	}
	if !s.has(1_000_000) || !s.add(1_000_001) || s.run(1_000_001) != (interval{999_999, 1_000_001}) {
		t.Error("what arrives now isn't remembered")
	}
	if s.add(5) || !s.has(5) || !s.has(1_000_001) || len(s.ahead) != maxIntervals {
		t.Error("a near one isn't remembered, or the last isn't any more")
	}
	if s.add(math.MaxUint64) || !s.has(math.MaxUint64) || s.covered != 0 {
		t.Error("the last seq upsets it")
	}
	for seq := uint64(1); s.covered < 10+2*(maxIntervals-5); seq++ {
		s.add(seq)
	}
	if s.has(10+2*(maxIntervals-1)) || len(s.ahead) > 4 {
		t.Errorf("%v left", s.ahead)
	}
}

func TestDotContextDropsTheLongestUnheard(t *testing.T) {
	c := newDotContext(7)
	c.live[1001] = true // connected, but quiet
	for i := range uint64(maxOrigins - 1) {
		s, dropped := c.of(1000+i, time.Duration(i))
		s.add(1)
		if dropped {
			t.Fatal("dropped below the bound")
		}
	}
	c.of(1000, time.Hour) // heard again
	if _, dropped := c.of(1, time.Hour); !dropped {
		t.Error("nothing was dropped")
	}
	if len(c.origins) != maxOrigins {
		t.Errorf("%d origins", len(c.origins))
	}
	if c.origins[1002] != nil || c.origins[1001] == nil || c.origins[1000] == nil || c.origins[7] == nil {
		t.Error("the wrong one was dropped")
	}
}

func TestClockIncreases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c clock
		last := uint64(0)
		for range 100 {
			wall := rapid.Int64Range(-1000, 1<<40).Draw(t, "wall")
			if rapid.Bool().Draw(t, "observe") {
				seen := rapid.Uint64Range(0, 1<<60).Draw(t, "seen")
				c.observe(seen)
				last = max(last, seen)
			}
			got := c.tick(wall)
			if got <= last || got < stampOf(wall) {
				t.Fatalf("tick(%d) = %d after %d", wall, got, last)
			}
			last = got
		}
	})
}

func TestVersionOrderIsTotal(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) version {
		return version{rapid.Uint64Range(0, 3).Draw(t, "stamp"), rapid.Uint64Range(0, 3).Draw(t, "origin")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		if a.less(b) == b.less(a) && a != b {
			t.Fatal("not antisymmetric or not total")
		}
		if a.less(b) && b.less(c) && !a.less(c) {
			t.Fatal("not transitive")
		}
		if a.less(a) {
			t.Fatal("not irreflexive")
		}
	})
}

// The log never claims what it doesn't know: a dot is either as it was put, or unknown.
func TestDeltaLogIsTruthfulAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(t, "size")
		l := newDeltaLog(size)
		type dot struct{ origin, seq uint64 }
		model := map[dot]record{}
		for i := range rapid.IntRange(0, 500).Draw(t, "puts") {
			d := dot{rapid.Uint64Range(1, 4).Draw(t, "origin"), rapid.Uint64Range(1, 400).Draw(t, "seq")}
			rec := record{key: rapid.StringN(0, 3, -1).Draw(t, "key"), version: version{uint64(i + 1), d.origin}, kind: kindTombstone}
			l.put(d.origin, d.seq, &rec)
			model[d] = rec
			if slot, ok := l.get(d.origin, d.seq); !ok || slot.version != rec.version {
				t.Fatalf("what was just put is %v, %v", slot, ok)
			}
		}
		records, keyBytes := 0, 0
		for d, rec := range model {
			if slot, ok := l.get(d.origin, d.seq); ok {
				records++
				keyBytes += len(rec.key)
				if slot != (logSlot{rec.key, rec.version, rec.kind}) {
					t.Fatalf("get%v = %v, want %v", d, slot, rec)
				}
			}
		}
		if records != l.records || int64(keyBytes) != l.keyBytes {
			t.Fatalf("records %d, keyBytes %d, counted %d, %d", l.records, l.keyBytes, records, keyBytes)
		}
		if records > size || l.pages() > l.maxPages {
			t.Fatalf("%d records in %d pages, size %d", records, l.pages(), size)
		}
		if slot, ok := l.get(9, 1); ok {
			t.Fatalf("an unknown origin's dot is %v", slot)
		}
	})
}

func TestDeltaLogKeepsTheRecent(t *testing.T) {
	l := newDeltaLog(1024)
	for seq := uint64(1); seq <= 5000; seq++ {
		l.put(1, seq, &record{key: "k", version: version{seq, 1}})
	}
	for seq := uint64(5000 - 1024 + 64); seq <= 5000; seq++ {
		if _, ok := l.get(1, seq); !ok {
			t.Fatalf("dot %d of the last 1024 is gone", seq)
		}
	}
	if cap(l.order) > 4*l.maxPages+16 {
		t.Errorf("the page order has grown to %d for %d pages", cap(l.order), l.maxPages)
	}
}

func TestDeltaLogBoundsItsKeys(t *testing.T) {
	l := newDeltaLog(65_536)
	key := string(slices.Repeat([]byte("k"), 1<<20))
	for seq := uint64(1); seq <= 1000; seq++ {
		l.put(1, seq, &record{key: key, version: version{seq, 1}})
		if l.keyBytes > maxLogKeyBytes {
			t.Fatalf("keys of %d bytes", l.keyBytes)
		}
	}
	if l.records == 0 {
		t.Error("nothing is left")
	}
}
