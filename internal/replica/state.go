package replica

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// A state is what a node holds and what it has processed: the store, and beside it the version vector,
// the log and the touches, which say what that stands for. It keeps COVER, see docs/design.md: the
// vector never covers a dot that the store doesn't have yet. It knows nothing of other nodes, and isn't
// locked.
type state struct {
	Origin  uint64
	local   bool  // no other node will ever be: nothing is logged
	maxSkew int64 // ms, rounded up
	changed func(key string, kind delta.Kind)
	Store   *store.Store // gets go past the replica

	// What is above never changes, and mustn't travel between processors with what follows.
	_ [64]byte

	clearing  atomic.Bool // a Clear is under way
	clock     delta.Clock
	seq       uint64 // of the last local write
	vector    *dots.Vector
	log       *dots.Log
	touches   store.Touches
	overtaken overtaken
	counts    stateCounts
}

// stateCounts are counters of what a state has processed.
type stateCounts struct {
	Duplicates                 uint64
	RefusedSkew, RefusedTooBig uint64
	DroppedIntervals           uint64
	DroppedOrigins             uint64
	skipped                    uint64
}

func newState(c Config) state {
	return state{
		Origin:    c.Origin,
		local:     c.Local,
		maxSkew:   delta.CeilMs(c.MaxSkew),
		changed:   c.Changed,
		Store:     store.New(c.Store),
		vector:    dots.NewVector(c.Origin, cmp.Or(c.maxOrigins, dots.MaxOrigins)),
		log:       dots.NewLog(c.LogSize),
		touches:   store.NewTouches(c.Local, c.touchLog),
		overtaken: newOvertaken(),
	}
}

// replace is a local write of a key that is held, on a node that no other node will ever ask for what it
// wrote: then nothing but the key itself is to be locked. It reports whether it is done.
func (s *state) replace(now delta.Instant, rec *delta.Record, at store.Place) bool {
	rec.Version = delta.Version{Stamp: s.clock.Tick(now.Wall), Origin: s.Origin}
	// While a Clear is under way it may be older than this write, and whoever is told of
	// changes must hear of it first.
	if s.clearing.Load() {
		return false
	}
	s.touches.Note(at.Bucket, now.Mono)
	if !s.Store.Replace(now, rec, at) {
		return false
	}
	s.changed(rec.Key, rec.Kind)
	return true
}

// makeRoom evicts a part of what a large record needs, and reports whether more is needed: with
// MaxBytes a value may take the place of thousands of entries, and others want the lock meanwhile. What
// was looked up before must be looked up again.
func (s *state) makeRoom(now delta.Instant, rec *delta.Record) (more bool) {
	if rec.Kind == delta.KindClear {
		return s.Store.ToClear.Make(rec.Selector())
	}
	if !s.Store.CountsBytes() {
		return false // it takes one place, at most
	}
	if rec.Version != (delta.Version{}) && !s.Store.Admits(rec) {
		return false // it takes none
	}
	return s.Store.EvictFor(now, rec, evictBatch)
}

// makeRoomToKeep is makeRoom for a provisional value.
func (s *state) makeRoomToKeep(
	now delta.Instant, rec *delta.Record, f *store.OpenFill, beside bool,
) (more bool) {
	return s.Store.Fills.Wants(now, rec, f, beside) &&
		s.Store.Fills.EvictFor(now, rec, evictBatch)
}

// applyLocal commits a local write, which has its version: the vector must never cover a dot that the
// store doesn't have yet.
func (s *state) applyLocal(now delta.Instant, rec *delta.Record, at store.Place) {
	d := delta.Dot{Origin: s.Origin, Seq: s.seq + 1}
	if rec.Kind == delta.KindClear {
		s.clear(now, rec, d)
	} else {
		s.Store.ApplyAt(now, rec, true, at)
		s.touch(now, rec, at.Bucket, d)
	}
	s.seq++
	if s.local {
		return
	}
	s.log.Put(s.Origin, s.seq, rec)
	s.vector.Add(s.Origin, s.seq, rec.Stamp, now.Mono)
}

// skip uses up a seq for nothing. No log will ever know that dot, so every other node needs a
// full sync, from this one or from one that had it: this is how it is passed on that this
// node has something for which there are no dots.
func (s *state) skip(now delta.Instant) {
	s.seq++
	s.counts.skipped++
	s.vector.Add(s.Origin, s.seq, s.clock.Tick(now.Wall), now.Mono)
}

