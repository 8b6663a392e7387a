// Package transporttest checks whether a transport keeps the contract of package transport: it is the
// conformance kit of engines. A test of an engine is one function:
//
//	func TestKit(t *testing.T) {
//		transporttest.Run(t, transporttest.Engine{
//			Network: func(t testing.TB) transporttest.Network {
//				return transporttest.Network{New: func(s transporttest.Spec) (transport.Transport, error) {
//					return mine.New(mine.Config{Listen: cmp.Or(s.Addr, "127.0.0.1:0"), Peers: s.Peers})
//				}}
//			},
//			Packages: []string{"example.com/mine"},
//		})
//	}
//
// Each sentence of the contract is a subtest; go test -v shows their names. Those that need more than
// New, such as a node that is killed, are skipped where the [Network] doesn't offer it, and say so.
//
// The kit runs in real time. It waits for what must happen, for at most [Engine].Within, and never
// supposes that something has happened meanwhile. It wants the engine's packages for itself: don't call
// t.Parallel in a test that calls Run, nor in one beside it that runs the same engine.
package transporttest

import (
	"net"
	"testing"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// An Engine says how to run nodes of the transport that is checked.
type Engine struct {
	// Network makes a network without nodes. Each subtest has one of its own, which may be torn down in a
	// Cleanup of t. It must be set.
	Network func(t testing.TB) Network

	// Packages are import paths, or beginnings of them, whose functions the engine's goroutines run: its
	// own, and that of the library that it uses. When all nodes are closed, no such goroutine may be left.
	// None means that goroutines aren't looked at.
	Packages []string

	// Within is how long the kit waits for what must happen, such as that nodes join; 0 or less is 30 s.
	Within time.Duration

	// LeftWithin is within which time Left comes of a node that is killed; 0 or less is Within.
	LeftWithin time.Duration

	// Buffers is how many bytes may be on their way to one node beyond Node.MaxPending: in buffers of the
	// system, and of the engine; 0 or less is 24 MiB.
	Buffers int

	// StrangersWithin is for how long a connection by Network.Dial may stay that says nothing; 0 or less
	// isn't checked.
	StrangersWithin time.Duration

	// Skip has subtests that the engine can't pass, by name, and why. A name that no subtest has fails.
	Skip map[string]string
}

// A Network is where nodes of one subtest run. Only New must be set. What is nil is missing, and the
// subtests that need it are skipped. The kit calls these functions one at a time.
type Network struct {
	// New makes the transport of a node, which the kit starts, and closes. All nodes of a network and a
	// ClusterName have to find each other.
	New func(s Spec) (transport.Transport, error)

	// FreeAddr returns an address for a node, at which nobody listens, each time another one. Engines
	// whose nodes have no address that can be chosen lack it.
	FreeAddr func() string

	// Kill has a node vanish as if its process had died: it doesn't say goodbye, nothing reaches it any
	// more, and its address is free. The kit still closes its transport, which may fail.
	Kill func(t transport.Transport)

	// Freeze stops all traffic of a node, both ways, without an end of its connections, as if its process
	// was stopped. The function that is returned ends that. It is called once.
	Freeze func(t transport.Transport) (thaw func())

	// Dial connects to a node like a stranger, who doesn't know what a node would say. Where strangers
	// reach something else than a node, it is missing.
	Dial func(t transport.Transport) (net.Conn, error)
}

// A Spec describes a node that New is to make.
type Spec struct {
	transport.Node // with which the kit calls Start

	Addr  string   // where it listens, by FreeAddr; "" leaves that to the engine
	Peers []string // addresses of others, by Transport.Addr and FreeAddr, of any cluster
}

// A check is one subtest.
type check struct {
	name  string
	needs func(Network) (missing string) // nil: nothing
	run   func(*scene)
}

// Run runs all subtests.
func Run(t *testing.T, e Engine) {
	t.Helper()
	if e.Network == nil {
		t.Fatal("transporttest: Engine.Network is nil")
	}
	known := map[string]bool{}
	for _, c := range checks {
		known[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			if why, ok := e.Skip[c.name]; ok {
				t.Skipf("the engine can't: %s", why)
			}
			c.on(t, e)
		})
	}
	for name := range e.Skip {
		if !known[name] {
			t.Errorf("transporttest: Engine.Skip has %q: there is no such subtest", name)
		}
	}
}

// on runs a check.
func (c check) on(t testing.TB, e Engine) {
	t.Helper()
	if e.Within <= 0 {
		e.Within = 30 * time.Second
	}
	if e.LeftWithin <= 0 {
		e.LeftWithin = e.Within
	}
	if e.Buffers <= 0 {
		e.Buffers = 24 << 20
	}
	s := newScene(t, e)
	if c.needs != nil {
		if missing := c.needs(s.net); missing != "" {
			t.Skipf("the engine's Network has no %s", missing)
		}
	}
	c.run(s)
}

// What a check needs of a Network.
func needsKill(n Network) string     { return missing(n.Kill == nil, "Kill") }
func needsFreeze(n Network) string   { return missing(n.Freeze == nil, "Freeze") }
func needsDial(n Network) string     { return missing(n.Dial == nil, "Dial") }
func needsFreeAddr(n Network) string { return missing(n.FreeAddr == nil, "FreeAddr") }

func missing(is bool, what string) string {
	if is {
		return what
	}
	return ""
}

// checks are all subtests.
var checks = []check{
	{"Joins", nil, joins},
	{"Crowd", nil, crowd},
	{"AfterJoined", nil, afterJoined},
	{"DirectMember", nil, directMember},
	{"Members", nil, members},
	{"Restart", nil, restart},
	{"Churn", nil, churn},
	{"CrossedDials", needsFreeAddr, crossedDials},
	{"Clusters", nil, clusters},
	{"SameIDs", nil, sameIDs},
	{"Unreached", needsFreeAddr, unreached},
	{"Strangers", needsDial, strangers},

	{"Frames", nil, frames},
	{"Loss", nil, loss},
	{"UnknownPeer", nil, unknownPeer},
	{"Supersede", nil, supersede},
	{"FromHandler", nil, fromHandler},
	{"Stats", nil, stats},

	{"Blocked", nil, blocked},
	{"Queue", nil, queue},
	{"BulkIsPassed", nil, bulkIsPassed},
	{"Disconnect", nil, disconnect},
	{"DisconnectStuck", nil, disconnectStuck},
	{"Freeze", needsFreeze, freeze},

	{"Goodbye", nil, goodbye},
	{"Farewell", nil, farewell},
	{"Kill", needsKill, kill},
	{"KillRestart", needsKill, killRestart},

	{"BeforeStart", nil, beforeStart},
	{"AfterClose", nil, afterClose},
	{"Start", nil, startTwice},
	{"PortInUse", needsFreeAddr, portInUse},
	{"CloseInCall", nil, closeInCall},
	{"CloseMeanwhile", nil, closeMeanwhile},
}
