package memberlist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"runtime/pprof"
	"strings"
	"time"

	hashi "github.com/hashicorp/memberlist"

	"github.com/iwanbk/bcache/transport"
)

// How memberlist is set. Deaths show by the links that break: so it may be slow, and quiet.
const (
	probeInterval  = 1500 * time.Millisecond
	probeTimeout   = 750 * time.Millisecond
	suspicionMult  = 2 // times probeInterval, until a suspect is taken for dead
	gossipInterval = 200 * time.Millisecond
	gossipNodes    = 4 // to which news goes at once
	gossipMult     = 6 // times the logarithm of the number of nodes, how often it goes
	streamTimeout  = 3 * time.Second
	deadTime       = 30 * time.Second // for which dead nodes are remembered, at least
	fullState      = time.Minute      // from one exchange of all to the next, of a small cluster
	packetSize     = 32 << 10
)

var errMeta = errors.New("its metadata makes no sense")

// A meta is what memberlist tells of a node beside its name.
type meta struct {
	id, origin uint64
	addr       string // the one that it advertises: its host may be a name
}

func (m *meta) encode() []byte {
	var h hello
	h.id, h.origin, h.addr = m.id, m.origin, m.addr
	h.kind, h.clock = kindLink, time.UnixMilli(0)
	return h.encode(func([]byte) []byte { return nil })
}

func decodeMeta(b []byte) (meta, error) {
	h, err := decodeHello(b)
	if err != nil {
		return meta{}, errMeta
	}
	return meta{h.id, h.origin, h.addr}, nil
}

// A gossip is memberlist: it tells which nodes there are, by packets that go over the links, and streams
// that have connections of their own.
type gossip struct {
	list   *hashi.Memberlist
	net    *carrier
	roster *roster
	self   string
	own    meta
	label  string
	wake   func() // somebody came
}

// startGossip starts memberlist. ip stands for the advertised address.
func startGossip(
	node *transport.Node, advertised string, ip netip.AddrPort, r *roster, net *carrier, wake func(),
) (*gossip, error) {
	g := &gossip{
		net: net, roster: r, self: nodeName(node.PeerID, node.Origin), wake: wake,
		own: meta{node.PeerID, node.Origin, advertised},
	}
	g.label = fmt.Sprintf("%s-%p", g.self, g)
	net.advertised = ip
	cfg := hashi.DefaultLANConfig()
	cfg.Name, cfg.Transport = g.self, net
	cfg.BindPort, cfg.AdvertisePort = int(ip.Port()), int(ip.Port())
	cfg.Delegate, cfg.Events, cfg.Alive = g, g, g
	cfg.Logger = log.New(debugLog{node.Log}, "", 0)
	cfg.ProbeInterval, cfg.ProbeTimeout = probeInterval, probeTimeout
	cfg.SuspicionMult = suspicionMult
	cfg.DisableTcpPings = true     // a packet that can't go says as much
	cfg.AwarenessMaxMultiplier = 1 // Close would have to wait for slow probes
	cfg.EnableCompression = false  // packets are small
	cfg.GossipInterval, cfg.GossipNodes, cfg.UDPBufferSize = gossipInterval, gossipNodes, packetSize
	cfg.RetransmitMult, cfg.GossipToTheDeadTime = gossipMult, deadTime
	cfg.PushPullInterval, cfg.TCPTimeout = fullState, streamTimeout
	cfg.HandoffQueueDepth = 4096
	var err error
	labelled(g.label, func() { g.list, err = hashi.Create(cfg) })
	return g, err
}

// join has memberlist exchange all that it knows with the node at an address.
func (g *gossip) join(at netip.AddrPort) error {
	_, err := g.list.Join([]string{at.String()})
	return err
}

// leave has memberlist tell that the node goes. A few of the neighbours suffice, which pass it on. Nobody
// is waited for.
func (g *gossip) leave(links []*link, spawn func(func()) bool) {
	_ = g.list.Leave(time.Millisecond) // to tell by itself takes it longer
	for _, l := range links[:min(len(links), 3)] {
		spawn(func() { // a ping takes the news along
			_, _ = g.list.Ping(l.peer.name(), l.raw.RemoteAddr())
		})
	}
}

// shutdown ends memberlist. Its goroutines may take a moment more.
func (g *gossip) shutdown() { _ = g.list.Shutdown() }

// wait waits for its goroutines.
func (g *gossip) wait() error {
	limit := time.Now().Add(drainLimit)
	for wait := time.Millisecond; lasting(g.label); wait = min(2*wait, 50*time.Millisecond) {
		if time.Now().After(limit) {
			return errors.New("bcache: goroutines of memberlist are left")
		}
		time.Sleep(wait)
	}
	return nil
}

// drainLimit is how long the goroutines of memberlist may take to end. What they wait for is answered by
// then: see carrier.Shutdown.
const drainLimit = 2 * time.Second

const labelKey = "bcache-memberlist"

// labelled runs f, whose goroutines have a label, and those that they start. It is the only way to know
// when they have ended: memberlist doesn't tell.
func labelled(label string, f func()) {
	pprof.Do(context.Background(), pprof.Labels(labelKey, label), func(context.Context) { f() })
}

// lasting reports whether a goroutine has the label.
func lasting(label string) bool {
	var b bytes.Buffer
	if pprof.Lookup("goroutine").WriteTo(&b, 1) != nil {
		return false
	}
	return strings.Contains(b.String(), fmt.Sprintf("%q:%q", labelKey, label))
}

// NotifyJoin, NotifyUpdate and NotifyLeave implement memberlist's EventDelegate, under its lock.
func (g *gossip) NotifyJoin(n *hashi.Node) {
	if m, err := decodeMeta(n.Meta); err == nil && n.Name != g.self {
		g.roster.alive(n.Name, m)
		g.wake()
	}
}

func (g *gossip) NotifyUpdate(n *hashi.Node) { g.NotifyJoin(n) }
func (g *gossip) NotifyLeave(n *hashi.Node)  { g.roster.dead(n.Name) }

// NotifyAlive implements memberlist's AliveDelegate: it refuses what isn't a node, and too many.
func (g *gossip) NotifyAlive(n *hashi.Node) error {
	m, err := decodeMeta(n.Meta)
	switch {
	case err != nil:
		return err
	case n.Name != nodeName(m.id, m.origin):
		return errMeta
	case n.Name != g.self && !g.roster.room(n.Name):
		return errors.New("there are too many")
	}
	return nil
}

// NodeMeta implements memberlist's Delegate, of which nothing else is used.
func (g *gossip) NodeMeta(int) []byte                  { return g.own.encode() }
func (g *gossip) NotifyMsg([]byte)                     {}
func (g *gossip) GetBroadcasts(int, int) [][]byte      { return nil }
func (g *gossip) LocalState(bool) []byte               { return nil }
func (g *gossip) MergeRemoteState([]byte, bool)        {}
func (g *gossip) arrived(packet []byte, from net.Addr) { g.net.arrived(packet, from) }

// A debugLog is where memberlist logs.
type debugLog struct{ to transport.Logger }

func (l debugLog) Write(b []byte) (int, error) {
	l.to.Debugf(0, "%s", strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}
