// Package transport is the contract between a node and a network: frames in, frames out, who is there.
//
// Its law: frames are opaque, and may be lost, doubled and reordered; nothing ever waits for a peer;
// Joined and Left of a node alternate; nobody is missed in Everybody; after Close nothing is left.
// Beside the contract it has only what both sides name. It knows no implementation: meshnet is the one
// over TCP, memnet the one within a process.
package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A Transport carries opaque frames between the nodes of one cluster and knows
// who is there. Production uses mesh (meshnet); tests use an in-memory twin (memnet).
// Frames may be lost, doubled and reordered: whoever needs more builds it on top.
//
// All methods are safe for concurrent use, before Start and after Close too.
type Transport interface {
	// Start begins to accept and to dial. h is called from then on, until
	// Close returns.
	Start(h Handler) error

	// Addr is the address that is listened on, with its real port.
	Addr() string

	// Broadcast queues frame for every other node, directly or relayed. It never
	// waits for a peer: what a slow peer can't take soon is dropped and counted.
	// The frame is shared from now on; nobody may alter it.
	Broadcast(frame []byte)

	// Send queues frame for one node. It never waits for a peer. What isn't bulk, and what is
	// broadcast, passes bulk on its way; bulk keeps its order. The error is
	// ErrUnknownPeer, ErrQueueFull or ErrClosed.
	Send(peer uint64, frame []byte, bulk bool) error

	// Supersede drops what was broadcast and hasn't left for a node: what is sent to it next has all of
	// that.
	Supersede(peer uint64)

	// Disconnect ends the connection to a directly connected node soon, even if it is
	// stuck in the middle of a write, and doesn't wait for it. The node is dialled again
	// like any other. A node that isn't connected is ignored.
	Disconnect(peer uint64)

	// Members lists the other nodes, sorted by ID. A node that is listed as direct
	// gets what is broadcast from then on.
	Members() []Member

	// Everybody lists the other nodes whose word it takes to say that all have something, sorted by ID:
	// those that are there, whichever way they are reached, and those that are gone without having said
	// that they close, for less than within. Of the latter the last MaxGone are remembered. A node that
	// is between two of these states is in one of them.
	Everybody(within time.Duration) []Presence

	// Unreached lists the addresses that this node tries in vain: first the configured ones.
	// What leads to a node that is connected, or to this one, isn't listed.
	Unreached() []DialFailure

	// Stats returns the transport's counters.
	Stats() Stats

	// Close ends everything: when it returns, the port is free, and no goroutine,
	// connection or callback is left. It is idempotent.
	Close() error
}

// Handler is called by a transport. Calls may come concurrently. A
// handler may call Broadcast, Send and Members, and must never wait for the
// network.
type Handler interface {
	// Receive gets a frame that the node with PeerID from broadcast or sent.
	// The frame is shared with others: it must be neither altered nor kept.
	Receive(from uint64, frame []byte)

	// Joined and Left tell of directly connected nodes: Joined comes as soon as
	// broadcasts and sends reach the node, Left when its connection is gone.
	// Per node they alternate.
	Joined(peer, origin uint64)
	Left(peer uint64)

	// Moved tells that bytes of a directly connected node have come in, or that it has taken some; bulk,
	// that bulk was under way to it.
	Moved(peer uint64, bulk bool)

	// Arriving tells instead that a piece of a frame that is bulk has come in, and gets the beginning of
	// the frame, of which more is to come. It must not be altered or kept.
	Arriving(from uint64, head []byte)
}

var (
	ErrClosed      = errors.New("bcache: the transport is closed")
	ErrUnknownPeer = errors.New("bcache: no such peer")
	ErrQueueFull   = errors.New("bcache: the peer's queue is full")
)

// Stats are counters since the start.
type Stats struct {
	FramesIn, FramesOut       uint64 // own frames, counted per peer that they went to
	BytesIn, BytesOut         uint64 // their bytes
	DroppedFrames             uint64 // at the bound of a slow peer's queue, or of their age
	RefusedSkew, RefusedOther uint64 // handshakes refused
}

// A DialFailure tells of an address that can't be reached.
type DialFailure struct {
	Addr       string         // host:port, as it was configured or learnt
	IP         netip.AddrPort // what addr stands for; not valid if it couldn't be resolved
	Configured bool           // it is one of Peers; otherwise other nodes told of it
	Err        error          // why the last try failed
	Lasting    time.Duration  // since the first try that failed
}

// String says what failed, for people.
func (f DialFailure) String() string {
	if f.IP.IsValid() && f.IP.String() != f.Addr {
		return fmt.Sprintf("%s (%s): %v", f.Addr, f.IP, f.Err)
	}
	return fmt.Sprintf("%s: %v", f.Addr, f.Err)
}

// FailureList says what can't be reached, and why, in one line: of the first most, and how many more
// there are, in the words of more.
func FailureList(fs []DialFailure, most int, more string) string {
	var list []string
	for _, f := range fs[:min(len(fs), most)] {
		list = append(list, f.String())
	}
	if left := len(fs) - len(list); left > 0 {
		list = append(list, fmt.Sprintf(more, left))
	}
	return strings.Join(list, "; ")
}

// MaxGone is how many nodes that are gone without a goodbye are remembered.
const MaxGone = 1024

// A Presence says that a node is there, or was.
type Presence struct {
	ID     uint64
	Addr   string    // as in Member
	Origin uint64    // of one that is directly connected: which life of it that is; otherwise 0
	Since  time.Time // it is there in this way, or gone; another time is another life of it, or way to it
	Gone   bool      // without a goodbye: it may live, and not hear
}

// Member describes another node of the cluster.
type Member struct {
	ID        uint64    // its PeerID
	Addr      string    // the address that it advertises; "" while unknown
	Since     time.Time // when it became known, or its connection began
	Direct    bool      // connected to this node; otherwise reached through others
	Inbound   bool      // it dialled us; false for a relayed node
	Encrypted bool      // the connection is encrypted; false for a relayed node
}
