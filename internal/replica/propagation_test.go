package replica

import (
	"math"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/histogram"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// tookAbout checks that n frames took about d each, by the middle one and by their sum.
func tookAbout(t *testing.T, c histogram.Counts, n int, d time.Duration) {
	t.Helper()
	if c.Total() != uint64(n) {
		t.Fatalf("%d frames are counted, want %d", c.Total(), n)
	}
	var one histogram.Counts
	one.Add(d)
	mean := c.Sum / time.Duration(max(n, 1))
	if (mean-d).Abs() > 10*time.Microsecond || (c.Quantile(0.5)-one.Quantile(0.5)).Abs() > 5*time.Millisecond {
		t.Errorf("frames took %v, half of them up to %v; want %v", mean, c.Quantile(0.5), d)
	}
}

// How long writes take is measured though the clocks differ by much more, and so are the clocks.
func TestPropagationIsMeasured(t *testing.T) {
	const (
		trip  = 14*time.Millisecond + 2*time.Microsecond
		ahead = 300*time.Millisecond + 123*time.Microsecond
	)
	w := newClockRig(t, trip/2, 0, ahead)
	w.write(0, 100)
	w.write(1, 50)
	w.run(time.Second)
	for i, want := range []struct {
		offset time.Duration
		frames int
	}{{ahead, 50}, {-ahead, 100}} {
		p := w.of(i, 1-i)
		if (p.Offset-want.offset).Abs() > 2*time.Microsecond || p.RoundTrip != trip {
			t.Errorf("node %d: the other clock is %v ahead, %v there and back", i, p.Offset, p.RoundTrip)
		}
		tookAbout(t, p.Propagation, want.frames, trip/2)
		tookAbout(t, p.PropagationMinute, want.frames, trip/2)
		if got := p.Propagation.Quantile(0.5); got < 5*time.Millisecond || got > 10*time.Millisecond {
			t.Errorf("node %d: half of the frames took up to %v", i, got)
		}
		if n, _ := w.nodes[i].Stats(w.now(i)); n.Propagation != p.Propagation {
			t.Errorf("node %d has counted %d frames in all", i, n.Propagation.Total())
		}
	}
}

// A frame counts once, whatever it has in it, and a fill, which is stamped in the past, like any write.
func TestPropagationOfFramesAndFills(t *testing.T) {
	w := newClockRig(t, 7*time.Millisecond, 0, 300*time.Millisecond)
	for range 100 {
		testkit.Must(t, w.nodes[1].Set(w.now(1), "k", "v", 0))
	}
	w.run(time.Second)
	f := w.nodes[1].Fills.Begin(w.now(1), 0, "filled")[0]
	w.run(time.Second)
	if w.nodes[1].Fills.End(w.now(1), f, &delta.Record{Key: "filled", Val: "v"}, FillForAll) != FillWritten {
		t.Fatal("the fill isn't written")
	}
	w.run(time.Second)
	if n, _ := w.nodes[0].Stats(w.now(0)); n.RecordsIn != 101 {
		t.Fatalf("%d records came", n.RecordsIn)
	}
	tookAbout(t, w.of(0, 1).Propagation, 2, 7*time.Millisecond)
}

// What was lost and is sent again in answer to a pull isn't late, and what comes twice counts once.
func TestPropagationWithoutRepairs(t *testing.T) {
	w := newClockRig(t, 7*time.Millisecond, 0, 0)
	usual, lose := w.delay, true
	w.delay = func(from, to int, frame []byte) time.Duration {
		if d, err := wire.OpenDelta(frame); err == nil && d.Newest == 0 && lose {
			return -1
		}
		return usual(from, to, frame)
	}
	w.write(1, 1)
	lose = false
	w.run(time.Minute)
	if n, _ := w.nodes[0].Stats(w.now(0)); n.RecordsRepaired != 1 || n.Propagation.Total() != 0 {
		t.Fatalf("%d writes were repaired, %d frames count", n.RecordsRepaired, n.Propagation.Total())
	}
	w.delay = func(from, to int, frame []byte) time.Duration {
		w.flying = append(w.flying, flight{w.at + time.Second, from, to, frame})
		return usual(from, to, frame)
	}
	w.write(1, 3)
	w.run(2 * time.Second)
	tookAbout(t, w.of(0, 1).Propagation, 3, 7*time.Millisecond)
}

// Pings have the sender's clock to the microsecond. One that comes before it left shows that a clock was
// set.
func TestPropagationByPings(t *testing.T) {
	w := newClockRig(t, 7*time.Millisecond, 0, 123*time.Microsecond)
	usual, seen := w.delay, [2]int{}
	w.delay = func(from, to int, frame []byte) time.Duration {
		if p, err := wire.DecodePing(frame); err == nil {
			if p.Wall != w.now(from).Wall || p.Micros != w.now(from).Micros {
				t.Errorf("a ping says %d and %d us", p.Wall, p.Micros)
			}
			seen[from]++
		}
		return usual(from, to, frame)
	}
	w.run(RoundMax)
	if seen[0] == 0 || seen[1] == 0 || w.now(1).Micros != 123 {
		t.Fatalf("pings: %v", seen)
	}
	ping := func(ahead time.Duration) time.Duration {
		at := w.now(1).Wall + ahead.Milliseconds()
		frame := wire.AppendPing(nil, wire.Ping{Origin: 101, Wall: at})
		testkit.Must(t, w.nodes[0].Receive(w.now(0), 1, frame))
		return w.of(0, 1).RoundTrip
	}
	for _, ahead := range []time.Duration{-time.Second, 0, 10 * time.Millisecond} {
		if ping(ahead) < 0 {
			t.Errorf("after a ping that is %v ahead the offset isn't known", ahead)
		}
	}
	if ping(20*time.Millisecond) >= 0 { // a round trip takes 14, and the step is 5
		t.Error("a ping that came before it left changes nothing")
	}
}

// What a neighbour passes on of others isn't its own, and an answer to a pull isn't broadcast, whatever
// it says.
func TestPropagationOfOthers(t *testing.T) {
	w := newClockRig(t, 7*time.Millisecond, 0, 0)
	send := func(origin uint64, mark func([]byte) []byte) {
		version := delta.Version{Stamp: delta.StampOf(w.now(1).Wall), Origin: origin}
		frame := wire.AppendDelta(nil, origin, 1, []delta.Record{{Key: "k", Val: "v", Version: version}})
		w.send(1, 0, wire.AppendSent(mark(frame), w.now(1).UnixMicro()))
		w.run(time.Second)
	}
	send(9, func(frame []byte) []byte { return frame })
	send(101, func(frame []byte) []byte { return wire.MarkRepair(frame, 1) })
	if n, _ := w.nodes[0].Stats(w.now(0)); n.RecordsIn != 2 || n.Propagation.Total() != 0 {
		t.Errorf("%d records came, %d frames count", n.RecordsIn, n.Propagation.Total())
	}
}

// Before the first pong nothing is known of the other clock, and nothing counts.
func TestPropagationWithoutOffset(t *testing.T) {
	w := newClockRig(t, 7*time.Millisecond, 0, 0)
	w.nodes[0].Left(w.now(0), 1)
	w.nodes[1].Left(w.now(1), 0)
	w.run(time.Second)
	usual := w.delay
	w.delay = func(from, to int, frame []byte) time.Duration {
		if frame[1] == wire.FramePong {
			return -1
		}
		return usual(from, to, frame)
	}
	w.connect(0, 1)
	w.write(1, 10)
	if p := w.of(0, 1); p.RoundTrip != -1 || p.Offset != 0 || p.Propagation.Total() != 0 {
		t.Errorf("without a pong: %+v", p)
	}
	w.delay = usual
	w.run(RoundMax + time.Second)
	w.write(1, 10)
	tookAbout(t, w.of(0, 1).Propagation, 10, 7*time.Millisecond)
}

// After a clock was set, on either side and to either side, the offset is the new one within a round,
// and nothing is counted by the old one for longer. What this node can see itself isn't counted at all.
func TestPropagationWhenAClockIsSet(t *testing.T) {
	for name, c := range map[string]struct {
		node  int
		by    time.Duration
		wrong int // frames that are counted wrongly
	}{
		"here, forward":  {0, 200 * time.Millisecond, 0},
		"here, back":     {0, -200 * time.Millisecond, 0},
		"there, forward": {1, 200 * time.Millisecond, 0},
		"there, back":    {1, -200 * time.Millisecond, 250}, // writes are on their way: a round is 2 s
	} {
		t.Run(name, func(t *testing.T) {
			w := newClockRig(t, 7*time.Millisecond, 0, 0)
			w.write(1, 300)
			before := w.of(0, 1)
			w.ahead[c.node] += c.by
			w.write(1, 300)
			during := w.of(0, 1)
			w.write(1, 100)
			after := w.of(0, 1)
			want := c.by
			if c.node == 0 {
				want = -want
			}
			if (after.Offset - want).Abs() > 2*time.Microsecond {
				t.Errorf("it is %v ahead, want %v", after.Offset, want)
			}
			tookAbout(t, before.Propagation, 300, 7*time.Millisecond)
			wrong := 0
			for i, n := range during.Propagation.Buckets {
				if i != 9 && n > 0 { // of 5 to 10 ms
					wrong += int(n)
				}
			}
			if wrong > c.wrong {
				t.Errorf("%d frames are counted wrongly: %v", wrong, during.Propagation.Buckets)
			}
			if got := after.Propagation.Total() - during.Propagation.Total(); got != 100 {
				t.Errorf("%d of the last 100 frames count", got)
			}
			if got := after.Propagation.Buckets[9] - during.Propagation.Buckets[9]; got != 100 {
				t.Errorf("%d of the last 100 frames took 5 to 10 ms", got)
			}
		})
	}
}

// A machine that was suspended has a monotonic clock that stood still.
func TestPropagationAfterASuspension(t *testing.T) {
	at := func(wall, mono time.Duration) delta.Instant {
		return delta.Instant{Wall: testkit.Wall + wall.Milliseconds(), Mono: mono}
	}
	s, ok := sampleOf(at(0, 0), at(20*time.Millisecond, 20*time.Millisecond), at(10*time.Millisecond, 0))
	if !ok || s.offset != 0 || s.trip != 20*time.Millisecond {
		t.Fatalf("got %+v, %v", s, ok)
	}
	f := clockFilter{[]clockSample{s}}
	if _, ok := f.best(at(time.Second, time.Second)); !ok {
		t.Error("the sample doesn't hold")
	}
	if _, ok := f.best(at(time.Minute, time.Second)); ok {
		t.Error("the sample holds after 59 seconds that the monotonic clock hasn't seen")
	}
	if _, ok := sampleOf(at(0, 0), at(time.Minute, time.Second), at(time.Minute, 0)); ok {
		t.Error("a sample of a ping during which the monotonic clock stood still")
	}
}

// The pong to a pull comes behind what was pulled, and says little of the clock.
func TestPropagationNotByPulls(t *testing.T) {
	w := newClockRig(t, 7*time.Millisecond, 0, 0)
	before := len(w.nodes[0].neighbours.byID[1].delays.clock.samples)
	w.nodes[0].pinger.ping(w.now(0), 1, wire.PingPull)
	w.run(100 * time.Millisecond)
	if after := len(w.nodes[0].neighbours.byID[1].delays.clock.samples); before == 0 || after != before {
		t.Errorf("%d samples before, %d after", before, after)
	}
}

// Whatever a neighbour says, nothing breaks, and garbage doesn't count.
func TestPropagationOfHostileTimes(t *testing.T) {
	w := newClockRig(t, 7*time.Millisecond, 0, 0)
	now := func() int64 { return w.now(1).UnixMicro() }
	hour := time.Hour.Microseconds()
	seq := uint64(0)
	for _, sent := range []int64{
		math.MinInt64, -1, 0, 1, 2, now() - 3*hour, now() - hour - 7001, now() + hour, now() + 3*hour,
		delta.MaxStamp >> delta.StampShift * 1000, math.MaxInt64 - 1, math.MaxInt64,
		now() + 1<<61, // so many microseconds are 0 nanoseconds in 64 bits
	} {
		seq++
		version := delta.Version{Stamp: delta.StampOf(w.now(1).Wall), Origin: 101}
		frame := wire.AppendDelta(nil, 101, seq, []delta.Record{{Key: "k", Val: "v", Version: version}})
		w.send(1, 0, wire.AppendSent(frame, sent))
		w.run(RoundMax)
	}
	if n, _ := w.nodes[0].Stats(w.now(0)); n.RecordsIn != seq || n.Propagation.Total() != 0 || n.Malformed != 0 {
		t.Errorf("%d of %d records came, of which count: %v", n.RecordsIn, seq, n.Propagation)
	}
	for _, wall := range []int64{
		math.MinInt64, math.MinInt64 / 1000, -1, 0, 1, math.MaxInt64 / 1000, math.MaxInt64,
		w.now(0).Wall - 2*hour/1000, w.now(0).Wall + 2*hour/1000,
	} {
		p := w.nodes[0].neighbours.byID[1]
		w.nodes[0].pinger.ping(w.now(0), 1, 0)
		w.nodes[0].Flush(w.now(0)) // the node itself isn't asked
		w.send(1, 0, wire.AppendPing(nil, wire.Ping{Origin: 101, Wall: wall, Micros: 999}))
		w.send(1, 0, wire.AppendPong(nil, wire.Pong{ID: p.pingID, Origin: 101, Wall: wall, Micros: 999}))
		w.run(10 * time.Millisecond)
		for _, s := range p.delays.clock.samples {
			if s.offset.Abs() > clockMost {
				t.Errorf("a wall of %d is believed: %v", wall, s.offset)
			}
		}
	}
	w.run(time.Minute)
	if p := w.of(0, 1); p.Offset.Abs() > time.Millisecond || p.RoundTrip < 0 {
		t.Errorf("later the clock is %v ahead, %v there and back", p.Offset, p.RoundTrip)
	}
}

// The last minute ends, and what was counted since a node connected, or since this one started, doesn't.
func TestPropagationForHowLong(t *testing.T) {
	w := newClockRig(t, 7*time.Millisecond, 0, 0, 0)
	w.write(1, 10)
	w.write(2, 5)
	w.run(45 * time.Second)
	if p := w.of(0, 1); p.PropagationMinute.Total() != 10 {
		t.Errorf("after 45 seconds %d frames are of the last minute", p.PropagationMinute.Total())
	}
	w.run(20 * time.Second)
	if p := w.of(0, 1); p.PropagationMinute.Total() != 0 || p.Propagation.Total() != 10 {
		t.Errorf("after a minute: %d of it, %d in all", p.PropagationMinute.Total(), p.Propagation.Total())
	}
	for i := range 2 {
		w.nodes[i].Left(w.now(i), uint64(1-i))
	}
	w.run(time.Second)
	w.connect(0, 1)
	w.run(time.Second)
	w.write(1, 3)
	w.run(time.Second)
	tookAbout(t, w.of(0, 1).Propagation, 3, 7*time.Millisecond)
	tookAbout(t, w.of(0, 2).Propagation, 5, 7*time.Millisecond)
	if got := w.counted(0); got != 18 {
		t.Errorf("%d frames in all", got)
	}
}
