package bcache

import (
	"sync/atomic"
	"time"
)

// A touch is that a write of a key is processed, whatever comes of it: won, lost, refused, from the
// future, received in a full sync. Touches are counted. What a node remembers of them is what it
// needs to judge whether the value of another node's fill can be older than something that it has
// processed itself; see "Provisional fills" in docs/design.md.
type touches struct {
	count uint64 // of all touches so far

	// When a bucket was last touched, and when all of them were, by the monotonic clock: for fills that
	// read behind commits, see Settle. A local node's writes don't take the replica's lock.
	at  [numBuckets]atomic.Int64
	all time.Duration

	rings  []*touchRing // of the keys' buckets; nil until one is touched, and on a local node
	clears touchRing    // of the Clears and of what else touches all keys
	none   touchRing    // stays empty
}

// ringSize is how many touches are remembered of a bucket. They have to reach back as far as what
// neighbours have last heard of this node.
const ringSize = 8

// A touchRing has the last touches of a bucket that have a dot. The count of what isn't in it any more,
// or never had a dot, is at most old.
type touchRing struct {
	last [ringSize]dotTouch
	next int
	old  uint64
}

// A dot is a write as it is delivered: the seq-th of an origin.
type dot struct{ origin, seq uint64 }

type dotTouch struct {
	dot
	count uint64
}

func (g *touchRing) add(d dot, count uint64) {
	if d == (dot{}) {
		g.old = count
		return
	}
	slot := &g.last[g.next]
	g.old = max(g.old, slot.count)
	*slot = dotTouch{d, count}
	g.next = (g.next + 1) % ringSize
}

// known reports whether every touch came before an echo, or is one of the dots.
func (g *touchRing) known(echo uint64, dots []dot) bool {
	if g.old >= echo {
		return false
	}
	for _, t := range g.last {
		if t.count >= echo && !contains(dots, t.dot) {
			return false
		}
	}
	return true
}

func contains(dots []dot, d dot) bool {
	for _, x := range dots {
		if x == d {
			return true
		}
	}
	return false
}

// appendTo appends the dots.
func (g *touchRing) appendTo(dots []dot) []dot {
	for _, t := range g.last {
		if t.count > 0 {
			dots = append(dots, t.dot)
		}
	}
	return dots
}

// ring returns that of a bucket, and makes it if need be.
func (t *touches) ring(bucket int) *touchRing {
	if t.rings == nil {
		t.rings = make([]*touchRing, numBuckets)
	}
	if t.rings[bucket] == nil {
		t.rings[bucket] = &touchRing{}
	}
	return t.rings[bucket]
}

// ringOf returns that of a bucket; an empty one, not to be changed, if there was no touch.
func (t *touches) ringOf(bucket int) *touchRing {
	if t.rings == nil || t.rings[bucket] == nil {
		return &t.none
	}
	return t.rings[bucket]
}

// echo is the count that goes with every frame: it is greater than those of all touches before.
func (t *touches) echo() uint64 { return t.count + 1 }

// touch counts a write of a key, or a Clear, that has been processed; it has no dot if that isn't
// covered by the context now. In the store it was noted with the write itself.
func (r *replica) touch(now instant, rec *record, bucket int, d dot) {
	if rec.kind == kindClear {
		r.touchAll(now, d)
		return
	}
	t := &r.touches
	t.count++
	t.at[bucket].Store(int64(now.mono))
	if !r.local {
		t.ring(bucket).add(d, t.count)
	}
	r.changed(rec.key, rec.kind)
}

// touchAll is touch for what may be a write of any key: a Clear, or a context that is adopted.
func (r *replica) touchAll(now instant, d dot) {
	t := &r.touches
	t.count++
	t.all = now.mono
	t.clears.add(d, t.count)
	r.store.touchAll()
	r.changed("", kindClear)
}
