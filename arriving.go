package bcache

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// A large record takes a while on a slow line, and what was written later passes it. Its first
// piece says which dot it has. While the rest is on its way, this node doesn't ask anybody for that dot: in its
// pings it claims to have it. Nothing else believes that claim: what another node adopts in a full sync, or
// takes as confirmed at Close, is what was processed.

const (
	// arriveMost is for how long a record is waited for of which nothing comes any more. The
	// connection may break and come back meanwhile.
	arriveMost = 10 * time.Second

	maxArrivals = 256
)

// An arrival is a record of which the first piece has come.
type arrival struct {
	dot
	peer  uint64        // that sends it
	moved time.Duration // bytes of that node came last
}

// arriving notes that a large frame has begun to come in.
func (r *replica) arriving(now instant, from uint64, head []byte) {
	d, ok := peekDelta(head)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropArrivals(now)
	if d.origin == r.origin || r.peers[from] == nil || r.ctx.get(d.origin).has(d.seq) || len(r.arrivals) >= maxArrivals {
		return
	}
	r.arrivals = append(r.arrivals, arrival{d, from, now.mono})
}

// moved notes that bytes of a neighbour have come in, or that it has taken some.
func (r *replica) moved(now instant, from uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.peers[from]
	if p == nil {
		return
	}
	p.heard = now.mono
	for i := range r.arrivals {
		if a := &r.arrivals[i]; a.peer == from {
			a.moved = now.mono
		}
	}
	if r.pull != nil && r.pull.peer == from {
		r.pull.alive = now.mono
	}
	if in := r.sync; in != nil && in.peer == from {
		in.progress = now.mono
	}
	if out := r.serving[from]; out != nil {
		out.moved = now.mono
	}
}

// dropArrivals forgets what has come, or doesn't come any more.
func (r *replica) dropArrivals(now instant) {
	r.arrivals = slices.DeleteFunc(r.arrivals, func(a arrival) bool {
		if r.ctx.get(a.origin).has(a.seq) {
			return true
		}
		ends := now.mono-a.moved >= arriveMost
		r.active = r.active || ends // others say in the next round whether they have it
		return ends
	})
}

// claimArrivals adds what is arriving to the context of a ping, which may share its entries with others.
func (r *replica) claimArrivals(now instant, q *ping) {
	if r.dropArrivals(now); len(r.arrivals) == 0 {
		return
	}
	q.entries = slices.Clone(q.entries)
	for _, a := range r.arrivals {
		i, found := slices.BinarySearchFunc(q.entries, a.origin, func(e contextEntry, o uint64) int {
			return cmp.Compare(e.origin, o)
		})
		if !found {
			s := r.ctx.get(a.origin)
			q.entries = slices.Insert(q.entries, i, contextEntry{a.origin, s.copy()})
			if q.flags&pingAll == 0 {
				q.rest ^= s.print(a.origin) // it isn't one of those any more
			}
		}
		q.entries[i].dotSet = q.entries[i].copy()
		q.entries[i].add(a.seq)
	}
}

// awaited reports whether all gaps of an origin are of records that are arriving.
func (r *replica) awaited(now instant, origin uint64) bool {
	r.dropArrivals(now)
	if len(r.arrivals) == 0 {
		return false
	}
	s := r.ctx.get(origin).copy()
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
