package lanes

import (
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// A Queue is what waits for a peer. All methods may be called at the same time.
type Queue struct {
	most int // bytes
	wake func()

	mu      sync.Mutex
	lanes   [numLanes]lane
	bytes   int
	fresh   int       // how many wait that were broadcast
	oldest  time.Time // none of them was earlier
	dropped uint64
	closed  bool
}

// A lane is a queue whose first frame may have gone in part.
type lane struct {
	items []item
	sent  int    // bytes of the first frame
	seq   uint64 // of the next piece
}

// An item is a frame that waits.
type item struct {
	frame []byte    // shared: it doesn't change
	fresh time.Time // when it was broadcast; zero: it was sent, or has begun to go, and keeps its worth
}

// New returns a queue of so many bytes at most. wake is called when something has come into it; it may be
// called at any time, also from more than one goroutine, and must not call the queue.
func New(most int, wake func()) *Queue { return &Queue{most: most, wake: wake} }

// Send queues a frame. If there is no room what was broadcast goes first.
func (q *Queue) Send(now time.Time, frame []byte, bulk bool) error {
	return q.push(now, item{frame: frame}, bulk)
}

// Broadcast queues a frame that is worth nothing once it has waited for Age.
func (q *Queue) Broadcast(now time.Time, frame []byte) error {
	return q.push(now, item{frame, now}, false)
}

// push queues a frame. One that is larger than a piece is bulk: it would hold up the others.
func (q *Queue) push(now time.Time, it item, bulk bool) error {
	q.mu.Lock()
	err := q.pushLocked(now, it, bulk || len(it.frame) > PieceSize)
	q.mu.Unlock()
	if err == nil {
		q.wake()
	}
	return err
}

func (q *Queue) pushLocked(now time.Time, it item, bulk bool) error {
	if q.closed {
		return transport.ErrUnknownPeer
	}
	to, most := &q.lanes[First], q.most
	if bulk {
		to, most = &q.lanes[Bulk], most-most/8 // bulk leaves some room
	}
	full := q.bytes+len(it.frame) > most
	if q.fresh > 0 && (full || now.Sub(q.oldest) >= Age+Age/8) { // not each time: it looks at all
		q.dropLocked(func(old item) bool { return old.stale(now) })
	}
	if q.fresh > 0 && q.bytes+len(it.frame) > most {
		q.dropLocked(func(item) bool { return true })
	}
	if q.bytes+len(it.frame) > most {
		q.dropped++
		return transport.ErrQueueFull
	}
	q.bytes += len(it.frame)
	to.items = append(to.items, it)
	if !it.fresh.IsZero() {
		if q.fresh == 0 || it.fresh.Before(q.oldest) {
			q.oldest = it.fresh
		}
		q.fresh++
	}
	return nil
}

// Supersede drops what was broadcast and waits.
func (q *Queue) Supersede() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropLocked(func(item) bool { return true })
}

// stale reports whether an item is worth nothing any more.
func (it item) stale(now time.Time) bool { return !it.fresh.IsZero() && now.Sub(it.fresh) >= Age }

// dropLocked drops those that were broadcast, wait as a whole, and are as wanted.
func (q *Queue) dropLocked(want func(item) bool) {
	first := true
	kept := func(it item) {
		if !it.fresh.IsZero() && (first || it.fresh.Before(q.oldest)) {
			first, q.oldest = false, it.fresh
		}
	}
	for i := range q.lanes {
		l := &q.lanes[i]
		if len(l.items) == 0 {
			continue
		}
		l.items = slices.DeleteFunc(l.items, func(it item) bool {
			if it.fresh.IsZero() || !want(it) {
				kept(it)
				return false
			}
			q.bytes -= len(it.frame)
			q.fresh--
			q.dropped++
			return true
		})
	}
}

// Next takes what is to go next, in pieces of most bytes at most: a piece of the first frame of the first
// lane, or else of the other one. A frame whose first piece was taken is no more dropped.
func (q *Queue) Next(now time.Time, most int) (p Piece, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.lanes {
		l := &q.lanes[i]
		for l.sent == 0 && len(l.items) > 0 && l.items[0].stale(now) {
			q.dropped++
			q.pop(l)
		}
		if len(l.items) == 0 {
			continue
		}
		frame := l.items[0].frame
		end := min(l.sent+most, len(frame))
		p = Piece{Lane: Lane(i), Seq: l.seq, First: l.sent == 0, Last: end == len(frame), Bytes: frame[l.sent:end]}
		l.seq++
		if !l.items[0].fresh.IsZero() { // it goes: it isn't dropped any more
			l.items[0].fresh = time.Time{}
			q.fresh--
		}
		if l.sent = end; p.Last {
			q.pop(l)
		}
		return p, true
	}
	return Piece{}, false
}

// pop takes the first item off a lane.
func (q *Queue) pop(l *lane) {
	q.bytes -= len(l.items[0].frame)
	if !l.items[0].fresh.IsZero() {
		q.fresh--
	}
	l.items[0] = item{}
	if l.items = l.items[1:]; len(l.items) == 0 {
		l.items = nil
	}
	l.sent = 0
}

// Close drops what waits, and whatever comes later.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.lanes {
		q.dropped += uint64(len(q.lanes[i].items))
		q.lanes[i].items = nil
	}
	q.bytes, q.fresh, q.closed = 0, 0, true
}

// Len is how many bytes wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// Dropped is how many frames were dropped.
func (q *Queue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}
