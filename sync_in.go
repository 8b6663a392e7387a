package bcache

import (
	"fmt"
	"time"
)

// A full sync, on the side that receives it. One synced neighbour streams what it holds,
// group by group: entries and tombstones, then the floors, which stand for what it has
// forgotten. When all has arrived, this node has seen, directly or by its effect, whatever
// the other one's vector covered when it began; so it adopts that vector.
//
// Chunks are acknowledged, and come in order; a session that stalls is given up, and another
// neighbour takes over. What was received stays: it is true, only not complete. It is marked, so
// that what no session vouches for in the end can be dropped.

const (
	syncAgain = 2 * time.Second  // without a chunk, then the last acknowledgement is repeated
	syncStall = 10 * time.Second // then another neighbour is tried
	syncShy   = 2 * time.Second  // for how long the one that failed isn't
	syncBusy  = time.Second / 2  // or the one that said that it can't now

	syncReturn = 3 * time.Second // for the one whose connection broke to come back
	syncGroup  = 1 << 22         // records of one group at most

	// syncPatience is how long a session may take, while others wait for it. Each one that
	// takes longer doubles it for the next: there may be that much to send.
	syncPatience = 10 * time.Minute
)

type syncIn struct {
	peer, session uint64
	origin        uint64 // the other node's
	mark          uint8
	head          syncChunk // once it has come
	next          uint64    // the chunk that is expected
	group         uint64    // its group
	records       int       // of that group so far
	streamed      *keySet   // their keys
	spoiled       bool      // something came from the future: the vector can't be adopted
	applying      bool
	ended         bool          // successfully
	away          bool          // the connection to the other node is gone,
	left          time.Duration // since then

	gap uint64 // the chunk that was said to be lost

	began, progress, asked time.Duration // progress: bytes of the other node came last
	bytes                  uint64
}

// startSync asks one of the neighbours for a full sync. They must be synced, and as wanted.
func (r *replica) startSync(now instant, want func(*neighbour) bool) bool {
	if r.vouching {
		return false
	}
	servers := r.neighbours.where(func(p *neighbour) bool { return p.synced && now.mono >= p.retryAt && want(p) })
	if len(servers) == 0 {
		return false
	}
	if r.mark++; r.mark == 0 {
		r.mark++
	}
	peer := r.neighbours.choose(servers, r.origin)
	r.sync = &syncIn{
		peer:     peer,
		origin:   r.neighbours.byID[peer].origin,
		session:  r.nonce(),
		mark:     r.mark,
		streamed: newKeySet(),
		began:    now.mono, progress: now.mono,
	}
	r.ask(now, 0)
	return true
}

func (r *replica) ask(now instant, flags uint64) {
	in := r.sync
	in.asked = now.mono
	r.out.send(message{to: in.peer, frame: appendAsk(nil, syncAsk{session: in.session, next: in.next, flags: flags})})
}

// abortSync gives up, and leaves the other node alone for a while; advance will start another session.
func (r *replica) abortSync(now instant, why string) {
	in := r.sync
	r.leaveSync(why)
	if p := r.neighbours.byID[in.peer]; p != nil {
		p.fail(now)
	}
}

// leaveSync gives up a session that the other node can't be blamed for.
func (r *replica) leaveSync(why string) {
	in := r.sync
	r.syncFailure = fmt.Sprintf("the full sync from node %x failed: %s", in.peer, why)
	r.sync = nil
	r.counts.syncsFailed++
	if p := r.neighbours.byID[in.peer]; p != nil && p.origin == in.origin {
		ask := syncAsk{session: in.session, next: in.next, flags: askCancel}
		r.out.send(message{to: in.peer, frame: appendAsk(nil, ask)})
	}
}

// resumeSync goes on with a full sync when the other node is back. Another life of it knows nothing of
// the session.
func (r *replica) resumeSync(now instant, peer, origin uint64) {
	in := r.sync
	switch {
	case in == nil || in.peer != peer:
	case in.origin != origin:
		r.leaveSync("it has restarted")
	case in.next == 0 || now.mono-in.progress >= syncStall:
		r.leaveSync("it was away") // it may have forgotten the session, and would begin it anew
	case in.applying: // it asks when that ends
		in.away = false
	default:
		in.away = false
		r.ask(now, askGap) // what was under way is lost
	}
}

func (r *replica) syncTick(now instant) {
	in := r.sync
	switch {
	case in == nil || in.applying:
	case in.away && now.mono-in.left >= syncReturn:
		r.abortSync(now, "it left")
	case now.mono-in.progress >= syncStall:
		r.abortSync(now, "nothing came any more")
	case now.mono-in.began >= r.syncLimit:
		r.abortSync(now, fmt.Sprintf("it has taken longer than %v", r.syncLimit))
		r.syncLimit *= 2
	case now.mono-max(in.progress, in.asked) >= syncAgain:
		r.ask(now, askAgain)
	}
}

