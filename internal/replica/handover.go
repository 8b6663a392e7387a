package replica

import (
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// A node that closes hands over: it may be the only one that has some write, its own or one of a node that
// is gone by now. So it tells its neighbours all that it has processed, and they pull what they lack of
// that, and say whether there is such. They are told again until there isn't.

// WaitForAll is for how long Close waits for all neighbours, however many there are. One of hundreds
// is always slow.
const WaitForAll = time.Second / 2

// A handover is where a neighbour stands in that of this node, and whether it closes itself.
type handover struct {
	whole   bool // it is synced, and has said that it has all that was handed over
	leaving bool // it closes too: it pulls nothing any more
}

// take takes the flags of an answer, and reports whether it is news that all was handed over.
func (h *handover) take(flags uint64) (news bool) {
	const looked = wire.PongContext | wire.PongSynced // at all that it was told
	whole := flags&looked == looked && flags&wire.PongBehind == 0
	news = whole && !h.whole
	h.whole = h.whole || whole
	return news
}

// HandOver returns the neighbours that Close has to wait for, by PeerID, and tells them what there is here.
// Close doesn't wait for others.
//
// At first these are all that haven't confirmed the writes of this node, or lack something else. Once
// WaitForAll has passed, Fanout that have confirmed the writes are enough, and one that has all else: from
// these the others get what they lack. Who has just come isn't one of them: it may not have what was
// written before. Who closes too isn't either, and isn't waited for.
func (q *Question) HandOver(now delta.Instant) (missing []uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	near := q.answers.neighbours
	if q.had.Entries == nil {
		v := q.answers.state.vector
		q.had.Entries, _ = v.List(dots.LongAgo)
		q.had.Horizon = v.Horizon
	}
	confirmed, whole := 0, 0
	for i, p := range near.list {
		if p.leaving {
			continue
		}
		if p.said.upTo >= q.seq {
			confirmed++
		}
		if p.whole {
			whole++
		}
		if !p.confirmed(q.seq) || q.lacks(p) {
			missing = append(missing, near.ids[i])
			q.answers.handOver(now, near.ids[i], p, &q.had)
		}
	}
	if now.Mono-q.began < WaitForAll {
		return missing
	}
	return slices.DeleteFunc(missing, func(id uint64) bool {
		p := near.byID[id]
		return (confirmed >= Fanout || p.confirmed(q.seq)) && (whole > 0 || !q.lacks(p))
	})
}

// lacks reports whether a neighbour may lack what this node has. One that isn't synced yet has just come,
// and gets that by a full sync.
func (q *Question) lacks(p *neighbour) bool {
	return len(q.had.Entries) > 0 && !p.whole && (p.synced || !p.told)
}

// handOver tells a neighbour what this node had processed when it closed, unless it has just been told.
func (c *confirmations) handOver(now delta.Instant, peer uint64, p *neighbour, had *wire.Ping) {
	if !p.said.due(now) {
		return
	}
	q := c.question(now, &p.said, c.state.seq)
	q.Flags |= wire.PingAll | wire.PingLeaving
	c.standing.describe(now, &q)
	q.Entries, q.Horizon = had.Entries, had.Horizon
	p.expect()
	c.out.sendPing(pingTo{peer, &q})
}

// lacksOf reports whether a vector lacks something that is handed over. Others get the lock meanwhile.
func lacksOf(q *wire.Ping, v *dots.Vector, mu *lock) bool {
	work := 0
	for i := range q.Entries {
		e := &q.Entries[i]
		if work += 1 + len(e.Ahead); work >= mu.stepWork {
			work = 0
			mu.letOthers()
		}
		if v.LacksOf(e, q.Horizon) {
			return true
		}
	}
	return false
}
