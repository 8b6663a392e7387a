package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// Closing without losing what was written last takes a confirmation: the node
// pings its neighbours with its last seq, and each answers with the run of
// dots around it that it has processed, and pulls what it lacks. (Pings and frames travel
// unordered, so the question is asked again until the answer is right.)

// askUnconfirmed queues a ping for every neighbour that hasn't yet said that it has
// processed all that was written here since it connected, and returns their
// PeerIDs, ascending.
func (s *pinger) askUnconfirmed(now delta.Instant) []uint64 {
	missing := s.neighbours.unconfirmed(s.state.seq)
	for _, id := range missing {
		q := wire.Ping{
			Origin: s.state.Origin, Seq: s.state.seq, Wall: now.Wall, Micros: now.Micros,
			Flags: wire.PingClosing, Echo: s.state.touches.Echo(),
		}
		s.out.send(message{To: id, Frame: wire.AppendPing(nil, q)})
	}
	return missing
}
