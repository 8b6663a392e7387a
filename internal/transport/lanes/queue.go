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
	fresh time.Time // when it was broadcast; zero: it was sent, and keeps its worth
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
	q.dropLocked(func(old *item) bool { return now.Sub(old.fresh) >= Age })
	if q.bytes+len(it.frame) > most {
		q.dropLocked(func(*item) bool { return true })
	}
	if q.bytes+len(it.frame) > most {
		q.dropped++
		return transport.ErrQueueFull
	}
	q.bytes += len(it.frame)
	to.items = append(to.items, it)
	return nil
}

// Supersede drops what was broadcast and waits.
func (q *Queue) Supersede() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropLocked(func(*item) bool { return true })
}

// dropLocked drops those that were broadcast, wait as a whole, and are as wanted.
func (q *Queue) dropLocked(want func(*item) bool) {
	for i := range q.lanes {
		l := &q.lanes[i]
		if len(l.items) == 0 {
			continue
		}
		begun := 0
		if l.sent > 0 {
			begun = 1
		}
		kept := slices.DeleteFunc(l.items[begun:], func(it item) bool {
			if it.fresh.IsZero() || !want(&it) {
				return false
			}
			q.bytes -= len(it.frame)
			q.dropped++
			return true
		})
		l.items = l.items[:begun+len(kept)]
	}
}

// Next takes what is to go next, in pieces of most bytes at most: a piece of the first frame of the first
// lane, or else of the other one. A frame whose first piece was taken is no more dropped.
func (q *Queue) Next(now time.Time, most int) (p Piece, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropLocked(func(old *item) bool { return now.Sub(old.fresh) >= Age })
	for i := range q.lanes {
		l := &q.lanes[i]
		if len(l.items) == 0 {
			continue
		}
		frame := l.items[0].frame
		end := min(l.sent+most, len(frame))
		p = Piece{Lane: Lane(i), Seq: l.seq, First: l.sent == 0, Last: end == len(frame), Bytes: frame[l.sent:end]}
		l.seq++
		if l.sent = end; p.Last {
			q.bytes -= len(frame)
			l.items[0] = item{}
			if l.items = l.items[1:]; len(l.items) == 0 {
				l.items = nil
			}
			l.sent = 0
		}
		return p, true
	}
	return Piece{}, false
}

// Close drops what waits, and whatever comes later.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.lanes {
		q.dropped += uint64(len(q.lanes[i].items))
		q.lanes[i].items = nil
	}
	q.bytes, q.closed = 0, true
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
