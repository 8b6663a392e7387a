package replica

import (
	"cmp"
	"slices"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// pullAnswers are the answers to pulls.
type pullAnswers struct {
	mu         *lock
	state      *state
	neighbours *neighbours
	pinger     *pinger
	out        *outgoing

	most   int    // bytes of each
	last   uint64 // whose pull was answered last
	counts answerCounts
}

type answerCounts struct{ RepairsAnswered, RecordsResent uint64 }

// request notes a neighbour's pull: Flush answers it. The lock is held.
func (s *pullAnswers) request(p *neighbour, q *wire.Ping) {
	p.request = q
	s.counts.RepairsAnswered++
	s.out.wake()
}

// answer makes the frames that answer pulls, a part of each, of two neighbours at a time: what
// waits to be sent is bounded, however many ask. Flush calls it.
func (s *pullAnswers) answer(now delta.Instant, sends []message) []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, id := range s.turns(now) {
		if n == pullsAtOnce {
			s.out.wake()
			break
		}
		p := s.neighbours.byID[id]
		if p == nil || p.request == nil {
			continue
		}
		q := p.request
		p.request, p.pulled, p.pulledAt = nil, q.Claimed(), now.Mono
		s.last = id
		a := newPullAnswer(s.state, q, s.most)
		for c := s.state.vector.Compare(q.Claim(), true); c.Next(); {
			if c.Due(s.mu.stepWork) {
				s.mu.letOthers()
			}
			a.consider(c.Lacking())
		}
		for a.choose() {
			s.mu.letOthers()
			a.gather(now)
		}
		s.counts.RecordsResent += a.records
		sends = a.appendTo(sends, id)
		if a.budget <= 0 { // there is more
			a.flags |= wire.PongLog
		}
		s.pinger.pong(now, id, q, a.flags, nil)
	}
	return sends
}

// turns lists the neighbours that wait for an answer; who was answered longest ago comes first.
func (s *pullAnswers) turns(now delta.Instant) []uint64 {
	asksNothing := func(id uint64) bool {
		p := s.neighbours.byID[id]
		return p.request == nil || p.tooSoon(now)
	}
	ids := slices.DeleteFunc(slices.Clone(s.neighbours.ids), asksNothing)
	after := func(id uint64) int {
		if id > s.last {
			return 0
		}
		return 1
	}
	slices.SortFunc(ids, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(after(a), after(b)), cmp.Compare(a, b))
	})
	return ids
}
