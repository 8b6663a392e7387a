package bcache

import (
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
	if r.pull != nil || r.sync != nil || r.closed || r.peers[id] == nil {
		return
	}
	r.ping(now, id, pingPull)
	r.pull = &pullOp{peer: id, id: r.peers[id].pingID, began: now.mono, alive: now.mono}
	r.lastPull = now.mono
	r.n.repairsAsked++
}

// pullFromOne asks one of some neighbours, another one each time.
func (r *replica) pullFromOne(now instant, ids []uint64) {
	r.turns++
	r.pullFrom(now, ids[r.turns%len(ids)])
}

// gap is called when a frame has left a gap in the dots of origin. What is missing was
// lost, most likely; only a frame that took another way may still come.
func (r *replica) gap(now instant, origin uint64) {
	if now.mono-r.lastPull < pullEvery || now.mono < r.gapsWait || !r.synced || r.awaited(now, origin) {
		return
	}
	candidates := r.neighbours(func(p *peerState) bool { return p.origin == origin })
	if len(candidates) == 0 {
		candidates = r.neighbours(isSynced)
	}
	if len(candidates) > 0 {
		r.pullFromOne(now, candidates)
	}
}

// advance starts what is to be done next to catch up with the others: a full sync for who
// needs one in any case; otherwise pulls, from one neighbour after the other; and a full
// sync if no log has what is missing. One thing at a time.
func (r *replica) advance(now instant) {
	if r.pull != nil || r.sync != nil || r.closed || r.local {
		return
	}
	if !r.synced || r.unvouched {
		if r.startSync(now, func(p *peerState) bool { return true }) || len(r.neighbours(isSynced)) > 0 {
			return
		}
	}
	if r.startSync(now, func(p *peerState) bool { return p.apart }) {
		return
	}
	if ids := r.neighbours(func(p *peerState) bool { return p.offer&pongLog != 0 }); len(ids) > 0 {
		r.pullFromOne(now, ids)
		return
	}
	old := func(p *peerState) bool { return p.offer&pongOld != 0 }
	switch {
	case len(r.neighbours(func(p *peerState) bool { return !p.known })) > 0:
		// Somebody may still have it.
	case len(r.neighbours(old)) == 0:
		r.surveyed = false
	case !r.surveyed && now.mono-r.lastSurvey >= surveyEvery:
		r.surveyed, r.lastSurvey = true, now.mono // what the others have said may be out of date
		r.askAgain(now, func(p *peerState) bool { return true })
	case r.surveyed && r.startSync(now, old):
		r.surveyed = false
	}
}

// pullTick gives up a pull that isn't answered.
func (r *replica) pullTick(now instant) {
	if r.pull == nil || now.mono-r.pull.alive < pullTimeout && now.mono-r.pull.began < pullLimit {
		return
	}
	if p := r.peers[r.pull.peer]; p != nil {
		p.known, p.offer = false, 0 // until the next round
	}
	r.pull = nil
}

// answerPulls makes the frames that answer pulls, a part of each. flush calls it.
func (r *replica) answerPulls(now instant, sends []message) []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range slices.Clone(r.peerIDs) {
		p := r.peers[id]
		if p == nil || p.pull == nil {
			continue
		}
		q := p.pull
		p.pull = nil
		missing, all := r.lacking(q)
		flags := r.offer(missing)&pongOld | pongContext
		if all {
			flags |= pongAll
		}
		budget, before := r.pullBytes, len(sends)
		for i := range missing {
			for m := &missing[i]; m.crowded && len(m.dots) > 0 && budget > 0; {
				sends = r.repairs(now, sends, id, r.oldest(m), &budget)
			}
		}
		for block, ok := r.newest(missing); ok && budget > 0; block, ok = r.newest(missing) {
			sends = r.repairs(now, sends, id, block, &budget)
		}
		if budget <= 0 {
			flags |= pongLog
		}
		if len(sends) > before {
			sends[before].answer = true
		}
		r.answer(now, id, q, flags)
	}
	return sends
}

// newest takes a block of dots out of what is missing: one that ends with the newest that the
// log knows. What replaced something must be there before it is said that that is gone: then it
// needs no floor, which would keep out what else is older in its bucket.
func (r *replica) newest(missing []originDots) (block originDots, ok bool) {
	var from *originDots
	var stamp uint64
	for i := range missing {
		m := &missing[i]
		for n := len(m.dots); n > 0; n = len(m.dots) {
			at, slot, ok := r.log.last(m.origin, m.dots[n-1])
			if !ok {
				m.dots = m.dots[:n-1]
				continue
			}
			m.dots[n-1].to = at
			if from == nil || slot.stamp > stamp {
				from, stamp = m, slot.stamp
			}
			break
		}
	}
	if from == nil {
		return block, false
	}
	last := &from.dots[len(from.dots)-1]
	block = originDots{origin: from.origin, dots: []interval{*last}}
	if last.to-last.from > pullBlock {
		block.dots[0].from = last.to - pullBlock
		last.to = block.dots[0].from
	} else {
		from.dots = from.dots[:len(from.dots)-1]
	}
	return block, true
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

// repairs appends frames with a block of dots, as far as the log knows them: for each dot the
// very version that it wrote, or, if that isn't held any more, that it existed.
func (r *replica) repairs(now instant, sends []message, to uint64, block originDots, budget *int) []message {
	var recs []record
	origin, iv := block.origin, block.dots[0]
	first, size := uint64(0), 0
	cut := func() {
		if len(recs) > 0 {
			r.n.recordsRepaired += uint64(len(recs))
			sends = append(sends, message{to: to, bulk: true, frame: markRepair(appendDelta(make([]byte, 0, size+64), origin, first, recs), r.ctx.get(origin).newest)})
			recs, size = nil, 0
		}
	}
	for seq := iv.from + 1; ; seq++ {
		at, slot, ok := r.log.next(origin, seq, iv.to)
		for ok && r.future(now, slot.stamp) { // nobody would take it
			at, slot, ok = r.log.next(origin, at+1, iv.to)
		}
		if !ok {
			break
		}
		if at != seq {
			cut()
			seq = at
		}
		rec := r.dot(slot)
		n := recordSize(&rec)
		if size > 0 && size+n > cutFrame {
			cut()
		}
		if len(recs) == 0 {
			first = seq
		}
		recs = append(recs, rec)
		size += n
		*budget -= n
		if len(recs)%applyBatch == 0 { // others want the lock
			r.mu.Unlock()
			r.mu.Lock()
		}
	}
	cut()
	return sends
}

// dot returns what is still known of a dot.
func (r *replica) dot(slot logSlot) record {
	if slot.kind != kindClear {
		if held, ok := r.store.peek(slot.key); ok && held.version == slot.version {
			return held
		}
		return record{key: slot.key, version: slot.version, kind: kindForget}
	}
	return record{version: slot.version, kind: kindClear}
}
