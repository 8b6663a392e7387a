package store

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// Touches are what a node remembers of its touches. A touch is that a write of a key is processed,
// whatever comes of it: won, lost, refused, from the future, received in a full sync. Touches are
// counted. What is remembered of them is what it takes to judge whether the value of another node's fill
// can be older than something that this node has processed itself; see "Provisional fills" in
// docs/design.md.
type Touches struct {
	Count uint64 // of all touches so far

	// The last touches, one after the other in memory, so that noting one costs little: the n-th lies at
	// (n-1) % size. Those of a bucket are chained, from the last one back.
	log   []loggedTouch
	size  int
	Heads []uint64 // by bucket: the count of its last touch; 0 if there was none

	// The same for what touches all keys: Clears, and contexts that are adopted.
	Clears uint64
	All    time.Duration // when that was

	Selective uint64 // the count of the last Clear that doesn't select everything: see Clears

	// The latest time of a touch. Who reads the clock first may come second: times never fall.
	latest time.Duration

	// On a local node, which has no log: when a bucket was last touched. Its writes don't always take
	// the replica's lock. nil: nobody asks. rough is when any was, see roughly; 0 is never.
	at    atomic.Pointer[touchTimes]
	rough atomic.Uint64
}

// touchTimes are when each bucket was last touched, as far as that was noted.
type touchTimes struct {
	last  [delta.NumBuckets]atomic.Uint64
	since atomic.Int64 // all touches after that are noted
}

// roughly is by how much the last touch of all may be later than rough. So hardly any write changes that.
const roughly = 100 * time.Millisecond

// touchLog is how many touches are remembered. They have to reach back as far as what neighbours have
// last heard of this node, which is two seconds while there are writes, and with many neighbours more.
const touchLog = 1 << 16

type loggedTouch struct {
	delta.Dot               // zero: it had none
	prev      uint64        // the count of the touch before in its bucket; 0 if there was none
	at        time.Duration // monotonic; no earlier than that of the touch before
}

// maxChain is how far back a chain is looked at, as the lock is held meanwhile. Others may have heard of
// this node as many touches of the bucket ago.
const maxChain = 1024

// unknown is a time that hasn't come.
const unknown = 1 << 62

func NewTouches(local bool, size int) Touches {
	if local {
		return Touches{}
	}
	return Touches{size: cmp.Or(size, touchLog), Heads: make([]uint64, delta.NumBuckets)}
}

// Track has the times of a local node's touches noted from now on, for fills whose reads lag. It may be
// called at any time. Who notes nothing has raised rough before.
func (t *Touches) Track() {
	if t.at.Load() != nil {
		return
	}
	times := &touchTimes{}
	times.since.Store(unknown)
	if !t.at.CompareAndSwap(nil, times) {
		return
	}
	since := int64(t.rough.Load())
	if since != 0 {
		since += int64(roughly)
	}
	times.since.Store(since)
}

// Echo is the count that goes with most frames: it is greater than those of all touches before.
func (t *Touches) Echo() uint64 { return t.Count + 1 }

// Add counts a touch, and chains it to those before.
func (t *Touches) Add(head *uint64, d delta.Dot, at time.Duration) {
	t.latest = max(t.latest, at)
	x := loggedTouch{d, *head, t.latest}
	if len(t.log) < t.size {
		t.log = append(t.log, x)
	} else {
		t.log[t.Count%uint64(t.size)] = x
	}
	t.Count++
	*head = t.Count
}

// Note notes when a bucket of a local node was touched.
func (t *Touches) Note(bucket int, at time.Duration) {
	if rough := t.rough.Load(); rough == 0 || uint64(at) > rough+uint64(roughly) {
		delta.Raise(&t.rough, max(uint64(at), 1))
	}
	if times := t.at.Load(); times != nil {
		delta.Raise(&times.last[bucket], uint64(at))
	}
}

// get returns the touch with a count, if it is remembered.
func (t *Touches) get(count uint64) (x loggedTouch, ok bool) {
	if count == 0 || count+uint64(t.size) <= t.Count {
		return x, false
	}
	return t.log[(count-1)%uint64(t.size)], true
}

// Known reports whether every touch of a chain has a count below an echo, or a dot that is known. What
// isn't remembered any more, or had no dot, isn't, nor is what lies more than maxChain touches back.
func (t *Touches) Known(head, echo uint64, knows func(delta.Dot) bool) bool {
	for n := 0; head > 0 && head >= echo; n++ {
		x, ok := t.get(head)
		if !ok || n == maxChain || x.Dot == (delta.Dot{}) || !knows(x.Dot) {
			return false
		}
		head = x.prev
	}
	return echo > 0
}

// AppendDots appends the last dots of a chain.
func (t *Touches) AppendDots(dots []delta.Dot, head uint64) []delta.Dot {
	for n := 0; n < delta.MaxDots; n++ {
		x, ok := t.get(head)
		if !ok {
			break
		}
		if x.Dot != (delta.Dot{}) {
			dots = append(dots, x.Dot)
		}
		head = x.prev
	}
	return dots
}

// AppendOrigins appends the origins of the touches of a chain since a time, the last one's first, until
// there are so many.
func (t *Touches) AppendOrigins(
	origins []uint64, head uint64, since time.Duration, most int,
) []uint64 {
	for n := 0; n < maxChain && len(origins) < most; n++ {
		x, ok := t.get(head)
		if !ok || x.at < since {
			break
		}
		if x.Dot != (delta.Dot{}) && !slices.Contains(origins, x.Origin) {
			origins = append(origins, x.Origin)
		}
		head = x.prev
	}
	return origins
}

// Last returns when a bucket was last touched, but no time before which nothing is remembered.
func (t *Touches) Last(bucket int) time.Duration {
	if t.Heads == nil {
		times := t.at.Load()
		if times == nil {
			return unknown
		}
		return time.Duration(max(int64(times.last[bucket].Load()), times.since.Load()))
	}
	head := t.Heads[bucket]
	if head == 0 {
		return 0
	}
	x, ok := t.get(head)
	if !ok {
		x, _ = t.get(t.Count + 1 - uint64(t.size))
	}
	return x.at
}
