package ranking

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

const (
	ms     = time.Millisecond
	window = 10 * time.Minute
)

func TestLongest(t *testing.T) {
	l := NewLongest(2, window)
	at := func(min int) time.Duration { return time.Duration(min) * time.Minute }
	l.Add(at(0), "a", 10*ms)
	l.Add(at(0), "a", 30*ms)
	l.Add(at(0), "a", 20*ms)
	l.Add(at(0), "b", 11*ms)
	l.Add(at(0), "c", 12*ms) // takes the place of b
	l.Add(at(0), "b", 11*ms)
	l.Add(at(5), "a", 5*ms)
	for _, tt := range []struct {
		now  int
		k    int
		want []Span
	}{
		{5, 9, []Span{{"a", 30 * ms, 0}, {"c", 12 * ms, 0}}},
		{5, 1, []Span{{"a", 30 * ms, 0}}},
		{5, -1, nil},
		{9, 9, []Span{{"a", 30 * ms, 0}, {"c", 12 * ms, 0}}},
		{10, 9, []Span{{"a", 5 * ms, at(5)}}}, // what it took after its longest isn't lost with that
		{14, 9, []Span{{"a", 5 * ms, at(5)}}},
		{15, 9, nil},
	} {
		if got := l.Top(at(tt.now), tt.k); !slices.Equal(got, tt.want) {
			t.Errorf("after %d minutes, %d: %v, want %v", tt.now, tt.k, got, tt.want)
		}
	}
	l.Add(at(20), "d", ms) // in the pane in which a was first
	l.Add(at(10), "e", ms) // as old as that is: older than the window
	if got := l.Top(at(20), 9); !slices.Equal(got, []Span{{"d", ms, at(20)}}) {
		t.Errorf("ten minutes later: %v", got)
	}
}

// Whatever comes in whatever order, what is listed is what a list of everything says.
func TestLongestLaws(t *testing.T) {
	type added struct {
		key string
		Span
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(-1, 4).Draw(t, "n")
		l, most := NewLongest(n, 100), max(n, 1) // a pane of 10
		var all []added
		now := time.Duration(0)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 15).Draw(t, "pass"))
			late := max(now-time.Duration(rapid.IntRange(0, 20).Draw(t, "late")), 0)
			s := Span{Key: fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "key")), At: late}
			s.Took = time.Duration(len(all)+1) << (10 * rapid.IntRange(0, 2).Draw(t, "took")) // no two are equal
			l.Add(late, s.Key, s.Took)
			all = append(all, added{s.Key, s})
		}
		now += time.Duration(rapid.IntRange(0, 120).Draw(t, "then"))
		longest := map[string]Span{}
		for _, a := range all {
			if a.At/10 > now/10-panes && a.Took > longest[a.key].Took {
				longest[a.key] = a.Span
			}
		}
		var want []Span
		for _, s := range longest {
			want = append(want, s)
		}
		slices.SortFunc(want, func(a, b Span) int { return cmp.Compare(b.Took, a.Took) })
		want = want[:min(len(want), most)]
		if got := l.Top(now, 99); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		for _, p := range l.panes {
			if len(p.spans) > most {
				t.Fatalf("a pane has %d", len(p.spans))
			}
		}
	})
}

func TestLongestKeys(t *testing.T) {
	l := NewLongest(9, window)
	long := strings.Repeat("x", maxKey)
	l.Add(0, long+"a", 2*ms)
	l.Add(0, long+"b", ms)
	want := []Span{{long + cutMark, 2 * ms, 0}, {long + cutMark, ms, 0}}
	if got := l.Top(0, 9); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	lent := []byte("lent")
	l.Add(0, unsafe.String(&lent[0], len(lent)), 3*ms)
	lent[0] = 'b'
	if got := l.Top(0, 1); got[0].Key != "lent" {
		t.Errorf("the key has become %q", got[0].Key)
	}
	took := ms
	if n := testing.AllocsPerRun(1000, func() { took += ms; l.Add(0, long, took) }); n != 0 {
		t.Errorf("to add a known key takes %v allocations", n)
	}
}

// A window may be tiny, or none.
func TestLongestWindow(t *testing.T) {
	for _, w := range []time.Duration{-1, 0, 1} {
		l := NewLongest(1, w)
		l.Add(5, "a", ms)
		if got := l.Top(5, 1); len(got) != 1 {
			t.Errorf("%d: %v", w, got)
		}
		if got := l.Top(5+panes, 1); len(got) != 0 {
			t.Errorf("%d, later: %v", w, got)
		}
	}
}
