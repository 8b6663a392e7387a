package e2e_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/keyhash"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// The frames of earlier releases mean what they meant to those, for ever.
func TestRecordedFrames(t *testing.T) {
	for _, r := range recordings(t) {
		t.Run(r.name, func(t *testing.T) {
			types := map[byte]bool{}
			for _, f := range r.frames {
				meaning, err := meaningOf(f.Frame)
				if err != nil || !reflect.DeepEqual(meaning, f.Meaning) {
					t.Errorf("%x\nmeans %v, %v\nmeant %v", f.Frame, meaning, err, f.Meaning)
				}
				typ, _ := wire.FrameType(f.Frame)
				types[typ] = true
			}
			if len(types) < int(wire.FrameReport) {
				t.Errorf("there are only frames of %v", types)
			}
		})
	}
}

// A node of this version that is told what one of an earlier release was told, by nodes of that release,
// ends with what that one had: by a full sync, deltas, repairs and offers.
func TestRecordedSession(t *testing.T) {
	for _, r := range recordings(t) {
		t.Run(r.name, func(t *testing.T) {
			p := newReplay(t, r.events)
			for _, e := range r.events {
				p.step(e)
			}
			sum, settled := p.replica.Processed()
			if end := (ending{sum, p.replica.Store.Len()}); end != r.end || !settled {
				t.Errorf("the session ends with %+v, %v, want %+v", end, settled, r.end)
			}
			n := p.counts
			t.Logf("%+v", n)
			least := min(n.chunksIn, n.chunksOut, n.held, n.deleted, n.beside, n.floors)
			if least < 2 {
				t.Errorf("the session hasn't enough: %+v", n)
			}
		})
	}
}

// A replay drives a Replica in the place of the node subject.
type replay struct {
	t        *testing.T
	replica  *replica.Replica
	start    int64 // Unix microseconds
	ticks    int64
	pings    map[uint64][][]byte // nonces of those that weren't answered, by PeerID
	sessions map[uint64][]byte   // nonces of full syncs, likewise
	told     map[uint64]wire.Report
	counts   replayCounts
}

// replayCounts say what the replica was told, has told, and was asked about in the end.
type replayCounts struct {
	chunksIn, chunksOut, held, deleted, beside, floors int
}

func newReplay(t *testing.T, events []event) *replay {
	t.Helper()
	p := &replay{
		t: t, pings: map[uint64][][]byte{}, sessions: map[uint64][]byte{}, told: map[uint64]wire.Report{},
	}
	for _, e := range events {
		if e.Node == subject && e.What == eventStarts {
			p.start = e.At
			p.replica = replica.New(replica.Config{
				ID: subject, Origin: e.Origin, MaxSkew: 500 * time.Millisecond, LogSize: 1 << 16,
				SyncTimeout: replica.DefaultSyncTimeout, Wake: func() {}, Changed: func(string, delta.Kind) {},
				Store: store.Config{MaxKeys: 1000, DeletionDelay: 100 * time.Second, Seed: 1,
					Hash: keyhash.Hash{Replay: 1}},
			})
			return p
		}
	}
	t.Fatalf("node %d never starts", subject)
	return nil
}

func (p *replay) instant(at int64) delta.Instant {
	mono := time.Duration(at-p.start) * time.Microsecond
	return delta.Instant{Wall: at / 1000, Micros: uint16(at % 1000), Mono: mono}
}

// step does what an event says, and before it the ticks that were due.
func (p *replay) step(e event) {
	p.t.Helper()
	if e.Node != subject {
		p.compare(e)
		return
	}
	every := replica.TickEvery.Microseconds()
	for at := p.start + every*(p.ticks+1); at <= e.At; at += every {
		p.ticks++
		p.replica.Tick(p.instant(at))
		p.flush(p.instant(at))
	}
	now := p.instant(e.At)
	switch e.What {
	case eventJoined:
		p.replica.Joined(now, e.From, e.Origin)
	case eventLeft:
		p.replica.Left(now, e.From)
	case eventFrame:
		if frame := p.answering(e.From, e.Frame); frame != nil {
			if err := p.replica.Receive(now, e.From, frame); err != nil {
				p.t.Errorf("%x: %v", e.Frame, err)
			}
		}
	}
	p.flush(now)
}

// flush notes the nonces of what the replica sends, and what it tells.
func (p *replay) flush(now delta.Instant) {
	_, sends := p.replica.Flush(now)
	for _, m := range sends {
		switch m.Frame[1] {
		case wire.FramePing:
			p.pings[m.To] = append(p.pings[m.To], nonce(m.Frame))
		case wire.FrameAsk:
			p.sessions[m.To] = nonce(m.Frame)
		case wire.FrameChunk:
			p.counts.chunksOut++
		case wire.FrameReport:
			report, err := wire.DecodeReport(m.Frame)
			testkit.Ok(p.t, err)
			p.told[report.ID] = report
		}
	}
}

// answering puts the nonce of what this replica has asked into a recorded answer, as it is another one
// each time. It returns nil for the answer to what wasn't asked.
func (p *replay) answering(from uint64, frame []byte) []byte {
	switch frame = slices.Clone(frame); frame[1] {
	case wire.FramePong:
		if len(p.pings[from]) == 0 {
			return nil
		}
		copy(nonce(frame), p.pings[from][0])
		p.pings[from] = p.pings[from][1:]
	case wire.FrameChunk:
		copy(nonce(frame), p.sessions[from])
		p.counts.chunksIn++
	}
	return frame
}

// nonce is the first field of a frame that asks or answers, after a tag of one byte.
func nonce(frame []byte) []byte { return frame[3:11] }

// add counts what a report has.
func (n *replayCounts) add(r *wire.Report) {
	switch {
	case r.Held == nil:
	case r.Held.Kind == delta.KindTombstone:
		n.deleted++
	default:
		n.held++
	}
	if r.Beside != nil {
		n.beside++
	}
	if r.Floor > 0 {
		n.floors++
	}
}

// compare looks whether a report that the recorded subject gave is the one that the replica has given.
func (p *replay) compare(e event) {
	p.t.Helper()
	if e.What != eventFrame || e.From != subject || e.Frame[1] != wire.FrameReport {
		return
	}
	want, err := wire.DecodeReport(e.Frame)
	testkit.Ok(p.t, err)
	got, given := p.told[want.ID]
	if !given {
		p.t.Errorf("inquiry %x isn't answered", want.ID)
		return
	}
	p.counts.add(&got)
	got.Decisions, want.Decisions = nil, nil // they are for people
	if !reflect.DeepEqual(got, want) {
		p.t.Errorf("it tells %+v %+v %+v\nit told %+v %+v %+v", got, got.Held, got.Beside, want, want.Held,
			want.Beside)
	}
}
