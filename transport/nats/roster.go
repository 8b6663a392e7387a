package nats

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/lanes"
	"github.com/iwanbk/bcache/transport"
)

const (
	// maxPeers is how many other nodes are known at a time.
	maxPeers = 1024

	// maxEvents is how many events may wait for the handler until nobody is joined. Who isn't is asked again.
	maxEvents = 4 * maxPeers

	// askEvery is how often a node is asked that is there, and hasn't said hello.
	askEvery = 2 * time.Second

	// contest is for how long a node may show that it lives, after another one has claimed its PeerID: it
	// says so at once, and anyway every aliveEvery.
	contest = aliveEvery + tick

	// restFirst and restMost are how long a node isn't joined again after Disconnect: the first time, and
	// as it goes on. A link that lasts for restOver was a good one.
	restFirst = 500 * time.Millisecond
	restMost  = 32 * time.Second
	restOver  = time.Minute
)

// A roster knows who is there. A node is joined as soon as it has said hello, asked or answered: it
// listens then. Nothing waits under its lock.
type roster struct {
	self    life
	say     func(to life, k kind) // queues a message for one node; for all if to is zero
	outlet  func(to life) *outlet // makes a queue for one node
	close   func(o *outlet)       // ends it
	changed func()                // there are events
	now     func() time.Time      // the wall clock
	log     transport.Logger
	count   *counters
	budget  *budget
	direct  atomic.Int64 // how many nodes are joined

	mu     sync.Mutex
	hello  time.Time // when this node has said hello in this session; zero: it may not listen yet
	byID   map[uint64]*peer
	gone   departures
	events []event
}

// A peer is a node of which something was heard within deadAfter, in one session of it. It is under
// roster.mu, but for what never changes.
type peer struct {
	life     life
	session  uint32
	assembly *assembly
	heard    time.Time

	joined bool
	told   bool // the handler knows
	card   card
	since  time.Time // by the wall clock
	up     time.Time // as since, by the monotonic one
	out    *outlet

	ask   time.Time     // not before, this node says hello
	until time.Time     // not before, it is joined: Disconnect was called
	rest  time.Duration // after the last Disconnect

	rival   uint64 // the origin of another life that claims the PeerID; 0: none does
	rivalAt time.Time
}

// An event is what the handler should know.
type event struct {
	joined bool
	peer   *peer
	why    string // it left, for people
}

// begin begins a session: nobody is there.
func (t *roster) begin(now time.Time, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hello = time.Time{}
	for _, p := range t.byID {
		t.part(now, p, why, false)
	}
	clear(t.byID)
}

// greeted notes that this node has said hello: answers are to come.
func (t *roster) greeted(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hello = now
}

// introduced handles that a node shows its card: it listens. If this node doesn't yet, or isn't allowed to, it
// says nothing: whoever it told of itself would join it. After its hello the others answer.
func (t *roster) introduced(now time.Time, h header, c card) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.meet(now, h)
	if p == nil || now.Before(p.until) || t.hello.IsZero() {
		return
	}
	switch {
	case p.joined:
	case len(t.events) >= maxEvents:
		return
	default:
		t.join(now, p, c)
	}
	if h.kind != welcome {
		t.say(p.life, welcome)
	}
}

// alive handles that a node is there. If it hasn't said hello, that was lost.
func (t *roster) alive(now time.Time, h header) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.meet(now, h); p != nil {
		t.inquire(now, p)
	}
}

// left handles that a node counts this one as gone, or closes.
func (t *roster) left(now time.Time, h header) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byID[h.from.id]
	if p == nil || p.life != h.from || h.session < p.session {
		return
	}
	if h.kind == bye {
		t.part(now, p, "it has closed", true)
		delete(t.byID, p.life.id)
		return
	}
	p.heard = now
	p = t.part(now, p, "it has ended the connection", false)
	p.ask = now.Add(2 * askEvery) // it is going to ask
}

// piece handles a piece of a frame, which has come by a way. Of a node that isn't joined, it is taken
// too: this node may be joined there already.
func (t *roster) piece(now time.Time, h header, way int, part lanes.Piece) (frame, head []byte) {
	t.mu.Lock()
	p := t.meet(now, h)
	if p != nil {
		t.inquire(now, p)
	}
	t.mu.Unlock()
	if p == nil {
		return nil, nil
	}
	return p.assembly.add(way, part)
}

