package meshnet

import (
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/internal/stack"
	"github.com/weaveworks/mesh"
)

const (
	topologyEvery = 20 * time.Millisecond // between what is passed on, for each neighbour that there is
	topologyLeast = 50 * time.Millisecond
	topologyWhole = 30 * time.Second // between repetitions of everything, as in mesh
	topologyFan   = 12               // neighbours that are told, who tell others
)

// A topologyChannel is mesh's channel to the routers of the neighbours.
type topologyChannel interface {
	mesh.Gossip
	SendDown(mesh.Connection, mesh.GossipData)
}

// A topology stands between mesh's router and the channel over which routers tell each
// other who is connected with whom. Left alone, mesh sends everything it knows, which grows
// with the square of the nodes, over each new connection, and passes on each change as soon
// as it comes, on the goroutine that receives frames and blocked there until the routes are
// calculated: of 50 nodes that start together none came to an end. Here
//
//   - a node that is known already by others isn't told everything again
//   - changes are gathered, passed on now and then (of 50 nodes once a second) by a goroutine
//     of our own, and encoded once, not once per neighbour
type topology struct {
	scope   *scope
	peers   *peerTable
	run     *meshRun
	router  mesh.Gossiper // mesh's own
	channel topologyChannel
	wake    chan struct{}

	neighbours func(most int) []mesh.Connection // some of the connections

	mu      sync.Mutex
	pending mesh.GossipData // changes that weren't passed on yet; of mesh's own type
}

func newMeshTopology(
	scope *scope, peers *peerTable, run *meshRun, router mesh.Gossiper, channel topologyChannel,
) *topology {
	return &topology{
		scope: scope, peers: peers, run: run,
		router: router, channel: channel, wake: make(chan struct{}, 1),
		neighbours: func(most int) []mesh.Connection {
			return run.connections(someOf(peers.neighbours(), most))
		},
	}
}

// loop passes on what is pending: at once if nothing was for a while.
func (m *topology) loop() {
	whole := time.NewTicker(topologyWhole)
	defer whole.Stop()
	for {
		select {
		case <-m.wake:
			m.pass()
		case <-whole.C:
			m.note(m.router.Gossip())
			m.pass()
		case <-m.scope.Open.Done():
			return
		}
		m.scope.pause(max(topologyLeast, time.Duration(m.peers.count())*topologyEvery))
	}
}

// pass sends what is pending to some neighbours: to all if they are few, as one that is only
// reached by this node hears of it from nobody else.
func (m *topology) pass() {
	m.mu.Lock()
	data := m.pending
	m.pending = nil
	m.mu.Unlock()
	if data == nil || m.scope.Open.Err() != nil {
		return
	}
	once := &topologyData{mesh: data}
	for _, conn := range m.neighbours(topologyFan) {
		m.channel.SendDown(conn, once)
	}
}

func (m *topology) note(data mesh.GossipData) {
	if data == nil {
		return
	}
	m.mu.Lock()
	if m.pending != nil {
		data = m.pending.Merge(data)
	}
	m.pending = data
	m.mu.Unlock()
	signal.Notify(m.wake)
}

// GossipNeighbourSubset implements mesh.Gossip, for the router: its own connections changed.
func (m *topology) GossipNeighbourSubset(data mesh.GossipData) { m.note(data) }

// GossipUnicast implements mesh.Gossip. mesh doesn't call it.
func (m *topology) GossipUnicast(to mesh.PeerName, msg []byte) error {
	return m.channel.GossipUnicast(to, msg)
}

// GossipBroadcast implements mesh.Gossip. mesh doesn't call it.
func (m *topology) GossipBroadcast(data mesh.GossipData) { m.note(data) }

// OnGossip implements mesh.Gossiper, for the channel: a neighbour tells something. What is
// news is passed on later, not by mesh.
func (m *topology) OnGossip(update []byte) (mesh.GossipData, error) {
	news, err := m.router.OnGossip(update)
	if err == nil {
		m.note(news)
	}
	return nil, err
}

// OnGossipUnicast implements mesh.Gossiper.
func (m *topology) OnGossipUnicast(from mesh.PeerName, msg []byte) error {
	return m.router.OnGossipUnicast(from, msg)
}

// OnGossipBroadcast implements mesh.Gossiper.
func (m *topology) OnGossipBroadcast(from mesh.PeerName, update []byte) (mesh.GossipData, error) {
	_, err := m.OnGossip(update)
	return nil, err
}

// Gossip implements mesh.Gossiper. mesh calls it with each new connection, for what to send
// over it, and every 30 seconds, which loop does instead.
func (m *topology) Gossip() mesh.GossipData {
	if !stack.Contains(onAdded) || !m.introduces() {
		return nil
	}
	return &topologyData{mesh: m.router.Gossip()}
}

// introduces reports whether the connection that mesh has just added leads to a node that
// there was no way to before: it is told everything. The others are told by others.
func (m *topology) introduces() bool {
	c := m.peers.introduce(m.run.has)
	return c == nil || !c.known
}

// topologyData is mesh's own, encoded once.
type topologyData struct {
	mesh    mesh.GossipData
	once    sync.Once
	encoded [][]byte
}

// Encode implements mesh.GossipData.
func (d *topologyData) Encode() [][]byte {
	d.once.Do(func() { d.encoded = d.mesh.Encode() })
	return d.encoded
}

// Merge implements mesh.GossipData.
func (d *topologyData) Merge(other mesh.GossipData) mesh.GossipData {
	return &topologyData{mesh: d.mesh.Merge(other.(*topologyData).mesh)}
}
