// Package env is what a node takes from the outside: its clock and its network.
//
// Its law: nothing outside this module can fill an [Env], as it can neither name the type nor reach the
// fields. Tests do; production has none.
package env

import (
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/transport"
)

// An Env is what a test puts in the place of the outside. A nil Env is the outside itself.
type Env struct {
	clock     func() time.Time
	transport MakeTransport
	started   func(Node)
}

// MakeTransport makes a node's place in a network, from its PeerID, the identity of this life, and the
// node's log.
type MakeTransport func(id, origin uint64, log *linelog.Log) (transport.Transport, error)

// A Node is what tests may see of a node beside its API.
type Node interface {
	// Processed is a fingerprint of the writes that the node has processed: two nodes that have processed
	// the same writes have the same. It is false while there is a gap among them.
	Processed() (sum uint64, settled bool)
}

// New returns an Env. started is told of the node before New of the root returns; it may be nil.
func New(clock func() time.Time, transport MakeTransport, started func(Node)) *Env {
	return &Env{clock, transport, started}
}

// Clock returns the node's clock.
func (e *Env) Clock() func() time.Time {
	if e == nil || e.clock == nil {
		return time.Now
	}
	return e.clock
}

// Transport returns what makes the node's place in a network; nil is mesh.
func (e *Env) Transport() MakeTransport {
	if e == nil {
		return nil
	}
	return e.transport
}

// Started tells of a node that has started.
func (e *Env) Started(n Node) {
	if e != nil && e.started != nil {
		e.started(n)
	}
}
