package replica

import (
	"fmt"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// A syncClient gets full syncs from neighbours, one at a time.
type syncClient struct {
	neighbours *neighbours
	out        *outgoing

	session    *syncIn
	limit      time.Duration // of the next session
	mark       uint8         // of the last session
	anew       bool          // marks have begun anew, and what is left of earlier sessions is still marked
	vouching   bool          // a vouching is under way
	unvouched  bool          // something is held of a session that didn't end
	failure    string        // of the last session
	syncedFrom uint64        // PeerID of who sent the last full sync
	counts     syncClientCounts
}

type syncClientCounts struct {
	SyncsReceived, SyncsFailed uint64
	RecordsSynced, SyncBytesIn uint64
	SyncTook                   time.Duration
}

// choose returns a server for the next session: a neighbour that is synced, and as wanted. Nodes with
// different origins begin with different ones.
func (c *syncClient) choose(
	now delta.Instant, origin uint64, want func(*neighbour) bool,
) (peer uint64, ok bool) {
	if c.vouching {
		return 0, false
	}
	servers := c.neighbours.where(func(p *neighbour) bool {
		return p.synced && now.Mono >= p.retryAt && want(p)
	})
	if len(servers) == 0 {
		return 0, false
	}
	return c.neighbours.choose(servers, origin), true
}

// start asks a neighbour for a full sync.
func (c *syncClient) start(now delta.Instant, peer, id uint64) {
	if c.mark++; c.mark > store.MaxMark {
		c.mark, c.anew = 1, true
	}
	c.session = &syncIn{
		peer:     peer,
		origin:   c.neighbours.byID[peer].origin,
		id:       id,
		mark:     c.mark,
		streamed: store.NewKeySet(),
		began:    now.Mono, progress: now.Mono,
	}
	c.ask(now, 0)
}

func (c *syncClient) ask(now delta.Instant, flags uint64) {
	c.session.asked = now.Mono
	c.send(flags)
}

func (c *syncClient) send(flags uint64) {
	in := c.session
	ask := wire.SyncAsk{Session: in.id, Next: in.next, Flags: flags}
	c.out.send(message{To: in.peer, Frame: wire.AppendAsk(nil, ask)})
}

// abort gives up, and leaves the other node alone for a while; advance will start another session.
func (c *syncClient) abort(now delta.Instant, why string) {
	peer := c.session.peer
	c.leave(why)
	if p := c.neighbours.byID[peer]; p != nil {
		p.fail(now)
	}
}

// leave gives up a session that the other node can't be blamed for.
func (c *syncClient) leave(why string) {
	in := c.session
	c.failure = fmt.Sprintf("the full sync from node %x failed: %s", in.peer, why)
	c.counts.SyncsFailed++
	if p := c.neighbours.byID[in.peer]; p != nil && p.origin == in.origin {
		c.send(wire.AskCancel)
	}
	c.session = nil
}

// left tells that the connection to a node is gone: it may come back.
func (c *syncClient) left(now delta.Instant, peer uint64) {
	if in := c.session; in != nil && in.peer == peer && !in.away {
		in.away, in.left = true, now.Mono
	}
}

// joined tells that a node is connected: a full sync goes on when the other node is back. Another life
// of it knows nothing of the session.
func (c *syncClient) joined(now delta.Instant, peer, origin uint64) {
	in := c.session
	switch {
	case in == nil || in.peer != peer:
	case in.origin != origin:
		c.leave("it has restarted")
	case in.next == 0 || now.Mono-in.progress >= SyncStall:
		c.leave("it was away") // it may have forgotten the session, and would begin it anew
	case in.applying: // it asks when that ends
		in.away = false
	default:
		in.away = false
		c.ask(now, wire.AskGap) // what was under way is lost
	}
}

// moved notes that something of a server has come in.
func (c *syncClient) moved(peer uint64, at time.Duration) {
	if in := c.session; in != nil && in.peer == peer {
		in.progress = at
	}
}

// tick gives up what takes too long, and asks again.
func (c *syncClient) tick(now delta.Instant) {
	in := c.session
	switch {
	case in == nil || in.applying:
	case in.away && now.Mono-in.left >= syncReturn:
		c.abort(now, "it left")
	case now.Mono-in.progress >= SyncStall:
		c.abort(now, "nothing came any more")
	case now.Mono-in.began >= c.limit:
		c.abort(now, fmt.Sprintf("it has taken longer than %v", c.limit))
		c.limit *= 2
	case now.Mono-max(in.progress, in.asked) >= syncAgain:
		c.ask(now, wire.AskAgain)
	}
}

// expected returns the session if a chunk is what it waits for.
func (c *syncClient) expected(now delta.Instant, from uint64, chunk *wire.SyncChunk) *syncIn {
	in := c.session
	switch {
	case in == nil || in.peer != from || in.id != chunk.Session || in.applying:
		return nil // of a session that was given up
	case chunk.Flags&wire.ChunkRefused != 0:
		c.session = nil
		c.failure = fmt.Sprintf("node %x can't serve a full sync now", from)
		if p := c.neighbours.byID[from]; p != nil { // it may have left, or be about to come back
			p.refuse(now, chunk.Flags&wire.ChunkBusy != 0)
		}
		return nil
	}
	in.progress = now.Mono
	if chunk.Number == in.next {
		return in
	}
	if chunk.Number > in.next && in.gap != in.next { // too early; otherwise it came twice
		in.gap = in.next
		c.ask(now, wire.AskGap)
	}
	return nil
}

// adopted notes that the session has brought all that the other node has.
func (c *syncClient) adopted(now delta.Instant, in *syncIn) {
	c.unvouched = false
	c.limit = syncPatience
	c.syncedFrom = in.peer
	c.counts.SyncsReceived++
	c.counts.SyncBytesIn += in.bytes
	c.counts.SyncTook = now.Mono - in.began
}

// end ends the session when nothing is marked any more.
func (c *syncClient) end(in *syncIn) {
	if c.session == in {
		c.session = nil
	}
	if p := c.neighbours.byID[in.peer]; p != nil {
		p.serve()
	}
	for _, p := range c.neighbours.byID {
		p.diverged = false
	}
}

// progress says how far a session is, for people; "" if there is none.
func (c *syncClient) progress() string {
	in := c.session
	switch {
	case in == nil:
		return ""
	case in.head.Groups > 0:
		done := 100 * in.group / in.head.Groups
		return fmt.Sprintf("a full sync from node %x is under way: %d %%", in.peer, done)
	default:
		return fmt.Sprintf("a full sync from node %x begins", in.peer)
	}
}
