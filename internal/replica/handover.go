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

// With more than manyOrigins neighbours are told every askMany at most, as that takes many bytes.
const (
	manyOrigins = 256
	askMany     = 5 * AskEvery
)

// A handover is where a neighbour stands in that of this node, and whether it closes itself.
type handover struct {
	whole   bool // it is synced, and has said that it has all that was handed over
	mute    bool // it is of an earlier version, and doesn't say whether it has
	leaving bool // it closes too: it pulls nothing any more
}

// take takes the flags of an answer, and reports whether it is news that all was handed over.
func (h *handover) take(flags uint64) (news bool) {
	const has = wire.PongWhole | wire.PongSynced
	if flags&(wire.PongContext|wire.PongWhole|wire.PongBehind) == wire.PongContext {
		h.mute = true
	}
	news = flags&has == has && !h.whole
	h.whole = h.whole || news
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
	if q.had == nil {
		q.had, _ = q.answers.state.vector.List(dots.LongAgo)
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
			q.answers.handOver(now, near.ids[i], p, q.had)
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

// lacks reports whether a neighbour may lack what this node has. One that never was synced has just come,
// and gets that by a full sync. One of an earlier version doesn't know, and isn't waited for.
func (q *Question) lacks(p *neighbour) bool {
	return len(q.had) > 0 && !p.whole && !p.mute && (p.joined || !p.told)
}

// handOver tells a neighbour what this node had processed when it closed, unless it has just been told.
func (c *confirmations) handOver(now delta.Instant, peer uint64, p *neighbour, had []dots.Entry) {
	if len(had) > manyOrigins && p.said.asked > now.Mono-askMany || !p.said.due(now) {
		return
	}
	q := c.question(now, &p.said, c.state.seq)
	q.Flags |= wire.PingAll | wire.PingLeaving
	c.standing.describe(now, &q)
	q.Entries = had
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
		if v.LacksOf(e) {
			return true
		}
	}
	return false
}
