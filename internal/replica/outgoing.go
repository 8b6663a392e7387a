package replica

import (
	"slices"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// maxSends is how many messages, pings included, may wait to be sent.
const maxSends = 4096

// outgoing is what waits for Flush and the shell: what was written here, for everybody, and messages for
// single nodes. It isn't locked.
type outgoing struct {
	outbox   outbox
	offers   offers
	messages []message
	pings    []pingTo
	cuts     []cut
	notices  []SyncNotice
	wake     func() // there is something
	counts   outgoingCounts

	gathering bool // what is broadcast now belongs to many writes, which make one frame
	unwoken   bool // such writes wait for more, and nobody was woken for them
}

type outgoingCounts struct {
	RecordsOut                  uint64
	DroppedOutbox, DroppedSends uint64
}

// A message is a frame for one node.
type message struct {
	To     uint64 // PeerID
	Frame  []byte
	Bulk   bool // other frames may pass it on its way; bulk keeps its order
	Answer bool // it begins an answer to a pull, which has what was broadcast before
}

// A pingTo is a ping that waits for Flush, which makes its frame: a vector is large, and who wants
// the lock mustn't wait for that.
type pingTo struct {
	to uint64 // PeerID
	*wire.Ping
}

// A cut is a connection that is to be ended.
type cut struct {
	Peer   uint64
	Reason string
}

// idle reports whether Flush has nothing to take, or nobody knows that it has.
func (o *outgoing) idle() bool {
	return o.unwoken || o.outbox.empty() && len(o.messages)+len(o.pings) == 0 && o.offers.empty()
}

// broadcast queues a local write, the record of dot seq, for all who are connected.
func (o *outgoing) broadcast(seq uint64, rec *delta.Record) {
	idle := o.idle()
	o.counts.DroppedOutbox += o.outbox.put(seq, rec)
	o.unwoken = idle && o.gathering && !o.outbox.hasFrame()
	if idle && !o.unwoken {
		o.wake()
	}
}

// release has those be sent that wait for more.
func (o *outgoing) release() {
	if o.unwoken {
		o.unwoken = false
		o.wake()
	}
}

// dropBroadcasts drops the local writes that wait: they are in the log.
func (o *outgoing) dropBroadcasts() {
	o.counts.DroppedOutbox += uint64(o.outbox.n)
	o.outbox.take()
}

// send queues a message.
func (o *outgoing) send(m message) {
	if o.room() {
		o.messages = append(o.messages, m)
	}
}

func (o *outgoing) sendPing(q pingTo) {
	if o.room() {
		o.pings = append(o.pings, q)
	}
}

// room reports whether another message may be queued, which it then is.
func (o *outgoing) room() bool {
	if len(o.messages)+len(o.pings) >= maxSends {
		o.counts.DroppedSends++
		return false
	}
	if o.idle() {
		o.wake()
	}
	return true
}

// offer queues an offer, and reports whether there was room.
func (o *outgoing) offer(x offered) bool {
	idle := o.idle()
	if !o.offers.put(x) {
		o.counts.DroppedSends += uint64(len(x.to))
		return false
	}
	if idle {
		o.wake()
	}
	return true
}

// cut has the shell end a connection.
func (o *outgoing) cut(peer uint64, reason string) {
	if slices.ContainsFunc(o.cuts, func(c cut) bool { return c.Peer == peer }) {
		return
	}
	o.cuts = append(o.cuts, cut{peer, reason})
	o.wake()
}

// notice has the shell log how the node was synced.
func (o *outgoing) notice(n SyncNotice) {
	o.notices = append(o.notices, n)
	o.wake()
}
