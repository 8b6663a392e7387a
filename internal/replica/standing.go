package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// A standing says what this node's state is worth: whether it is synced and complete, and whether others
// become so by a full sync from it. It isn't locked.
type standing struct {
	id         uint64 // PeerID
	state      *state
	neighbours *neighbours
	arrivals   *arrivals
	client     *syncClient
	repaired   *deltaCounts
	out        *outgoing
	became     func() // complete

	ready readiness
}

// whole reports whether a full sync from this node would make another one complete: it is synced,
// vouches for all that it holds, and its stamps aren't ahead of what others accept.
func (s *standing) whole(now delta.Instant) bool {
	return s.ready.synced && !s.client.unvouched && !s.state.future(now, s.state.clock.Last.Load())
}

// describe has a ping carry the context of this node, but for its dots.
func (s *standing) describe(now delta.Instant, q *wire.Ping) {
	q.Flags |= wire.PingContext | wire.PingAnswers | wire.PingTags
	q.Horizon, q.Held = s.state.vector.Horizon, uint64(s.state.Store.Sync.Held())
	if s.whole(now) {
		q.Flags |= wire.PingSynced
	}
}

// mayDeclare reports whether the time has come for the node to declare itself synced.
func (s *standing) mayDeclare(now delta.Instant) bool {
	busy := s.client.session != nil || s.client.vouching
	leads := !s.neighbours.outdone(s.id, uint64(s.state.Store.Sync.Held()))
	return s.ready.mayDeclare(now, s.client.unvouched, busy, leads)
}

// declare makes the node synced on its own authority. The neighbours are to be told.
func (s *standing) declare(now delta.Instant) {
	if !s.ready.synced {
		s.out.notice(SyncNotice{Others: len(s.neighbours.byID), Took: now.Mono - s.ready.aloneSince})
	}
	s.ready.become(now)
}

// awaits reports whether this node would be complete but for a neighbour, and others of its kind: it holds,
// or may hold, what lacks here. As long as that is so a round asks all of them: a node is waited for.
func (s *standing) awaits(p *neighbour) bool {
	return s.ready.synced && !s.ready.complete && holdsMore(p)
}

// noteComplete notes that the node is complete, if it is so.
func (s *standing) noteComplete(now delta.Instant) {
	fed := s.repaired.RecordsRepaired + s.client.counts.RecordsSynced
	if s.ready.note(now, fed, len(*s.arrivals) > 0, s.client.session != nil) {
		s.became()
	}
}
