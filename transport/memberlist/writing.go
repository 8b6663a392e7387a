package memberlist

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/transport/lanes"
)

const (
	pieceSize = 16 << 10 // a frame goes in pieces of so many bytes, so that each shows that it moves
	batchSize = 32 << 10 // so many bytes are written at once

	writerIdle  = 0
	writerBusy  = 1
	writerAgain = 2 // something has come meanwhile
	writerHeld  = 3 // the link hasn't started
)

var batches = sync.Pool{New: func() any {
	b := make([]byte, 0, batchSize+pieceSize+lanes.HeaderSize+headSize)
	return &b
}}

// A writing is what a link's writer knows.
type writing struct {
	state atomic.Int32
	moved time.Time // the writer's

	mu       sync.Mutex
	controls [][]byte // messages that go before all frames
	waits    int      // their bytes
	proof    bool     // of the key in use; it is made when it leaves
	closing  bool     // a goodbye comes last
	bye      bool     // it was taken
}

// wake has the writer run.
func (l *link) wake() {
	s := &l.write.state
	for {
		switch old := s.Load(); old {
		case writerIdle:
			if s.CompareAndSwap(old, writerBusy) {
				l.hub.life.spawn(l.send)
				return
			}
		case writerBusy:
			if s.CompareAndSwap(old, writerAgain) {
				return
			}
		default:
			return
		}
	}
}

// control queues a message that isn't a frame. It is lost if too many wait.
func (l *link) control(typ byte, body []byte) {
	w := &l.write
	w.mu.Lock()
	if size := len(body) + headSize; w.waits+size <= maxControls {
		w.controls = append(w.controls, message(typ, body))
		w.waits += size
	}
	w.mu.Unlock()
	l.wake()
}

// prove has this side prove itself with the key that is in use. That isn't lost, and the last key wins:
// whoever calls it at the same time, there is one writer.
func (l *link) prove() {
	l.write.mu.Lock()
	l.write.proof = true
	l.write.mu.Unlock()
	l.wake()
}

// sayBye has the link end once all that waits has left.
func (l *link) sayBye() {
	l.write.mu.Lock()
	l.write.closing = true
	l.write.mu.Unlock()
	l.wake()
}

// send writes what waits, and returns when nothing does.
func (l *link) send() {
	buf := batches.Get().(*[]byte)
	defer batches.Put(buf)
	for {
		batch, has := l.batch((*buf)[:0])
		if len(batch) == 0 {
			if l.write.state.CompareAndSwap(writerBusy, writerIdle) {
				return
			}
			l.write.state.Store(writerBusy)
			continue
		}
		if _, err := l.conn.Write(batch); err != nil {
			l.end(err)
			return
		}
		// What is small the system takes, also of a node that is frozen. Of what is large it takes little
		// before the node does.
		if now := time.Now(); has.part && now.Sub(l.write.moved) >= movedMost {
			l.write.moved = now
			l.hub.up.Moved(l.peer.id, has.bulk)
		}
		if has.last {
			l.closeWrite()
			return
		}
	}
}

// A batch says what is in so many bytes.
type batch struct {
	part bool // a part of a large frame
	bulk bool // a piece of the other lane
	last bool // nothing may follow
}

// batch takes what is to go next.
func (l *link) batch(b []byte) (_ []byte, has batch) {
	w := &l.write
	w.mu.Lock()
	for len(w.controls) > 0 && len(b) < batchSize {
		b = append(b, w.controls[0]...)
		w.waits -= len(w.controls[0])
		w.controls = w.controls[1:]
	}
	proof := w.proof
	w.proof = false
	w.mu.Unlock()
	if proof {
		b = append(b, message(msgProof, l.hub.keys.prove(l.channel, nil))...)
	}
	for now := time.Now(); len(b) < batchSize; {
		p, ok := l.queue.Next(now, pieceSize)
		if !ok {
			break
		}
		has.part = has.part || !p.First || !p.Last
		has.bulk = has.bulk || p.Lane == lanes.Bulk
		b = appendPiece(b, &p)
		if l.hub.count.BytesOut.Add(uint64(len(p.Bytes))); p.Last {
			l.hub.count.FramesOut.Add(1)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if has.last = w.closing && len(b) < batchSize && !w.bye; has.last {
		w.bye = true
		b = appendHead(b, msgBye, 0)
	}
	return b, has
}

func appendPiece(b []byte, p *lanes.Piece) []byte {
	at := len(b)
	b = p.AppendHeader(append(b, 0, 0, 0, 0))
	b = append(b, p.Bytes...)
	appendHead(b[:at], msgPiece, len(b)-at-headSize)
	return b
}

// closeWrite tells the other side that nothing follows. It hangs up then.
func (l *link) closeWrite() {
	if half, ok := l.raw.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
