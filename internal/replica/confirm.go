package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// Others are asked by pings whether they have processed what was written here. Each answers with the run
// of dots that it has processed around the one that it is asked about, and pulls what it lacks. (Pings
// and frames travel unordered, so the question is asked again until the answer is right.)

const (
	// AskEvery is how often a node is asked again whose answer isn't the one that is hoped for: after so
	// many asks that bring no news half as often, and a quarter as often in the end.
	AskEvery  = 20 * time.Millisecond
	askQuick  = 4
	askSlower = 2 // times that the interval doubles

	maxBeyond = 1024 // nodes that aren't neighbours whose answers are remembered
)

// A confirmation is what a node has said of the writes of this one.
type confirmation struct {
	upTo  uint64        // it has processed all of them up to here, from the first one on
	heard time.Duration // its last answer
	id    uint64        // of the pings that ask it
	asked time.Duration // when the last one left
	vain  int           // how many have left since there was news
}

func newConfirmation() confirmation {
	return confirmation{heard: dots.LongAgo, asked: dots.LongAgo}
}

// answer takes a node's word that it has processed the dots in (from, to], and reports whether that is
// news: then it may be asked again at once. last is the last dot that there is: who claims more doesn't
// know what it says.
func (c *confirmation) answer(now delta.Instant, from, to, last uint64) (news bool) {
	if c.heard = now.Mono; from > 0 || to <= c.upTo || to > last {
		return false
	}
	c.upTo, c.asked, c.vain = to, dots.LongAgo, 0
	return true
}

// due reports whether the node is to be asked now, and notes that it is.
func (c *confirmation) due(now delta.Instant) bool {
	wait := AskEvery << min(c.vain/askQuick, askSlower)
	if c.asked != dots.LongAgo && now.Mono-c.asked+AskEvery/4 < wait {
		return false
	}
	c.asked = now.Mono
	c.vain++
	return true
}

// A beyond is the confirmation of a node that others lead to.
type beyond struct {
	confirmation
	since time.Time // it is reached in this way
}

// confirmations are those of all nodes: each neighbour has its own, and those of others are remembered
// while there are questions. They aren't locked.
type confirmations struct {
	state      *state
	neighbours *neighbours
	standing   *standing
	out        *outgoing
	nonce      func() uint64
	progress   func() // something is confirmed, or may be

	questions int // open
	beyond    map[uint64]*beyond
}

// of returns that of a node as it is reached now; nil if it has just connected, and isn't a neighbour yet.
func (c *confirmations) of(peer, origin uint64, since time.Time) *confirmation {
	if origin != 0 {
		if p := c.neighbours.byID[peer]; p != nil && p.origin == origin {
			return &p.said
		}
		return nil
	}
	b := c.beyond[peer]
	if b == nil || !b.since.Equal(since) {
		if len(c.beyond) >= maxBeyond {
			clear(c.beyond)
		}
		b = &beyond{newConfirmation(), since}
		c.beyond[peer] = b
	}
	return &b.confirmation
}

// ask asks a node about a dot, unless it has just been asked.
func (c *confirmations) ask(now delta.Instant, peer uint64, said *confirmation, seq uint64) {
	if !said.due(now) {
		return
	}
	if p := c.neighbours.byID[peer]; p != nil {
		p.expect()
	}
	c.out.send(message{To: peer, Frame: wire.AppendPing(nil, c.question(now, said, seq))})
}

// question makes the ping that asks a node about a dot.
func (c *confirmations) question(now delta.Instant, said *confirmation, seq uint64) wire.Ping {
	if said.id == 0 {
		said.id = c.nonce()
	}
	return wire.Ping{
		ID: said.id, Origin: c.state.Origin, Seq: seq, Wall: now.Wall, Micros: now.Micros,
		Flags: wire.PingConfirm, Echo: c.state.touches.Echo(),
	}
}

// receiveBeyond takes the answer of a node that isn't a neighbour.
func (c *confirmations) receiveBeyond(now delta.Instant, from uint64, a *wire.Pong) {
	if b := c.beyond[from]; b != nil && b.id == a.ID && b.answer(now, a.From, a.To, c.state.seq) {
		c.progress()
	}
}

// receive takes that of a neighbour, to one of these pings or to any other. It may also be the answer to
// an earlier life of this node, about what that wrote: then it isn't to a ping of this one.
func (c *confirmations) receive(now delta.Instant, p *neighbour, a *wire.Pong) {
	if a.ID == 0 || a.ID != p.said.id && a.ID != p.pingID {
		return
	}
	news := p.said.answer(now, a.From, a.To, c.state.seq)
	if a.ID == p.said.id && p.handover.take(a.Flags) {
		news = true
	}
	if a.To <= c.state.seq && p.confirm(a.From, a.To) || news || !p.told {
		c.progress()
	}
}

// A Question is whether others have processed all that was written here before it. It must be ended, by
// End. Callers don't hold the lock. Of asks on behalf of Confirm, HandOver of Close.
type Question struct {
	mu      *lock
	answers *confirmations
	seq     uint64 // the last write
	began   time.Duration
	had     []dots.Entry // what this node had processed when it closed
}

// begin begins a question.
func (c *confirmations) begin(now delta.Instant, mu *lock) *Question {
	if c.questions++; c.beyond == nil {
		c.beyond = map[uint64]*beyond{}
	}
	return &Question{mu: mu, answers: c, seq: c.state.seq, began: now.Mono}
}

// End ends it.
func (q *Question) End() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.answers.questions--; q.answers.questions == 0 {
		q.answers.beyond = nil
	}
}

// Writes is how many writes it is about.
func (q *Question) Writes() uint64 { return q.seq }

// A Verdict is what a node has said to a question.
type Verdict struct {
	UpTo     uint64 // it has processed all writes up to this one, from the first one on
	All      bool   // that it is asked about
	Answered bool   // since the question began
}

// Of returns what a node says, and asks it if it hasn't confirmed all yet. If it is connected directly,
// origin says which life of it that is. Otherwise origin is 0, and since is from when on it has been
// reached through others: what it said before may have been said by another life.
func (q *Question) Of(now delta.Instant, peer, origin uint64, since time.Time) Verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	said := q.answers.of(peer, origin, since)
	if said == nil {
		return Verdict{}
	}
	v := Verdict{said.upTo, said.upTo >= q.seq, said.heard > q.began}
	if !v.All {
		// The first dot that it hasn't confirmed yet: whoever has that one says how far it goes on.
		q.answers.ask(now, peer, said, said.upTo+1)
	}
	return v
}
