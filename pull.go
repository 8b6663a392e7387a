package bcache

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// Pulls: a node asks a neighbour for the dots that it lacks, and the neighbour answers with deltas
// from its log and then a pong.

// A pullOp is a pull under way.
type pullOp struct {
	peer  uint64
	id    uint64 // of its ping
	began time.Duration
	alive time.Duration // something of the answer came last
	got   uint64        // records so far
}

// pullFrom asks a neighbour for what this node lacks, unless something of the kind is
// under way.
func (r *replica) pullFrom(now instant, id uint64) {
	if r.pull != nil || r.client.session != nil || r.closed || r.neighbours.byID[id] == nil {
		return
	}
	r.ping(now, id, pingPull)
	r.pull = &pullOp{peer: id, id: r.neighbours.byID[id].pingID, began: now.mono, alive: now.mono}
	r.lastPull = now.mono
	r.counts.repairsAsked++
}

// pullFromOne asks one of some neighbours, another one each time.
func (r *replica) pullFromOne(now instant, ids []uint64) {
	r.pullFrom(now, r.neighbours.choose(ids, 0))
}

// gap is called when a frame has left a gap in the dots of origin. What is missing was
// lost, most likely; only a frame that took another way may still come.
func (r *replica) gap(now instant, origin uint64) {
	if now.mono-r.lastPull < pullEvery || now.mono < r.gapsWait || !r.synced {
		return
	}
	if r.dropArrivals(now); r.arrivals.fill(origin, r.vector) {
		return
	}
	candidates := r.neighbours.where(func(p *neighbour) bool { return p.origin == origin })
	if len(candidates) == 0 {
		candidates = r.neighbours.where(isSynced)
	}
	if len(candidates) > 0 {
		r.pullFromOne(now, candidates)
	}
}

// advance starts what is to be done next to catch up with the others: a full sync for who
// needs one in any case; otherwise pulls, from one neighbour after the other; and a full
// sync if no log has what is missing. One thing at a time.
func (r *replica) advance(now instant) {
	if r.pull != nil || r.client.session != nil || r.closed || r.local {
		return
	}
	if !r.synced || r.client.unvouched {
		if r.startSync(now, anyone) || len(r.neighbours.where(isSynced)) > 0 {
			return
		}
	}
	if r.startSync(now, func(p *neighbour) bool { return p.diverged }) {
		return
	}
	if ids := r.neighbours.where(func(p *neighbour) bool { return p.offer&pongLog != 0 }); len(ids) > 0 {
		r.pullFromOne(now, ids)
		return
	}
	old := func(p *neighbour) bool { return p.offer&pongOld != 0 }
	switch {
	case len(r.neighbours.where(isUnknown)) > 0:
		// Somebody may still have it.
	case len(r.neighbours.where(old)) == 0:
		r.surveyed = false
	case !r.surveyed && now.mono-r.lastSurvey >= surveyEvery:
		r.surveyed, r.lastSurvey = true, now.mono // what the others have said may be out of date
		r.askAgain(now, anyone)
	case r.surveyed && r.startSync(now, old):
		r.surveyed = false
	}
}

// pullTick gives up a pull that isn't answered.
func (r *replica) pullTick(now instant) {
	if r.pull == nil || now.mono-r.pull.alive < pullTimeout && now.mono-r.pull.began < pullLimit {
		return
	}
	if p := r.neighbours.byID[r.pull.peer]; p != nil {
		p.doubt() // until the next round
	}
	r.pull = nil
}

// answerPulls makes the frames that answer pulls, a part of each, of two neighbours at a time: what
// waits to be sent is bounded, however many ask. flush calls it.
func (r *replica) answerPulls(now instant, sends []message) []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	asksNothing := func(id uint64) bool {
		return r.neighbours.byID[id].request == nil || r.neighbours.byID[id].tooSoon(now)
	}
	ids := slices.DeleteFunc(slices.Clone(r.neighbours.ids), asksNothing)
	after := func(id uint64) int { // who was answered longest ago comes first
		if id > r.answered {
			return 0
		}
		return 1
	}
	slices.SortFunc(ids, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(after(a), after(b)), cmp.Compare(a, b))
	})
	for n, id := range ids {
		if n == pullsAtOnce {
			r.out.wake()
			break
		}
		if p := r.neighbours.byID[id]; p != nil && p.request != nil {
			q := p.request
			p.request = nil
			r.answered = id
			sends = r.answerPull(now, sends, id, p, q)
		}
	}
	return sends
}

// answerPull answers one. The newest dots go first, unless gaps have to be filled from below.
func (r *replica) answerPull(now instant, sends []message, id uint64, p *neighbour, q *ping) []message {
	flags := uint64(pongContext)
	if q.flags&pingAll == 0 && r.vector.restOf(q.entries) != q.rest {
		flags |= pongAll
	}
	p.pulled, p.pulledAt = q.claimed(), now.mono
	var crowded []originDots
	var rest missingDots
	for c := r.vector.compare(q.claim(), true); c.next(); {
		if c.due(r.stepWork) {
			r.letOthers()
		}
		m := c.lacking()
		if len(m.dots) == 0 {
			continue
		}
		flags |= r.offer(&m) & pongOld
		if m.crowded {
			crowded = append(crowded, m)
		} else if x := (&missingOrigin{originDots: m}); r.find(x) {
			rest = append(rest, x)
		}
	}
	budget, before := r.pullBytes, len(sends)
	for i := range crowded {
		for m := &crowded[i]; len(m.dots) > 0 && budget > 0; {
			sends = r.repairs(now, sends, id, r.oldest(m), true, &budget)
		}
	}
	heap.Init(&rest)
	for len(rest) > 0 && budget > 0 {
		sends = r.repairs(now, sends, id, r.newest(&rest), false, &budget)
	}
	if budget <= 0 {
		flags |= pongLog
	}
	if len(sends) > before {
		sends[before].answer = true
	}
	r.answer(now, id, q, flags)
	return sends
}

