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

// A syncIn is a session.
type syncIn struct {
	peer, id uint64
	origin   uint64 // the other node's
	mark     uint8
	head     syncChunk // once it has come
	next     uint64    // the chunk that is expected
	group    uint64    // its group
	records  int       // of that group so far
	streamed *keySet   // their keys
	spoiled  bool      // something came from the future: the vector can't be adopted
	applying bool
	ended    bool          // successfully
	away     bool          // the connection to the other node is gone,
	left     time.Duration // since then

	gap uint64 // the chunk that was said to be lost

	began, progress, asked time.Duration // progress: bytes of the other node came last
	bytes                  uint64
}

// startSync asks one of the neighbours for a full sync. They must be synced, and as wanted.
func (r *replica) startSync(now instant, want func(*neighbour) bool) bool {
	peer, ok := r.client.choose(now, r.origin, want)
	if ok {
		r.client.start(now, peer, r.nonce())
	}
	return ok
}

// receiveChunk applies a chunk, a batch per lock, and acknowledges it. The last one ends the session.
func (r *replica) receiveChunk(now instant, from uint64, c *syncChunk, recs chunkReader, size int) error {
	in, err := r.applyChunk(now, from, c, recs, size)
	if in != nil && c.flags&chunkLast != 0 && c.number > 0 {
		r.endSync(now, in)
	}
	return err
}

// applyChunk returns the session, if the chunk belongs to it and it goes on.
func (r *replica) applyChunk(
	now instant, from uint64, c *syncChunk, recs chunkReader, size int,
) (*syncIn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.neighbours.byID[from]; p != nil {
		p.heard = now.mono
	}
	in := r.client.expected(now, from, c)
	if in == nil {
		return nil, nil
	}
	in.bytes += uint64(size)
	if c.number == 0 {
		in.head, recs = *c, chunkReader{}
	} else if !in.expects(c) {
		r.client.abort(now, "its chunks make no sense")
		return nil, fmt.Errorf("%w: group %d of a sync instead of %d", errMalformed, c.group, in.group)
	}
	in.applying = true
	var rec record
	for n, bytes := 1, 0; r.client.session == in && recs.next(&rec); n++ {
		rec.mark = in.mark
		r.client.unvouched = true
		for r.makeRoom(now, &rec) {
			r.mu.Unlock()
			r.mu.Lock()
		}
		if r.client.session != in {
			break // it was given up while the lock was free
		}
		r.client.counts.recordsSynced++
		in.apply(now, &r.state, &rec)
		if bytes += len(rec.key) + len(rec.val); n == applyBatch || bytes >= applyBytes {
			n, bytes = 0, 0
			r.mu.Unlock() // others want it
			r.mu.Lock()
		}
	}
	ends := c.number > 0 && c.flags&chunkDone != 0
	if r.client.session == in && ends && in.applyFloors(now, &r.state, c) {
		r.mu.Unlock()
		dropped := r.store.sync.dropUnstreamed(int(in.head.groups), int(c.group), in.streamed, c.floors)
		for _, key := range dropped {
			r.changed(key, kindForget)
		}
		r.mu.Lock()
		in.nextGroup()
	}
	in.applying = false
	if r.client.session != in {
		return nil, nil
	}
	if in.spoiled {
		r.client.abort(now, "some of its writes are stamped too far ahead of this node's clock")
		return nil, nil
	}
	in.next++
	r.client.ask(now, 0)
	// No other session until the marks of this one are gone.
	in.ended = c.flags&chunkLast != 0 && c.number > 0
	in.applying = in.ended
	return in, nil
}

// apply applies a record that was streamed. It has no dot.
func (in *syncIn) apply(now instant, s *state, rec *record) {
	if !s.apply(now, rec, s.store.placeOf(rec.key), dot{}) {
		in.spoiled = true
	}
	in.streamed.add(rec.key)
	in.records++
}

// applyFloors applies Clear and the floors of a group that is complete: from now on nothing older comes in
// again. It reports whether none of them comes from the future.
func (in *syncIn) applyFloors(now instant, s *state, c *syncChunk) bool {
	for _, f := range c.floors {
		if s.future(now, f.stamp) {
			in.spoiled = true
		}
	}
	newer := s.store.clearVersion().less(c.clear)
	if in.spoiled || newer && !s.apply(now, &record{kind: kindClear, version: c.clear}, place{}, dot{}) {
		in.spoiled = true
		return false
	}
	for _, f := range c.floors {
		s.raiseFloor(f)
	}
	return true
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

// nextGroup goes on to the next group.
func (in *syncIn) nextGroup() {
	in.streamed = newKeySet() // to clear a large one takes long
	in.records = 0
	in.group++
}

// endSync adopts the server's vector, as it was when the session began: for each of its
// dots, what was streamed is as new, or the floors and Clear stand for it.
func (r *replica) endSync(now instant, in *syncIn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client.session != in {
		return // the other node has restarted at this moment
	}
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
	r.ready.synced = true
	r.client.adopted(now, in)
	r.out.notice(syncNotice{from: in.peer, keys: r.store.len(), took: now.mono - in.began})
	r.mu.Unlock()
	for _, key := range r.store.sync.vouch(in.mark) {
		r.changed(key, kindForget)
	}
	r.mu.Lock()
	r.client.end(in)
	r.askAgain(now, anyone)
	r.noteComplete(now) // where nobody is left to be asked
}

// skipSeq has a seq used up for nothing, see state.skip. The outbox is emptied, as its dots must be
// consecutive; the log has them.
func (r *replica) skipSeq(now instant) {
	r.skip(now)
	r.out.dropBroadcasts()
}
