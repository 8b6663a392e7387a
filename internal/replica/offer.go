package replica

import (
	"github.com/iwanbk/bcache/internal/wire"
)

// Offers: a provisional value is sent to the neighbours. One that can show that it has processed no
// write of the key that the fill hadn't seen keeps it too.

const (
	maxOffers     = 4096    // frames: one for each neighbour
	maxOfferBytes = 8 << 20 // of them, when they are made
)

// offers wait for Flush. What is beyond the bounds isn't offered: the others fill for themselves.
type offers struct {
	queue         []offered
	frames, bytes int
}

// offered is one value, and to whom it goes.
type offered struct {
	wire.Offer
	to []peerEcho
}

func (o *offers) empty() bool { return len(o.queue) == 0 }

// put queues one, and reports whether there was room.
func (o *offers) put(x offered) bool {
	frames, bytes := len(x.to), len(x.to)*x.Size()
	if o.frames+frames > maxOffers || o.bytes+bytes > maxOfferBytes {
		return false
	}
	o.queue = append(o.queue, x)
	o.frames += frames
	o.bytes += bytes
	return true
}

func (o *offers) take() (taken offers) {
	taken, *o = *o, offers{}
	return taken
}

// appendTo appends the frames: the echo in each is of the node that it goes to.
func (o *offers) appendTo(sends []message, echo uint64) []message {
	for i := range o.queue {
		x := &o.queue[i]
		for _, to := range x.to {
			x.To, x.Seen, x.Echo = to.origin, to.count, echo
			sends = append(sends, message{To: to.peer, Frame: wire.AppendOffer(nil, &x.Offer)})
		}
	}
	return sends
}
