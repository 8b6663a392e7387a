package dots

import (
	"slices"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"pgregory.net/rapid"
)

// The log never claims what it doesn't know: a dot is either as it was put, or unknown.
func TestDeltaLogIsTruthfulAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(t, "size")
		l := NewLog(size)
		type dot struct{ origin, seq uint64 }
		model := map[dot]delta.Record{}
		for i := range rapid.IntRange(0, 500).Draw(t, "puts") {
			d := dot{rapid.Uint64Range(1, 4).Draw(t, "origin"), rapid.Uint64Range(1, 400).Draw(t, "seq")}
			rec := delta.Record{Key: rapid.StringN(0, 3, -1).Draw(t, "key"), Version: delta.Version{Stamp: uint64(i + 1), Origin: d.origin}, Kind: delta.KindTombstone}
			l.Put(d.origin, d.seq, &rec)
			model[d] = rec
			if slot, ok := l.Get(d.origin, d.seq); !ok || slot.Version != rec.Version {
				t.Fatalf("what was just put is %v, %v", slot, ok)
			}
		}
		records, keyBytes := 0, 0
		for d, rec := range model {
			if slot, ok := l.Get(d.origin, d.seq); ok {
				records++
				keyBytes += len(rec.Key)
				if slot != (LogSlot{rec.Key, rec.Version, rec.Kind}) {
					t.Fatalf("get%v = %v, want %v", d, slot, rec)
				}
			}
		}
		if records != l.Records || int64(keyBytes) != l.keyBytes {
			t.Fatalf("records %d, keyBytes %d, counted %d, %d", l.Records, l.keyBytes, records, keyBytes)
		}
		if records > size || l.pages() > l.maxPages {
			t.Fatalf("%d records in %d pages, size %d", records, l.pages(), size)
		}
		if slot, ok := l.Get(9, 1); ok {
			t.Fatalf("an unknown origin's dot is %v", slot)
		}
	})
}

func TestDeltaLogKeepsTheRecent(t *testing.T) {
	l := NewLog(1024)
	for seq := uint64(1); seq <= 5000; seq++ {
		l.Put(1, seq, &delta.Record{Key: "k", Version: delta.Version{Stamp: seq, Origin: 1}})
	}
	for seq := uint64(5000 - 1024 + 64); seq <= 5000; seq++ {
		if _, ok := l.Get(1, seq); !ok {
			t.Fatalf("dot %d of the last 1024 is gone", seq)
		}
	}
	if cap(l.order) > 4*l.maxPages+16 {
		t.Errorf("the page order has grown to %d for %d pages", cap(l.order), l.maxPages)
	}
}

// next, last and knows find the same as asking for one dot after the other.
func TestDeltaLogSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLog(rapid.IntRange(1, 300).Draw(t, "size"))
		for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 500)).Draw(t, "seqs") {
			l.Put(1, seq, &delta.Record{Version: delta.Version{Stamp: seq, Origin: 1}})
		}
		first, n := rapid.Uint64Range(1, 400).Draw(t, "first"), rapid.Uint64Range(0, 100).Draw(t, "run")
		for seq := first; seq < first+n; seq++ {
			l.Put(1, seq, &delta.Record{Version: delta.Version{Stamp: seq, Origin: 1}})
		}
		from, to := rapid.Uint64Range(1, 500).Draw(t, "from"), rapid.Uint64Range(1, 500).Draw(t, "to")
		want, known := uint64(0), false
		for seq := from; seq <= to && !known; seq++ {
			if _, known = l.Get(1, seq); known {
				want = seq
			}
		}
		if at, slot, ok := l.Next(1, from, to); ok != known || at != want || slot.Stamp != want {
			t.Fatalf("from %d to %d: dot %d, %+v, %v; want %d, %v", from, to, at, slot, ok, want, known)
		}

		want, known = 0, false
		for seq := to; seq >= from && !known; seq-- {
			if _, known = l.Get(1, seq); known {
				want = seq
			}
		}
		if at, slot, ok := l.Last(1, Interval{from - 1, to}); ok != known || at != want || slot.Stamp != want {
			t.Fatalf("back from %d to %d: dot %d, %+v, %v; want %d, %v", to, from, at, slot, ok, want, known)
		}

		some, all := false, true
		for seq := from; seq <= to; seq++ {
			_, known := l.Get(1, seq)
			some, all = some || known, all && known
		}
		if s, a := l.Knows(1, Interval{from - 1, to}); s != some || a != all {
			t.Fatalf("from %d to %d: knows some %v, all %v; want %v, %v", from, to, s, a, some, all)
		}
	})
}

// A context from elsewhere may have any number of dots that the log has never seen.
func TestDeltaLogSearchIsntCounting(t *testing.T) {
	for _, size := range []int{3, 50, 1024} { // pages of 1, 3 and 64 dots
		l := NewLog(size)
		seqs := []uint64{5, 1 << 40, delta.MaxSeq}
		for _, seq := range seqs {
			l.Put(1, seq, &delta.Record{Version: delta.Version{Stamp: seq >> 1, Origin: 1}})
		}
		from := uint64(1)
		for _, want := range seqs {
			if at, _, ok := l.Next(1, from, delta.MaxSeq); at != want || !ok {
				t.Errorf("from %d: dot %d, %v; want %d", from, at, ok, want)
			}
			from = want + 1
		}
		if at, _, ok := l.Next(1, from, delta.MaxSeq); ok {
			t.Errorf("after the last one: %d", at)
		}
		if some, all := l.Knows(1, Interval{5, delta.MaxSeq}); !some || all {
			t.Errorf("knows some: %v, all: %v", some, all)
		}
		if at, _, ok := l.Last(1, Interval{0, delta.MaxSeq - 1}); at != 1<<40 || !ok {
			t.Errorf("before the last one: %d, %v", at, ok)
		}
		if at, _, ok := l.Last(1, Interval{5, 1<<40 - 1}); ok {
			t.Errorf("in between: %d", at)
		}
	}
}

func TestDeltaLogBoundsItsKeys(t *testing.T) {
	l := NewLog(65_536)
	key := string(slices.Repeat([]byte("k"), 1<<20))
	for seq := uint64(1); seq <= 1000; seq++ {
		l.Put(1, seq, &delta.Record{Key: key, Version: delta.Version{Stamp: seq, Origin: 1}})
		if l.keyBytes > maxLogKeyBytes {
			t.Fatalf("keys of %d bytes", l.keyBytes)
		}
	}
	if l.Records == 0 {
		t.Error("nothing is left")
	}
}

// All of an interval is known only if each dot is, to the last one, on every page.
func TestDeltaLogSearchOfARun(t *testing.T) {
	for _, size := range []int{200, 4096} { // pages of 12 and 64 dots
		l := NewLog(size)
		for seq := uint64(5); seq <= 104; seq++ {
			l.Put(1, seq, &delta.Record{Version: delta.Version{Stamp: seq, Origin: 1}})
		}
		for iv, want := range map[Interval][2]bool{
			{4, 104}: {true, true}, {4, 105}: {true, false}, {3, 104}: {true, false}, {50, 51}: {true, true},
			{103, 106}: {true, false}, {104, 110}: {false, false}, {0, 4}: {false, false}, {7, 7}: {false, true},
		} {
			if some, all := l.Knows(1, iv); some != want[0] || all != want[1] {
				t.Errorf("size %d, %v: knows some %v, all %v", size, iv, some, all)
			}
		}
	}
}
