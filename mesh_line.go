package bcache

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lineMost is how large a frame may be that leaves in its turn. A larger one is bulk.
	lineMost = 64 << 10

	lineAge = time.Second // what was broadcast waits for no longer, see meshLine

	// lineTurn is how many bytes of other frames pass at most between two pieces of bulk.
	lineTurn = 64 << 10
)

// The lanes of a line.
const (
	laneFirst = iota // in the order in which they came
	laneBulk         // likewise, but what is in the other lane passes between its pieces
)

var errLineEnded = errors.New("bcache: the connection has ended")

// A meshLine carries frames to a directly connected node, over one connection. They don't take
// mesh's routes, for which mesh waits up to 100 ms whenever a node comes or goes.
//
// No more is under way than the other side takes soon, see lineFlow; the rest waits here, where it
// can be overtaken and dropped. Large frames leave in pieces, and other frames between them.
//
// What was broadcast is dropped when it has waited for lineAge: the other node notices the gap, and
// asks. The answer has what is true by then, and says of what was overwritten meanwhile only that
// it existed. So a slow node is behind by what the state weighs, not by what was written. It is
// also dropped when such an answer is queued, which has it all: see supersede.
type meshLine struct {
	write func(msg []byte) error // it may block
	spawn func(f func())
	ended <-chan struct{} // closed when the connection has ended
	count *meshCounters
	ids   *atomic.Uint64 // of transfers, drawn so far
	most  int            // bytes that may wait
	age   time.Duration  // lineAge

	mu      sync.Mutex
	lanes   [2]lineLane
	bytes   int  // that wait
	passed  int  // of the first lane since the other one had its turn
	working bool // a goroutine sends
	broken  bool
	room    chan struct{} // to that goroutine: an acknowledgement came, or one is due
	flow    lineFlow
	in      lineIn
	under   []lineSent // transfers in bulk that have left, and aren't acknowledged
	kept    []lineItem // transfers in bulk of the last connection that were under way
}

// A lineLane is a queue, whose first item may have left in part.
type lineLane struct {
	items []lineItem
	sent  int       // bytes of the first item
	again bool      // it was begun by another connection
	fresh int       // items that were broadcast, and haven't left in part
	since time.Time // none of them is older
}

// A lineSent is an item that has left, and how many bytes the line had sent by then.
type lineSent struct {
	it   lineItem
	sent uint64
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

func newMeshLine(
	write func([]byte) error, spawn func(func()), ended <-chan struct{},
	count *meshCounters, ids *atomic.Uint64, most int,
) *meshLine {
	return &meshLine{
		write: write, spawn: spawn, ended: ended, count: count, ids: ids, most: most,
		age: lineAge, room: make(chan struct{}, 1), flow: newLineFlow(),
	}
}

// push queues an item. What is too large for the first lane goes to the other one.
func (l *meshLine) push(it lineItem, lane int) error {
	it.at = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(it.bytes) > lineMost {
		lane = laneBulk
	}
	q := &l.lanes[lane]
	switch {
	case l.broken:
		return errLineEnded
	case q.carries(it.bytes):
		return nil // it is on its way
	}
	l.expire(it.at)
	most := l.most
	if lane == laneBulk {
		most -= most / 8 // bulk leaves some room
	}
	if l.bytes+len(it.bytes) > most {
		l.dropFresh()
	}
	if l.bytes+len(it.bytes) > most {
		l.count.dropped.Add(1)
		return errQueueFull
	}
	if l.bytes += len(it.bytes); it.fresh {
		if q.fresh++; q.fresh == 1 {
			q.since = it.at
		}
	}
	if it.kind == itemMember { // a question whether a node lives mustn't wait behind data
		q.pushFront(it)
	} else {
		q.items = append(q.items, it)
	}
	l.start()
	return nil
}

// start has a goroutine send, unless there is one.
func (l *meshLine) start() {
	if !l.working && !l.broken {
		l.working = true
		l.spawn(l.work)
	}
}

// supersede drops what was broadcast and waits.
func (l *meshLine) supersede() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropFresh()
}

// expire drops what was broadcast and waits, if it has waited for too long.
func (l *meshLine) expire(now time.Time) {
	for i := range l.lanes {
		if lane := &l.lanes[i]; lane.fresh > 0 && now.Sub(lane.since) >= l.age {
			l.dropFresh()
		}
	}
}

