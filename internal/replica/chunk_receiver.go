package replica

import (
	"fmt"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// A chunkReceiver applies the chunks of a full sync, and adopts the server's vector at its end.
type chunkReceiver struct {
	mu         *lock
	state      *state
	neighbours *neighbours
	client     *syncClient
	writes     *localWrites
	standing   *standing
	pinger     *pinger
	out        *outgoing
}

// receive applies a chunk, a batch per lock, and acknowledges it. The last one ends the session.
func (r *chunkReceiver) receive(
	now delta.Instant, from uint64, c *wire.SyncChunk, recs wire.ChunkReader, size int,
) error {
	in, err := r.apply(now, from, c, recs, size)
	if in != nil && c.Flags&wire.ChunkLast != 0 && c.Number > 0 {
		r.end(now, in)
	}
	return err
}

// apply returns the session, if the chunk belongs to it and it goes on.
func (r *chunkReceiver) apply(
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
	if c.Number > 0 && !in.expects(c) {
		r.client.abort(now, "its chunks make no sense")
		return nil, fmt.Errorf("%w: group %d of a sync instead of %d",
			wire.ErrMalformed, c.Group, in.group)
	}
	in.applying = true
	if c.Number == 0 {
		in.head, recs = *c, wire.ChunkReader{}
		r.makeUnique(now, in)
	}
	var rec delta.Record
	for n, bytes := 1, 0; r.client.session == in && recs.Next(&rec); n++ {
		rec.Mark = in.mark
		r.client.unvouched = true
		for r.state.makeRoom(now, &rec) {
			r.mu.Unlock()
			r.mu.Lock()
		}
		if r.client.session != in {
			break // it was given up while the lock was free
		}
		r.client.counts.RecordsSynced++
		in.apply(now, r.state, &rec)
		if bytes += len(rec.Key) + len(rec.Val); n == ApplyBatch || bytes >= ApplyBytes {
			n, bytes = 0, 0
			r.mu.Unlock() // others want it
			r.mu.Lock()
		}
	}
	for i := range c.Selected {
		if r.client.session != in {
			break
		}
		x := &c.Selected[i]
		for r.state.makeRoom(now, x) {
			r.mu.Unlock()
			r.mu.Lock()
		}
		in.spoiled = !r.state.apply(now, x, store.Place{}, delta.Dot{}) || in.spoiled
		if i%ApplyBatch == ApplyBatch-1 {
			r.mu.Unlock() // others want it
			r.mu.Lock()
		}
	}
	ends := c.Number > 0 && c.Flags&wire.ChunkDone != 0
	if r.client.session == in && ends && in.applyFloors(now, r.state, c) {
		r.mu.Unlock()
		groups, group := int(in.head.Groups), int(c.Group)
		dropped := r.state.Store.Sync.DropUnstreamed(now, groups, group, in.streamed, c.Floors)
		if c.Flags&wire.ChunkLast != 0 {
			dropped = append(dropped, r.state.Store.Sync.DropTagged(now, c.TagFloor, in.mark)...)
		}
		for _, key := range dropped {
			r.state.changed(key, delta.KindForget)
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

// makeUnique has nothing be left of an earlier session with the same mark: after many that didn't end,
// marks begin anew. The session with the first of them may never come to this. The lock is held, and free
// meanwhile.
func (r *chunkReceiver) makeUnique(now delta.Instant, in *syncIn) {
	if !r.client.anew {
		return
	}
	r.mu.Unlock()
	for _, key := range r.state.Store.Sync.Vouch(now, 0) {
		r.state.changed(key, delta.KindForget)
	}
	r.mu.Lock()
	r.client.anew = r.client.session != in // then the next one sees to it
}

// end adopts the server's vector, as it was when the session began: for each of its
// dots, what was streamed is as new, or the floors and Clear stand for it.
func (r *chunkReceiver) end(now delta.Instant, in *syncIn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client.session != in {
		return // the other node has restarted at this moment
	}
	// Before the first dot is covered: others may see that it is before the last one is.
	r.state.Store.TouchAll()
	r.state.touchAll(now, delta.Dot{})
	latest, claimed := r.state.latest(now), r.neighbours.claimed()
	a := r.state.vector.Adopt(in.head.Entries, in.head.Horizon, latest, claimed)
	for a.Step(r.mu.stepWork) {
		r.mu.letOthers()
	}
	r.state.counts.DroppedIntervals += uint64(a.Dropped)
	r.state.counts.DroppedOrigins += uint64(r.state.vector.Trim())
	if a.Unique {
		r.writes.skipSeq(now)
	}
	r.standing.ready.become(now)
	r.client.adopted(now, in)
	r.out.notice(SyncNotice{From: in.peer, Keys: r.state.Store.Len(), Took: now.Mono - in.began})
	r.mu.Unlock()
	for _, key := range r.state.Store.Sync.Vouch(now, in.mark) {
		r.state.changed(key, delta.KindForget)
	}
	r.mu.Lock()
	r.client.end(in)
	r.pinger.askAll(now)
	r.standing.noteComplete(now) // where nobody is left to be asked
}
