package measure

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

func TestSeries(t *testing.T) {
	var s Series
	for _, v := range []float64{10, 40, 20} {
		s.Add("a", v)
		s.Add("b", 10)
	}
	if s.Median("a") != 20 || s.Ratio("a", "b") != 2 || s.Ratio("b", "a") != .5 {
		t.Errorf("median %v, ratios %v and %v", s.Median("a"), s.Ratio("a", "b"), s.Ratio("b", "a"))
	}
	if !math.IsNaN(s.Median("c")) || !math.IsNaN(s.Ratio("a", "c")) {
		t.Error("what wasn't measured has figures")
	}
}

// A disturbance of single rounds, which hits both, doesn't move a ratio.
func TestRatioIsInsideTheRound(t *testing.T) {
	var s Series
	for _, busy := range []float64{1, 5, 1, 9, 2} {
		s.Add("a", 3*busy)
		s.Add("b", 2*busy)
	}
	if r := s.Ratio("a", "b"); r != 1.5 {
		t.Errorf("ratio %v", r)
	}
}

func TestQuantile(t *testing.T) {
	v := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, .5: 2.5, 1: 4} {
		if got := Quantile(v, q); got != want {
			t.Errorf("%v: %v", q, got)
		}
	}
	if v[0] != 4 {
		t.Error("the argument was changed")
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i) * time.Microsecond)
	}
	h.add(time.Second)
	if q := h.quantile(.5); q < 499*time.Microsecond || q > 501*time.Microsecond {
		t.Errorf("median %v", q)
	}
	if h.quantile(1) != time.Second || h.longest != time.Second {
		t.Errorf("longest %v, %v", h.quantile(1), h.longest)
	}
}

// Every kind of operation does what it is named for.
func TestOperations(t *testing.T) {
	w := workload.New(1024)
	c, err := filled(caches.Local()[0], w)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, tt := range map[string]struct {
		do     chunk
		missed int
	}{
		"hits":   {getHits(c, w), 0},
		"hot":    {getHot(c, w), 0},
		"misses": {getMisses(c, w), chunkSize},
		"sets":   {sets(c, w), 0},
		"mixed":  {mixed(c, w), 0},
	} {
		if got := tt.do(7 * chunkSize); got != tt.missed {
			t.Errorf("%s: %d missed", name, got)
		}
	}
	s := drive(2, time.Millisecond, getMisses(c, w))
	if s.missed != 1 || s.ops == 0 || s.ns <= 0 {
		t.Errorf("a slot of misses: %+v", s)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	step := func(string, float64) { cancel() }
	plan := Short
	plan.Keys, plan.Entries = 1024, 1024
	if _, err := Run(ctx, plan, step); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
