package bcache

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/transport"
)

// confirmTimeout is for how long Close waits until the others have what was written last.
const confirmTimeout = 2 * time.Second

// goneEvery is how often Confirm looks whether nodes that are gone are back, or have been for too long.
const goneEvery = 100 * time.Millisecond

// goneMore is for how much longer than goneFor Confirm waits for who went without a goodbye: that node
// may notice a little late, see watchEvery, that it is isolated.
const goneMore = 100 * time.Millisecond

// watchEvery is how often a node with MissWhenIsolated looks at its clocks: for so long after a freeze it
// may serve what it had.
const watchEvery = 10 * time.Millisecond

// A peer is this node as a member of its cluster: the thin shell that gives the replica time, goroutines
// and a transport. There are three goroutines: a ticker, the one that stores the time for Gets, and a
// flusher that sends what the replica has queued. While the flusher is busy, writes gather in the outbox
// and leave in one frame; while it is idle, a write leaves at once. With MissWhenIsolated there is a
// fourth one, which watches the clocks.
type peer struct {
	replica   *replica.Replica
	transport transport.Transport // nil: local only
	log       *linelog.Log
	now       func() time.Time
	start     time.Time
	elapsed   func() time.Duration // since start, if now is a clock that can be set: that sets the wall only
	goneFor   time.Duration        // so long Confirm waits for who went without a goodbye

	wake chan struct{} // the flusher has work
	said signal.Bell   // somebody may have confirmed something, or has come or gone
	news signal.Bell   // the node may be ready now
	done chan struct{}
	wg   sync.WaitGroup

	awaits *replica.Awaits // who waits for a Token
}

func newPeer(cfg replica.Config, t transport.Transport, log *linelog.Log, now func() time.Time) *peer {
	p := &peer{
		transport: t,
		log:       log,
		now:       now,
		start:     now(),
		wake:      make(chan struct{}, 1),
		done:      make(chan struct{}),
	}
	cfg.Local = t == nil
	cfg.Wake = func() { signal.Notify(p.wake) }
	cfg.Became = p.news.Ring
	cfg.Confirmed = p.said.Ring
	p.replica = replica.New(cfg)
	p.awaits = replica.NewAwaits(p.replica)
	return p
}

// run starts the goroutines and the transport. After an error nothing is left.
func (p *peer) run(n transport.Node) error {
	if p.transport != nil {
		if err := p.transport.Start(n, p); err != nil {
			return errors.Join(err, p.transport.Close())
		}
		p.wg.Go(p.flusher)
	}
	if p.replica.Isolation() != nil {
		p.wg.Go(p.watch)
	}
	p.wg.Go(p.ticker)
	p.wg.Go(func() { p.replica.Store.Clock.Run(p.done, p.wall) })
	return nil
}

// instant reads the clock, once per call of the public surface.
func (p *peer) instant() delta.Instant { return p.instantOf(p.now()) }

func (p *peer) instantOf(t time.Time) delta.Instant {
	mono := t.Sub(p.start)
	if p.elapsed != nil {
		mono = p.elapsed()
	}
	return delta.Instant{Wall: t.UnixMilli(), Mono: mono, Micros: uint16(t.Nanosecond() / 1000 % 1000)}
}

// timeAt is when something was at a monotonic time, by the wall clock as it is now: it may have been set
// since.
func (p *peer) timeAt(mono time.Duration) time.Time {
	now := p.now()
	return now.Add(mono - p.instantOf(now).Mono)
}

// wall is the real clock of Gets, see package coarse.
func (p *peer) wall() int64 { return p.now().UnixMilli() }

func (p *peer) ticker() {
	t := time.NewTicker(replica.TickEvery)
	defer t.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-t.C:
			now := p.instant()
			p.replica.Tick(now)
			for _, l := range p.replica.Late(now) {
				p.log.Errorf(l.Peer, "this node still lacks what node %x wrote %v ago: the line between them "+
					"is too slow, one of them is overloaded, or a clock is wrong",
					l.Peer, linelog.Field("took", l.By.Round(time.Second)))
			}
			if ahead := p.replica.Ahead(now); ahead > 0 {
				p.log.Errorf(0, "this node's clock was set back: "+
					"for %v the other nodes won't accept what it writes", linelog.Field("took", ahead))
			}
		}
	}
}

// watch has the node isolated in time, however quiet it is.
func (p *peer) watch() {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	isolation := p.replica.Isolation()
	for {
		select {
		case <-p.done:
			return
		case <-t.C:
			isolation.Watch(p.instant())
			p.tellIsolation(isolation.TakeNotices())
		}
	}
}

