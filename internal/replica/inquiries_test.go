package replica

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// sent returns the inquiries and reports that wait to be sent, with whom they are for.
func sent(t *testing.T, r *Replica) (to []uint64, frames [][]byte) {
	t.Helper()
	for _, m := range r.out.messages {
		if typ, err := wire.FrameType(m.Frame); err != nil {
			t.Fatal(err)
		} else if typ == wire.FrameInquiry || typ == wire.FrameReport {
			to, frames = append(to, m.To), append(frames, m.Frame)
		}
	}
	r.out.messages = nil
	return to, frames
}

// A neighbour of an older version isn't asked. Of one that isn't connected nothing is known.
func TestInquiriesKnowWhoAnswers(t *testing.T) {
	g := newRig(t, 2, nil)
	r, now := g.replicas[0], g.now()
	ping := wire.Ping{ID: 1, Origin: 101, Flags: wire.PingContext}
	if answers, refuses := r.Asked.Answers(1); answers || refuses {
		t.Errorf("one that has said nothing: answers %v, refuses %v", answers, refuses)
	}
	for _, flags := range []uint64{0, wire.PingAnswers, 0} {
		ping.Flags = wire.PingContext | flags
		testkit.Must(t, r.Receive(now, 1, wire.AppendPing(nil, ping)))
		if answers, refuses := r.Asked.Answers(1); answers != (flags != 0) || refuses == answers {
			t.Errorf("a ping with flags %d: answers %v, refuses %v", flags, answers, refuses)
		}
	}
	testkit.Must(t, r.Receive(now, 1, wire.AppendPong(nil, wire.Pong{Origin: 101, Flags: wire.PongAnswers})))
	for _, id := range []uint64{1, 9} {
		if answers, refuses := r.Asked.Answers(id); !answers || refuses {
			t.Error("one that said so in a pong, and one that isn't connected, can be asked")
		}
	}
}

// So many may be open, and only who was asked may answer, once.
func TestInquiriesAreBounded(t *testing.T) {
	g := newRig(t, 2, nil)
	r, now, woken := g.replicas[0], g.now(), 0
	var open []*Inquiry
	for range maxInquiries {
		q := r.Asked.Ask("k", false, []uint64{1, 9}, func() { woken++ })
		if q == nil {
			t.Fatalf("only %d may be open", len(open))
		}
		open = append(open, q)
	}
	if r.Asked.Ask("k", false, []uint64{1}, nil) != nil {
		t.Error("there is no bound")
	}
	q := open[3]
	for _, from := range []uint64{1, 1, 7} {
		testkit.Must(t, r.Receive(now, from, wire.AppendReport(nil, &wire.Report{ID: q.id, Origin: 101})))
	}
	testkit.Must(t, r.Receive(now, 1, wire.AppendReport(nil, &wire.Report{ID: q.id + 1, Origin: 101})))
	answers, waiting := r.Asked.Answered(q)
	if len(answers) != 1 || answers[0].Peer != 1 || len(waiting) != 1 || waiting[0] != 9 || woken != 1 {
		t.Errorf("%d answers, %v waited for, woken %d times", len(answers), waiting, woken)
	}
	r.Asked.End(q)
	testkit.Must(t, r.Receive(now, 9, wire.AppendReport(nil, &wire.Report{ID: q.id, Origin: 109})))
	if answers, _ := r.Asked.Answered(q); len(answers) != 1 {
		t.Error("it takes answers after its end")
	}
	if r.Asked.Ask("k", false, []uint64{1}, nil) == nil {
		t.Error("an end makes no room")
	}
}

// A node answers so many at once, and then one every 10 ms; beyond that it says that it is busy.
func TestReportsAreBounded(t *testing.T) {
	g := newRig(t, 2, nil)
	r, now := g.replicas[0], g.now()
	ask := func(n int) (answered, busy int) {
		for range n {
			frame := wire.AppendInquiry(nil, &wire.Inquiry{ID: 5, Origin: 101, Key: "k"})
			testkit.Must(t, r.Receive(now, 1, frame))
		}
		to, frames := sent(t, r)
		for i, frame := range frames {
			a, err := wire.DecodeReport(frame)
			switch {
			case err != nil || to[i] != 1 || a.ID != 5 || a.Origin != 100:
				t.Fatalf("to %x: %+v, %v", to[i], a, err)
			case a.Flags&wire.ReportBusy != 0:
				busy++
			default:
				answered++
			}
		}
		return answered, busy
	}
	if answered, busy := ask(maxReports + 10); answered != maxReports || busy != 10 {
		t.Errorf("at once: %d answered, %d refused", answered, busy)
	}
	now.Mono += 3 * reportEvery
	if answered, busy := ask(10); answered != 3 || busy != 7 {
		t.Errorf("30 ms later: %d answered, %d refused", answered, busy)
	}
	now.Mono += time.Hour
	if answered, _ := ask(2 * maxReports); answered != maxReports {
		t.Errorf("an hour later: %d answered", answered)
	}
}
