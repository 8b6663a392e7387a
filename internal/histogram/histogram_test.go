package histogram

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBucketsHaveTheirBounds(t *testing.T) {
	for i, bound := range Bounds {
		if i > 0 && bound <= Bounds[i-1] {
			t.Fatalf("bound %d, %v, isn't greater than the one before", i, bound)
		}
		var h Histogram
		h.Add(bound)
		h.Add(bound + 1)
		if c := h.Counts(); c.Buckets[i] != 1 || c.Buckets[i+1] != 1 {
			t.Errorf("%v and a nanosecond more: %v", bound, c.Buckets)
		}
	}
}

func TestNegativeIsZero(t *testing.T) {
	var h Histogram
	h.Add(-time.Second)
	if c := h.Counts(); c.Buckets[0] != 1 || c.Sum != 0 {
		t.Errorf("got %+v", c)
	}
}

// The quantile lies in the bucket of the duration that really has the rank.
func TestQuantileLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := rapid.SliceOfN(rapid.Int64Range(0, int64(200*time.Second)), 1, 50).Draw(t, "durations")
		var h Histogram
		for _, d := range ds {
			h.Add(time.Duration(d))
		}
		c := h.Counts()
		if c.Total() != uint64(len(ds)) {
			t.Fatalf("%d of %d counted", c.Total(), len(ds))
		}
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		got := c.Quantile(q)
		atMost := 0
		for _, d := range ds {
			if bucketOf(time.Duration(d)) <= bucketOf(got) || got == Bounds[len(Bounds)-1] {
				atMost++
			}
		}
		if float64(atMost) < q*float64(len(ds))-1e-6 {
			t.Fatalf("quantile %v is %v, but only %d of %d aren't beyond its bucket", q, got, atMost, len(ds))
		}
		if more := c.Quantile(min(q+0.1, 1)); more < got {
			t.Fatalf("quantile %v is %v, and a greater one %v", q, got, more)
		}
	})
}

func TestQuantileOfNone(t *testing.T) {
	var c Counts
	if got := c.Quantile(0.5); got != 0 {
		t.Errorf("got %v", got)
	}
}

// However small a part is, its quantile isn't in the bucket before that of the least duration.
func TestQuantileOfAlmostNone(t *testing.T) {
	var c Counts
	c.Add(10*time.Microsecond + 1)
	if got := c.Quantile(1e-5); got <= 10*time.Microsecond {
		t.Errorf("got %v", got)
	}
}

func TestQuantileIsInterpolated(t *testing.T) {
	var c Counts
	for range 100 {
		c.Add(15 * time.Microsecond)
	}
	if got := c.Quantile(0.5); got != 15*time.Microsecond {
		t.Errorf("got %v", got)
	}
}

// What a window has is what came within its slots, whatever the gaps between.
func TestWindowLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		var came []time.Duration
		now := time.Duration(0)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now += time.Duration(rapid.Int64Range(0, int64(90*time.Second)).Draw(t, "step"))
			w.Add(now, time.Millisecond)
			came = append(came, now)
			want := uint64(0)
			for _, at := range came {
				if at/slotTime > now/slotTime-windowSlots {
					want++
				}
			}
			c := w.Counts(now)
			if c.Total() != want {
				t.Fatalf("at %v: %d, want %d", now, c.Total(), want)
			}
		}
	})
}
