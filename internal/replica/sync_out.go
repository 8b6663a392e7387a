package replica

import (
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// A full sync, on the side that serves it.

const (
	SyncWindow        = 16      // chunks sent and not acknowledged,
	syncBytes         = 1 << 20 // and bytes of them, but for the last
	SyncServing       = 4       // sessions at a time
	defaultChunkBytes = wire.CutFrame
	syncForget        = 15 * time.Second
	syncResend        = 100 * time.Millisecond // between two times that all of these are sent again
	syncApart         = time.Second            // between the beginnings of a neighbour's sessions: vectors are large
)

// syncOut is a session. The fields below flush's belong to flush alone, the others are
// guarded by replica.mu.
type syncOut struct {
	origin  uint64 // the requester's
	session uint64
	most    int           // bytes of a chunk
	moved   time.Duration // when it began, or the last chunk was acknowledged
	acked   uint64        // the requester has all chunks below
	window  [][]byte      // the chunks from acked on
	again   bool          // the requester has waited for the first of them
	sent    time.Duration // when that left
	repeats int           // how often
	resent  time.Duration // when all of them were sent again
	gap     bool          // the first of them is lost, and what followed was dropped
	made    bool          // the last chunk was made
	bytes   uint64

	// What is true of the whole, from the moment at which it began.
	head wire.SyncChunk

	// flush's:
	next   uint64 // the number of the next chunk
	group  int
	shard  int  // of the store; those before have been looked at for this group
	loaded bool // all have, and what follows recs is there
	recs   []delta.Record
	buf    []delta.Record // where recs lie, to be used again
	clear  delta.Version
	floors []delta.BucketFloor
}

// receiveAsk begins a session, or goes on with it.
func (r *Replica) receiveAsk(now delta.Instant, from uint64, a wire.SyncAsk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[from]
	if p == nil {
		return
	}
	p.heard = now.Mono
	out := r.server.session(from, a.Session)
	switch {
	case a.Flags&wire.AskCancel != 0:
		if out != nil {
			delete(r.server.sessions, from)
		}
		return
	case out == nil && (a.Next != 0 || now.Mono < p.began+syncApart || !r.canServe(now, from)):
		no := wire.SyncChunk{Session: a.Session, Flags: wire.ChunkRefused}
		if r.whole(now) && !r.closed {
			no.Flags |= wire.ChunkBusy
		}
		r.out.send(message{To: from, Frame: wire.AppendChunk(nil, &no)})
		return
	case out == nil:
		p.began = now.Mono
		r.server.begin(now, from, p.origin, a.Session, &r.state)
		out = r.server.sessions[from]
	}
	if out.acknowledge(now, a.Next); out.done() {
		r.server.end(from)
		return
	}
	out.again = out.again || a.Flags&wire.AskAgain != 0
	out.gap = out.gap || a.Flags&wire.AskGap != 0
	r.out.wake()
}

// canServe reports whether a full sync of this node's state would make another one complete.
func (r *Replica) canServe(now delta.Instant, to uint64) bool {
	return r.whole(now) && !r.closed && !r.server.busy(to, &r.neighbours)
}

// serve makes at most one chunk for each session, so that what is written here doesn't wait
// long. flush calls it.
func (r *Replica) serve(now delta.Instant, sends []message) []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range slices.Clone(r.neighbours.ids) {
		out := r.server.sessions[id]
		if out == nil {
			continue
		}
		for _, frame := range out.repeat(now) {
			sends = append(sends, message{To: id, Frame: frame, Bulk: true})
		}
		if out.made || out.full() {
			continue
		}
		r.mu.Unlock()
		frame, last := out.chunk(r.Store)
		r.mu.Lock()
		if frame == nil { // it goes on looking
			r.out.wake()
			continue
		}
		out.add(now, frame, last)
		sends = append(sends, message{To: id, Frame: frame, Bulk: true})
		if !last && !out.full() && r.server.sessions[id] == out {
			r.out.wake()
		}
	}
	return sends
}

