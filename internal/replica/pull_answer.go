package replica

import (
	"container/heap"
	"slices"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// A pullAnswer is the answer to a pull, made from the log: for each dot the very version that it wrote,
// or, if that isn't held any more, that it existed. The newest dots go first, unless gaps have to be
// filled from below. What replaced something must be there before it is said that that is gone: then it
// needs no floor, which would keep out what else is older in its bucket.
type pullAnswer struct {
	state   *state
	most    int    // bytes
	budget  int    // of them
	flags   uint64 // of the pong
	crowded []dots.OriginDots
	rest    dots.MissingDots
	frames  [][]byte
	records uint64 // in them

	// The block of dots that comes next; the first ones of it are sent, or the last ones, if not all of
	// them fit.
	block dots.OriginDots
	first bool
}

func newPullAnswer(s *state, q *wire.Ping, most int) *pullAnswer {
	a := &pullAnswer{state: s, most: most, budget: most, flags: wire.PongContext}
	if q.Flags&wire.PingAll == 0 && s.vector.RestOf(q.Entries) != q.Rest {
		a.flags |= wire.PongAll
	}
	return a
}

// consider takes up what the other node lacks of an origin.
func (a *pullAnswer) consider(m dots.OriginDots) {
	if len(m.Dots) == 0 {
		return
	}
	a.flags |= a.state.answerable(&m) & wire.PongOld
	if m.Crowded {
		a.crowded = append(a.crowded, m)
	} else if x := (&dots.MissingOrigin{OriginDots: m}); x.Find(a.state.log) {
		heap.Push(&a.rest, x)
	}
}

// choose takes the next block of dots, if there is one and the budget isn't used up.
func (a *pullAnswer) choose() bool {
	for len(a.crowded) > 0 && len(a.crowded[0].Dots) == 0 {
		a.crowded = a.crowded[1:]
	}
	switch {
	case a.budget <= 0:
		return false
	case len(a.crowded) > 0:
		a.block, a.first = a.crowded[0].Oldest(a.state.log), true
	case len(a.rest) > 0:
		a.block, a.first = a.rest.Newest(a.state.log), false
	default:
		return false
	}
	return true
}

// gather makes frames of the block, as far as the log knows it and the budget goes.
func (a *pullAnswer) gather(now delta.Instant) {
	seqs, recs := a.lookUp(now)
	newest := a.state.past(now, a.state.vector.Get(a.block.Origin).Newest)
	for len(recs) > 0 {
		n, size := 0, 0
		for n < len(recs) && seqs[n] == seqs[0]+uint64(n) &&
			(n == 0 || size+wire.RecordSize(&recs[n]) <= wire.CutFrame) {
			size += wire.RecordSize(&recs[n])
			n++
		}
		a.records += uint64(n)
		frame := wire.AppendDelta(make([]byte, 0, size+64), a.block.Origin, seqs[0], recs[:n])
		a.frames = append(a.frames, wire.MarkRepair(frame, newest))
		seqs, recs = seqs[n:], recs[n:]
	}
}

// lookUp looks up the block, ascending. A record goes beyond the budget only as the first one of
// an answer.
func (a *pullAnswer) lookUp(now delta.Instant) (seqs []uint64, recs []delta.Record) {
	log, iv := a.state.log, a.block.Dots[0]
	from := iv.From
	for a.budget > 0 && iv.From < iv.To {
		at, slot, ok := log.Next(a.block.Origin, iv.From+1, iv.To)
		if !a.first {
			at, slot, ok = log.Last(a.block.Origin, iv)
		}
		if !ok {
			break
		}
		if iv.From = at; !a.first {
			iv = dots.Interval{From: from, To: at - 1}
		}
		if a.state.future(now, slot.Stamp) { // nobody would take it
			continue
		}
		rec := a.state.recordOf(slot)
		size := wire.RecordSize(&rec)
		if size > a.budget && a.budget < a.most {
			a.budget = 0
			break
		}
		a.budget -= size
		seqs, recs = append(seqs, at), append(recs, rec)
	}
	if !a.first {
		slices.Reverse(seqs)
		slices.Reverse(recs)
	}
	return seqs, recs
}

// appendTo appends the frames, for a neighbour.
func (a *pullAnswer) appendTo(sends []message, id uint64) []message {
	for i, frame := range a.frames {
		sends = append(sends, message{To: id, Frame: frame, Bulk: true, Answer: i == 0})
	}
	return sends
}
