package nats

import (
	"time"

	"github.com/nats-io/nats.go"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/lanes"
	"github.com/iwanbk/bcache/transport"
)

// A receiver gets what others publish. nats.go calls it, for each subject on a goroutine of its own.
type receiver struct {
	roster  *roster
	upcalls *upcalls
	log     transport.Logger
	count   *counters
	movedAt [numWays]time.Time // when Moved was called last
}

// movedEvery is how often it is told that bytes of a frame have come.
const movedEvery = 100 * time.Millisecond

// who gets what is about who is there.
func (r *receiver) who(m *nats.Msg) {
	if h, rest, ok := r.header(m); ok && h.kind != piece {
		r.presence(m, h, rest)
	}
}

// all gets what is broadcast.
func (r *receiver) all(m *nats.Msg) {
	if h, rest, ok := r.header(m); ok && h.kind == piece {
		r.piece(m, h, byAll, rest)
	}
}

// node gets what is for this node alone.
func (r *receiver) node(m *nats.Msg) {
	switch h, rest, ok := r.header(m); {
	case !ok:
	case h.kind == piece:
		r.piece(m, h, byNode, rest)
	default:
		r.presence(m, h, rest)
	}
}

func (r *receiver) header(m *nats.Msg) (h header, rest []byte, ok bool) {
	h, rest, err := parseHeader(m.Data)
	if err != nil {
		r.garbage(m, err)
	}
	return h, rest, err == nil
}

// garbage counts what no node publishes, and says so.
func (r *receiver) garbage(m *nats.Msg, err error) {
	r.count.RefusedOther.Add(1)
	r.log.Errorf(0, "somebody else publishes to %s: %v", m.Subject, linelog.Field("err", err))
}

func (r *receiver) presence(m *nats.Msg, h header, rest []byte) {
	now := time.Now()
	switch h.kind {
	case alive:
		r.roster.alive(now, h)
	case leave, bye:
		r.roster.left(now, h)
	default:
		c, err := parseCard(rest)
		if err != nil {
			r.garbage(m, err)
			return
		}
		r.roster.introduced(now, h, c)
	}
}

func (r *receiver) piece(m *nats.Msg, h header, way int, rest []byte) {
	part, err := lanes.ParsePiece(rest)
	if err != nil {
		r.garbage(m, err)
		return
	}
	now := time.Now()
	switch frame, head := r.roster.piece(now, h, way, part); {
	case frame != nil:
		r.count.received(frame)
		r.upcalls.receive(h.from.id, frame)
	case head == nil:
	case part.Lane == lanes.Bulk:
		r.upcalls.arriving(h.from.id, head)
	case now.Sub(r.movedAt[way]) >= movedEvery:
		r.movedAt[way] = now
		r.upcalls.moved(h.from.id)
	}
}
