package bcache

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// A touch is that a write of a key is processed, whatever comes of it: won, lost, refused, from the
// future, received in a full sync. Touches are counted. What a node remembers of them is what it needs
// to judge whether the value of another node's fill can be older than something that it has processed
// itself; see "Provisional fills" in docs/design.md.
type touches struct {
	count uint64 // of all touches so far

	// The last touches, one after the other in memory, so that noting one costs little: the n-th lies at
	// (n-1) % size. Those of a bucket are chained, from the last one back.
	log   []loggedTouch
	size  int
	heads []uint64 // by bucket: the count of its last touch; 0 if there was none

	// The same for what touches all keys: Clears, and contexts that are adopted.
	clears uint64
	all    time.Duration // when that was

	// The latest time of a touch. Who reads the clock first may come second: times never fall.
	latest time.Duration

	// On a local node, which has no log: when a bucket was last touched. Its writes don't always take
	// the replica's lock.
	at []atomic.Uint64
}

// touchLog is how many touches are remembered. They have to reach back as far as what neighbours have
// last heard of this node, which is two seconds while there are writes.
const touchLog = 1 << 16

// A dot is a write as it is delivered: the seq-th of an origin.
type dot struct{ origin, seq uint64 }

type loggedTouch struct {
	dot                // zero: it had none
	prev uint64        // the count of the touch before in its bucket; 0 if there was none
	at   time.Duration // monotonic; no earlier than that of the touch before
}

// maxDots is how many dots of a bucket, and of Clears, go with an offer.
const maxDots = 8

func newTouches(local bool, size int) touches {
	if local {
		return touches{at: make([]atomic.Uint64, numBuckets)}
	}
	return touches{size: cmp.Or(size, touchLog), heads: make([]uint64, numBuckets)}
}

// echo is the count that goes with most frames: it is greater than those of all touches before.
func (t *touches) echo() uint64 { return t.count + 1 }

// add counts a touch, and chains it to those before.
func (t *touches) add(head *uint64, d dot, at time.Duration) {
	t.latest = max(t.latest, at)
	x := loggedTouch{d, *head, t.latest}
	if len(t.log) < t.size {
		t.log = append(t.log, x)
	} else {
		t.log[t.count%uint64(t.size)] = x
	}
	t.count++
	*head = t.count
}

// note notes when a bucket of a local node was touched.
func (t *touches) note(bucket int, at time.Duration) { raise(&t.at[bucket], uint64(at)) }

// get returns the touch with a count, if it is remembered.
func (t *touches) get(count uint64) (x loggedTouch, ok bool) {
	if count == 0 || count+uint64(t.size) <= t.count {
		return x, false
	}
	return t.log[(count-1)%uint64(t.size)], true
}

// known reports whether every touch of a chain has a count below an echo, or is one of the dots. What
// isn't remembered any more, or had no dot, isn't one.
func (t *touches) known(head, echo uint64, dots []dot) bool {
	for head > 0 && head >= echo {
		x, ok := t.get(head)
		if !ok || x.dot == (dot{}) || !slices.Contains(dots, x.dot) {
			return false
		}
		head = x.prev
	}
	return echo > 0
}

// appendDots appends the last dots of a chain.
func (t *touches) appendDots(dots []dot, head uint64) []dot {
	for n := 0; n < maxDots; n++ {
		x, ok := t.get(head)
		if !ok {
			break
		}
		if x.dot != (dot{}) {
			dots = append(dots, x.dot)
		}
		head = x.prev
	}
	return dots
}

// last returns when a bucket was last touched; of what isn't remembered any more, when the oldest touch
// was that is.
func (t *touches) last(bucket int) time.Duration {
	if t.at != nil {
		return time.Duration(t.at[bucket].Load())
	}
	head := t.heads[bucket]
	if head == 0 {
		return 0
	}
	x, ok := t.get(head)
	if !ok {
		x, _ = t.get(t.count + 1 - uint64(t.size))
	}
	return x.at
}

// touch notes a write of a key, or a Clear, that has been processed; it has no dot if the context
// doesn't cover it. In the store it was noted with the write itself.
func (r *state) touch(now instant, rec *record, bucket int, d dot) {
	if rec.kind == kindClear {
		r.touchAll(now, d)
		return
	}
	if r.local {
		r.touches.note(bucket, now.mono)
	} else {
		r.touches.add(&r.touches.heads[bucket], d, now.mono)
	}
	r.changed(rec.key, rec.kind)
}

// touchAll is touch for what may be a write of any key: a Clear, or a context that is adopted.
func (r *state) touchAll(now instant, d dot) {
	r.touches.all = max(r.touches.all, now.mono)
	if !r.local {
		r.touches.add(&r.touches.clears, d, now.mono)
	}
	r.changed("", kindClear)
}
