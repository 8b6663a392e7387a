package replica

import (
	"fmt"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
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
	SyncStall = 10 * time.Second // then another neighbour is tried
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
	head     wire.SyncChunk // once it has come
	next     uint64         // the chunk that is expected
	group    uint64         // its group
	records  int            // of that group so far
	streamed *store.KeySet  // their keys
	spoiled  bool           // something came from the future: the vector can't be adopted
	applying bool
	ended    bool          // successfully
	away     bool          // the connection to the other node is gone,
	left     time.Duration // since then

	gap uint64 // the chunk that was said to be lost

	began, progress, asked time.Duration // progress: bytes of the other node came last
	bytes                  uint64
}

// startSync asks one of the neighbours for a full sync. They must be synced, and as wanted.
func (r *Replica) startSync(now delta.Instant, want func(*neighbour) bool) bool {
	peer, ok := r.client.choose(now, r.Origin, want)
	if ok {
		r.client.start(now, peer, r.nonce())
	}
	return ok
}

// receiveChunk applies a chunk, a batch per lock, and acknowledges it. The last one ends the session.
func (r *Replica) receiveChunk(now delta.Instant, from uint64, c *wire.SyncChunk, recs wire.ChunkReader, size int) error {
	in, err := r.applyChunk(now, from, c, recs, size)
	if in != nil && c.Flags&wire.ChunkLast != 0 && c.Number > 0 {
		r.endSync(now, in)
	}
	return err
}

// applyChunk returns the session, if the chunk belongs to it and it goes on.
func (r *Replica) applyChunk(
	now delta.Instant, from uint64, c *wire.SyncChunk, recs wire.ChunkReader, size int,
) (*syncIn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.neighbours.byID[from]; p != nil {
		p.heard = now.Mono
	}
	in := r.client.expected(now, from, c)
	if in == nil {
		return nil, nil
	}
	in.bytes += uint64(size)
	if c.Number == 0 {
		in.head, recs = *c, wire.ChunkReader{}
	} else if !in.expects(c) {
		r.client.abort(now, "its chunks make no sense")
		return nil, fmt.Errorf("%w: group %d of a sync instead of %d", wire.ErrMalformed, c.Group, in.group)
	}
	in.applying = true
	var rec delta.Record
	for n, bytes := 1, 0; r.client.session == in && recs.Next(&rec); n++ {
		rec.Mark = in.mark
		r.client.unvouched = true
		for r.makeRoom(now, &rec) {
			r.mu.Unlock()
			r.mu.Lock()
		}
		if r.client.session != in {
			break // it was given up while the lock was free
		}
		r.client.counts.RecordsSynced++
		in.apply(now, &r.state, &rec)
		if bytes += len(rec.Key) + len(rec.Val); n == ApplyBatch || bytes >= ApplyBytes {
			n, bytes = 0, 0
			r.mu.Unlock() // others want it
			r.mu.Lock()
		}
	}
	ends := c.Number > 0 && c.Flags&wire.ChunkDone != 0
	if r.client.session == in && ends && in.applyFloors(now, &r.state, c) {
		r.mu.Unlock()
		dropped := r.Store.Sync.DropUnstreamed(int(in.head.Groups), int(c.Group), in.streamed, c.Floors)
		for _, key := range dropped {
			r.changed(key, delta.KindForget)
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
	in.ended = c.Flags&wire.ChunkLast != 0 && c.Number > 0
	in.applying = in.ended
	return in, nil
}

// apply applies a record that was streamed. It has no dot.
func (in *syncIn) apply(now delta.Instant, s *state, rec *delta.Record) {
	if !s.apply(now, rec, s.Store.PlaceOf(rec.Key), delta.Dot{}) {
		in.spoiled = true
	}
	in.streamed.Add(rec.Key)
	in.records++
}

// applyFloors applies Clear and the floors of a group that is complete: from now on nothing older comes in
// again. It reports whether none of them comes from the future.
func (in *syncIn) applyFloors(now delta.Instant, s *state, c *wire.SyncChunk) bool {
	for _, f := range c.Floors {
		if s.future(now, f.Stamp) {
			in.spoiled = true
		}
	}
	newer := s.Store.ClearVersion().Less(c.Clear)
	if in.spoiled || newer && !s.apply(now, &delta.Record{Kind: delta.KindClear, Version: c.Clear}, store.Place{}, delta.Dot{}) {
		in.spoiled = true
		return false
	}
	for _, f := range c.Floors {
		s.raiseFloor(f)
	}
	return true
}

// expects reports whether a chunk can be what comes next. Its records are counted, not its
// keys: the same ones for ever would be no progress.
func (in *syncIn) expects(c *wire.SyncChunk) bool {
	groups := in.head.Groups
	if c.Group != in.group || c.Group >= groups || in.records > syncGroup {
		return false
	}
	for _, f := range c.Floors {
		if uint64(f.Bucket)%groups != c.Group {
			return false
		}
	}
	return (c.Flags&wire.ChunkLast != 0) == (c.Flags&wire.ChunkDone != 0 && c.Group == groups-1)
}

// nextGroup goes on to the next group.
func (in *syncIn) nextGroup() {
	in.streamed = store.NewKeySet() // to clear a large one takes long
	in.records = 0
	in.group++
}

// endSync adopts the server's vector, as it was when the session began: for each of its
// dots, what was streamed is as new, or the floors and Clear stand for it.
func (r *Replica) endSync(now delta.Instant, in *syncIn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client.session != in {
		return // the other node has restarted at this moment
	}
	a := r.vector.Adopt(in.head.Entries, in.head.Horizon, r.latest(now), r.neighbours.claimed())
	for a.Step(r.stepWork) {
		r.letOthers()
	}
	r.state.counts.DroppedIntervals += uint64(a.Dropped)
	r.state.counts.DroppedOrigins += uint64(r.vector.Trim())
	if a.Unique {
		r.skipSeq(now)
	}
	r.Store.TouchAll()
	r.touchAll(now, delta.Dot{})
	r.ready.synced = true
	r.client.adopted(now, in)
	r.out.notice(SyncNotice{From: in.peer, Keys: r.Store.Len(), Took: now.Mono - in.began})
	r.mu.Unlock()
	for _, key := range r.Store.Sync.Vouch(in.mark) {
		r.changed(key, delta.KindForget)
	}
	r.mu.Lock()
	r.client.end(in)
	r.askAgain(now, anyone)
	r.noteComplete(now) // where nobody is left to be asked
}

// skipSeq has a seq used up for nothing, see state.skip. The outbox is emptied, as its dots must be
// consecutive; the log has them.
func (r *Replica) skipSeq(now delta.Instant) {
	r.skip(now)
	r.out.dropBroadcasts()
}
