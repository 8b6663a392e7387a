package bcache

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
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
	dot
	peer  uint64        // that sends it
	moved time.Duration // a piece of it came last
}

// arriving notes that a piece of a large frame has come in. It is progress for what this node waits for
// from that neighbour, too: bulk keeps its order.
func (r *replica) arriving(now instant, from uint64, head []byte) {
	d, isDelta := peekDelta(head)
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[from]
	if p == nil {
		return
	}
	p.heard = now.mono
	if r.pull != nil && r.pull.peer == from {
		r.pull.alive = now.mono
	}
	if in := r.sync; in != nil && in.peer == from {
		in.progress = now.mono
	}
	r.endArrival(from)
	if isDelta && d.origin != r.origin && !r.vector.get(d.origin).has(d.seq) {
		r.arrivals = append(r.arrivals, arrival{d, from, now.mono})
	}
}

// endArrival is called when a frame has come whole, whatever became of it, or another one comes.
func (r *replica) endArrival(from uint64) {
	r.arrivals = slices.DeleteFunc(r.arrivals, func(a arrival) bool { return a.peer == from })
}

// moved notes that other bytes of a neighbour have come in, or that it has taken some: of bulk, if there
// was some on its way.
func (r *replica) moved(now instant, from uint64, bulk bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[from]
	if p == nil {
		return
	}
	p.heard = now.mono
	if bulk {
		r.server.moved(from, now.mono)
	}
}

// dropArrivals forgets what has come, or doesn't come any more.
func (r *replica) dropArrivals(now instant) {
	r.arrivals = slices.DeleteFunc(r.arrivals, func(a arrival) bool {
		if r.vector.get(a.origin).has(a.seq) {
			return true
		}
		ends := now.mono-a.moved >= arriveMost
		r.active = r.active || ends // others say in the next round whether they have it
		return ends
	})
}

// claimArrivals adds what is arriving to what pings say of the vector.
func (r *replica) claimArrivals(now instant, l *listing) {
	r.dropArrivals(now)
	for _, a := range r.arrivals {
		i, found := slices.BinarySearchFunc(l.entries, a.origin, func(e vectorEntry, o uint64) int {
			return cmp.Compare(e.origin, o)
		})
		if !found {
			s := r.vector.get(a.origin)
			l.entries = slices.Insert(l.entries, i, vectorEntry{a.origin, s.copy()})
			l.rest ^= s.print(a.origin) // it isn't one of those any more
		}
		if e := &l.entries[i]; len(e.ahead) < maxIntervals { // a vector with too many gaps isn't taken
			e.dotSet = e.copy()
			e.add(a.seq)
		}
	}
}

// awaited reports whether all gaps of an origin are of records that are arriving.
func (r *replica) awaited(now instant, origin uint64) bool {
	r.dropArrivals(now)
	if len(r.arrivals) == 0 {
		return false
	}
	s := r.vector.get(origin).copy()
	for _, a := range r.arrivals {
		if a.origin == origin {
			s.add(a.seq)
		}
	}
	return len(s.ahead) == 0
}

// peekDelta returns the dot of a delta's first record from its beginning.
func peekDelta(head []byte) (d dot, ok bool) {
	if len(head) < 2 || head[0] != wireVersion || head[1] != frameDelta {
		return d, false
	}
	for b := head[2:]; len(b) > 0; {
		tag := b[0]
		b = b[1:]
		n := 0
		switch tag {
		case deltaOrigin:
			d.origin, n = protowire.ConsumeFixed64(b)
		case deltaFirst:
			d.seq, n = protowire.ConsumeVarint(b)
		default:
			return d, d.origin != 0 && d.seq != 0
		}
		if n < 0 {
			return d, false
		}
		b = b[n:]
	}
	return d, false
}
