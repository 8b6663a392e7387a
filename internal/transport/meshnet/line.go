package meshnet

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/internal/transport/engine"
)

// lineTurn is how many bytes of other frames pass at most between two pieces of bulk.
const lineTurn = 64 << 10

var errLineEnded = errors.New("bcache: the connection has ended")

// A meshLine carries frames to a directly connected node, over one connection. They don't take
// mesh's routes, for which mesh waits up to 100 ms whenever a node comes or goes.
//
// No more is under way than the other side takes soon, see lineFlow; the rest waits in a sendQueue,
// where it can be overtaken and dropped. Large frames leave in pieces, and other frames between them.
type meshLine struct {
	write func(msg []byte) error // it may block
	spawn func(f func())
	ended <-chan struct{} // closed when the connection has ended
	ids   *atomic.Uint64  // of transfers, drawn so far

	mu      sync.Mutex
	queue   sendQueue
	passed  int  // of the first lane since the other one had its turn
	working bool // a goroutine sends
	broken  bool
	room    chan struct{} // to that goroutine: an acknowledgement came, or one is due
	flow    lineFlow
	in      lineIn
	under   []lineSent // transfers in bulk that have left, and aren't acknowledged
	kept    []lineItem // transfers in bulk of the last connection that were under way
}

// A lineSent is an item that has left, and how many bytes the line had sent by then.
type lineSent struct {
	it   lineItem
	sent uint64
}

func newMeshLine(
	write func([]byte) error, spawn func(func()), ended <-chan struct{},
	count *engine.Counters, ids *atomic.Uint64, most int,
) *meshLine {
	return &meshLine{
		write: write, spawn: spawn, ended: ended, ids: ids,
		queue: sendQueue{most: most, age: lineAge, count: count},
		room:  make(chan struct{}, 1), flow: newLineFlow(),
	}
}

// push queues an item, see sendQueue.
func (l *meshLine) push(it lineItem, lane int) error {
	it.at = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return errLineEnded
	}
	if err := l.queue.push(it, lane); err != nil {
		return err
	}
	l.start()
	return nil
}

// supersede drops what was broadcast and waits.
func (l *meshLine) supersede() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.dropFresh()
}

// start has a goroutine send, unless there is one.
func (l *meshLine) start() {
	if !l.working && !l.broken {
		l.working = true
		l.spawn(l.work)
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

// idle reports whether nothing waits, and nothing is being written.
func (l *meshLine) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.working || l.broken
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
	l.queue.expire(now)
	first, bulk := &l.queue.lanes[laneFirst], &l.queue.lanes[laneBulk]
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
		l.queue.pop(lane)
		return msg, 0
	}
	if it.id == 0 {
		// The last bit says which lane it is in: the other side has a place for one of each.
		if it.id = l.ids.Add(2); lane == &l.queue.lanes[laneBulk] {
			it.id++
		}
	}
	id = it.id
	end := min(lane.sent+size, len(it.bytes))
	msg = encodeLinePiece(linePiece{it.id, it.kind, lane.sent, len(it.bytes), it.bytes[lane.sent:end]})
	if lane.sent = end; end == len(it.bytes) {
		l.queue.pop(lane)
	}
	return msg, id
}

// acked notes how many bytes the other side has taken. It reports whether they are more than before, and
// whether bulk was under way.
func (l *meshLine) acked(bytes uint64) (news, bulk bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.flow.acked(bytes, time.Now()) {
		return false, false
	}
	bulk = len(l.under) > 0 || l.queue.lanes[laneBulk].sent > 0
	for len(l.under) > 0 && l.under[0].sent <= bytes {
		l.under[0] = lineSent{}
		l.under = l.under[1:]
	}
	signal.Notify(l.room)
	return true, bulk
}

// end drops what waits. Transfers in bulk that were under way are kept: another connection may go on
// with one of them.
func (l *meshLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	signal.Notify(l.room)
	for _, x := range l.under {
		l.kept = append(l.kept, x.it)
	}
	l.under = nil
	if bulk := &l.queue.lanes[laneBulk]; bulk.sent > 0 {
		l.kept = append(l.kept, bulk.items[0])
	}
	l.queue.clear()
}