// claim is what a ping says that its sender has processed.
func (q *ping) claim() vectorClaim {
	return vectorClaim{origin: q.origin, entries: q.entries, all: q.flags&pingAll != 0, horizon: q.horizon}
}

// claimed is how many dots the vector of a ping has, which grows with every answer to a pull that
// arrives.
func (q *ping) claimed() (n uint64) {
	for i := range q.entries {
		n += q.entries[i].covered
		for _, iv := range q.entries[i].ahead {
			n += iv.to - iv.from
		}
	}
	return n
}

// A missingOrigin is what somebody lacks of an origin. The log knows the last one of the dots, and its
// stamp.
type missingOrigin struct {
	originDots
	stamp uint64
}

// missingDots is a heap: first comes what has the newest dot.
type missingDots []*missingOrigin

func (h missingDots) Len() int { return len(h) }
func (h missingDots) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[j].stamp, h[i].stamp), cmp.Compare(h[i].origin, h[j].origin)) < 0
}
func (h missingDots) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *missingDots) Push(x any)   { *h = append(*h, x.(*missingOrigin)) }
func (h *missingDots) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// find drops the dots at the end that the log doesn't know, and notes the stamp of the last one that it
// does.
func (r *replica) find(m *missingOrigin) bool {
	for n := len(m.dots); n > 0; n-- {
		if at, slot, ok := r.log.last(m.origin, m.dots[n-1]); ok {
			m.dots[n-1].to, m.stamp = at, slot.stamp
			return true
		}
		m.dots = m.dots[:n-1]
	}
	return false
}

// newest takes a block of dots out of what is missing: one that ends with the newest that the
// log knows. What replaced something must be there before it is said that that is gone: then it
// needs no floor, which would keep out what else is older in its bucket.
func (r *replica) newest(missing *missingDots) originDots {
	from := (*missing)[0]
	last := &from.dots[len(from.dots)-1]
	block := originDots{origin: from.origin, dots: []interval{*last}}
	if last.to-last.from > pullBlock {
		block.dots[0].from = last.to - pullBlock
		last.to = block.dots[0].from
	} else {
		from.dots = from.dots[:len(from.dots)-1]
	}
	if r.find(from) {
		heap.Fix(missing, 0)
	} else {
		heap.Pop(missing)
	}
	return block
}

// oldest takes the first block of dots out of what is missing of an origin.
func (r *replica) oldest(m *originDots) (block originDots) {
	iv := &m.dots[0]
	block = originDots{origin: m.origin, dots: []interval{*iv}}
	at, _, ok := r.log.next(m.origin, iv.from+1, iv.to)
	if ok && iv.to-at >= pullBlock {
		block.dots[0].to = at + pullBlock - 1
		iv.from = block.dots[0].to
	} else {
		m.dots = m.dots[1:]
	}
	return block
}

// repairs appends frames with a block of dots, as far as the log knows them and the budget goes: for
// each dot the very version that it wrote, or, if that isn't held any more, that it existed. If not all
// of them fit it is the first ones that are sent, or the last ones.
func (r *replica) repairs(now instant, sends []message, to uint64, block originDots, first bool,
	budget *int,
) []message {
	r.letOthers()
	seqs, recs := r.gather(now, block, first, budget)
	newest := r.past(now, r.vector.get(block.origin).newest)
	for len(recs) > 0 {
		n, size := 0, 0
		for n < len(recs) && seqs[n] == seqs[0]+uint64(n) &&
			(n == 0 || size+recordSize(&recs[n]) <= cutFrame) {
			size += recordSize(&recs[n])
			n++
		}
		r.counts.recordsResent += uint64(n)
		frame := appendDelta(make([]byte, 0, size+64), block.origin, seqs[0], recs[:n])
		sends = append(sends, message{to: to, frame: markRepair(frame, newest), bulk: true})
		seqs, recs = seqs[n:], recs[n:]
	}
	return sends
}

// gather looks up a block of dots, ascending. A record goes beyond the budget only as the first one of
// an answer.
func (r *replica) gather(now instant, block originDots, first bool, budget *int) (
	seqs []uint64, recs []record,
) {
	iv := block.dots[0]
	for *budget > 0 && iv.from < iv.to {
		at, slot, ok := r.log.next(block.origin, iv.from+1, iv.to)
		if !first {
			at, slot, ok = r.log.last(block.origin, iv)
		}
		if !ok {
			break
		}
		if iv.from = at; !first {
			iv = interval{block.dots[0].from, at - 1}
		}
		if r.future(now, slot.stamp) { // nobody would take it
			continue
		}
		rec := r.recordOf(slot)
		size := recordSize(&rec)
		if size > *budget && *budget < r.pullBytes {
			*budget = 0
			break
		}
		*budget -= size
		seqs, recs = append(seqs, at), append(recs, rec)
	}
	if !first {
		slices.Reverse(seqs)
		slices.Reverse(recs)
	}
	return seqs, recs
}