func (l *meshLine) dropFresh() {
	for i := range l.lanes {
		lane := &l.lanes[i]
		if lane.fresh == 0 {
			continue
		}
		lane.fresh = 0
		lane.items = slices.DeleteFunc(lane.items, func(it lineItem) bool {
			if !it.fresh || it.id != 0 {
				return false
			}
			l.bytes -= len(it.bytes)
			l.count.dropped.Add(1)
			return true
		})
	}
}

// work sends what waits, until nothing does.
func (l *meshLine) work() {
	for {
		l.mu.Lock()
		msg, full := l.next(time.Now())
		if msg == nil && !full {
			l.working = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		switch {
		case full:
			select {
			case <-l.room:
			case <-l.ended:
				l.end()
			}
		case l.write(msg) != nil:
			l.end()
		}
	}
}

// next takes what is to be sent next, as a message. full means that something waits until the other
// side has taken more.
func (l *meshLine) next(now time.Time) (msg []byte, full bool) {
	if l.broken {
		return nil, false
	}
	if l.in.due() {
		return encodeLineAck(l.in.acknowledge()), false
	}
	l.expire(now)
	first, bulk := &l.lanes[laneFirst], &l.lanes[laneBulk]
	switch {
	case len(first.items)+len(bulk.items) == 0:
		return nil, false
	case !l.flow.room():
		return nil, true
	case len(first.items) == 0 || len(bulk.items) > 0 && l.passed >= lineTurn:
		it := bulk.items[0]
		msg, it.id = l.cut(bulk)
		l.passed = 0
		l.flow.note(len(msg), now)
		if it.id != 0 && bulk.sent == 0 {
			l.under = append(l.under, lineSent{it, l.flow.sent})
		}
	default:
		msg, _ = l.cut(first)
		l.passed += len(msg)
		l.flow.note(len(msg), now)
	}
	return msg, false
}

// cut takes the first item of a lane, or a piece of it. The id is that of the transfer, if it is one.
func (l *meshLine) cut(lane *lineLane) (msg []byte, id uint64) {
	it := &lane.items[0]
	if it.fresh && it.id == 0 {
		lane.fresh--
		lane.since = it.at // of what follows none is older
	}
	size := l.flow.piece()
	if lane.sent == 0 && len(it.bytes) <= size {
		msg = encodeLineWhole(it.kind, it.bytes)
		l.pop(lane)
		return msg, 0
	}
	if it.id == 0 {
		// The last bit says which lane it is in: the other side has a place for one of each.
		if it.id = l.ids.Add(2); lane == &l.lanes[laneBulk] {
			it.id++
		}
	}
	id = it.id
	end := min(lane.sent+size, len(it.bytes))
	msg = encodeLinePiece(linePiece{it.id, it.kind, lane.sent, len(it.bytes), it.bytes[lane.sent:end]})
	if lane.sent = end; end == len(it.bytes) {
		l.pop(lane)
	}
	return msg, id
}

// pop removes the first item, which has left.
func (l *meshLine) pop(lane *lineLane) {
	it := &lane.items[0]
	l.bytes -= len(it.bytes)
	if it.own {
		l.count.framesOut.Add(1)
		l.count.bytesOut.Add(uint64(len(it.bytes)))
	}
	*it = lineItem{}
	lane.sent, lane.again = 0, false
	if lane.items = lane.items[1:]; len(lane.items) == 0 {
		lane.items = nil
	}
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

// acked notes how many bytes the other side has taken. It reports whether they are more than before, and
// whether bulk was under way.
func (l *meshLine) acked(bytes uint64) (news, bulk bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.flow.acked(bytes, time.Now()) {
		return false, false
	}
	bulk = len(l.under) > 0 || l.lanes[laneBulk].sent > 0
	for len(l.under) > 0 && l.under[0].sent <= bytes {
		l.under[0] = lineSent{}
		l.under = l.under[1:]
	}
	notify(l.room)
	return true, bulk
}

// end drops what waits. Transfers in bulk that were under way are kept: another connection may go on
// with one of them.
func (l *meshLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	notify(l.room)
	for _, x := range l.under {
		l.kept = append(l.kept, x.it)
	}
	l.under = nil
	if bulk := &l.lanes[laneBulk]; bulk.sent > 0 {
		l.kept = append(l.kept, bulk.items[0])
	}
	for i := range l.lanes {
		for _, it := range l.lanes[i].items {
			if it.own {
				l.count.dropped.Add(1)
			}
		}
		l.lanes[i] = lineLane{}
	}
	l.bytes = 0
}
