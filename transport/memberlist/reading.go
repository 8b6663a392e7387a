package memberlist

import (
	"bufio"
	"io"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/transport/lanes"
)

const (
	readBuffer = 4 << 10
	maxMessage = lanes.PieceSize + lanes.HeaderSize
	maxHead    = 256 // bytes of a frame under way that say what it is
)

var messages = sync.Pool{New: func() any {
	b := make([]byte, maxMessage)
	return &b
}}

// A reading is what has come by a link in part. It is the reader's.
type reading struct {
	pieces lanes.Assembler
	moved  time.Time
}

// receive takes what comes, until the connection ends or makes no sense.
func (l *link) receive() error {
	in := bufio.NewReaderSize(l.conn, readBuffer)
	for {
		head, err := in.Peek(headSize)
		if err != nil {
			return cutOff(err)
		}
		typ, size := parseHead(head)
		_, _ = in.Discard(headSize)
		if size > maxMessage {
			return errMessage
		}
		if err := l.body(in, typ, size); err != nil {
			return err
		}
	}
}

// body reads the body of a message and takes it.
func (l *link) body(in *bufio.Reader, typ byte, size int) error {
	if size <= readBuffer {
		b, err := in.Peek(size)
		if err != nil {
			return cutOff(err)
		}
		defer func() { _, _ = in.Discard(size) }()
		return l.take(typ, b)
	}
	buf := messages.Get().(*[]byte)
	defer messages.Put(buf)
	b := (*buf)[:size]
	if _, err := io.ReadFull(in, b); err != nil {
		return cutOff(err)
	}
	return l.take(typ, b)
}

// cutOff says it for people.
func cutOff(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errHungUp
	}
	return err
}

// take deals with a message, whose bytes change afterwards. A type that isn't known is no error. Of what was
// read when the link has ended only a goodbye counts.
func (l *link) take(typ byte, b []byte) error {
	if !l.heard() && typ != msgBye {
		return nil
	}
	switch typ {
	case msgPiece:
		return l.piece(b)
	case msgPacket:
		l.hub.gossip.arrived(b, l.raw.RemoteAddr())
	case msgAsk:
		l.control(msgHere, nil)
	case msgProof:
		return l.provedBy(b)
	case msgBye:
		l.mu.Lock()
		l.said = true
		l.mu.Unlock()
		return errBye
	}
	return nil
}

// piece takes a piece of a frame.
func (l *link) piece(b []byte) error {
	p, err := lanes.ParsePiece(b)
	if err != nil {
		return err
	}
	h, r := l.hub, &l.read
	frame, head := r.pieces.Add(p)
	if frame != nil {
		h.count.FramesIn.Add(1)
		h.count.BytesIn.Add(uint64(len(frame)))
		h.up.Receive(l.peer.id, frame)
		return nil
	}
	if now := time.Now(); now.Sub(r.moved) >= movedMost {
		r.moved = now
		if head != nil && p.Lane == lanes.Bulk {
			h.up.Arriving(l.peer.id, head[:min(len(head), maxHead)])
		} else {
			h.up.Moved(l.peer.id, false)
		}
	}
	return nil
}
