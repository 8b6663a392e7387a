package bcache

import (
	"cmp"
	"container/heap"
	"slices"
)

// pullAnswers are the answers to pulls.
type pullAnswers struct {
	most int    // bytes of each
	last uint64 // whose pull was answered last
}

// answerPulls makes the frames that answer pulls, a part of each, of two neighbours at a time: what
// waits to be sent is bounded, however many ask. flush calls it.
func (r *replica) answerPulls(now instant, sends []message) []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, id := range r.answers.turns(now, &r.neighbours) {
		if n == pullsAtOnce {
			r.out.wake()
			break
		}
		p := r.neighbours.byID[id]
		if p == nil || p.request == nil {
			continue
		}
		q := p.request
		p.request, p.pulled, p.pulledAt = nil, q.claimed(), now.mono
		r.answers.last = id
		a := newPullAnswer(&r.state, q, r.answers.most)
		for c := r.vector.compare(q.claim(), true); c.next(); {
			if c.due(r.stepWork) {
				r.letOthers()
			}
			a.consider(c.lacking())
		}
		for a.choose() {
			r.letOthers()
			a.gather(now)
		}
		r.counts.recordsResent += a.records
		sends = a.appendTo(sends, id)
		if a.budget <= 0 { // there is more
			a.flags |= pongLog
		}
		r.pong(now, id, q, a.flags)
	}
	return sends
}

// turns lists the neighbours that wait for an answer; who was answered longest ago comes first.
func (a *pullAnswers) turns(now instant, near *neighbours) []uint64 {
	asksNothing := func(id uint64) bool {
		p := near.byID[id]
		return p.request == nil || p.tooSoon(now)
	}
	ids := slices.DeleteFunc(slices.Clone(near.ids), asksNothing)
	after := func(id uint64) int {
		if id > a.last {
			return 0
		}
		return 1
	}
	slices.SortFunc(ids, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(after(a), after(b)), cmp.Compare(a, b))
	})
	return ids
}

// A pullAnswer is the answer to a pull, made from the log: for each dot the very version that it wrote,
// or, if that isn't held any more, that it existed. The newest dots go first, unless gaps have to be
// filled from below. What replaced something must be there before it is said that that is gone: then it
// needs no floor, which would keep out what else is older in its bucket.
type pullAnswer struct {
	state   *state
	most    int    // bytes
	budget  int    // of them
	flags   uint64 // of the pong
	crowded []originDots
	rest    missingDots
	frames  [][]byte
	records uint64 // in them

	// The block of dots that comes next; the first ones of it are sent, or the last ones, if not all of them
	// fit.
	block originDots
	first bool
}

func newPullAnswer(s *state, q *ping, most int) *pullAnswer {
	a := &pullAnswer{state: s, most: most, budget: most, flags: pongContext}
	if q.flags&pingAll == 0 && s.vector.restOf(q.entries) != q.rest {
		a.flags |= pongAll
	}
	return a
}

// consider takes up what the other node lacks of an origin.
func (a *pullAnswer) consider(m originDots) {
	if len(m.dots) == 0 {
		return
	}
	a.flags |= a.state.answerable(&m) & pongOld
	if m.crowded {
		a.crowded = append(a.crowded, m)
	} else if x := (&missingOrigin{originDots: m}); x.find(a.state.log) {
		heap.Push(&a.rest, x)
	}
}

// choose takes the next block of dots, if there is one and the budget isn't used up.
func (a *pullAnswer) choose() bool {
	for len(a.crowded) > 0 && len(a.crowded[0].dots) == 0 {
		a.crowded = a.crowded[1:]
	}
	switch {
	case a.budget <= 0:
		return false
	case len(a.crowded) > 0:
		a.block, a.first = a.crowded[0].oldest(a.state.log), true
	case len(a.rest) > 0:
		a.block, a.first = a.rest.newest(a.state.log), false
	default:
		return false
	}
	return true
}

// gather makes frames of the block, as far as the log knows it and the budget goes.
func (a *pullAnswer) gather(now instant) {
	seqs, recs := a.lookUp(now)
	newest := a.state.past(now, a.state.vector.get(a.block.origin).newest)
	for len(recs) > 0 {
		n, size := 0, 0
		for n < len(recs) && seqs[n] == seqs[0]+uint64(n) &&
			(n == 0 || size+recordSize(&recs[n]) <= cutFrame) {
			size += recordSize(&recs[n])
			n++
		}
		a.records += uint64(n)
		frame := appendDelta(make([]byte, 0, size+64), a.block.origin, seqs[0], recs[:n])
		a.frames = append(a.frames, markRepair(frame, newest))
		seqs, recs = seqs[n:], recs[n:]
	}
}

// lookUp looks up the block, ascending. A record goes beyond the budget only as the first one of
// an answer.
func (a *pullAnswer) lookUp(now instant) (seqs []uint64, recs []record) {
	log, iv := a.state.log, a.block.dots[0]
	from := iv.from
	for a.budget > 0 && iv.from < iv.to {
		at, slot, ok := log.next(a.block.origin, iv.from+1, iv.to)
		if !a.first {
			at, slot, ok = log.last(a.block.origin, iv)
		}
		if !ok {
			break
		}
		if iv.from = at; !a.first {
			iv = interval{from, at - 1}
		}
		if a.state.future(now, slot.stamp) { // nobody would take it
			continue
		}
		rec := a.state.recordOf(slot)
		size := recordSize(&rec)
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
		sends = append(sends, message{to: id, frame: frame, bulk: true, answer: i == 0})
	}
	return sends
}

// oldest takes the first block of dots out of what is missing of an origin.
func (m *originDots) oldest(log *deltaLog) (block originDots) {
	iv := &m.dots[0]
	block = originDots{origin: m.origin, dots: []interval{*iv}}
	at, _, ok := log.next(m.origin, iv.from+1, iv.to)
	if ok && iv.to-at >= pullBlock {
		block.dots[0].to = at + pullBlock - 1
		iv.from = block.dots[0].to
	} else {
		m.dots = m.dots[1:]
	}
	return block
}
