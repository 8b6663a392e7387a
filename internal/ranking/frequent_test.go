package ranking

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestFrequent(t *testing.T) {
	f := NewFrequent(2)
	for _, key := range []string{"a", "b", "a", "a", "c", "c"} { // c takes over the place of b
		f.Add(key)
	}
	want := []Count{{"a", 3, 0}, {"c", 3, 1}}
	if got := f.Top(9); !slices.Equal(got, want) || f.Total() != 6 {
		t.Errorf("%v of %d, want %v", got, f.Total(), want)
	}
	if got := f.Top(1); !slices.Equal(got, want[:1]) {
		t.Errorf("the first is %v", got)
	}
	if got := f.Top(-1); len(got) != 0 {
		t.Errorf("no keys are %v", got)
	}
	f.Reset()
	if got := f.Top(9); len(got) != 0 || f.Total() != 0 {
		t.Errorf("after Reset: %v of %d", got, f.Total())
	}
	if f.Add("d"); !slices.Equal(f.Top(9), []Count{{"d", 1, 0}}) {
		t.Errorf("then %v", f.Top(9))
	}
}

// However few counters somebody asks for, there is one.
func TestFrequentHasACounter(t *testing.T) {
	for _, n := range []int{0, -1, 1} {
		f := NewFrequent(n)
		f.Add("a")
		f.Add("b")
		if got := f.Top(9); !slices.Equal(got, []Count{{"b", 2, 1}}) {
			t.Errorf("%d: %v", n, got)
		}
	}
}

// The guarantees of Space-Saving.
func TestFrequentLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "n")
		key := rapid.IntRange(0, rapid.IntRange(0, 20).Draw(t, "last key"))
		keys := rapid.SliceOfN(rapid.Map(key, strconv.Itoa), 0, 100).Draw(t, "keys")
		f, came := NewFrequent(n), map[string]uint64{}
		for _, key := range keys {
			f.Add(key)
			came[key]++
			for _, c := range f.counters {
				if least := f.counters[f.heap[0]].count; c.count < least {
					t.Fatalf("%s has %d, and the least is %d", c.key, c.count, least)
				}
			}
		}
		top := f.Top(n)
		if len(top) != min(n, len(came)) || f.Total() != uint64(len(keys)) {
			t.Fatalf("%v of %d, but %d keys came %d times", top, f.Total(), len(came), len(keys))
		}
		sum, listed := uint64(0), map[string]bool{}
		for i, c := range top {
			if listed[c.Key] || came[c.Key] > c.Count || came[c.Key] < c.Count-c.Error {
				t.Fatalf("%s came %d times: %v", c.Key, came[c.Key], top)
			}
			if c.Error > f.Total()/uint64(n) {
				t.Fatalf("of %d: %v", f.Total(), top)
			}
			if i > 0 && c.Count > top[i-1].Count {
				t.Fatalf("not sorted: %v", top)
			}
			listed[c.Key] = true
			sum += c.Count
		}
		if sum != f.Total() {
			t.Fatalf("counts of %d, and %d came", sum, f.Total())
		}
		for key, count := range came {
			if count > f.Total()/uint64(n) && !listed[key] {
				t.Fatalf("%s came %d times of %d and isn't listed: %v", key, count, f.Total(), top)
			}
		}
	})
}

// It keeps no part of what it is given, and of a long key the beginning only.
func TestFrequentKeys(t *testing.T) {
	long := strings.Repeat("x", maxKey)
	f := NewFrequent(9)
	for i, key := range []string{long[1:] + "é", long, long + "a", long + "b"} { // é would be cut in two
		for range i + 1 {
			f.Add(key)
		}
	}
	cut := long + cutMark
	want := []Count{{cut, 4, 0}, {cut, 3, 0}, {long, 2, 0}, {long[1:] + cutMark, 1, 0}}
	if got := f.Top(9); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}

	lent := []byte("lent")
	f.Reset()
	f.Add(unsafe.String(&lent[0], len(lent)))
	lent[0] = 'b'
	if got := f.Top(1); got[0].Key != "lent" {
		t.Errorf("the key has become %q", got[0].Key)
	}
}

// Where all counters are used, keys take no new memory, be they known or not.
func TestFrequentAllocations(t *testing.T) {
	for _, n := range []int{64, 1} {
		f := NewFrequent(n)
		keys := make([]string, 64)
		for i := range keys {
			keys[i] = fmt.Sprint(strings.Repeat("k", 10*(64-i)), i)
			f.Add(keys[i])
		}
		i := 0
		if got := testing.AllocsPerRun(1000, func() { f.Add(keys[i%64]); i++ }); got != 0 {
			t.Errorf("of %d counters one takes %v allocations", n, got)
		}
	}
}

// What a counter takes doesn't grow, whatever keys come.
func TestFrequentIsBounded(t *testing.T) {
	f := NewFrequent(4)
	for i := range 10_000 {
		f.Add(strings.Repeat("k", i%1000) + fmt.Sprint(i))
	}
	if len(f.counters) != 4 || len(f.heap) != 4 || len(f.of) != 4 {
		t.Errorf("%d counters, %d places, %d keys", len(f.counters), len(f.heap), len(f.of))
	}
	for _, c := range f.counters {
		if cap(c.key) > maxKey+len(cutMark) {
			t.Errorf("a key takes %d bytes", cap(c.key))
		}
	}
}

func BenchmarkFrequentAdd(b *testing.B) {
	f := NewFrequent(512)
	keys := make([]string, 1<<12)
	for i := range keys {
		keys[i] = fmt.Sprint("some key ", i)
	}
	b.Run("known", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			f.Add(keys[i%512])
		}
	})
	b.Run("new", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			f.Add(keys[i%len(keys)])
		}
	})
}
