package replica

import (
	"cmp"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// A large record takes a while on a slow line, and what was written later passes it. Its first piece
// says which dot it has. As long as more of it comes, this node doesn't ask anybody for that dot: in its
// pings it claims to have it. Nothing else believes that claim: what another node adopts in a full sync,
// or takes as confirmed at Close, is what was processed.

// arriveMost is for how long a record is waited for of which nothing comes any more. The connection may
// break and come back meanwhile.
const arriveMost = 10 * time.Second

// An arrival is a record of which a part has come. Of each neighbour there is one: bulk keeps its order.
type arrival struct {
	delta.Dot
	peer  uint64        // that sends it
	moved time.Duration // a piece of it came last
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
	r.pulls.moved(from, now.Mono)
	r.client.moved(from, now.Mono)
	r.arrivals.end(from)
	if isDelta && d.Origin != r.Origin && !r.vector.Get(d.Origin).Has(d.Seq) {
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

// dropArrivals forgets what has come, or doesn't come any more: then others say in the next round
// whether they have it.
func (r *Replica) dropArrivals(now delta.Instant) {
	if r.arrivals.drop(now, r.vector) {
		r.rounds.active = true
	}
}

// arrivals are the records that are arriving.
type arrivals []arrival

// end is called when a frame of a neighbour has come whole, whatever became of it, or another one comes.
func (a *arrivals) end(from uint64) {
	*a = slices.DeleteFunc(*a, func(x arrival) bool { return x.peer == from })
}

// endOf is end if it is this dot whose record has come.
func (a *arrivals) endOf(from uint64, d delta.Dot) {
	*a = slices.DeleteFunc(*a, func(x arrival) bool { return x.peer == from && x.Dot == d })
}

// joined tells that a node is connected: another life of it goes on with nothing.
func (a *arrivals) joined(peer, origin uint64) {
	*a = slices.DeleteFunc(*a, func(x arrival) bool { return x.peer == peer && x.Origin != origin })
}

// drop forgets what has come, or doesn't come any more: it reports whether there was any of that.
func (a *arrivals) drop(now delta.Instant, v *dots.Vector) (gaveUp bool) {
	*a = slices.DeleteFunc(*a, func(x arrival) bool {
		if v.Get(x.Origin).Has(x.Seq) {
			return true
		}
		ends := now.Mono-x.moved >= arriveMost
		gaveUp = gaveUp || ends
		return ends
	})
	return gaveUp
}

// claim adds what is arriving to what pings say of the vector.
func (a arrivals) claim(l *listing, v *dots.Vector) {
	for _, x := range a {
		i, found := slices.BinarySearchFunc(l.entries, x.Origin, func(e dots.Entry, o uint64) int {
			return cmp.Compare(e.Origin, o)
		})
		if !found {
			s := v.Get(x.Origin)
			l.entries = slices.Insert(l.entries, i, dots.Entry{Origin: x.Origin, Set: s.Copy()})
			l.rest ^= s.Print(x.Origin) // it isn't one of those any more
		}
		if e := &l.entries[i]; len(e.Ahead) < dots.MaxIntervals { // a vector with too many gaps isn't taken
			e.Set = e.Copy()
			e.Add(x.Seq)
		}
	}
}

// fill reports whether all gaps of an origin are of records that are arriving.
func (a arrivals) fill(origin uint64, v *dots.Vector) bool {
	if len(a) == 0 {
		return false
	}
	s := v.Get(origin).Copy()
	for _, x := range a {
		if x.Origin == origin {
			s.Add(x.Seq)
		}
	}
	return len(s.Ahead) == 0
}
