package replica

import (
	"errors"
	"fmt"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// What a replica does with frames: it finds out what they are, and applies deltas. The others are
// dealt with in repair.go, pull.go, sync_in.go, sync_out.go, lease.go, lease_ask.go and offer.go.

// Receive handles a frame that the node with PeerID from sent or relayed. The
// error says why the frame was dropped, if it wraps ErrMalformed or ErrUnsupported,
// or why some of its records were, if it wraps ErrFuture.
func (r *Replica) Receive(now delta.Instant, from uint64, frame []byte) error {
	err := r.dispatch(now, from, frame)
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, wire.ErrUnsupported):
		r.counts.Unsupported++
	case errors.Is(err, wire.ErrMalformed):
		r.counts.Malformed++
	}
	return err
}

func (r *Replica) dispatch(now delta.Instant, from uint64, frame []byte) error {
	typ, err := wire.FrameType(frame)
	if err != nil {
		return err
	}
	switch typ {
	case wire.FrameDelta:
		d, err := wire.OpenDelta(frame)
		if err != nil {
			return err
		}
		return r.receiveDelta(now, from, &d)
	case wire.FramePing:
		p, err := wire.DecodePing(frame)
		if err != nil {
			return err
		}
		r.receivePing(now, from, p)
	case wire.FramePong:
		p, err := wire.DecodePong(frame)
		if err != nil {
			return err
		}
		r.receivePong(now, from, p)
	case wire.FrameAsk:
		a, err := wire.DecodeAsk(frame)
		if err != nil {
			return err
		}
		r.receiveAsk(now, from, a)
	case wire.FrameChunk:
		c, recs, err := wire.OpenChunk(frame)
		if err != nil {
			return err
		}
		return r.receiveChunk(now, from, &c, recs, len(frame))
	case wire.FrameLease:
		m, err := wire.DecodeLease(frame)
		if err != nil {
			return err
		}
		r.receiveLease(now, from, m)
	case wire.FrameTurn:
		m, err := wire.DecodeTurn(frame)
		if err != nil {
			return err
		}
		r.receiveTurn(now, from, m)
	case wire.FrameOffer:
		o, err := wire.DecodeOffer(frame)
		if err != nil {
			return err
		}
		r.receiveOffer(now, from, o)
	default:
		return fmt.Errorf("%w: frame type %d", wire.ErrUnsupported, typ)
	}
	return nil
}

// receiveDelta applies the records whose dots are new, a batch per lock so that
// local callers never wait for a whole frame.
func (r *Replica) receiveDelta(now delta.Instant, from uint64, d *wire.DeltaReader) error {
	ahead, refused := int64(0), 0
	batch := newBatch(d.Count)
	pass := func(d wire.DeltaReader, but delta.Kind) {
		for batch.fill(&d, r.Store) {
			r.mu.Lock()
			for i := range batch.recs {
				rec, seq := &batch.recs[i], batch.seq+uint64(i)
				if r.duplicate(delta.Dot{Origin: d.Origin, Seq: seq}) || rec.Kind == but {
					continue
				}
				evicts := false
				for r.makeRoom(now, rec) {
					r.mu.Unlock()
					r.mu.Lock()
					evicts = true
				}
				if evicts && r.duplicate(delta.Dot{Origin: d.Origin, Seq: seq}) { // it came a second time while the lock was free
					continue
				}
				if !r.receiveRecord(now, &d, seq, rec, batch.places[i]) {
					ahead = max(ahead, delta.StampWall(rec.Stamp)-now.Wall)
					refused++
				}
			}
			r.mu.Unlock()
		}
	}
	if d.Newest != 0 {
		pass(*d, delta.KindForget) // see newest
	}
	pass(*d, delta.KindNone)
	r.mu.Lock()
	r.endDelta(now, from, d)
	r.mu.Unlock()
	if refused > 0 {
		return fmt.Errorf("%w: %d writes, by up to %v", ErrFuture, refused, time.Duration(ahead)*time.Millisecond)
	}
	return nil
}

// endDelta notes who sent it, and looks for gaps.
func (r *Replica) endDelta(now delta.Instant, from uint64, d *wire.DeltaReader) {
	if d.Count == 1 {
		r.arrivals.endOf(from, delta.Dot{Origin: d.Origin, Seq: d.First})
	}
	if p := r.neighbours.hear(now, from, d.Origin, d.Echo); p != nil {
		p.claim(d.Origin, d.First+d.Count-1)
	}
	if d.Newest != 0 {
		r.pulls.moved(from, now.Mono)
	}
	if d.Newest == 0 && len(r.vector.Get(d.Origin).Ahead) > 0 {
		r.gap(now, d.Origin)
	}
}

// receiveRecord processes a record of a frame whose dot is new. It returns false if the record comes from
// the future.
func (r *Replica) receiveRecord(now delta.Instant, d *wire.DeltaReader, seq uint64, rec *delta.Record, at store.Place) bool {
	r.counts.RecordsIn++
	r.rounds.active = true
	became := r.process(now, delta.Dot{Origin: d.Origin, Seq: seq}, d.Newest, rec, at)
	if became == dotCovered && d.Newest != 0 {
		r.counts.RecordsRepaired++
		r.pulls.got()
	}
	return became != dotFuture
}
