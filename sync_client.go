package bcache

import (
	"fmt"
	"time"
)

// A syncClient gets full syncs from neighbours, one at a time.
type syncClient struct {
	neighbours *neighbours
	out        *outgoing

	session    *syncIn
	limit      time.Duration // of the next session
	mark       uint8         // of the last session
	vouching   bool          // see vouch
	unvouched  bool          // something is held of a session that didn't end
	failure    string        // of the last session
	syncedFrom uint64        // PeerID of who sent the last full sync
	counts     syncClientCounts
}

type syncClientCounts struct {
	syncsReceived, syncsFailed uint64
	recordsSynced, syncBytesIn uint64
	syncTook                   time.Duration
}

// choose returns a server for the next session: a neighbour that is synced, and as wanted. Nodes with
// different origins begin with different ones.
func (c *syncClient) choose(now instant, origin uint64, want func(*neighbour) bool) (peer uint64, ok bool) {
	if c.vouching {
		return 0, false
	}
	servers := c.neighbours.where(func(p *neighbour) bool {
		return p.synced && now.mono >= p.retryAt && want(p)
	})
	if len(servers) == 0 {
		return 0, false
	}
	return c.neighbours.choose(servers, origin), true
}

// start asks a neighbour for a full sync.
func (c *syncClient) start(now instant, peer, id uint64) {
	if c.mark++; c.mark == 0 {
		c.mark++
	}
	c.session = &syncIn{
		peer:     peer,
		origin:   c.neighbours.byID[peer].origin,
		id:       id,
		mark:     c.mark,
		streamed: newKeySet(),
		began:    now.mono, progress: now.mono,
	}
	c.ask(now, 0)
}

func (c *syncClient) ask(now instant, flags uint64) {
	c.session.asked = now.mono
	c.send(flags)
}

func (c *syncClient) send(flags uint64) {
	in := c.session
	ask := syncAsk{session: in.id, next: in.next, flags: flags}
	c.out.send(message{to: in.peer, frame: appendAsk(nil, ask)})
}

// abort gives up, and leaves the other node alone for a while; advance will start another session.
func (c *syncClient) abort(now instant, why string) {
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
	c.counts.syncsFailed++
	if p := c.neighbours.byID[in.peer]; p != nil && p.origin == in.origin {
		c.send(askCancel)
	}
	c.session = nil
}

// left tells that the connection to a node is gone: it may come back.
func (c *syncClient) left(now instant, peer uint64) {
	if in := c.session; in != nil && in.peer == peer && !in.away {
		in.away, in.left = true, now.mono
	}
}

// joined tells that a node is connected: a full sync goes on when the other node is back. Another life of
// it knows nothing of the session.
func (c *syncClient) joined(now instant, peer, origin uint64) {
	in := c.session
	switch {
	case in == nil || in.peer != peer:
	case in.origin != origin:
		c.leave("it has restarted")
	case in.next == 0 || now.mono-in.progress >= syncStall:
		c.leave("it was away") // it may have forgotten the session, and would begin it anew
	case in.applying: // it asks when that ends
		in.away = false
	default:
		in.away = false
		c.ask(now, askGap) // what was under way is lost
	}
}

// moved notes that something of a server has come in.
func (c *syncClient) moved(peer uint64, at time.Duration) {
	if in := c.session; in != nil && in.peer == peer {
		in.progress = at
	}
}

// tick gives up what takes too long, and asks again.
func (c *syncClient) tick(now instant) {
	in := c.session
	switch {
	case in == nil || in.applying:
	case in.away && now.mono-in.left >= syncReturn:
		c.abort(now, "it left")
	case now.mono-in.progress >= syncStall:
		c.abort(now, "nothing came any more")
	case now.mono-in.began >= c.limit:
		c.abort(now, fmt.Sprintf("it has taken longer than %v", c.limit))
		c.limit *= 2
	case now.mono-max(in.progress, in.asked) >= syncAgain:
		c.ask(now, askAgain)
	}
}

// expected returns the session if a chunk is what it waits for.
func (c *syncClient) expected(now instant, from uint64, chunk *syncChunk) *syncIn {
	in := c.session
	switch {
	case in == nil || in.peer != from || in.id != chunk.session || in.applying:
		return nil // of a session that was given up
	case chunk.flags&chunkRefused != 0:
		c.session = nil
		c.failure = fmt.Sprintf("node %x can't serve a full sync now", from)
		c.neighbours.byID[from].refuse(now, chunk.flags&chunkBusy != 0)
		return nil
	}
	in.progress = now.mono
	if chunk.number == in.next {
		return in
	}
	if chunk.number > in.next && in.gap != in.next { // too early; otherwise it came twice
		in.gap = in.next
		c.ask(now, askGap)
	}
	return nil
}

// adopted notes that the session has brought all that the other node has.
func (c *syncClient) adopted(now instant, in *syncIn) {
	c.unvouched = false
	c.limit = syncPatience
	c.syncedFrom = in.peer
	c.counts.syncsReceived++
	c.counts.syncBytesIn += in.bytes
	c.counts.syncTook = now.mono - in.began
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
	case in.head.groups > 0:
		done := 100 * in.group / in.head.groups
		return fmt.Sprintf("a full sync from node %x is under way: %d %%", in.peer, done)
	default:
		return fmt.Sprintf("a full sync from node %x begins", in.peer)
	}
}
