package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// Offers: a provisional value is sent to the neighbours. One that can show that it has processed no
// write of the key that the fill hadn't seen keeps it too.

const (
	maxOffers     = 4096    // frames: one for each neighbour
	maxOfferBytes = 8 << 20 // of keys and values in them
)

// offers wait for flush. What is beyond the bounds isn't offered: the others fill for themselves.
type offers struct {
	queue         []offered
	frames, bytes int
}

// offered is one value, and to whom it goes.
type offered struct {
	rec  delta.Record
	dots []delta.Dot
	to   []peerEcho
}

func (o *offers) empty() bool { return len(o.queue) == 0 }

// put queues one, and reports whether there was room.
func (o *offers) put(x offered) bool {
	frames, bytes := len(x.to), len(x.to)*(len(x.rec.Key)+len(x.rec.Val))
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
func (o *offers) appendTo(sends []message, origin, echo uint64) []message {
	for i := range o.queue {
		x := &o.queue[i]
		for _, to := range x.to {
			o := wire.Offer{Origin: origin, To: to.origin, Seen: to.count, Rec: x.rec, Dots: x.dots, Echo: echo}
			sends = append(sends, message{To: to.peer, Frame: wire.AppendOffer(nil, &o)})
		}
	}
	return sends
}

// share offers what a fill brought to all neighbours that have said how far they are. It reports whether
// there are some, and there was room.
func (r *Replica) share(f *Fill, rec *delta.Record) bool {
	var to []peerEcho
	for _, e := range f.echoes {
		if p := r.neighbours.byID[e.peer]; p != nil && p.origin == e.origin {
			to = append(to, e)
		}
	}
	if len(to) == 0 {
		return false
	}
	// What was touched here since the fill began isn't this key, nor is it a Clear: so the dots are of
	// writes that were issued before it, or of other keys.
	known := r.touches.AppendDots(nil, r.touches.Clears)
	known = r.touches.AppendDots(known, r.touches.Heads[f.bucket])
	if !r.out.offer(offered{*rec, known, to}) {
		return false
	}
	r.counts.ProvisionalOffered += uint64(len(to))
	return true
}

// receiveOffer keeps another node's provisional value, if every write that this node has processed in
// its bucket, and every Clear, was known to the fill when it began: this node had told the other one
// that it had processed it, or the other one had processed it itself.
func (r *Replica) receiveOffer(now delta.Instant, from uint64, o wire.Offer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.neighbours.hear(now, from, o.Origin, o.Echo) == nil || r.closed {
		return
	}
	accepts := func() bool { return !r.closed && o.To == r.Origin && r.sees(&o) }
	for accepts() && r.makeRoomToKeep(now, &o.Rec, nil, false) {
		r.mu.Unlock()
		r.mu.Lock()
	}
	if !accepts() {
		r.refuse(now, &o)
		return
	}
	o.Rec.Origin = o.Origin
	held, isNew := r.Store.Fills.Keep(now, &o.Rec, nil, false)
	if isNew {
		r.counts.ProvisionalAccepted++
	}
	if held { // it, or one like it
		r.changed(o.Rec.Key, o.Rec.Kind)
	} else {
		r.refuse(now, &o)
	}
}

// refuse has who waits for a value that can't be accepted ask for another one.
func (r *Replica) refuse(now delta.Instant, o *wire.Offer) {
	r.counts.ProvisionalRefused++
	r.asks.OfferRefused(now, o.Rec.Key)
}
