package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// Pulls: a node asks a neighbour for the dots that it lacks, and the neighbour answers with deltas
// from its log and then a pong.

// pulls are what this node asks neighbours for, one pull at a time.
type pulls struct {
	current    *pullOp
	last       time.Duration // when the last one began
	gapsWait   time.Duration // until then gaps are left to the rounds
	surveyed   bool          // all neighbours were asked again before a full sync
	lastSurvey time.Duration
}

// A pullOp is a pull under way.
type pullOp struct {
	peer  uint64
	id    uint64 // of its ping
	began time.Duration
	alive time.Duration // something of the answer came last
	got   uint64        // records so far
}

func newPulls() pulls { return pulls{lastSurvey: -surveyEvery} }

// begin notes that a neighbour was asked, in a ping with an id.
func (p *pulls) begin(now delta.Instant, peer, id uint64) {
	p.current = &pullOp{peer: peer, id: id, began: now.Mono, alive: now.Mono}
	p.last = now.Mono
}

// moved notes that something has come of a neighbour, which is progress.
func (p *pulls) moved(peer uint64, at time.Duration) {
	if op := p.current; op != nil && op.peer == peer {
		op.alive = at
	}
}

// got notes that a record was repaired.
func (p *pulls) got() {
	if p.current != nil {
		p.current.got++
	}
}

// left tells that the connection to a node is gone.
func (p *pulls) left(peer uint64) {
	if p.current != nil && p.current.peer == peer {
		p.current = nil
	}
}

// expire gives up a pull that isn't answered, and says who doesn't.
func (p *pulls) expire(now delta.Instant) (peer uint64, expired bool) {
	op := p.current
	if op == nil || now.Mono-op.alive < pullTimeout && now.Mono-op.began < pullLimit {
		return 0, false
	}
	p.current = nil
	return op.peer, true
}

// endedBy reports whether a pong ends the pull, and then whether something has come of that.
func (p *pulls) endedBy(from, id uint64) (done, got bool) {
	if op := p.current; op != nil && op.peer == from && op.id == id {
		return true, op.got > 0
	}
	return false, false
}

// end ends the pull. If it has brought nothing, what is missing can't be had now.
func (p *pulls) end(now delta.Instant, got bool) {
	p.current = nil
	if !got {
		p.gapsWait = now.Mono + RoundMin
	}
}

// early reports whether gaps are better left alone for now.
func (p *pulls) early(now delta.Instant) bool {
	return now.Mono-p.last < pullEvery || now.Mono < p.gapsWait
}

// mustSurvey reports whether all neighbours are to be asked again, as what they have said may be out of
// date; then it is noted that they are.
func (p *pulls) mustSurvey(now delta.Instant) bool {
	if p.surveyed || now.Mono-p.lastSurvey < surveyEvery {
		return false
	}
	p.surveyed, p.lastSurvey = true, now.Mono
	return true
}
