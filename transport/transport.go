// Package transport is the contract between a node of bcache and a network: frames in, frames out, who is
// there. Set Config.Transport of package bcache to run a node on another network than its own; package
// transporttest checks whether one keeps the contract.
//
// # Frames
//
// A frame is opaque, of 1 to [MaxFrame] bytes, and arrives whole or not at all. Frames may be lost,
// doubled and reordered. The node repairs what is lost by itself, in seconds. So a transport that loses a
// frame in thousands costs nothing; one that loses one in ten costs traffic.
//
// Nothing ever waits for a peer. What a peer can't take waits in a queue of its own, of [Node].MaxPending
// bytes. Beyond that the newest is dropped, and counted in [Stats]. A peer that is slow, stuck or gone
// doesn't delay what is sent to the others.
//
// # Who is there
//
// A node is told of a peer by Joined, and that it is gone by Left. For each peer the two alternate,
// beginning with Joined, also if the peer restarts under the same PeerID, or is connected twice for a
// moment. After Joined, what is broadcast or sent reaches the peer. A Receive may come before Joined, and
// after Left.
//
// The same PeerID with another origin is another life of the node: it knows nothing of what was sent
// before.
//
// Joined has to come on both sides, or soon on none. That a peer doesn't answer any more although it is
// connected, the node finds out by itself, within seconds, and calls Disconnect.
//
// # Calls
//
// All methods of a [Transport] may be called at any time, at the same time, before Start and after Close
// too. They return at once, but for Start and Close. The methods of a [Handler] are called from Start on,
// until Close returns, at the same time too. They take no longer than the work that they do: they never
// wait for the network. So a transport may call them on the goroutine that reads from a connection, and
// should: then a node that is overloaded slows down those that send to it, by the flow control of TCP.
//
// # Strangers
//
// Whoever reaches a port may be a stranger, until it has shown that it belongs to the cluster. Nodes of
// another [Node].ClusterName never join. A transport bounds how many strangers there are at a time, for
// how long, and how many bytes are kept of them.
package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// MaxFrame is how many bytes a frame has at most.
const MaxFrame = 1<<20 + 1<<10

// A Node is what a transport is told of the node that it belongs to.
type Node struct {
	PeerID      uint64 // 1 to 2^48-1, unique in the cluster
	Origin      uint64 // which life of the node this is; never 0, and another one with each New
	ClusterName string // nodes of another one mustn't join; "" is a name too

	// MaxPending is how many bytes may wait for one peer.
	MaxPending int

	// MaxClockSkew is by how much the clocks of two nodes may differ. A transport may refuse a peer whose
	// clock differs by more. The node cuts it otherwise.
	MaxClockSkew time.Duration

	// Now is the wall clock.
	Now func() time.Time

	// Log takes what an operator should know.
	Log Logger
}

// A Logger takes the log lines of a transport. A line is about a peer, or about none: then peer is 0. A
// line that repeats is logged once in a while, with a count. Errorf is for what an operator must see to,
// Printf for joins and leaves, Debugf for everything else. It returns at once.
type Logger interface {
	Errorf(peer uint64, format string, v ...any)
	Printf(peer uint64, format string, v ...any)
	Debugf(peer uint64, format string, v ...any)
}

// A Transport carries frames between the nodes of one cluster and knows who is there. It belongs to one
// node. The package's documentation has the contract.
type Transport interface {
	// Start begins to accept and to connect. h is called from then on, until Close returns. It may be
	// called once. If it fails, nothing is left once Close was called.
	Start(n Node, h Handler) error

	// Expects reports whether there are others to wait for: the transport was told of other nodes, or where
	// to look for them. If not, the node takes itself for the first one of its cluster, and is ready at
	// once. It is called before Start.
	Expects() bool

	// Addr is the address that the node listens on, with its real port; "" if it has none.
	Addr() string

	// Broadcast queues a frame for every other node. The frame is shared from now on; nobody may alter it.
	// A transport may drop what has waited for more than a second: the node sends better then.
	Broadcast(frame []byte)

	// Send queues a frame for one node, also one that isn't connected directly, if it is reached through
	// others. The frame is shared from now on. What isn't bulk, and what is broadcast, passes bulk on its
	// way; bulk should keep its order. The error is ErrUnknownPeer, ErrQueueFull or ErrClosed; nil doesn't
	// say that the frame arrives.
	Send(peer uint64, frame []byte, bulk bool) error

	// Supersede drops what was broadcast and hasn't left for a node: what is sent to it next has all of
	// that. To do nothing is right too.
	Supersede(peer uint64)

	// Disconnect ends the connection to a node soon, even if it is stuck in the middle of a write. Left
	// follows. The node is connected again like any other. A node that isn't connected is ignored.
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

	// Close tells the others that the node closes, sends what waits to be sent within a fraction of a
	// second, and ends everything: when it returns, the port is free, and no goroutine, connection or
	// callback is left. A second call does nothing.
	Close() error
}

// A Handler is what a node has a transport call. Its methods may call any of the transport's but Start and
// Close.
type Handler interface {
	// Receive gets a frame that the node with PeerID from broadcast or sent.
	// The frame is shared with others: it must be neither altered nor kept.
	Receive(from uint64, frame []byte)

	// Joined and Left tell of directly connected nodes: Joined comes as soon as what is broadcast and sent
	// reaches the node, Left when its connection is gone.
	Joined(peer, origin uint64)
	Left(peer uint64)

	// Moved tells that bytes of a directly connected node have come in that are no whole frame, or that it
	// has taken some of what is sent to it; bulk, that bulk was among these. Without it, a node that takes
	// long to take a large frame may be cut as silent. Once in 100 ms is enough.
	Moved(peer uint64, bulk bool)

	// Arriving tells instead that a piece of a frame that is bulk has come in, and gets the beginning of
	// the frame, of which more is to come. It must not be altered or kept. Only who shows parts of frames
	// calls it.
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
	DroppedFrames             uint64 // at a slow peer's bound, here or there, or for their age
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
