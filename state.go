package bcache

import (
	"cmp"
	"sync/atomic"
	"time"
)

// A state is what a node holds and what it has processed: the store, and beside it the version vector, the
// log and the touches, which say what that stands for. It keeps COVER, see docs/design.md: the vector
// never covers a dot that the store doesn't have yet. It knows nothing of other nodes, and isn't locked.
type state struct {
	origin  uint64
	local   bool  // no other node will ever be: nothing is logged
	maxSkew int64 // ms, rounded up
	changed func(key string, kind kind)
	store   *store // gets go past the replica

	// What is above never changes, and mustn't travel between processors with what follows.
	_ [64]byte

	clearing  atomic.Bool // a Clear is under way
	clock     clock
	seq       uint64 // of the last local write
	vector    *versionVector
	log       *deltaLog
	touches   touches
	overtaken overtaken
	counts    stateCounts
}

// stateCounts are counters of what a state has processed.
type stateCounts struct {
	duplicates                 uint64
	refusedSkew, refusedTooBig uint64
	droppedIntervals           uint64
	droppedOrigins             uint64
	skipped                    uint64
}

func newState(c replicaConfig) state {
	return state{
		origin:    c.origin,
		local:     c.local,
		maxSkew:   ceilMs(c.maxSkew),
		changed:   c.changed,
		store:     newStore(c.store),
		vector:    newVersionVector(c.origin, cmp.Or(c.maxOrigins, maxOrigins)),
		log:       newDeltaLog(c.logSize),
		touches:   newTouches(c.local, c.touchLog),
		overtaken: newOvertaken(),
	}
}

// replace is a local write of a key that is held, on a node that no other node will ever ask for what it
// wrote: then nothing but the key itself is to be locked. It reports whether it is done.
func (s *state) replace(now instant, rec *record, at place) bool {
	rec.version = version{s.clock.tick(now.wall), s.origin}
	// While a Clear is under way it may be older than this write, and whoever is told of
	// changes must hear of it first.
	if s.clearing.Load() {
		return false
	}
	s.touches.note(at.bucket, now.mono)
	if !s.store.replace(now, rec, at) {
		return false
	}
	s.changed(rec.key, rec.kind)
	return true
}

// makeRoom evicts a part of what a large record needs, and reports whether more is needed: with MaxBytes a
// value may take the place of thousands of entries, and others want the lock meanwhile. What was looked
// up before must be looked up again.
func (s *state) makeRoom(now instant, rec *record) (more bool) {
	if !s.store.countsBytes() || rec.version != (version{}) && !s.store.admits(rec.key, rec.version) {
		return false // it takes no more than one place, or none
	}
	return s.store.evictFor(now, rec, evictBatch)
}

// makeRoomToKeep is makeRoom for a provisional value.
func (s *state) makeRoomToKeep(now instant, rec *record, f *openFill, beside bool) (more bool) {
	return s.store.fills.wants(now, rec, f, beside) &&
		s.store.fills.evictFor(now, rec, evictBatch)
}

// applyLocal commits a local write, which has its version: the vector must never cover a dot that the store
// doesn't have yet.
func (s *state) applyLocal(now instant, rec *record, at place) {
	s.store.applyAt(now, rec, true, at)
	s.seq++
	s.touch(now, rec, at.bucket, dot{s.origin, s.seq})
	if s.local {
		return
	}
	s.log.put(s.origin, s.seq, rec)
	s.vector.add(s.origin, s.seq, rec.stamp, now.mono)
}

// skip uses up a seq for nothing. No log will ever know that dot, so every other node needs a
// full sync, from this one or from one that had it: this is how it is passed on that this
// node has something for which there are no dots.
func (s *state) skip(now instant) {
	s.seq++
	s.counts.skipped++
	s.vector.add(s.origin, s.seq, s.clock.tick(now.wall), now.mono)
}

// latest is the greatest stamp that isn't from the future: further ahead of this node's clock than other
// clocks may be.
func (s *state) latest(now instant) uint64 {
	return stampOf(now.wall+s.maxSkew) | (1<<stampShift - 1)
}

func (s *state) future(now instant, stamp uint64) bool { return stamp > s.latest(now) }

// past is what is taken over of a stamp that says how old something is, and nothing else: one from the
// future as the latest that isn't.
func (s *state) past(now instant, stamp uint64) uint64 { return min(stamp, s.latest(now)) }

// ahead returns by how much what this node writes is stamped ahead of its wall clock,
// if that is more than others accept; otherwise 0. It happens when that clock was
// wrong and is set back.
func (s *state) ahead(now instant) time.Duration {
	if ms := stampWall(s.clock.last.Load()) - now.wall; ms > s.maxSkew && !s.local {
		return time.Duration(ms) * time.Millisecond
	}
	return 0
}

