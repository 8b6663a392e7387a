package nats

import (
	"context"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/internal/transport/lanes"
)

// maxLetters is how many messages without frames wait at most. Whoever lacks one asks again.
const maxLetters = 8 * maxPeers

// A publisher is what waits to be published, and the goroutine that does it: nats.go may write on the
// goroutine that publishes. Messages without frames come first, then all that have frames in turns, a
// piece each: so nobody's bulk holds up the others for long.
type publisher struct {
	publish func(subject string, message []byte) error
	most    func() int // bytes that a message may have
	count   *counters
	from    life
	more    chan struct{}

	mu      sync.Mutex
	session uint32
	letters []letter
	ready   []*outlet // what has something
	all     *outlet
	end     chan struct{} // not nil: closed as soon as nothing waits any more
}

// A letter is a message that has no frame.
type letter struct {
	subject string
	message []byte
}

// An outlet is a queue of frames, for one node or for all.
type outlet struct {
	subject string
	queue   *lanes.Queue
	to      func() int // how many nodes it reaches
	listed  bool       // in ready
}

func newPublisher(from life, count *counters) *publisher {
	return &publisher{from: from, count: count, more: make(chan struct{}, 1)}
}

// outlet makes a queue of so many bytes at most.
func (p *publisher) outlet(subject string, most int, to func() int) *outlet {
	o := &outlet{subject: subject, to: to}
	o.queue = lanes.New(most, func() { p.list(o) })
	return o
}

// list notes that something waits in an outlet.
func (p *publisher) list(o *outlet) {
	p.mu.Lock()
	if !o.listed {
		o.listed = true
		p.ready = append(p.ready, o)
	}
	p.mu.Unlock()
	signal.Notify(p.more)
}

// begin begins a session: what has waited in the one before is dropped, but for what waits for a node,
// see close.
func (p *publisher) begin(session uint32, all *outlet) {
	p.mu.Lock()
	before := p.all
	p.session, p.all, p.letters = session, all, nil
	p.mu.Unlock()
	if before != nil {
		p.close(before)
	}
}

// close drops what waits in an outlet.
func (p *publisher) close(o *outlet) {
	o.queue.Close()
	p.count.Dropped.Add(o.queue.Dropped())
}

// broadcast queues a frame for all nodes.
func (p *publisher) broadcast(frame []byte) {
	p.mu.Lock()
	all := p.all
	p.mu.Unlock()
	if all != nil {
		_ = all.queue.Broadcast(time.Now(), frame)
	}
}

// say queues a message that has no frame, for all or for one node.
func (p *publisher) say(subject string, k kind, body func(b []byte) []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.letters) >= maxLetters || p.end != nil {
		return
	}
	b := header{k, p.from, p.session}.append(nil)
	if body != nil {
		b = body(b)
	}
	p.letters = append(p.letters, letter{subject, b})
	signal.Notify(p.more)
}

// finish publishes a last letter behind all that waits. ended is closed then; nothing more is said.
func (p *publisher) finish(subject string, k kind) (ended <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = make(chan struct{})
	p.letters = append(p.letters, letter{subject, header{k, p.from, p.session}.append(nil)})
	signal.Notify(p.more)
	return p.end
}

// run publishes until the end.
func (p *publisher) run(ctx context.Context) {
	var buf []byte
	for {
		select {
		case <-p.more:
		case <-ctx.Done():
			return
		}
		for p.next(&buf) {
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// next publishes one message, and reports whether there was one.
func (p *publisher) next(buf *[]byte) bool {
	p.mu.Lock()
	last := p.end != nil
	// The last letter is that of finish.
	if n := len(p.letters); n > 1 || n == 1 && (!last || len(p.ready) == 0) {
		l := p.letters[0]
		p.letters = p.letters[1:]
		if len(p.letters) == 0 {
			p.letters = nil
		}
		p.mu.Unlock()
		_ = p.publish(l.subject, l.message)
		if last && n == 1 {
			close(p.end)
		}
		return true
	}
	if len(p.ready) == 0 {
		p.mu.Unlock()
		return false
	}
	o := p.ready[0]
	p.ready[0] = nil
	p.ready = p.ready[1:]
	o.listed = false
	h := header{piece, p.from, p.session}
	p.mu.Unlock()

	most := min(lanes.PieceSize, p.most()-headerSize-lanes.HeaderSize)
	part, ok := o.queue.Next(time.Now(), max(1, most))
	if !ok {
		return true
	}
	*buf = append(part.AppendHeader(h.append((*buf)[:0])), part.Bytes...)
	err := p.publish(o.subject, *buf)
	if o.queue.Len() > 0 {
		p.list(o)
	}
	if err == nil {
		p.count.sent(part, o.to())
	}
	return true
}