// acknowledge notes that the requester has all chunks below next.
func (out *syncOut) acknowledge(now delta.Instant, next uint64) {
	n := next - out.acked
	if next <= out.acked || n > uint64(len(out.window)) {
		return
	}
	for i := range out.window[:n] {
		out.window[i] = nil
	}
	out.window = out.window[n:]
	out.acked = next
	out.gap = out.gap || out.repeats > 0 // what followed was dropped
	out.moved, out.sent, out.repeats = now.Mono, now.Mono, 0
}

// done reports whether the requester has all.
func (out *syncOut) done() bool { return out.made && len(out.window) == 0 }

// repeat returns the chunks that are to be sent again.
func (out *syncOut) repeat(now delta.Instant) (frames [][]byte) {
	switch {
	case out.gap && now.Mono-out.resent >= syncResend: // it may have come in another order meanwhile
		out.sent, out.resent, out.gap = now.Mono, now.Mono, false
		frames = out.window
	case out.again && len(out.window) > 0 && now.Mono-out.sent >= syncAgain<<out.repeats:
		// It may still be on its way: a slow line mustn't be filled with repetitions.
		out.sent = now.Mono
		out.repeats = min(out.repeats+1, 1)
		frames = out.window[:1]
	}
	out.again = false
	return frames
}

// add notes that a chunk is sent, which may be the last one.
func (out *syncOut) add(now delta.Instant, frame []byte, last bool) {
	out.window = append(out.window, frame)
	out.made = last
	out.bytes += uint64(len(frame))
	if len(out.window) == 1 {
		out.sent, out.repeats = now.Mono, 0
	}
}

// full reports whether enough is under way.
func (out *syncOut) full() bool {
	bytes := 0
	for _, frame := range out.window {
		bytes += len(frame)
	}
	return len(out.window) >= SyncWindow || bytes >= syncBytes
}

// chunk makes the next chunk, of about most bytes, or of a record, and says whether it is the
// last one. It is nil if nothing to send was found in one step.
func (out *syncOut) chunk(s *store.Store) (frame []byte, last bool) {
	number := out.next
	if number == 0 {
		out.next++
		return wire.AppendChunk(nil, &out.head), false
	}
	groups := int(out.head.Groups)
	if len(out.recs) == 0 && !out.loaded {
		out.load(s, groups)
		if len(out.recs) == 0 && !out.loaded {
			return nil, false
		}
	}
	out.next++
	c := wire.SyncChunk{Session: out.session, Number: number, Group: uint64(out.group)}
	n, size := 0, wire.ChunkSize(&c)
	for n < len(out.recs) && (n == 0 || size+wire.RecordSize(&out.recs[n]) <= out.most) {
		size += wire.RecordSize(&out.recs[n])
		n++
	}
	c.Records = out.recs[:n]
	if out.loaded && n == len(out.recs) && (n == 0 || size+len(out.floors)*wire.FloorSize <= wire.MaxFrame) {
		c.Flags |= wire.ChunkDone
		c.Clear, c.Floors = out.clear, out.floors
		out.group++
		out.shard, out.loaded = 0, false
		if out.group == groups {
			c.Flags |= wire.ChunkLast
			last = true
		}
	}
	frame = wire.AppendChunk(make([]byte, 0, size+len(c.Floors)*wire.FloorSize), &c)
	clear(c.Records)
	out.recs = out.recs[n:]
	return frame, last
}

// load takes the next step of the group.
func (out *syncOut) load(s *store.Store, groups int) {
	out.recs, out.shard = s.Sync.GroupStep(out.buf[:0], groups, out.group, out.shard)
	out.buf = out.recs
	if out.shard == s.Shards() {
		out.clear, out.floors = s.Sync.GroupEnd(groups, out.group)
		out.loaded = true
	}
}
