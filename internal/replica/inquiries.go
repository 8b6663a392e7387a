package replica

import (
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/wire"
)

const (
	// maxInquiries is how many of this node's inquiries may be open at a time.
	maxInquiries = 16

	// maxReports is how many inquiries a node answers at once, and reportEvery how long it takes until
	// it may answer one more.
	maxReports  = 100
	reportEvery = 10 * time.Millisecond
)

// Inquiries are the questions that operators ask about keys: those of this node to others, and theirs
// to this one. Callers don't hold the lock.
type Inquiries struct {
	mu         *lock
	state      *state
	neighbours *neighbours
	leases     *Leases
	pinger     *pinger
	out        *outgoing

	open   []*Inquiry
	spent  int           // reports, of maxReports
	earned time.Duration // when the last one was paid back
}

// An Inquiry is what other nodes are asked about a key, and what they have answered. It must be ended,
// by End.
type Inquiry struct {
	id      uint64
	wake    func() // under the lock: there is an answer
	waiting []uint64
	answers []Answer
}

// An Answer is that of one node.
type Answer struct {
	Peer uint64
	wire.Report
}

// Answers reports whether a node can be asked, and if not, whether it has said so: one of an older
// version can't, and one that has just connected may be of one.
func (x *Inquiries) Answers(peer uint64) (answers, refuses bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.neighbours.byID[peer]
	if p == nil {
		return true, false
	}
	return p.answers, p.told && !p.answers
}

// Ask asks some nodes about a key, and with values for its value. wake is called, under the lock, when
// there is an answer. It returns nil if too many inquiries are open.
func (x *Inquiries) Ask(key string, values bool, peers []uint64, wake func()) *Inquiry {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.open) >= maxInquiries {
		return nil
	}
	q := &Inquiry{id: x.pinger.nonce(), wake: wake, waiting: slices.Clone(peers)}
	x.open = append(x.open, q)
	m := wire.Inquiry{ID: q.id, Origin: x.state.Origin, Key: key}
	if values {
		m.Flags = wire.InquiryValue
	}
	frame := wire.AppendInquiry(nil, &m)
	for _, peer := range peers {
		x.out.send(message{To: peer, Frame: frame})
		if p := x.neighbours.byID[peer]; p != nil {
			p.expect()
		}
	}
	return q
}

// Answered returns what has been answered so far, and who hasn't.
func (x *Inquiries) Answered(q *Inquiry) (answers []Answer, waiting []uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(q.answers), slices.Clone(q.waiting)
}

// End has no more answers taken.
func (x *Inquiries) End(q *Inquiry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open = slices.DeleteFunc(x.open, func(o *Inquiry) bool { return o == q })
}

// Report is what this node knows of a key.
func (x *Inquiries) Report(now delta.Instant, key string, values bool) wire.Report {
	in := x.state.Store.Inspect(key)
	r := wire.Report{
		Origin: x.state.Origin, Wall: now.Wall, Floor: in.Floor,
		ClearStamp: in.Clear.Stamp, ClearOrigin: in.Clear.Origin, TagFloor: in.TagFloor,
		Fills: uint64(in.Fills),
	}
	if x := in.Selected; x.Selector != "" {
		r.KeyClear = &wire.KeyClear{Selector: x.Selector, Version: x.Version, Wall: x.Wall}
	}
	if in.Held {
		r.Held = heldOf(&in.Record, values)
	}
	if in.IsProvisional {
		r.Beside = heldOf(&in.Provisional, values)
	}
	if in.Cleared {
		r.Flags |= wire.ReportCleared
	}
	if in.Beside {
		r.Flags |= wire.ReportBeside
	}
	if in.Hidden {
		r.Flags |= wire.ReportIsolated
	}
	if in.Ended {
		r.Flags |= wire.ReportEnded
	}
	for _, d := range in.Decisions {
		said := wire.Decision{What: uint64(d.Kind), Wall: d.Wall, Stamp: d.Stamp}
		if d.Provisional {
			said.Flags = wire.DecisionProvisional
		}
		r.Decisions = append(r.Decisions, said)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	r.Granter, _ = lease.Granter(key, leaseLink{x.leases}.Granters())
	if h, ok := x.leases.table.Holder(key); ok {
		r.Holder = h.Peer
	}
	return r
}

func heldOf(rec *delta.Record, values bool) *wire.Held {
	h := &wire.Held{
		Kind: rec.Kind, Version: rec.Version, Size: uint64(len(rec.Key) + len(rec.Val)),
		Deadline: rec.Deadline, StaleUntil: rec.StaleUntil, RefreshFrom: rec.RefreshFrom, Tags: rec.Tags,
	}
	if values {
		h.Val = rec.Val[:min(len(rec.Val), wire.MaxReportValue)]
	}
	return h
}

// receiveInquiry answers another node's.
func (x *Inquiries) receiveInquiry(now delta.Instant, from uint64, q wire.Inquiry) {
	r := wire.Report{Origin: x.state.Origin, Wall: now.Wall, Flags: wire.ReportBusy}
	if x.pay(now) {
		r = x.Report(now, q.Key, q.Flags&wire.InquiryValue != 0)
	}
	r.ID = q.ID
	frame := wire.AppendReport(nil, &r)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.out.send(message{To: from, Frame: frame})
}

// pay reports whether the node may answer one more.
func (x *Inquiries) pay(now delta.Instant) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	earned := (now.Mono - x.earned) / reportEvery
	x.spent -= int(min(earned, time.Duration(x.spent)))
	x.earned += earned * reportEvery
	if x.spent >= maxReports {
		return false
	}
	x.spent++
	return true
}

// receiveReport takes an answer.
func (x *Inquiries) receiveReport(from uint64, r wire.Report) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, q := range x.open {
		i := slices.Index(q.waiting, from)
		if q.id != r.ID || i < 0 {
			continue
		}
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.answers = append(q.answers, Answer{from, r})
		q.wake()
	}
}

// Lives lists this node and its neighbours by their origins.
func (x *Inquiries) Lives() map[uint64]uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	lives := map[uint64]uint64{x.state.Origin: x.leases.id}
	for peer, p := range x.neighbours.all() {
		lives[p.origin] = peer
	}
	return lives
}
