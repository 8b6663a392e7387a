package meshnet

import (
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

const (
	// lineMost is how large a frame may be that leaves in its turn. A larger one is bulk.
	lineMost = 64 << 10

	lineAge = time.Second // what was broadcast waits for no longer, see sendQueue
)

// The lanes of a line.
const (
	laneFirst = iota // in the order in which they came
	laneBulk         // likewise, but what is in the other lane passes between its pieces
)

// A sendQueue is what waits to be sent by a line. It is under the line's lock.
//
// What was broadcast is dropped when it has waited for lineAge: the other node notices the gap, and
// asks. The answer has what is true by then, and says of what was overwritten meanwhile only that
// it existed. So a slow node is behind by what the state weighs, not by what was written. What was
// broadcast is also dropped when such an answer is queued, which has it all.
type sendQueue struct {
	most  int           // bytes that may wait
	age   time.Duration // lineAge
	count *engine.Counters

	lanes [2]lineLane
	bytes int // that wait
}

// A lineLane is a queue, whose first item may have left in part.
type lineLane struct {
	items []lineItem
	sent  int       // bytes of the first item
	again bool      // it was begun by another connection
	fresh int       // items that were broadcast, and haven't left in part
	since time.Time // none of them is older
}

// A lineItem is something that waits.
type lineItem struct {
	kind  byte
	bytes []byte // shared with other lines: it doesn't change
	own   bool   // it is, or brings, a frame of this node
	fresh bool   // it was broadcast, and is of no use when it is old
	at    time.Time
	id    uint64 // as a transfer; 0: it hasn't left in part
}

// push queues an item. What is too large for the first lane goes to the other one.
func (q *sendQueue) push(it lineItem, lane int) error {
	if len(it.bytes) > lineMost {
		lane = laneBulk
	}
	to := &q.lanes[lane]
	if to.carries(it.bytes) {
		return nil // it is on its way
	}
	q.expire(it.at)
	most := q.most
	if lane == laneBulk {
		most -= most / 8 // bulk leaves some room
	}
	if q.bytes+len(it.bytes) > most {
		q.dropFresh()
	}
	if q.bytes+len(it.bytes) > most {
		q.count.Dropped.Add(1)
		return transport.ErrQueueFull
	}
	if q.bytes += len(it.bytes); it.fresh {
		if to.fresh++; to.fresh == 1 {
			to.since = it.at
		}
	}
	if it.kind == itemMember { // a question whether a node lives mustn't wait behind data
		to.pushFront(it)
	} else {
		to.items = append(to.items, it)
	}
	return nil
}

// resume has an item of bulk sent next, of which the other side has the first bytes.
func (q *sendQueue) resume(it lineItem, has int) {
	bulk := &q.lanes[laneBulk]
	bulk.items = slices.Insert(bulk.items, 0, it)
	bulk.sent, bulk.again = has, true
	q.bytes += len(it.bytes)
}

// expire drops what was broadcast and waits, if it has waited for too long.
func (q *sendQueue) expire(now time.Time) {
	for i := range q.lanes {
		if lane := &q.lanes[i]; lane.fresh > 0 && now.Sub(lane.since) >= q.age {
			q.dropFresh()
		}
	}
}

// dropFresh drops what was broadcast and waits.
func (q *sendQueue) dropFresh() {
	for i := range q.lanes {
		lane := &q.lanes[i]
		if lane.fresh == 0 {
			continue
		}
		lane.fresh = 0
		lane.items = slices.DeleteFunc(lane.items, func(it lineItem) bool {
			if !it.fresh || it.id != 0 {
				return false
			}
			q.bytes -= len(it.bytes)
			q.count.Dropped.Add(1)
			return true
		})
	}
}

// pop removes the first item of a lane, which has left.
func (q *sendQueue) pop(lane *lineLane) {
	it := &lane.items[0]
	q.bytes -= len(it.bytes)
	if it.own {
		q.count.FramesOut.Add(1)
		q.count.BytesOut.Add(uint64(len(it.bytes)))
	}
	*it = lineItem{}
	lane.sent, lane.again = 0, false
	if lane.items = lane.items[1:]; len(lane.items) == 0 {
		lane.items = nil
	}
}

// clear drops all that waits.
func (q *sendQueue) clear() {
	for i := range q.lanes {
		for _, it := range q.lanes[i].items {
			if it.own {
				q.count.Dropped.Add(1)
			}
		}
		q.lanes[i] = lineLane{}
	}
	q.bytes = 0
}

// pushFront queues an item before all others that haven't left in part.
func (lane *lineLane) pushFront(it lineItem) {
	at := 0
	if lane.sent > 0 {
		at = 1
	}
	lane.items = slices.Insert(lane.items, at, it)
}

// carries reports whether a frame is one that is being resumed.
func (lane *lineLane) carries(frame []byte) bool {
	if !lane.again {
		return false
	}
	under := lane.items[0].bytes
	return len(under) == len(frame) && &under[0] == &frame[0]
}