// meet finds the peer that a message is of. It is nil if the message is to be ignored.
func (t *roster) meet(now time.Time, h header) *peer {
	if h.from == t.self {
		return nil // a server that echoes
	}
	if h.from.id == t.self.id {
		if h.kind == hello {
			t.count.RefusedOther.Add(1)
			t.say(life{}, alive) // so that the others refuse it
		}
		t.log.Errorf(0, "another node has the PeerID %x of this one: each needs its own", t.self.id)
		return nil
	}
	p := t.byID[h.from.id]
	switch {
	case p == nil:
		if len(t.byID) >= maxPeers {
			t.count.RefusedOther.Add(1)
			t.log.Errorf(0, "node %x is refused: this node knows %d others, which is the most",
				h.from.id, maxPeers)
			return nil
		}
		p = t.add(h.from, h.session)
	case p.life == h.from && h.session < p.session:
		return nil
	case p.life != h.from && h.kind == piece:
		return nil
	case p.life != h.from && p.joined:
		switch h.kind {
		case hello:
			p.rival, p.rivalAt = h.from.origin, now
		case welcome:
			t.say(h.from, leave) // it has joined this node, by a hello that was for all
		}
		return nil
	case p.life != h.from:
		p.assembly.end()
		p = t.add(h.from, h.session)
	case h.session > p.session:
		p = t.part(now, p, "it was disconnected from NATS, or too slow for what was sent to it", false)
		p.session, p.rest, p.until = h.session, 0, time.Time{}
	}
	p.heard = now
	return p
}

func (t *roster) add(l life, session uint32) *peer {
	p := &peer{life: l, session: session, assembly: &assembly{budget: t.budget}}
	t.byID[l.id] = p
	return p
}

// join has a node be there.
func (t *roster) join(now time.Time, p *peer, c card) {
	p.joined, p.card, p.since, p.up, p.out = true, c, t.now(), now, t.outlet(p.life)
	delete(t.gone, p.life.id)
	t.direct.Add(1)
	t.events = append(t.events, event{joined: true, peer: p})
	t.changed()
}

// part ends what is between this node and another one, and returns the peer that takes its place.
func (t *roster) part(now time.Time, p *peer, why string, closed bool) *peer {
	if p.joined {
		if !closed {
			t.gone.note(p.life.id, departure{now, p.card.name})
		}
		p.joined = false
		t.close(p.out)
		t.direct.Add(-1)
		t.events = append(t.events, event{peer: p, why: why})
		t.changed()
	}
	p.assembly.end()
	next := t.add(p.life, p.session)
	next.heard, next.until = p.heard, p.until
	if p.up.IsZero() || now.Sub(p.up) < restOver {
		next.rest = p.rest
	}
	return next
}

// inquire asks a node that is there, and hasn't said hello.
func (t *roster) inquire(now time.Time, p *peer) {
	if p.joined || now.Before(p.ask) || now.Before(p.until) {
		return
	}
	if t.hello.IsZero() || now.Sub(t.hello) < askEvery {
		return
	}
	t.request(now, p)
}

func (t *roster) request(now time.Time, p *peer) {
	p.ask = now.Add(askEvery)
	t.say(p.life, ask)
}

// tick looks who has been silent for too long, and which PeerIDs are contested.
func (t *roster) tick(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.byID {
		switch {
		case p.rival != 0 && now.Sub(p.rivalAt) >= contest:
			t.judge(now, p)
		case now.Sub(p.heard) >= deadAfter:
			if p.joined {
				t.say(p.life, leave)
			}
			t.part(now, p, "nothing has come from it", false)
			delete(t.byID, id)
		case !p.until.IsZero() && !now.Before(p.until): // Disconnect was called
			p.until = time.Time{}
			t.request(now, p)
		}
	}
}

// judge decides which of two lives has a PeerID: the first one, if it was heard of since the other one
// came.
func (t *roster) judge(now time.Time, p *peer) {
	rival := life{p.life.id, p.rival}
	p.rival = 0
	if !p.heard.Before(p.rivalAt) {
		t.count.RefusedOther.Add(1)
		t.log.Errorf(p.life.id, "node %x is refused: its PeerID is in use by another node, at %s",
			p.life.id, linelog.Field("addr", p.card.name))
		return
	}
	t.say(p.life, leave) // it may live after all
	t.part(now, p, "another node has its PeerID", false)
	p = t.add(rival, 0)
	p.heard = now
	t.request(now, p)
}

// disconnect ends what is between this node and another one, for a while.
func (t *roster) disconnect(now time.Time, id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byID[id]
	if p == nil || !p.joined {
		return
	}
	t.say(p.life, leave)
	p = t.part(now, p, "it is disconnected", false)
	p.rest = min(max(restFirst, 2*p.rest), restMost)
	p.until = now.Add(p.rest)
}

// queue is what waits for a node, or nil.
func (t *roster) queue(id uint64) *lanes.Queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byID[id]; p != nil && p.joined {
		return p.out.queue
	}
	return nil
}

// dropped is how many frames were dropped from the queues that are in use.
func (t *roster) dropped() (n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.byID {
		if p.joined {
			n += p.out.queue.Dropped()
		}
	}
	return n
}

// take returns the events since the last call.
func (t *roster) take() []event {
	t.mu.Lock()
	defer t.mu.Unlock()
	events := t.events
	t.events = nil
	return events
}

// told notes that the handler knows of a peer.
func (t *roster) told(p *peer) {
	t.mu.Lock()
	p.told = true
	t.mu.Unlock()
}
