package bcache

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	tickEvery      = time.Second
	confirmTimeout = 2 * time.Second
	confirmEvery   = 20 * time.Millisecond
)

// A peer is this node as a member of its cluster: the thin shell that gives
// the replica time, goroutines and a transport. There are two goroutines: a
// ticker, and a flusher that sends what the replica has queued. While the
// flusher is busy, writes gather in the outbox and leave in one frame; while it
// is idle, a write leaves at once.
type peer struct {
	replica   *replica
	transport transport // nil: local only
	log       *lineLog
	now       func() time.Time
	start     time.Time

	wake chan struct{} // the flusher has work
	ping chan struct{} // a pong or a departure may have confirmed something
	news bell          // the node may be ready now
	done chan struct{}
	wg   sync.WaitGroup
}

func newPeer(cfg replicaConfig, t transport, log *lineLog, now func() time.Time) *peer {
	p := &peer{
		transport: t,
		log:       log,
		now:       now,
		start:     now(),
		wake:      make(chan struct{}, 1),
		ping:      make(chan struct{}, 1),
		done:      make(chan struct{}),
	}
	cfg.local = t == nil
	cfg.wake = func() { notify(p.wake) }
	cfg.became = p.news.ring
	p.replica = newReplica(cfg)
	return p
}

// run starts the goroutines and the transport. After an error nothing is left.
func (p *peer) run() error {
	if p.transport != nil {
		if err := p.transport.Start(p); err != nil {
			return errors.Join(err, p.transport.Close())
		}
		p.wg.Go(p.flusher)
	}
	p.wg.Go(p.ticker)
	return nil
}

// instant reads the clock, once per call of the public surface.
func (p *peer) instant() instant { return p.instantOf(p.now()) }

func (p *peer) instantOf(t time.Time) instant {
	return instant{wall: t.UnixMilli(), mono: t.Sub(p.start)}
}

// wall is the clock that a Get of an entry with a deadline reads.
func (p *peer) wall() int64 { return p.now().UnixMilli() }

func (p *peer) ticker() {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-t.C:
			now := p.instant()
			p.replica.tick(now)
			for _, l := range p.replica.late(now) {
				p.log.Errorf(l.peer, "this node still lacks what node %x wrote %v ago: the line between them "+
					"is too slow, one of them is overloaded, or a clock is wrong", l.peer, l.by.Round(time.Second))
			}
			if ahead := p.replica.ahead(now); ahead > 0 {
				p.log.Errorf(0, "this node's clock was set back: "+
					"for %v the other nodes won't accept what it writes", ahead)
			}
		}
	}
}

func (p *peer) flusher() {
	for {
		select {
		case <-p.done:
			return
		case <-p.wake:
			p.flush()
		}
	}
}

// flush sends what is queued. Only one goroutine at a time may call it.
func (p *peer) flush() {
	broadcasts, sends := p.replica.flush(p.instant())
	for _, frame := range broadcasts {
		p.transport.Broadcast(frame)
	}
	for _, m := range sends {
		if m.answer {
			p.transport.Supersede(m.to)
		}
		if err := p.transport.Send(m.to, m.frame, m.bulk); err != nil {
			p.log.Debugf(m.to, "a message to node %x wasn't sent: %v", m.to, err)
		}
	}
	for _, c := range p.replica.takeCuts() {
		p.log.Errorf(c.peer, "the connection to node %x is cut: %s", c.peer, c.reason)
		p.transport.Disconnect(c.peer)
	}
	p.announce(p.replica.takeNotices())
}

// announce logs how the node has come to be synced.
func (p *peer) announce(notices []syncNotice) {
	for _, n := range notices {
		switch failed := p.transport.Unreached(); {
		case n.from != 0:
			took := n.took.Round(time.Millisecond)
			p.log.Printf(n.from, "synced with node %x: %d keys in %v", n.from, n.keys, took)
		case n.others > 0:
			p.log.Printf(0, "declares itself synced, as the first of those that are reached: %d other nodes",
				n.others)
		case len(failed) == 0:
			p.log.Printf(0, "declares itself synced: its Peers lead to no other node")
		default:
			p.log.Errorf(0, "declares itself synced: no other node is reached for %v: %s",
				n.took.Round(time.Second), failureList(failed, 8, "and %d more"))
		}
	}
}

// Receive implements transportHandler. It applies the frame on the transport's
// goroutine, so that TCP's flow control is the only queue; what is to be
// answered, the flusher sends.
func (p *peer) Receive(from uint64, frame []byte) {
	switch err := p.replica.receive(p.instant(), from, frame); {
	case errors.Is(err, errFuture):
		p.log.Errorf(from, "refused writes from node %x, check the clocks: %v", from, err)
	case err != nil:
		p.log.Errorf(from, "dropped a frame of %d bytes from node %x: %v", len(frame), from, err)
	}
	notify(p.ping)
}

// Moved implements transportHandler.
func (p *peer) Moved(id uint64, bulk bool) { p.replica.moved(p.instant(), id, bulk) }

// Arriving implements transportHandler.
func (p *peer) Arriving(from uint64, head []byte) { p.replica.arriving(p.instant(), from, head) }

// Joined implements transportHandler.
func (p *peer) Joined(id, origin uint64) {
	p.replica.joined(p.instant(), id, origin)
	p.news.ring()
}

// Left implements transportHandler.
func (p *peer) Left(id uint64) {
	p.replica.left(p.instant(), id)
	notify(p.ping)
}

// close announces the last write, waits until the neighbours have it, and ends
// everything.
func (p *peer) close() error {
	p.replica.close()
	close(p.done)
	p.wg.Wait()
	var err error
	if p.transport != nil {
		if missing := p.confirm(); len(missing) > 0 {
			err = fmt.Errorf("%w: no answer within %v from %s", ErrUnconfirmed, confirmTimeout, nodeList(missing))
		}
		err = errors.Join(err, p.transport.Close())
	}
	p.replica.store.close()
	return err
}

// confirm waits until every neighbour has what was written here, and returns
// those that don't say so in time.
func (p *peer) confirm() (missing []uint64) {
	timeout := time.NewTimer(confirmTimeout)
	defer timeout.Stop()
	again := time.NewTicker(confirmEvery)
	defer again.Stop()
	for {
		missing = p.replica.askUnconfirmed(p.instant())
		p.flush()
		if len(missing) == 0 {
			return nil
		}
		for answered := false; !answered; {
			select {
			case <-timeout.C:
				return missing
			case <-again.C:
				answered = true
			case <-p.ping:
				answered = len(p.replica.unconfirmed()) == 0
			}
		}
	}
}

func nodeList(ids []uint64) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = fmt.Sprintf("%x", id)
	}
	return "nodes " + strings.Join(names, ", ")
}

// notify wakes whoever waits on c, or will.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
