package replica

import (
	"container/heap"
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/delta"
)

// Awaits are those who wait until this node has processed some dots. Each is woken when a dot is
// processed that it waits for, and not by everything that comes in. Callers don't hold the replica's
// lock.
type Awaits struct {
	mu         *lock
	state      *state
	neighbours *neighbours
	count      atomic.Int64
	byOrigin   map[uint64]*awaitHeap
	others     map[uint64]map[*Await]struct{} // by the origins of their other dots
}

// An Await is one who waits. It must be ended, by Awaits.End.
type Await struct {
	Woken chan struct{} // closed when there is something new
	dot   delta.Dot
	dots  []delta.Dot // all of them
	at    int         // in the heap of the dot's origin; -1: it was woken, or has ended
}

// NewAwaits returns those of a replica, of whom there are none.
func NewAwaits(r *Replica) *Awaits {
	return &Awaits{
		mu: &r.mu, state: &r.state, neighbours: &r.neighbours, byOrigin: map[uint64]*awaitHeap{},
		others: map[uint64]map[*Await]struct{}{},
	}
}

// Begin has somebody woken when one of the dots that Lacks says are lacking is processed, or it can't be
// told any more whether all are. It returns nil if none is lacking, or that can't be told now. The dots
// mustn't change.
func (x *Awaits) Begin(dots []delta.Dot) *Await {
	x.mu.Lock()
	defer x.mu.Unlock()
	lacks, _ := lacking(x.state, x.neighbours, dots)
	if len(lacks) == 0 {
		return nil
	}
	w := &Await{Woken: make(chan struct{}), dots: dots}
	for _, d := range dots {
		if d.Origin == lacks[0].Origin {
			w.dot = d
			continue
		}
		if x.others[d.Origin] == nil {
			x.others[d.Origin] = map[*Await]struct{}{}
		}
		x.others[d.Origin][w] = struct{}{}
	}
	of := x.byOrigin[w.dot.Origin]
	if of == nil {
		of = &awaitHeap{}
		x.byOrigin[w.dot.Origin] = of
	}
	heap.Push(of, w)
	x.count.Add(1)
	return w
}

// End ends a wait, whether or not it was woken.
func (x *Awaits) End(w *Await) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if w.at >= 0 {
		x.remove(w)
	}
}

// Tell wakes those for whom there is something new. It is to be called after a frame was dealt with, and
// after a neighbour has left. While nobody waits it costs a look at a counter.
func (x *Awaits) Tell() {
	if x.count.Load() == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for origin, of := range x.byOrigin {
		known, covered := x.state.vector.Knows(origin), x.state.vector.Get(origin).Covered
		for of.Len() > 0 && (!known || (*of)[0].dot.Seq <= covered) {
			x.wake((*of)[0])
		}
	}
	for origin, of := range x.others {
		if !x.state.vector.Knows(origin) {
			for w := range of {
				x.wake(w)
			}
		}
	}
}

// wake wakes one who waits. The lock is held.
func (x *Awaits) wake(w *Await) {
	x.remove(w)
	close(w.Woken)
}

// remove removes one who waits, and what is kept of an origin with the last one. The lock is held.
func (x *Awaits) remove(w *Await) {
	of := x.byOrigin[w.dot.Origin]
	heap.Remove(of, w.at)
	x.count.Add(-1)
	if of.Len() == 0 {
		delete(x.byOrigin, w.dot.Origin)
	}
	for _, d := range w.dots {
		if delete(x.others[d.Origin], w); len(x.others[d.Origin]) == 0 {
			delete(x.others, d.Origin)
		}
	}
}

// An awaitHeap has those who wait for dots of one origin, the one with the least dot first.
type awaitHeap []*Await

func (h awaitHeap) Len() int           { return len(h) }
func (h awaitHeap) Less(i, j int) bool { return h[i].dot.Seq < h[j].dot.Seq }

func (h awaitHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *awaitHeap) Push(x any) {
	w := x.(*Await)
	w.at = len(*h)
	*h = append(*h, w)
}

func (h *awaitHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h, w.at = (*h)[:last], -1
	return w
}
