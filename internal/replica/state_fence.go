package replica

import (
	"math"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// The fence: what decides whether what a fill has read can be older than a write that was processed
// here.

// fillStamp is the stamp of a fill that begins now: older than every write that any node issues from
// now on, or has issued within settle, as long as clocks differ by no more than maxSkew. The extra
// millisecond is for the clocks' resolution.
//
// This node's own later writes are newer even if its wall clock is set back meanwhile. Where there are
// no other nodes that is all it takes.
func (s *state) fillStamp(now delta.Instant, settle time.Duration) uint64 {
	lag := delta.CeilMs(settle)
	switch {
	case s.local && lag == 0:
		return s.clock.Tick(now.Wall)
	case !s.local:
		lag += s.maxSkew
	}
	stamp := delta.StampOf(max(now.Wall-lag-1, 0))
	s.clock.Observe(stamp)
	return stamp
}

// passes reports whether the fence lets a fill pass. It compares stamps, so it needs help where a write
// was processed that left none, and on a local node that reads behind commits, if the clock was set
// forward.
func (s *state) passes(f *Fill, rec *delta.Record) bool {
	return f.stamp != 0 && f.stamp > s.overtaken.upTo(f.bucket) &&
		f.epoch >= s.overtaken.epoch && !s.Store.Fills.GivenUp(&f.OpenFill) &&
		(!s.local || s.untouched(f) && !s.clearedSince(f, rec)) && s.Store.Admits(rec)
}

// clearedSince reports whether a Clear may have come that selects what a fill brought, since the fill began,
// or, where reads lag, within that time before.
func (s *state) clearedSince(f *Fill, rec *delta.Record) bool {
	since := f.Begin - f.settle
	if f.settle == 0 { // what came before is known by its number, though it may have come at the same time
		since = math.MaxInt64
	}
	return s.Store.Clears.Selected(rec, f.clears, since)
}

// untouched reports whether no touch of all keys has come since the fill began, nor, where reads lag, a
// touch of its bucket within that time before. Whether its key was touched since, the store knows.
func (s *state) untouched(f *Fill) bool {
	if f.epoch != s.Store.Epochs.Now() {
		return false
	}
	settled := func(touch time.Duration) bool { return touch+f.settle < f.Begin }
	return f.settle == 0 ||
		settled(s.touches.All) && settled(s.touches.Last(f.bucket))
}

// sees reports whether the fill had seen, when it began, what could have changed its key here.
func (s *state) sees(o *wire.Offer) bool {
	return s.touches.Known(s.touches.Clears, o.Seen, o.Knows) &&
		s.touches.Known(s.touches.Heads[delta.BucketOf(o.Rec.Key)], o.Seen, o.Knows) &&
		s.Store.Clears.Known(&o.Rec, o.Seen, o.Knows)
}

// upTo says of the origins that have touched a bucket, or all keys, since a time, or have issued these
// Clears, up to which dot all of theirs are processed.
func (s *state) upTo(bucket int, since time.Duration, clears []delta.Dot) (dots []delta.Dot) {
	const most = delta.MaxUpTo - delta.MaxDots
	origins := s.touches.AppendOrigins(nil, s.touches.Clears, since, most/4)
	origins = s.touches.AppendOrigins(origins, s.touches.Heads[bucket], since, most)
	for _, d := range clears {
		if !slices.Contains(origins, d.Origin) {
			origins = append(origins, d.Origin)
		}
	}
	for _, o := range origins {
		if upTo := s.vector.Get(o).Covered; upTo > 0 {
			dots = append(dots, delta.Dot{Origin: o, Seq: upTo})
		}
	}
	return dots
}
