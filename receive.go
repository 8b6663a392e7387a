package bcache

import (
	"errors"
	"fmt"
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
				rec, seq := &batch.recs[i], batch.seq+uint64(i)
				if r.duplicate(dot{d.origin, seq}) || rec.kind == but {
					continue
				}
				evicts := false
				for r.makeRoom(now, rec) {
					r.mu.Unlock()
					r.mu.Lock()
					evicts = true
				}
				if evicts && r.duplicate(dot{d.origin, seq}) { // it came a second time while the lock was free
					continue
				}
				if !r.receiveRecord(now, &d, seq, rec, batch.places[i]) {
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
	if d.count == 1 {
		r.arrivals.endOf(from, dot{d.origin, d.first})
	}
	if p := r.neighbours.hear(now, from, d.origin, d.echo); p != nil {
		p.claim(d.origin, d.first+d.count-1)
	}
	if d.newest != 0 {
		r.pulls.moved(from, now.mono)
	}
	if d.newest == 0 && len(r.vector.get(d.origin).ahead) > 0 {
		r.gap(now, d.origin)
	}
}

// receiveRecord processes a record of a frame whose dot is new. It returns false if the record comes from
// the future.
func (r *replica) receiveRecord(now instant, d *deltaReader, seq uint64, rec *record, at place) bool {
	r.counts.recordsIn++
	r.rounds.active = true
	became := r.process(now, dot{d.origin, seq}, d.newest, rec, at)
	if became == dotCovered && d.newest != 0 {
		r.counts.recordsRepaired++
		r.pulls.got()
	}
	return became != dotFuture
}