// tellIsolation logs that an isolation begins or ends.
func (p *peer) tellIsolation(notices []replica.IsolationNotice) {
	for _, n := range notices {
		switch {
		case n.Begun && n.Jump != 0:
			p.log.Errorf(0, "isolated: the clock has jumped by %v, or the machine was suspended; what is held "+
				"isn't served before other nodes have told what is missing",
				linelog.Field("took", n.Jump.Round(time.Millisecond)))
		case n.Begun:
			p.log.Errorf(0, "isolated: too few other nodes are heard from: %d, and MinPeers asks for "+
				"more; what is held isn't served, and the database is asked instead: check the network, the "+
				"other nodes, and the load here",
				n.Heard)
		default:
			p.log.Printf(0, "not isolated any more: other nodes that are heard from: %d; it lasted %v",
				n.Heard, linelog.Field("took", n.Took.Round(time.Millisecond)))
			p.news.Ring()
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
	broadcasts, sends := p.replica.Flush(p.instant())
	for _, frame := range broadcasts {
		p.transport.Broadcast(frame)
	}
	for _, m := range sends {
		if m.Answer {
			p.transport.Supersede(m.To)
		}
		if err := p.transport.Send(m.To, m.Frame, m.Bulk); err != nil {
			p.log.Debugf(m.To, "a message to node %x wasn't sent: %v", m.To, linelog.Field("err", err))
		}
	}
	for _, c := range p.replica.TakeCuts() {
		p.log.Errorf(c.Peer, "the connection to node %x is cut: %s", c.Peer, linelog.Field("reason", c.Reason))
		p.transport.Disconnect(c.Peer)
	}
	p.announce(p.replica.TakeNotices())
}

// announce logs how the node has come to be synced.
func (p *peer) announce(notices []replica.SyncNotice) {
	for _, n := range notices {
		switch failed := p.transport.Unreached(); {
		case n.From != 0:
			p.log.Printf(n.From, "synced with node %x: %d keys in %v", n.From, linelog.Field("keys", n.Keys),
				linelog.Field("took", n.Took.Round(time.Millisecond)))
		case n.Others > 0:
			p.log.Printf(0, "declares itself synced, as the first of those that are reached; others: %d", n.Others)
		case len(failed) == 0:
			p.log.Printf(0, "declares itself synced: its Peers lead to no other node")
		default:
			p.log.Errorf(0, "declares itself synced: no other node is reached for %v: %s",
				linelog.Field("took", n.Took.Round(time.Second)),
				linelog.Field("reason", linelog.List(failed, 8, "and %d more")))
		}
	}
}

// Receive implements Handler. It applies the frame on the transport's
// goroutine, so that TCP's flow control is the only queue; what is to be
// answered, the flusher sends.
func (p *peer) Receive(from uint64, frame []byte) {
	switch err := p.replica.Receive(p.instant(), from, frame); {
	case errors.Is(err, replica.ErrFuture):
		p.log.Errorf(from, "refused writes from node %x, check the clocks: %v",
			from, linelog.Field("err", err))
	case err != nil:
		p.log.Errorf(from, "dropped a frame of %d bytes from node %x: %v",
			linelog.Field("bytes", len(frame)), from, linelog.Field("err", err))
	}
	p.awaits.Tell()
}

// Moved implements Handler.
func (p *peer) Moved(id uint64, bulk bool) { p.replica.Moved(p.instant(), id, bulk) }

// Arriving implements Handler.
func (p *peer) Arriving(from uint64, head []byte) { p.replica.Arriving(p.instant(), from, head) }

// Joined implements Handler.
func (p *peer) Joined(id, origin uint64) {
	p.replica.Joined(p.instant(), id, origin)
	p.news.Ring()
	p.said.Ring()
}

// Left implements Handler.
func (p *peer) Left(id uint64) {
	p.replica.Left(p.instant(), id)
	p.said.Ring()
	p.awaits.Tell()
}

// close announces the last write, waits until the neighbours have it, and ends
// everything.
func (p *peer) close() error {
	p.replica.Close()
	p.replica.Isolation().Close()
	close(p.done)
	p.wg.Wait()
	var err error
	if p.transport != nil {
		if missing := p.confirm(); len(missing) > 0 {
			err = fmt.Errorf("%w: within %v not by %s", ErrUnconfirmed, confirmTimeout, nodeList(missing))
		}
		p.replica.Drop() // who has said goodbye serves nothing any more
		err = errors.Join(err, p.transport.Close())
	} else {
		p.replica.Drop()
	}
	return err
}

// confirm waits until every neighbour has what was written here, and returns
// those that don't say so in time.
func (p *peer) confirm() (missing []uint64) {
	timeout := time.NewTimer(confirmTimeout)
	defer timeout.Stop()
	again := time.NewTicker(replica.AskEvery)
	defer again.Stop()
	q := p.replica.Ask(p.instant())
	defer q.End()
	for {
		said := p.said.Next()
		missing = q.HandOver(p.instant())
		p.flush()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-timeout.C:
			return missing
		case <-again.C:
		case <-said:
		case <-p.wake: // somebody pulls what it lacks
		}
	}
}

// unconfirmed lists who hasn't confirmed yet, after asking each again that can be, and says when it is
// worth while to look again.
func (p *peer) unconfirmed(q *replica.Question) (missing []lack, again time.Duration) {
	if again = goneEvery; p.transport == nil {
		return nil, again
	}
	now := p.instant()
	for _, one := range p.transport.Everybody(p.goneFor + goneMore) {
		l := lack{Presence: one}
		if !one.Gone {
			if l.said = q.Of(now, one.ID, one.Origin, one.Since); l.said.All {
				continue
			}
			again = replica.AskEvery
		}
		missing = append(missing, l)
	}
	return missing, again
}

func nodeList(ids []uint64) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = fmt.Sprintf("%x", id)
	}
	if len(names) == 1 {
		return "node " + names[0]
	}
	return "nodes " + strings.Join(names, ", ")
}
