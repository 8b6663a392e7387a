package replica

import (
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// This node has heard from a neighbour, at a time of its own (Isolation.time), once it has processed all
// that the neighbour had processed by then. It asks for an exact answer, and waits for what that says it
// lacks. Why that is enough, "Isolation" in docs/design.md shows.

const (
	exactAgain = TickEvery / 2 // between two pings that want an exact answer
	exactAsks  = 4             // of these are waited for: the last ones
)

// A hearing is what is under way with a neighbour.
type hearing struct {
	asked [exactAsks]exactAsk // the latest comes first
	last  time.Duration       // when it was asked
	owed  []dots.OriginDots   // what it had processed, and this node lacks,
	at    time.Duration       // at this time; LongAgo: nothing is waited for
}

func newHearing() hearing { return hearing{last: dots.LongAgo, at: dots.LongAgo} }

// An exactAsk is a ping that wants an exact answer.
type exactAsk struct {
	id     uint64
	at     time.Duration
	claims []dots.OriginDots // what it said to be processed, and was only arriving
}

// answered takes the ask with an id, if there is one.
func (h *hearing) answered(id uint64) (ask exactAsk, ok bool) {
	for i := range h.asked {
		if a := &h.asked[i]; a.id == id && id != 0 {
			ask, *a = *a, exactAsk{}
			return ask, true
		}
	}
	return exactAsk{}, false
}

// settled drops what this node has processed by now, and reports whether that is all.
func (h *hearing) settled(v *dots.Vector) bool {
	for len(h.owed) > 0 {
		o := &h.owed[0]
		for ; len(o.Dots) > 0; o.Dots = o.Dots[1:] {
			if !v.Get(o.Origin).HasAll(o.Dots[0]) {
				return false
			}
		}
		h.owed = h.owed[1:]
	}
	h.owed = nil
	return true
}

// exactly lists what the sender of a ping lacks; false if that is too much. Others get the lock
// meanwhile.
func (r *pingReceiver) exactly(q *wire.Ping) (lacks []dots.Entry, ok bool) {
	gaps := 0
	for c := r.state.vector.Compare(q.Claim(), true); c.Next(); {
		if c.Due(r.mu.stepWork) {
			r.mu.letOthers()
		}
		if e, some := c.Beyond(); some {
			if gaps += len(e.Ahead); len(lacks) == wire.MaxLacks || gaps > wire.MaxLackGaps {
				return nil, false
			}
			lacks = append(lacks, e)
		}
	}
	return lacks, true
}

// hearings are those of all neighbours. They aren't locked.
type hearings struct {
	state      *state
	neighbours *neighbours
	isolation  *Isolation // nil: nobody wants to know
	waits      bool       // something is owed
}

// ask makes a ping one that wants an exact answer, if it is time. The ping is about to leave.
func (h *hearings) ask(now delta.Instant, p *neighbour, q *wire.Ping, claims []dots.OriginDots) {
	if h.isolation == nil || q.Flags&wire.PingPull != 0 {
		return
	}
	at := h.isolation.look(now) // or a suspension before the first look would pass unnoticed
	x := &p.hearing
	due := x.last < h.isolation.asksAfter() || at >= x.last+exactAgain
	if !due && q.Flags&wire.PingAll == 0 {
		return
	}
	q.Flags |= wire.PingExact
	copy(x.asked[1:], x.asked[:])
	x.asked[0], x.last = exactAsk{id: q.ID, at: at, claims: claims}, at
}

// take takes what a pong says exactly, if it does.
func (h *hearings) take(now delta.Instant, p *neighbour, a *wire.Pong) {
	if h.isolation == nil {
		return
	}
	ask, ok := p.hearing.answered(a.ID)
	same := a.Horizon.Print == h.state.vector.Horizon.Print // they stand for the same dots
	if !ok || !same || a.Flags&wire.PongExact == 0 || len(a.Lacks) > wire.MaxLacks {
		return
	}
	owed := slices.Clone(ask.claims)
	for i := range a.Lacks {
		e := &a.Lacks[i]
		owed = append(owed, dots.OriginDots{Origin: e.Origin, Dots: e.Intervals()})
	}
	// What is waited for goes on being waited for, or a node that is always a little behind would never be
	// done; but not if that is worth nothing any more.
	x, next := &p.hearing, hearing{owed: owed, at: ask.at}
	if x.at == dots.LongAgo || next.settled(h.state.vector) || h.isolation.look(now)-x.at >= h.isolation.bound/2 {
		x.owed, x.at = next.owed, next.at
		h.waits = true
	}
}

// listen notes from whom this node has heard by now.
func (h *hearings) listen(now delta.Instant) {
	if !h.waits {
		return
	}
	h.waits = false
	for _, id := range h.neighbours.ids {
		p := h.neighbours.byID[id]
		switch {
		case p.hearing.at == dots.LongAgo:
		case p.hearing.settled(h.state.vector):
			h.isolation.hear(now, id, p.hearing.at)
			p.hearing.at = dots.LongAgo
		default:
			h.waits = true
		}
	}
}
