package replica

import (
	"errors"
	"fmt"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// What the transport tells: frames, each of which goes to the part that it is for, and connections.

// Receive handles a frame that the node with PeerID from sent or relayed. The
// error says why the frame was dropped, if it wraps ErrMalformed or ErrUnsupported,
// or why some of its records were, if it wraps ErrFuture.
func (r *Replica) Receive(now delta.Instant, from uint64, frame []byte) error {
	err := r.dispatch(now, from, frame)
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, wire.ErrUnsupported):
		r.counts.Unsupported++
	case errors.Is(err, wire.ErrMalformed):
		r.counts.Malformed++
	}
	return err
}

func (r *Replica) dispatch(now delta.Instant, from uint64, frame []byte) error {
	typ, err := wire.FrameType(frame)
	if err != nil {
		return err
	}
	switch typ {
	case wire.FrameDelta:
		d, err := wire.OpenDelta(frame)
		if err != nil {
			return err
		}
		return r.deltas.receive(now, from, &d)
	case wire.FramePing:
		p, err := wire.DecodePing(frame)
		if err != nil {
			return err
		}
		r.pings.receivePing(now, from, p)
	case wire.FramePong:
		p, err := wire.DecodePong(frame)
		if err != nil {
			return err
		}
		r.pings.receivePong(now, from, p)
	case wire.FrameAsk:
		a, err := wire.DecodeAsk(frame)
		if err != nil {
			return err
		}
		r.server.receiveAsk(now, from, a)
	case wire.FrameChunk:
		c, recs, err := wire.OpenChunk(frame)
		if err != nil {
			return err
		}
		return r.chunks.receive(now, from, &c, recs, len(frame))
	case wire.FrameLease:
		m, err := wire.DecodeLease(frame)
		if err != nil {
			return err
		}
		r.Leases.receiveLease(now, from, m)
	case wire.FrameTurn:
		m, err := wire.DecodeTurn(frame)
		if err != nil {
			return err
		}
		r.Leases.receiveTurn(now, from, m)
	case wire.FrameOffer:
		o, err := wire.DecodeOffer(frame)
		if err != nil {
			return err
		}
		r.Fills.receiveOffer(now, from, o)
	case wire.FrameInquiry:
		q, err := wire.DecodeInquiry(frame)
		if err != nil {
			return err
		}
		r.Asked.receiveInquiry(now, from, q)
	case wire.FrameReport:
		a, err := wire.DecodeReport(frame)
		if err != nil {
			return err
		}
		r.Asked.receiveReport(from, a)
	default:
		return fmt.Errorf("%w: frame type %d", wire.ErrUnsupported, typ)
	}
	return nil
}

// Joined tells that the node with PeerID peer is directly connected and gets
// every frame from now on.
func (r *Replica) Joined(now delta.Instant, peer, origin uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrivals.joined(peer, origin)
	r.neighbours.add(peer, newNeighbour(now, origin, r.state.seq))
	r.server.joined(now, peer, origin)
	r.state.vector.Keep(origin)
	r.pinger.rounds.active = true
	if !r.writes.closed {
		r.pinger.ping(now, peer, 0)
		r.repair.client.joined(now, peer, origin)
	}
}

// Left tells that its connection is gone.
func (r *Replica) Left(now delta.Instant, peer uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[peer]
	if p == nil {
		return
	}
	r.state.vector.Release(p.origin)
	r.neighbours.remove(peer)
	r.pinger.rounds.active = true
	r.repair.pulls.left(peer)
	r.repair.client.left(now, peer)
	r.server.dropAbsent()
	r.standing.ready.aloneSince = now.Mono
	r.repair.advance(now)
	for range r.Leases.table.Left(now, peer) {
		r.mu.letOthers()
	}
	for range r.Leases.asks.Left(now, peer) {
		r.mu.letOthers()
	}
}

// Arriving notes that a piece of a large frame has come in. It is progress for what this node waits for
// from that neighbour, too: bulk keeps its order.
func (r *Replica) Arriving(now delta.Instant, from uint64, head []byte) {
	d, isDelta := wire.PeekDelta(head)
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[from]
	if p == nil {
		return
	}
	p.heard = now.Mono
	r.repair.pulls.moved(from, now.Mono)
	r.repair.client.moved(from, now.Mono)
	r.arrivals.end(from)
	if isDelta && d.Origin != r.state.Origin && !r.state.vector.Get(d.Origin).Has(d.Seq) {
		r.arrivals = append(r.arrivals, arrival{d, from, now.Mono})
	}
}

// Moved notes that other bytes of a neighbour have come in, or that it has taken some: of bulk, if there
// was some on its way.
func (r *Replica) Moved(now delta.Instant, from uint64, bulk bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[from]
	if p == nil {
		return
	}
	p.heard = now.Mono
	if bulk {
		r.server.moved(from, now.Mono)
	}
}