// latest is the greatest stamp that isn't from the future: further ahead of this node's clock than other
// clocks may be.
func (s *state) latest(now delta.Instant) uint64 {
	return delta.StampOf(now.Wall+s.maxSkew) | (1<<delta.StampShift - 1)
}

func (s *state) future(now delta.Instant, stamp uint64) bool { return stamp > s.latest(now) }

// past is what is taken over of a stamp that says how old something is, and nothing else: one from the
// future as the latest that isn't.
func (s *state) past(now delta.Instant, stamp uint64) uint64 { return min(stamp, s.latest(now)) }

// ahead returns by how much what this node writes is stamped ahead of its wall clock,
// if that is more than others accept; otherwise 0. It happens when that clock was
// wrong and is set back.
func (s *state) ahead(now delta.Instant) time.Duration {
	if ms := delta.StampWall(s.clock.Last.Load()) - now.Wall; ms > s.maxSkew && !s.local {
		return time.Duration(ms) * time.Millisecond
	}
	return 0
}

// recordOf returns what is still known of a dot that is logged: the very version that it wrote, or, if
// that isn't held any more, that it existed.
func (s *state) recordOf(slot dots.LogSlot) delta.Record {
	if slot.Kind != delta.KindClear {
		if held, ok := s.Store.Peek(slot.Key); ok && held.Version == slot.Version {
			return held
		}
		return delta.Record{Key: slot.Key, Version: slot.Version, Kind: delta.KindForget}
	}
	return delta.Record{Key: slot.Key, Version: slot.Version, Kind: delta.KindClear}
}

// duplicate reports whether a dot was processed before, or is one of this node's own, and counts it
// then.
func (s *state) duplicate(d delta.Dot) bool {
	if d.Origin != s.Origin && !s.vector.Get(d.Origin).Has(d.Seq) {
		return false
	}
	s.counts.Duplicates++
	return true
}

// process applies a record whose dot is new, and logs and covers that, whatever becomes of the record.
// newest is what the sender says of the origin, 0 if it doesn't: the greatest stamp of its writes.
func (s *state) process(
	now delta.Instant, d delta.Dot, newest uint64, rec *delta.Record, at store.Place,
) processed {
	if !s.vector.Admits(d.Origin, d.Seq, max(rec.Stamp, newest)) {
		s.counts.DroppedIntervals++
		s.giveUp(now, rec)
		return dotDropped
	}
	if !s.apply(now, rec, at, d) {
		return dotFuture
	}
	s.log.Put(d.Origin, d.Seq, rec)
	age := rec.Stamp
	if !s.future(now, newest) { // from the future it says that it isn't behind the horizon, and no more
		age = max(age, newest)
	}
	s.counts.DroppedOrigins += uint64(s.vector.Add(d.Origin, d.Seq, age, now.Mono))
	return dotCovered
}

// processed says what has become of a dot.
type processed uint8

const (
	dotCovered processed = iota
	dotDropped           // it would be a gap too many: it comes again
	dotFuture            // its record comes from the future
)

// apply merges a record of another node, and that is a touch, whatever comes of it. It returns false for
// one from the future: its dot stays a gap, to be repaired when the clocks have caught up.
func (s *state) apply(now delta.Instant, rec *delta.Record, at store.Place, d delta.Dot) bool {
	if s.future(now, rec.Stamp) {
		s.counts.RefusedSkew++
		s.giveUp(now, rec)
		return false
	}
	s.clock.Observe(rec.Stamp)
	if rec.Kind == delta.KindClear {
		s.clear(now, rec, d)
		return true
	}
	if rec.Stamp <= s.overtaken.upTo(at.Bucket) {
		gone := delta.Record{Key: rec.Key, Version: rec.Version, Kind: delta.KindForget, Mark: rec.Mark}
		rec, at.Fresh = &gone, nil
	}
	if s.Store.ApplyAt(now, rec, false, at) == store.OutcomeTooBig {
		s.counts.RefusedTooBig++
	}
	s.touch(now, rec, at.Bucket, d)
	return true
}

