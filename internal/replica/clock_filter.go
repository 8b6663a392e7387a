package replica

import (
	"math"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// How far a neighbour's clock is from this node's is measured as NTP does it (RFC 5905): the clock in a
// pong was read after the ping left and before the pong came, so in the middle of that, give or take
// half of it (section 8). Of the last eight samples the best one counts: the one that can be wrong by
// least (section 10).

const (
	clockSamples = 8
	clockMostAge = 5 * time.Minute      // of a sample that counts
	clockMost    = time.Hour            // what differs by more isn't measured
	clockStep    = 5 * time.Millisecond // beyond that it isn't resolution and drift: a clock was set
	clockDrift   = 15                   // millionths by which clocks may drift apart; PHI in RFC 5905
)

// A clockSample is what one ping and its pong say.
type clockSample struct {
	offset time.Duration // by how much the neighbour's clock is ahead of this node's wall clock
	trip   time.Duration // the round trip
	at     time.Duration // when the pong came
	steady time.Duration // see steadyOf; then
}

// steadyOf is the wall clock less the monotonic one. It changes if the wall clock is set, or if the
// monotonic one has stood still, as that of a machine that was suspended.
func steadyOf(now delta.Instant) time.Duration {
	return time.Duration(now.UnixMicro())*time.Microsecond - now.Mono
}

// sampleOf makes a sample of a ping that left and its pong that comes now. There is none if this node's
// clock was set meanwhile, or if the neighbour's, theirs, is wrong by more than can be measured.
func sampleOf(left, now, theirs delta.Instant) (s clockSample, ok bool) {
	s = clockSample{trip: now.Mono - left.Mono, at: now.Mono, steady: steadyOf(now)}
	if s.trip < 0 || (s.steady-steadyOf(left)).Abs() > clockStep ||
		theirs.Wall < now.Wall-clockMost.Milliseconds() || theirs.Wall > now.Wall+clockMost.Milliseconds() {
		return s, false
	}
	s.offset = time.Duration(theirs.UnixMicro()-now.UnixMicro())*time.Microsecond + s.trip/2
	return s, true
}

// bound says by how much the offset may be wrong now: clocks have drifted since the ping left.
func (s *clockSample) bound(now time.Duration) time.Duration {
	return s.trip/2 + (s.trip+now-s.at)*clockDrift/1e6
}

// holds reports whether a sample still says something: this node's clock wasn't set since.
func (s *clockSample) holds(now, steady time.Duration) bool {
	return now-s.at <= clockMostAge && (steady-s.steady).Abs() <= clockStep
}

// A clockFilter has the last samples of a neighbour's clock. It isn't locked.
type clockFilter struct{ samples []clockSample }

// add takes a sample. Those that can't be true beside it go: the neighbour's clock was set since.
func (f *clockFilter) add(s clockSample) {
	f.samples = slices.DeleteFunc(f.samples, func(old clockSample) bool {
		most := old.bound(s.at) + s.bound(s.at) + clockStep
		return !old.holds(s.at, s.steady) || (s.offset-old.offset).Abs() > most
	})
	if len(f.samples) == clockSamples {
		f.samples = slices.Delete(f.samples, 0, 1)
	}
	f.samples = append(f.samples, s)
}

// best returns the sample that can be wrong by least; false if there is none that holds.
func (f *clockFilter) best(now delta.Instant) (clockSample, bool) {
	steady, at, least := steadyOf(now), -1, time.Duration(math.MaxInt64)
	for i := range f.samples {
		s := &f.samples[i]
		if bound := s.bound(now.Mono); bound <= least && s.holds(now.Mono, steady) {
			at, least = i, bound
		}
	}
	if at < 0 {
		return clockSample{}, false
	}
	return f.samples[at], true
}

// check compares a time of the neighbour's clock, in Unix microseconds, that has come in a frame. If it
// is later than now, a clock was set, and the samples go.
func (f *clockFilter) check(now delta.Instant, theirs int64) { f.elapsed(now, theirs) }

// elapsed is check, and returns how much time has passed since then: 0 at least. It is false if that
// isn't known, or can't be true.
func (f *clockFilter) elapsed(now delta.Instant, theirs int64) (time.Duration, bool) {
	const most = 2 * int64(clockMost/time.Microsecond) // far below where durations overflow
	micros := now.UnixMicro() - theirs
	if theirs <= 0 || micros > most || micros < -most {
		return 0, false
	}
	s, ok := f.best(now)
	d := time.Duration(micros)*time.Microsecond + s.offset
	if ok && d < -s.bound(now.Mono)-clockStep {
		f.samples, ok = nil, false
	}
	return max(d, 0), ok && d <= clockMost
}
