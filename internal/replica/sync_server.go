package replica

import (
	"cmp"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// A syncServer serves full syncs to neighbours.
type syncServer struct {
	sessions   map[uint64]*syncOut // by the PeerID of the requester
	chunkBytes int
	counts     syncServerCounts
}

type syncServerCounts struct{ SyncsServed, SyncBytesOut uint64 }

func newSyncServer(chunkBytes int) syncServer {
	return syncServer{
		sessions:   map[uint64]*syncOut{},
		chunkBytes: cmp.Or(chunkBytes, defaultChunkBytes),
	}
}

// joined tells that a node is connected: another life of a requester knows nothing of its session.
func (s *syncServer) joined(peer, origin uint64) {
	if out := s.sessions[peer]; out != nil && out.origin != origin {
		delete(s.sessions, peer)
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
func (s *syncServer) begin(now delta.Instant, peer, origin, session uint64, of *state) {
	entries, _ := of.vector.List(dots.LongAgo)
	s.sessions[peer] = &syncOut{origin: origin,
		session: session, most: s.chunkBytes, moved: now.Mono,
		head: wire.SyncChunk{
			Session: session,
			Groups:  uint64(of.Store.Sync.Groups()),
			Entries: entries,
			Horizon: of.vector.Horizon,
		},
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
func (s *syncServer) busy(to uint64, near *neighbours) bool {
	n := 0
	for id := range s.sessions {
		if id != to && near.byID[id] != nil {
			n++
		}
	}
	return n >= SyncServing
}

// dropAbsent forgets sessions of nodes that have left, if there are too many: they come and go.
func (s *syncServer) dropAbsent(near *neighbours) {
	oldest, absent := uint64(0), 0
	for id, out := range s.sessions {
		if near.byID[id] != nil {
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
