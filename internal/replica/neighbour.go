package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// A neighbour is what is known of a directly connected node.
type neighbour struct {
	origin   uint64
	baseline uint64       // our seq when it connected: what came later, it gets
	covered  uint64       // it has processed everything from the baseline up to here
	said     confirmation // confirm.go
	handover              // handover.go

	claims  bool   // it has said so itself:
	claimed uint64 // of its own dots, how far they go
	recall  uint64 // they were forgotten here, and have to be got again up to here

	echoes echoLog     // echo.go
	delays propagation // propagation.go

	silence

	hearing hearing // hearing.go

	probe
	report
	serverRecord
	requests
	lateWrite
	hint hint // hint.go
}

// A probe is the last ping that a neighbour was sent.
type probe struct {
	left    delta.Instant // when it left
	pingID  uint64        // its id,
	listed  uint64        // and how far this node's vector of the neighbour went then
	full    bool          // all origins were listed in it
	pull    bool          // it has a long answer, behind which the pong comes
	listAll bool          // the neighbour wants them listed in the next one
	again   bool          // it is asked anew when it has answered
}

// A report is what a neighbour has said of itself.
type report struct {
	known    bool // it has answered a ping, and the fields below say what
	synced   bool
	joined   bool   // it has been synced at some time: it hasn't just come
	told     bool   // it has said, in a ping or a pong,
	answers  bool   // whether it answers Inquiries,
	tags     bool   // and takes offers of values with tags
	holds    bool   // it had more when it last said so, whether or not that could be had
	held     uint64 // entries
	offer    uint64 // PongLog, PongOld: it has more
	diverged bool   // it has dropped origins of which it knew something else than this node
}

// tell notes that it has told whether it is synced now, and how many entries it holds.
func (r *report) tell(synced bool, held uint64) {
	r.told, r.synced, r.held = true, synced, held
	r.joined = r.joined || synced
}

// doubt has what it offers be asked for anew.
func (r *report) doubt() { r.known, r.offer = false, 0 }

// A serverRecord is how a neighbour has done as the server of full syncs.
type serverRecord struct {
	retryAt   time.Duration // until then it isn't asked for one
	failed    int           // those in a row that were given up
	unable    bool          // since it last served one, it has failed to
	busySince time.Duration // since then it has refused to, being busy with others; 0: it hasn't
}

// fail notes that it didn't serve this node: it is left alone for a while, and longer each time.
func (s *serverRecord) fail(now delta.Instant) {
	s.unable = true
	s.retryAt = now.Mono + syncShy<<s.failed
	s.failed = min(s.failed+1, 5)
}

// refuse notes that it can't serve a full sync now. One that is busy with others, who get on, will serve
// this node too; but it isn't waited for for ever.
func (s *serverRecord) refuse(now delta.Instant, busy bool) {
	if s.retryAt = now.Mono + syncBusy; s.busySince == 0 {
		s.busySince = now.Mono
	}
	s.unable = s.unable || !busy || now.Mono-s.busySince >= syncPatience
}

// serve notes that it has served this node.
func (s *serverRecord) serve() { s.failed, s.unable, s.busySince = 0, false, 0 }

// requests are what a neighbour has asked for.
type requests struct {
	request  *wire.Ping    // a pull that Flush has to answer
	pulled   uint64        // the dots that the last one claimed
	pulledAt time.Duration // when it was answered
	began    time.Duration // when it last began a full sync from this node
}

// tooSoon reports whether what is asked for has just been sent. It waits then: an empty answer would say
// that it can't be had.
func (r *requests) tooSoon(now delta.Instant) bool {
	return r.request != nil && r.request.Claimed() == r.pulled && now.Mono < r.pulledAt+pullAgain
}

func newNeighbour(now delta.Instant, origin, seq uint64) *neighbour {
	return &neighbour{
		origin: origin, baseline: seq, covered: seq, said: newConfirmation(),
		silence:  newSilence(now.Mono),
		probe:    probe{listAll: true},
		hearing:  newHearing(),
		requests: requests{pulledAt: dots.LongAgo, began: dots.LongAgo},
	}
}

// awaited reports whether it was pinged a moment ago, and nothing has come from it since.
func (p *neighbour) awaited(now delta.Instant) bool {
	return p.heard < p.left.Mono && now.Mono < p.left.Mono+RoundMin
}

// claim notes how far a node's own dots go, if it says so itself.
func (p *neighbour) claim(origin, seq uint64) {
	if origin == p.origin {
		p.claims, p.claimed = true, max(p.claimed, seq)
	}
}

// confirm notes that it has processed this node's dots in (from, to], and reports whether that is news.
func (p *neighbour) confirm(from, to uint64) (news bool) {
	if from > p.baseline || to <= p.covered {
		return false
	}
	p.covered = to
	return true
}

// confirmed reports whether it has said that it has what was written here up to seq. One that never was
// synced has just come, and gets what there is by a full sync: what came since is enough.
func (p *neighbour) confirmed(seq uint64) bool {
	return p.said.upTo >= seq || p.told && !p.joined && p.covered >= seq
}

// holdsMore reports whether it holds what this node lacks, or hasn't said yet that it doesn't.
func holdsMore(p *neighbour) bool { return !p.known || p.holds || p.diverged }

func isSynced(p *neighbour) bool  { return p.synced }
func isUnknown(p *neighbour) bool { return !p.known }
func anyone(*neighbour) bool      { return true }
