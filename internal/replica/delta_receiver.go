package replica

import (
	"fmt"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/histogram"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// A deltaReceiver applies the deltas that come in.
type deltaReceiver struct {
	mu         *lock
	state      *state
	neighbours *neighbours
	arrivals   *arrivals
	rounds     *rounds
	repair     *repair
	counts     deltaCounts
}

type deltaCounts struct {
	RecordsIn, RecordsRepaired uint64
	Propagation                histogram.Counts // from whichever neighbour
}

// receive applies the records whose dots are new, a batch per lock so that
// local callers never wait for a whole frame.
func (r *deltaReceiver) receive(now delta.Instant, from uint64, d *wire.DeltaReader) error {
	ahead, refused, news := int64(0), 0, false
	batch := newBatch(d.Count)
	pass := func(d wire.DeltaReader, but delta.Kind) {
		for batch.fill(&d, r.state.Store) {
			r.mu.Lock()
			for i := range batch.recs {
				rec, seq := &batch.recs[i], batch.seq+uint64(i)
				dot := delta.Dot{Origin: d.Origin, Seq: seq}
				if r.state.duplicate(dot) || rec.Kind == but {
					continue
				}
				evicts := false
				for r.state.makeRoom(now, rec) {
					r.mu.Unlock()
					r.mu.Lock()
					evicts = true
				}
				if evicts && r.state.duplicate(dot) {
					continue // it came a second time while the lock was free
				}
				if r.apply(now, &d, seq, rec, batch.places[i]) {
					news = true
				} else {
					ahead = max(ahead, delta.StampWall(rec.Stamp)-now.Wall)
					refused++
				}
			}
			r.mu.Unlock()
		}
	}
	if d.Newest != 0 {
		pass(*d, delta.KindForget) // what replaced something goes first: see pullAnswer
	}
	pass(*d, delta.KindNone)
	r.mu.Lock()
	r.end(now, from, d, news)
	r.mu.Unlock()
	if refused > 0 {
		by := time.Duration(ahead) * time.Millisecond
		return fmt.Errorf("%w: by up to %v, writes: %d", ErrFuture, by, refused)
	}
	return nil
}

// end notes who sent it, and how long it took if it brought news, and looks for gaps.
func (r *deltaReceiver) end(now delta.Instant, from uint64, d *wire.DeltaReader, news bool) {
	if d.Count == 1 {
		r.arrivals.endOf(from, delta.Dot{Origin: d.Origin, Seq: d.First})
	}
	if p := r.neighbours.hear(now, from, d.Origin, d.Echo); p != nil {
		p.claim(d.Origin, d.First+d.Count-1)
		if news && d.Newest == 0 && d.Origin == p.origin {
			if took, ok := p.delays.arrive(now, d.Sent); ok {
				r.counts.Propagation.Add(took)
			}
		}
	}
	if d.Newest != 0 {
		r.repair.pulls.moved(from, now.Mono)
	}
	r.repair.pinger.hearings.listen(now)
	if d.Newest == 0 && len(r.state.vector.Get(d.Origin).Ahead) > 0 {
		r.repair.gap(now, d.Origin)
	}
}

// apply processes a record of a frame whose dot is new. It returns false if the record comes from
// the future.
func (r *deltaReceiver) apply(
	now delta.Instant, d *wire.DeltaReader, seq uint64, rec *delta.Record, at store.Place,
) bool {
	r.counts.RecordsIn++
	r.rounds.active = true
	became := r.state.process(now, delta.Dot{Origin: d.Origin, Seq: seq}, d.Newest, rec, at)
	if became == dotCovered && d.Newest != 0 {
		r.counts.RecordsRepaired++
		r.repair.pulls.got()
	}
	return became != dotFuture
}
