package bcache

import "time"

// The fence: what decides whether what a fill has read can be older than a write that was processed here.

// fillStamp is the stamp of a fill that begins now: older than every write that any node issues from
// now on, or has issued within settle, as long as clocks differ by no more than maxSkew. The extra
// millisecond is for the clocks' resolution.
//
// This node's own later writes are newer even if its wall clock is set back meanwhile. Where there are
// no other nodes that is all it takes.
func (s *state) fillStamp(now instant, settle time.Duration) uint64 {
	lag := ceilMs(settle)
	switch {
	case s.local && lag == 0:
		return s.clock.tick(now.wall)
	case !s.local:
		lag += s.maxSkew
	}
	stamp := stampOf(max(now.wall-lag-1, 0))
	s.clock.observe(stamp)
	return stamp
}

// passes reports whether the fence lets a fill pass. It compares stamps, so it needs help where a write
// was processed that left none, and on a local node that reads behind commits, if the clock was set
// forward.
func (s *state) passes(f *fill, rec *record) bool {
	return f.stamp != 0 && f.stamp > s.overtaken.upTo(f.bucket) &&
		f.epoch >= s.overtaken.epoch && !s.store.fills.givenUp(&f.openFill) &&
		(!s.local || s.untouched(f)) && s.store.admits(rec.key, rec.version)
}

// untouched reports whether no touch of all keys has come since the fill began, nor, where reads lag, a
// touch of its bucket within that time before. Whether its key was touched since, the store knows.
func (s *state) untouched(f *fill) bool {
	if f.epoch != s.store.epochs.now() {
		return false
	}
	settled := func(touch time.Duration) bool { return touch+f.settle < f.begin }
	return f.settle == 0 ||
		settled(s.touches.all) && settled(s.touches.last(f.bucket))
}

// sees reports whether the fill had seen, when it began, what could have changed its key here.
func (s *state) sees(o *offer) bool {
	return s.touches.known(s.touches.clears, o.seen, o.dots) &&
		s.touches.known(s.touches.heads[bucketOf(o.rec.key)], o.seen, o.dots)
}