// receiveChunk applies a chunk, a batch per lock, and acknowledges it.
func (r *replica) receiveChunk(now instant, from uint64, c *syncChunk, recs chunkReader, size int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.neighbours.byID[from]; p != nil {
		p.heard = now.mono
	}
	in := r.sync
	if in == nil || in.peer != from || in.session != c.session || in.applying {
		return nil // of a session that was given up
	}
	if c.flags&chunkRefused != 0 {
		r.sync = nil
		r.syncFailure = fmt.Sprintf("node %x can't serve a full sync now", from)
		r.neighbours.byID[from].refuse(now, c.flags&chunkBusy != 0)
		return nil
	}
	in.progress = now.mono
	if c.number != in.next { // it came twice, or too early
		if c.number > in.next && in.gap != in.next {
			in.gap = in.next
			r.ask(now, askGap)
		}
		return nil
	}
	in.bytes += uint64(size)
	if c.number == 0 {
		in.head = *c
	} else if err := r.receiveGroup(now, in, c, recs); err != nil || r.sync != in {
		return err
	}
	if in.spoiled {
		r.abortSync(now, "some of its writes are stamped too far ahead of this node's clock")
		return nil
	}
	in.next++
	r.ask(now, 0)
	if c.flags&chunkLast != 0 && c.number > 0 {
		r.endSync(now)
	}
	return nil
}

// receiveGroup applies records of a group and, if it is complete, its floors. It is
// called with the lock, which it gives up now and then.
func (r *replica) receiveGroup(now instant, in *syncIn, c *syncChunk, recs chunkReader) error {
	if !in.expects(c) {
		r.abortSync(now, "its chunks make no sense")
		return fmt.Errorf("%w: group %d of a sync instead of %d", errMalformed, c.group, in.group)
	}
	in.applying = true
	defer func() { in.applying = false }()
	var rec record
	for more := true; more; {
		for i, bytes := 0, 0; more && i < applyBatch && bytes < applyBytes; i++ {
			if more = recs.next(&rec); more {
				bytes += len(rec.key) + len(rec.val)
				r.receiveStreamed(now, in, &rec)
			}
		}
		r.mu.Unlock() // others want it
		r.mu.Lock()
		if r.sync != in {
			return nil
		}
	}
	if c.flags&chunkDone == 0 {
		return nil
	}
	// First Clear and the floors: from now on nothing older comes in again. They stand for
	// writes that the other node has accepted, so the clock follows them.
	for _, f := range c.floors {
		if r.future(now, f.stamp) {
			in.spoiled = true
		}
	}
	newer := r.store.clearVersion().less(c.clear)
	if in.spoiled || newer && !r.apply(now, &record{kind: kindClear, version: c.clear}, place{}, dot{}) {
		in.spoiled = true
		return nil
	}
	for _, f := range c.floors {
		r.raiseFloor(f)
	}
	r.mu.Unlock()
	dropped := r.store.dropUnstreamed(int(in.head.groups), int(c.group), in.streamed, c.floors)
	for _, key := range dropped {
		r.changed(key, kindForget)
	}
	r.mu.Lock()
	in.streamed = newKeySet() // to clear a large one takes long
	in.records = 0
	in.group++
	return nil
}

// expects reports whether a chunk can be what comes next. Its records are counted, not its
// keys: the same ones for ever would be no progress.
func (in *syncIn) expects(c *syncChunk) bool {
	groups := in.head.groups
	if c.group != in.group || c.group >= groups || in.records > syncGroup {
		return false
	}
	for _, f := range c.floors {
		if uint64(f.bucket)%groups != c.group {
			return false
		}
	}
	return (c.flags&chunkLast != 0) == (c.flags&chunkDone != 0 && c.group == groups-1)
}

// receiveStreamed applies a record of a full sync. It has no dot.
func (r *replica) receiveStreamed(now instant, in *syncIn, rec *record) {
	rec.mark = in.mark
	r.unvouched = true
	for r.makeRoom(now, rec) {
		r.mu.Unlock()
		r.mu.Lock()
	}
	if r.sync != in {
		return // it was given up while the lock was free
	}
	r.counts.recordsSynced++
	if !r.apply(now, rec, r.store.placeOf(rec.key), dot{}) {
		in.spoiled = true
	}
	in.streamed.add(rec.key)
	in.records++
}

// endSync adopts the server's vector, as it was when the session began: for each of its
// dots, what was streamed is as new, or the floors and Clear stand for it.
func (r *replica) endSync(now instant) {
	in := r.sync
	in.applying, in.ended = true, true // no other session until the marks of this one are gone
	a := r.vector.adopt(in.head.entries, in.head.horizon, r.latest(now), r.neighbours.claimed())
	for a.step(r.stepWork) {
		r.letOthers()
	}
	r.state.counts.droppedIntervals += uint64(a.dropped)
	r.state.counts.droppedOrigins += uint64(r.vector.trim())
	if a.unique {
		r.skipSeq(now)
	}
	r.store.touchAll()
	r.touchAll(now, dot{})
	r.unvouched = false
	r.syncLimit = syncPatience
	r.becomeSynced()
	r.counts.syncsReceived++
	r.counts.syncBytesIn += in.bytes
	r.counts.syncTook = now.mono - in.began
	r.syncedFrom = in.peer
	r.out.notice(syncNotice{from: in.peer, keys: r.store.len(), took: r.counts.syncTook})
	r.mu.Unlock()
	for _, key := range r.store.vouch(in.mark) {
		r.changed(key, kindForget)
	}
	r.mu.Lock()
	if r.sync == in {
		r.sync = nil
	}
	if p := r.neighbours.byID[in.peer]; p != nil {
		p.serve()
	}
	for _, p := range r.neighbours.byID {
		p.diverged = false
	}
	r.askAgain(now, anyone)
	r.noteComplete(now) // where nobody is left to be asked
}

// skipSeq has a seq used up for nothing, see state.skip. The outbox is emptied, as its dots must be
// consecutive; the log has them.
func (r *replica) skipSeq(now instant) {
	r.skip(now)
	r.out.dropBroadcasts()
}