// recordOf returns what is still known of a dot that is logged: the very version that it wrote, or, if
// that isn't held any more, that it existed.
func (s *state) recordOf(slot logSlot) record {
	if slot.kind != kindClear {
		if held, ok := s.store.peek(slot.key); ok && held.version == slot.version {
			return held
		}
		return record{key: slot.key, version: slot.version, kind: kindForget}
	}
	return record{version: slot.version, kind: kindClear}
}

// duplicate reports whether a dot was processed before, or is one of this node's own, and counts it then.
func (s *state) duplicate(d dot) bool {
	if d.origin != s.origin && !s.vector.get(d.origin).has(d.seq) {
		return false
	}
	s.counts.duplicates++
	return true
}

// process applies a record whose dot is new, and logs and covers that, whatever becomes of the record.
// newest is what the sender says of the origin, 0 if it doesn't: the greatest stamp of its writes.
func (s *state) process(now instant, d dot, newest uint64, rec *record, at place) (o processed) {
	if !s.vector.admits(d.origin, d.seq, max(rec.stamp, newest)) {
		s.counts.droppedIntervals++
		s.giveUp(now, rec)
		return dotDropped
	}
	if !s.apply(now, rec, at, d) {
		return dotFuture
	}
	s.log.put(d.origin, d.seq, rec)
	age := rec.stamp
	if !s.future(now, newest) { // from the future it says that it isn't behind the horizon, and no more
		age = max(age, newest)
	}
	s.counts.droppedOrigins += uint64(s.vector.add(d.origin, d.seq, age, now.mono))
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
func (s *state) apply(now instant, rec *record, at place, d dot) bool {
	if s.future(now, rec.stamp) {
		s.counts.refusedSkew++
		s.giveUp(now, rec)
		return false
	}
	s.clock.observe(rec.stamp)
	if rec.kind != kindClear && rec.stamp <= s.overtaken.upTo(at.bucket) {
		gone := record{key: rec.key, version: rec.version, kind: kindForget, mark: rec.mark}
		rec, at.fresh = &gone, nil
	}
	if s.store.applyAt(now, rec, false, at) == outcomeTooBig {
		s.counts.refusedTooBig++
	}
	s.touch(now, rec, at.bucket, d)
	return true
}

// giveUp drops what is held of the key of a record that can't be applied now, if it is older: it is
// known to be stale. So is what others have issued by now, and is still on its way: later it isn't
// applied, only that it existed (see apply). It is a touch without a dot: the vector doesn't cover it.
func (s *state) giveUp(now instant, rec *record) {
	bucket := bucketOf(rec.key)
	if rec.kind == kindClear {
		s.giveUpAll(now, rec)
	} else {
		s.store.giveUp(rec.key, rec.version)
		s.overtaken.write(bucket, s.past(now, rec.stamp))
	}
	s.touch(now, rec, bucket, dot{})
}

// giveUpAll is giveUp for a Clear: it drops all that was seen here so far, and what is on its way. Once
// is enough for each such Clear: it may come again and again, and what is written meanwhile is newer.
func (s *state) giveUpAll(now instant, rec *record) {
	if s.overtaken.clear(rec.version, s.past(now, rec.stamp)) {
		s.store.applyClear(version{min(rec.stamp, s.clock.last.Load()), rec.origin})
	} else {
		s.store.touchAll()
	}
	s.overtaken.epoch = s.store.epochs.now()
}

// raiseFloors has floors stand for what may precede writes that couldn't be applied, as soon as what is
// written here is above that.
func (s *state) raiseFloors(now instant) {
	for b, to := range s.overtaken.written {
		if stampWall(to) < now.wall || to <= s.clock.last.Load() {
			s.clock.observe(to)
			s.store.raiseFloor(b, to)
			delete(s.overtaken.written, b)
		}
	}
}

// raiseFloor takes over a floor of another node. It stands for writes that that one has accepted, so the
// clock follows it.
func (s *state) raiseFloor(f bucketFloor) {
	s.clock.observe(f.stamp)
	s.store.raiseFloor(int(f.bucket), f.stamp)
}

// tick keeps what is known of the dots' age right.
func (s *state) tick(now instant) {
	s.vector.settle()
	s.vector.clamp(s.latest(now))
	s.raiseFloors(now)
}

// answerable says what of some dots the log has. That the log doesn't have something is only worth
// saying of what isn't on its way to the other node from elsewhere.
func (s *state) answerable(m *originDots) (flags uint64) {
	settled := s.vector.get(m.origin).settled
	for _, iv := range m.dots {
		some, all := s.log.knows(m.origin, iv)
		if some {
			flags |= pongLog
		}
		if !all && iv.to > settled {
			iv.to = settled
			_, all = s.log.knows(m.origin, iv)
		}
		if !all {
			flags |= pongOld
		}
	}
	return flags
}
