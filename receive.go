package bcache

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// What a replica does with frames: it finds out what they are, and applies deltas. The others are
// dealt with in repair.go, pull.go, sync_in.go, sync_out.go, lease.go, lease_ask.go and offer.go.

// receive handles a frame that the node with PeerID from sent or relayed. The
// error says why the frame was dropped, if it wraps errMalformed or errUnsupported,
// or why some of its records were, if it wraps errFuture.
func (r *replica) receive(now instant, from uint64, frame []byte) error {
	err := r.dispatch(now, from, frame)
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, errUnsupported):
		r.counts.unsupported++
	case errors.Is(err, errMalformed):
		r.counts.malformed++
	}
	return err
}

func (r *replica) dispatch(now instant, from uint64, frame []byte) error {
	typ, err := frameType(frame)
	if err != nil {
		return err
	}
	switch typ {
	case frameDelta:
		d, err := openDelta(frame)
		if err != nil {
			return err
		}
		return r.receiveDelta(now, from, &d)
	case framePing:
		p, err := decodePing(frame)
		if err != nil {
			return err
		}
		r.receivePing(now, from, p)
	case framePong:
		p, err := decodePong(frame)
		if err != nil {
			return err
		}
		r.receivePong(now, from, p)
	case frameAsk:
		a, err := decodeAsk(frame)
		if err != nil {
			return err
		}
		r.receiveAsk(now, from, a)
	case frameChunk:
		c, recs, err := openChunk(frame)
		if err != nil {
			return err
		}
		return r.receiveChunk(now, from, &c, recs, len(frame))
	case frameLease:
		m, err := decodeLease(frame)
		if err != nil {
			return err
		}
		r.receiveLease(now, from, m)
	case frameTurn:
		m, err := decodeTurn(frame)
		if err != nil {
			return err
		}
		r.receiveTurn(now, from, m)
	case frameOffer:
		o, err := decodeOffer(frame)
		if err != nil {
			return err
		}
		r.receiveOffer(now, from, o)
	default:
		return fmt.Errorf("%w: frame type %d", errUnsupported, typ)
	}
	return nil
}

// receiveDelta applies the records whose dots are new, a batch per lock so that
// local callers never wait for a whole frame.
func (r *replica) receiveDelta(now instant, from uint64, d *deltaReader) error {
	ahead, refused := int64(0), 0
	batch := newBatch(d.count)
	pass := func(d deltaReader, but kind) {
		for batch.fill(&d, r.store) {
			r.mu.Lock()
			for i := range batch.recs {
				rec := &batch.recs[i]
				if !r.receiveRecord(now, &d, batch.seq+uint64(i), rec, batch.places[i], but) {
					ahead = max(ahead, stampWall(rec.stamp)-now.wall)
					refused++
				}
			}
			r.mu.Unlock()
		}
	}
	if d.newest != 0 {
		pass(*d, kindForget) // see newest
	}
	pass(*d, kindNone)
	r.mu.Lock()
	r.endDelta(now, from, d)
	r.mu.Unlock()
	if refused > 0 {
		return fmt.Errorf("%w: %d writes, by up to %v", errFuture, refused, time.Duration(ahead)*time.Millisecond)
	}
	return nil
}

// endDelta notes who sent it, and looks for gaps.
func (r *replica) endDelta(now instant, from uint64, d *deltaReader) {
	if d.count == 1 && slices.ContainsFunc(r.arrivals, func(a arrival) bool {
		return a.peer == from && a.dot == dot{d.origin, d.first}
	}) {
		r.endArrival(from)
	}
	if p := r.hear(now, from, d.origin, d.echo); p != nil {
		p.claim(d.origin, d.first+d.count-1)
	}
	if r.pull != nil && r.pull.peer == from && d.newest != 0 {
		r.pull.alive = now.mono
	}
	if d.newest == 0 && len(r.vector.get(d.origin).ahead) > 0 {
		r.gap(now, d.origin)
	}
}

