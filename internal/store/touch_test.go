package store

import (
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"pgregory.net/rapid"
)

// No touch is ever taken for known that is neither below the echo nor among the dots, however long ago it
// came; and those that are remembered are known if they are.
func TestTouchLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const buckets = 3
		size := rapid.IntRange(1, 12).Draw(t, "size")
		log := NewTouches(false, size)
		type touch struct {
			bucket int
			delta.Dot
			at time.Duration
		}
		var all []touch // the n-th has the count n+1
		for range rapid.IntRange(0, 40).Draw(t, "touches") {
			x := touch{bucket: rapid.IntRange(0, buckets-1).Draw(t, "bucket"), at: time.Duration(len(all) + 1)}
			if rapid.IntRange(0, 9).Draw(t, "dotless") > 0 {
				x.Dot = delta.Dot{Origin: 1, Seq: uint64(len(all) + 1)}
			}
			log.Add(&log.Heads[x.bucket], x.Dot, x.at)
			all = append(all, x)
		}
		echo := rapid.Uint64Range(0, uint64(len(all))+2).Draw(t, "echo")
		var dotBytes []delta.Dot
		for _, x := range all {
			if x.Dot != (delta.Dot{}) && rapid.IntRange(0, 4).Draw(t, "known") > 0 {
				dotBytes = append(dotBytes, x.Dot)
			}
		}
		knows := func(d delta.Dot) bool { return slices.Contains(dotBytes, d) }
		for bucket := range buckets {
			known, remembered, last := echo > 0, true, time.Duration(0)
			var own []delta.Dot
			for i, x := range all {
				if x.bucket != bucket {
					continue
				}
				last = x.at
				if count := uint64(i + 1); count >= echo {
					known = known && x.Dot != (delta.Dot{}) && slices.Contains(dotBytes, x.Dot)
					remembered = remembered && i >= len(all)-size
				}
				if x.Dot != (delta.Dot{}) && i >= len(all)-size {
					own = append(own, x.Dot)
				}
			}
			head := log.Heads[bucket]
			if got := log.Known(head, echo, knows); got && !known || known && remembered && !got {
				t.Fatalf("bucket %d, echo %d, dots %v: known is %v; of %v", bucket, echo, dotBytes, got, all)
			}
			if got := log.Last(bucket); got < last || got > last && last > time.Duration(len(all)-size) {
				t.Fatalf("bucket %d was last touched at %d, not %d", bucket, last, got)
			}
			got := log.AppendDots(nil, head)
			slices.Reverse(got)
			if len(own) < len(got) || !slices.Equal(got, own[len(own)-len(got):]) || len(got) < min(len(own), 4) {
				t.Fatalf("bucket %d has the dots %v, not %v", bucket, got, own)
			}
		}
	})
}

// A chain says of which origins it is, as far back as somebody wants to know, and is looked at no further
// than the lock may be held for.
func TestTouchOrigins(t *testing.T) {
	log := NewTouches(false, 0)
	for i := range uint64(2 * maxChain) {
		log.Add(&log.Heads[7], delta.Dot{Origin: i % 5, Seq: i + 1}, time.Duration(i))
		log.Add(&log.Heads[8], delta.Dot{Origin: 99, Seq: i + 1}, time.Duration(i))
	}
	log.Add(&log.Heads[7], delta.Dot{}, 2*maxChain) // it has no origin
	for _, c := range []struct {
		since time.Duration
		most  int
		want  []uint64
	}{
		{0, 10, []uint64{2, 1, 0, 4, 3}}, {0, 3, []uint64{2, 1, 0}}, {0, 0, nil},
		{2*maxChain - 2, 10, []uint64{2, 1}}, {2*maxChain + 1, 10, nil},
	} {
		if got := log.AppendOrigins(nil, log.Heads[7], c.since, c.most); !slices.Equal(got, c.want) {
			t.Errorf("since %d, at most %d: %v, not %v", c.since, c.most, got, c.want)
		}
	}
	if got := log.AppendOrigins([]uint64{1}, log.Heads[7], 0, 3); !slices.Equal(got, []uint64{1, 2, 0}) {
		t.Errorf("beside 1: %v", got)
	}
	all := func(delta.Dot) bool { return true }
	head := log.Heads[8]
	if !log.Known(head, head-2*(maxChain-1), all) || log.Known(head, head-2*maxChain, all) {
		t.Error("it is looked at further back than that, or not so far")
	}
}

// A local node notes touches of buckets once somebody asks. Of what was before it knows when the last one
// was, within a tenth of a second.
func TestLocalTouches(t *testing.T) {
	const ms = time.Millisecond
	log := NewTouches(true, 0)
	if log.Last(7) != unknown {
		t.Errorf("before anybody asked, last touched at %v", log.Last(7))
	}
	log.Note(7, 0)
	log.Note(7, 1000*ms)
	log.Note(7, 1099*ms)
	log.Track()
	if got := log.Last(8); got < 1099*ms || got > 1200*ms {
		t.Errorf("last touched at %v, not about 1.099s", got)
	}
	before := log.Last(8)
	log.Note(7, 3000*ms)
	log.Note(7, 2500*ms)
	log.Track() // again: nothing changes
	if log.Last(7) != 3000*ms || log.Last(8) != before {
		t.Errorf("last touched at %v, another bucket at %v", log.Last(7), log.Last(8))
	}

	for _, at := range []time.Duration{0, 50 * ms} { // soon after the beginning
		log := NewTouches(true, 0)
		log.Note(7, at)
		if log.Track(); log.Last(8) < at || log.Last(8) == 0 {
			t.Errorf("touched at %v, it says %v", at, log.Last(8))
		}
	}
	untouched := NewTouches(true, 0)
	if untouched.Track(); untouched.Last(8) != 0 {
		t.Errorf("never touched, it says %v", untouched.Last(8))
	}
}