// clear applies a Clear. One that selects everything is a touch of all keys, whatever comes of it. Another
// one is a touch of the keys that it selects, unless that very Clear was processed before.
func (s *state) clear(now delta.Instant, rec *delta.Record, d delta.Dot) {
	x := store.Clear{
		Selector: rec.Selector(), Version: rec.Version, Dot: d, Wall: now.Wall, At: now.Mono,
		Touch: s.touches.Count + 1,
	}
	isNew := s.Store.ApplyClear(x)
	switch {
	case x.Selector == "":
		s.touchAll(now, d)
		return
	case !isNew:
		return
	case !s.local:
		s.touches.Add(&s.touches.Selective, d, now.Mono)
	}
	s.changed(rec.Key, rec.Kind)
}

// giveUp drops what is held of the key of a record that can't be applied now, if it is older: it is
// known to be stale. So is what others have issued by now, and is still on its way: later it isn't
// applied, only that it existed (see apply). It is a touch without a dot: the vector doesn't cover it.
func (s *state) giveUp(now delta.Instant, rec *delta.Record) {
	if rec.Kind == delta.KindClear {
		s.giveUpAll(now, rec)
		s.touchAll(now, delta.Dot{})
		return
	}
	bucket := delta.BucketOf(rec.Key)
	s.Store.GiveUp(now, rec.Key, rec.Version)
	s.overtaken.write(bucket, s.past(now, rec.Stamp))
	s.touch(now, rec, bucket, delta.Dot{})
}

// giveUpAll is giveUp for a Clear, whatever that selects: it drops all that was seen here so far, and
// what is on its way. Once is enough for each such Clear: it may come again and again, and what is
// written meanwhile is newer.
func (s *state) giveUpAll(now delta.Instant, rec *delta.Record) {
	if s.overtaken.clear(rec.Version, s.past(now, rec.Stamp)) {
		upTo := delta.Version{Stamp: min(rec.Stamp, s.clock.Last.Load()), Origin: rec.Origin}
		s.Store.ApplyClear(store.Clear{Version: upTo})
	} else {
		s.Store.TouchAll()
	}
	s.overtaken.epoch = s.Store.Epochs.Now()
}

// raiseFloors has floors stand for what may precede writes that couldn't be applied, as soon as what is
// written here is above that.
func (s *state) raiseFloors(now delta.Instant) {
	for b, to := range s.overtaken.written {
		if delta.StampWall(to) < now.Wall || to <= s.clock.Last.Load() {
			s.clock.Observe(to)
			s.Store.RaiseFloor(b, to)
			delete(s.overtaken.written, b)
		}
	}
}

// raiseFloor takes over a floor of another node. It stands for writes that that one has accepted, so the
// clock follows it.
func (s *state) raiseFloor(f delta.BucketFloor) {
	s.clock.Observe(f.Stamp)
	s.Store.RaiseFloor(int(f.Bucket), f.Stamp)
}

// tick keeps what is known of the dots' age right.
func (s *state) tick(now delta.Instant) {
	s.vector.Settle()
	s.vector.Clamp(s.latest(now))
	s.raiseFloors(now)
}

// answerable says what of some dots the log has. That the log doesn't have something is only worth
// saying of what isn't on its way to the other node from elsewhere.
func (s *state) answerable(m *dots.OriginDots) (flags uint64) {
	settled := s.vector.Get(m.Origin).Settled
	for _, iv := range m.Dots {
		some, all := s.log.Knows(m.Origin, iv)
		if some {
			flags |= wire.PongLog
		}
		if !all && iv.To > settled {
			iv.To = settled
			_, all = s.log.Knows(m.Origin, iv)
		}
		if !all {
			flags |= wire.PongOld
		}
	}
	return flags
}

// touch notes a write of a key that has been processed; it has no dot if the context doesn't cover it. In
// the store it was noted with the write itself.
func (s *state) touch(now delta.Instant, rec *delta.Record, bucket int, d delta.Dot) {
	if s.local {
		s.touches.Note(bucket, now.Mono)
	} else {
		s.touches.Add(&s.touches.Heads[bucket], d, now.Mono)
	}
	s.changed(rec.Key, rec.Kind)
}

// touchAll is touch for what may be a write of any key: a Clear, or a context that is adopted.
func (s *state) touchAll(now delta.Instant, d delta.Dot) {
	s.touches.All = max(s.touches.All, now.Mono)
	if !s.local {
		s.touches.Add(&s.touches.Clears, d, now.Mono)
	}
	s.changed("", delta.KindClear)
}
