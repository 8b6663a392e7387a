package replica

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"pgregory.net/rapid"
)

// However long pings and pongs take, each way: the offset is wrong by no more than its bound, and of the
// last samples the best one counts.
func TestClockFilterLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		here := time.UnixMilli(testkit.Wall)
		instant := func(of time.Time, at time.Duration) delta.Instant {
			of = of.Add(at)
			return delta.Instant{Wall: of.UnixMilli(), Micros: uint16(of.Nanosecond() / 1000 % 1000), Mono: at}
		}
		ahead := time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "ahead"))
		there := here.Add(ahead)
		drift := rapid.Int64Range(-clockDrift, clockDrift).Draw(t, "drift")
		drifted := func(at time.Duration) time.Duration { return at * time.Duration(drift) / 1e6 }
		var f clockFilter
		at := time.Duration(0)
		for n := range rapid.IntRange(1, 20).Draw(t, "pings") {
			left := at
			at += time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "there"))
			theirs := instant(there.Add(drifted(at)), at)
			at += time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "back"))
			s, ok := sampleOf(instant(here, left), instant(here, at), theirs)
			if !ok {
				t.Fatal("there is no sample")
			}
			if f.add(s); len(f.samples) != min(n+1, clockSamples) {
				t.Fatalf("%d samples after %d pings", len(f.samples), n+1)
			}
			at += time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "pause"))
			best, ok := f.best(instant(here, at))
			if !ok {
				t.Fatal("no sample holds")
			}
			if wrong := (best.offset - ahead - drifted(at)).Abs(); wrong > best.bound(at)+2*time.Microsecond {
				t.Fatalf("the offset is wrong by %v, its bound is %v", wrong, best.bound(at))
			}
			for _, s := range f.samples {
				if s.bound(at) < best.bound(at) {
					t.Fatalf("%+v is better than %+v", s, best)
				}
			}
			// What was sent there at any time until now seems to have come then, or a bound off.
			sent := time.Duration(rapid.Int64Range(0, int64(at)).Draw(t, "sent"))
			took, ok := f.elapsed(instant(here, at), instant(there.Add(drifted(sent)), sent).UnixMicro())
			most := best.bound(at) + (at-sent)*clockDrift/1e6 + 4*time.Microsecond
			if !ok || (took-(at-sent)).Abs() > most {
				t.Fatalf("it took %v, %v; measured %v, %v", at-sent, ok, took, most)
			}
		}
	})
}

// A long way there or back makes a sample worse than age does, up to a point.
func TestClockFilterPrefersShortTrips(t *testing.T) {
	sample := func(at, trip, offset time.Duration) clockSample {
		return clockSample{at: at, trip: trip, offset: offset}
	}
	f := clockFilter{}
	f.add(sample(0, time.Millisecond, 0))
	f.add(sample(10*time.Second, 100*time.Millisecond, 50*time.Millisecond))
	now := func(at time.Duration) delta.Instant {
		return delta.Instant{Wall: at.Milliseconds(), Mono: at} // steadyOf is 0
	}
	if s, ok := f.best(now(20 * time.Second)); !ok || s.trip != time.Millisecond {
		t.Errorf("got %+v, %v", s, ok)
	}
	f.add(sample(30*time.Second, 1200*time.Microsecond, 0))
	if s, ok := f.best(now(30 * time.Second)); !ok || s.at != 30*time.Second {
		t.Errorf("got %+v, %v: clocks may have drifted since", s, ok)
	}
	if took, ok := f.elapsed(now(30*time.Second), 0); ok {
		t.Errorf("what says no time took %v", took)
	}
	if _, ok := f.best(now(30*time.Second + clockMostAge)); !ok {
		t.Error("a sample doesn't hold for long enough")
	}
	if s, ok := f.best(now(31*time.Second + clockMostAge)); ok {
		t.Errorf("%+v holds", s)
	}
	// What contradicts the last one goes.
	f.add(sample(40*time.Second, time.Millisecond, time.Second))
	if len(f.samples) != 1 || f.samples[0].offset != time.Second {
		t.Errorf("%+v", f.samples)
	}
}
