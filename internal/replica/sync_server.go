package replica

import (
	"cmp"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// A syncServer serves full syncs to neighbours.
type syncServer struct {
	mu         *lock
	state      *state
	neighbours *neighbours
	standing   *standing
	writes     *localWrites
	out        *outgoing

	sessions   map[uint64]*syncOut // by the PeerID of the requester
	early      earlyAsks           // of those that aren't neighbours yet
	chunkBytes int
	counts     syncServerCounts
}

type syncServerCounts struct{ SyncsServed, SyncBytesOut uint64 }

// joined tells that a node is a neighbour now, and may have asked already. Another life of a requester
// knows nothing of its session.
func (s *syncServer) joined(now delta.Instant, peer, origin uint64) {
	if out := s.sessions[peer]; out != nil && out.origin != origin {
		delete(s.sessions, peer)
	}
	if a, ok := s.early.take(now, peer); ok {
		s.answer(now, peer, a)
	}
}

// moved notes that a requester has taken some of what was on its way.
func (s *syncServer) moved(peer uint64, at time.Duration) {
	if out := s.sessions[peer]; out != nil {
		out.moved = at
	}
}

// begin begins a session, in the place of the one that the requester had. What is true of the whole is
// what is true now.
func (s *syncServer) begin(now delta.Instant, peer, origin, session uint64) {
	entries, _ := s.state.vector.List(dots.LongAgo)
	s.sessions[peer] = &syncOut{origin: origin,
		session: session, moved: now.Mono,
		stream: syncStream{most: s.chunkBytes, selected: s.state.Store.Clears.Records(), head: wire.SyncChunk{
			Session: session,
			Groups:  uint64(s.state.Store.Sync.Groups()),
			Entries: entries,
			Horizon: s.state.vector.Horizon,
		}},
	}
}

// session returns a requester's session, if that is the one it means.
func (s *syncServer) session(peer, session uint64) *syncOut {
	if out := s.sessions[peer]; out != nil && out.session == session {
		return out
	}
	return nil
}

// end ends a session that the requester has got to its end.
func (s *syncServer) end(peer uint64) {
	s.counts.SyncsServed++
	s.counts.SyncBytesOut += s.sessions[peer].bytes
	delete(s.sessions, peer)
}

// busy reports whether it can't serve one more, of those that are connected. Who isn't may come back, or
// not.
func (s *syncServer) busy(to uint64) bool {
	n := 0
	for id := range s.sessions {
		if id != to && s.neighbours.byID[id] != nil {
			n++
		}
	}
	return n >= SyncServing
}

// dropAbsent forgets sessions of nodes that have left, if there are too many: they come and go.
func (s *syncServer) dropAbsent() {
	oldest, absent := uint64(0), 0
	for id, out := range s.sessions {
		if s.neighbours.byID[id] != nil {
			continue
		}
		absent++
		if old := s.sessions[oldest]; absent == 1 ||
			cmp.Or(cmp.Compare(out.moved, old.moved), cmp.Compare(id, oldest)) < 0 {
			oldest = id
		}
	}
	if absent > SyncServing {
		delete(s.sessions, oldest)
	}
}

// tick forgets sessions that don't get on, whatever the requester says: others may want
// their place. It reports whether serve has something to send again.
func (s *syncServer) tick(now delta.Instant) (again bool) {
	for id, out := range s.sessions {
		if now.Mono-out.moved > syncForget {
			delete(s.sessions, id)
		} else {
			again = again || out.gap
		}
	}
	return again
}

// receiveAsk begins a session, or goes on with it.
func (s *syncServer) receiveAsk(now delta.Instant, from uint64, a wire.SyncAsk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.neighbours.byID[from] == nil {
		s.early.keep(now, from, a)
		return
	}
	s.answer(now, from, a)
}

// answer is receiveAsk for a neighbour. The lock is held.
func (s *syncServer) answer(now delta.Instant, from uint64, a wire.SyncAsk) {
	p := s.neighbours.byID[from]
	p.heard = now.Mono
	out := s.session(from, a.Session)
	switch {
	case a.Flags&wire.AskCancel != 0:
		if out != nil {
			delete(s.sessions, from)
		}
		return
	case out == nil && (a.Next != 0 || now.Mono < p.began+syncApart || !s.canServe(now, from)):
		no := wire.SyncChunk{Session: a.Session, Flags: wire.ChunkRefused}
		if s.standing.whole(now) && !s.writes.closed {
			no.Flags |= wire.ChunkBusy
		}
		s.out.send(message{To: from, Frame: wire.AppendChunk(nil, &no)})
		return
	case out == nil:
		p.began = now.Mono
		s.begin(now, from, p.origin, a.Session)
		out = s.sessions[from]
	}
	if out.acknowledge(now, a.Next); out.done() {
		s.end(from)
		return
	}
	out.again = out.again || a.Flags&wire.AskAgain != 0
	out.gap = out.gap || a.Flags&wire.AskGap != 0
	s.out.wake()
}

// canServe reports whether a full sync of this node's state would make another one complete.
func (s *syncServer) canServe(now delta.Instant, to uint64) bool {
	return s.standing.whole(now) && !s.writes.closed && !s.busy(to)
}

// serve makes at most one chunk for each session, so that what is written here doesn't wait
// long. Flush calls it.
func (s *syncServer) serve(now delta.Instant, sends []message) []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Clone(s.neighbours.ids) {
		out := s.sessions[id]
		if out == nil {
			continue
		}
		for _, frame := range out.repeat(now) {
			sends = append(sends, message{To: id, Frame: frame, Bulk: true})
		}
		if out.made || out.full() {
			continue
		}
		s.mu.Unlock()
		frame, last := out.stream.chunk(s.state.Store)
		s.mu.Lock()
		if frame == nil { // it goes on looking
			s.out.wake()
			continue
		}
		out.add(now, frame, last)
		sends = append(sends, message{To: id, Frame: frame, Bulk: true})
		if !last && !out.full() && s.sessions[id] == out {
			s.out.wake()
		}
	}
	return sends
}