// receiveRecord processes a record of a frame, unless it is of a certain kind. It returns false
// if the record comes from the future.
func (r *replica) receiveRecord(now instant, d *deltaReader, seq uint64, rec *record, at place, but kind) bool {
	if d.origin == r.origin || r.vector.get(d.origin).has(seq) {
		r.counts.duplicates++
		return true
	}
	if rec.kind == but {
		return true
	}
	r.makeRoom(now, rec)
	if r.vector.get(d.origin).has(seq) { // it came a second time while the lock was free
		r.counts.duplicates++
		return true
	}
	r.counts.recordsIn++
	r.active = true
	if !r.vector.admits(d.origin, seq, max(rec.stamp, d.newest)) {
		r.counts.droppedIntervals++
		r.giveUp(now, rec)
		return true
	}
	if !r.apply(now, rec, at, dot{d.origin, seq}) {
		return false
	}
	r.log.put(d.origin, seq, rec)
	newest := rec.stamp
	if !r.future(now, d.newest) { // from the future it says that it isn't behind the horizon, and no more
		newest = max(newest, d.newest)
	}
	r.counts.droppedOrigins += uint64(r.vector.add(d.origin, seq, newest, now.mono))
	if d.newest != 0 {
		r.counts.recordsRepaired++
		if r.pull != nil {
			r.pull.got++
		}
	}
	return true
}

// apply merges a record of another node, and that is a touch, whatever comes of it. It returns false for
// one from the future: its dot stays a gap, to be repaired when the clocks have caught up.
func (r *replica) apply(now instant, rec *record, at place, d dot) bool {
	if r.future(now, rec.stamp) {
		r.counts.refusedSkew++
		r.giveUp(now, rec)
		return false
	}
	r.clock.observe(rec.stamp)
	if rec.kind != kindClear && rec.stamp <= r.precedes(at.bucket) {
		gone := record{key: rec.key, version: rec.version, kind: kindForget, mark: rec.mark}
		rec, at.fresh = &gone, nil
	}
	if r.store.applyAt(now, rec, false, at) == outcomeTooBig {
		r.counts.refusedTooBig++
	}
	r.touch(now, rec, at.bucket, d)
	return true
}

// latest is the greatest stamp that isn't from the future: further ahead of this node's clock than other
// clocks may be.
func (r *replica) latest(now instant) uint64 {
	return stampOf(now.wall+r.maxSkew) | (1<<stampShift - 1)
}

func (r *replica) future(now instant, stamp uint64) bool { return stamp > r.latest(now) }

// past is what is taken over of a stamp that says how old something is, and nothing else: one from the
// future as the latest that isn't.
func (r *replica) past(now instant, stamp uint64) uint64 { return min(stamp, r.latest(now)) }

// giveUp drops what is held of the key of a record that can't be applied now, if it is older: it is
// known to be stale. So is what others have issued by now, and is still on its way: later it isn't
// applied, only that it existed (see apply). It is a touch without a dot: the vector doesn't cover it.
func (r *replica) giveUp(now instant, rec *record) {
	if rec.kind == kindClear {
		r.giveUpAll(now, rec)
	} else {
		r.store.giveUp(rec.key, rec.version)
		b := r.store.bucketOf(rec.key)
		r.writtenTo[b] = max(r.writtenTo[b], r.past(now, rec.stamp))
	}
	r.touch(now, rec, r.store.bucketOf(rec.key), dot{})
}

// precedes is the stamp up to which what comes in of a bucket may precede a write that couldn't be
// applied.
func (r *replica) precedes(bucket int) uint64 { return max(r.clearedTo, r.writtenTo[bucket]) }

// raiseFloors has floors stand for what may precede writes that couldn't be applied, as soon as what is
// written here is above that.
func (r *replica) raiseFloors(now instant) {
	for b, to := range r.writtenTo {
		if stampWall(to) < now.wall || to <= r.clock.last.Load() {
			r.clock.observe(to)
			r.store.raiseFloor(b, to)
			delete(r.writtenTo, b)
		}
	}
}

// maxClears is how many Clears that couldn't be applied are remembered.
const maxClears = 64

// giveUpAll is giveUp for a Clear: it drops all that was seen here so far, and what is on its way. Once
// is enough for each such Clear: it may come again and again, and what is written meanwhile is newer.
func (r *replica) giveUpAll(now instant, rec *record) {
	if slices.Contains(r.clears, rec.version) {
		r.store.touchAll()
	} else {
		if len(r.clears) == maxClears {
			r.clears = slices.Delete(r.clears, 0, 1)
		}
		r.clears = append(r.clears, rec.version)
		r.clearedTo = max(r.clearedTo, r.past(now, rec.stamp))
		r.store.applyClear(version{min(rec.stamp, r.clock.last.Load()), rec.origin})
	}
	r.givenUpAll = r.store.epoch.Load()
}
