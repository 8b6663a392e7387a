package meshnet

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/weaveworks/mesh"
)

// news is a GossipData: a set of names. Like mesh's it counts how often it is encoded.
type news struct {
	names   map[string]bool
	encoded *int
}

func (n news) Encode() [][]byte { *n.encoded++; return [][]byte{[]byte("encoded")} }

func (n news) Merge(other mesh.GossipData) mesh.GossipData {
	all := maps.Clone(n.names)
	maps.Copy(all, other.(news).names)
	return news{all, n.encoded}
}

// meshTold is both sides of a topology: a router to which everything but "known" and
// "malformed" is news, and a channel that notes what is sent.
type meshTold struct {
	encoded int

	mu   sync.Mutex
	sent []mesh.GossipData
}

// list returns what was sent.
func (r *meshTold) list() []mesh.GossipData {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

func (r *meshTold) OnGossip(update []byte) (mesh.GossipData, error) {
	switch string(update) {
	case "known":
		return nil, nil
	case "malformed":
		return nil, errors.New("malformed")
	}
	return r.news(string(update)), nil
}

func (r *meshTold) news(name string) mesh.GossipData {
	return news{map[string]bool{name: true}, &r.encoded}
}

func (r *meshTold) Gossip() mesh.GossipData                     { return r.news("everything") }
func (r *meshTold) OnGossipUnicast(mesh.PeerName, []byte) error { return nil }
func (r *meshTold) GossipUnicast(mesh.PeerName, []byte) error   { return nil }
func (r *meshTold) GossipBroadcast(mesh.GossipData)             {}
func (r *meshTold) GossipNeighbourSubset(mesh.GossipData)       {}
func (r *meshTold) SendDown(_ mesh.Connection, data mesh.GossipData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, data)
}
func (r *meshTold) OnGossipBroadcast(mesh.PeerName, []byte) (mesh.GossipData, error) {
	return nil, nil
}

// However many changes come, they are passed on once a second by one of 50 nodes, each of
// them, and encoded once; what isn't news is not.
func TestMeshTopologyIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, told := meshMake(t, 0xa, nil), &meshTold{}
		const neighbours = 50
		for id := range uint64(neighbours) {
			n.peers.byID[id+1] = &meshPeer{conns: []*meshConn{{}}}
		}
		m := newMeshTopology(n.scope, n.peers, nil, told, told)
		m.neighbours = func(int) []mesh.Connection { return []mesh.Connection{nil} }
		n.scope.spawn(m.loop)
		synctest.Wait()
		if data, err := m.OnGossip([]byte("known")); data != nil || err != nil {
			t.Errorf("%v, %v", data, err)
		}
		if _, err := m.OnGossip([]byte("malformed")); err == nil {
			t.Error("no error")
		}
		synctest.Wait()
		if len(told.list()) > 0 {
			t.Error("what isn't news is passed on")
		}
		const changes, seconds = 1000, 10
		begin := time.Now()
		for i := range changes {
			if data, _ := m.OnGossip([]byte{'n', byte(i), byte(i >> 8)}); data != nil {
				t.Fatal("mesh would pass it on at once")
			}
			m.GossipNeighbourSubset(told.news("own"))
			if i == 0 {
				if synctest.Wait(); len(told.list()) != 1 {
					t.Errorf("after a quiet time the first change waits")
				}
			}
			testkit.Advance(time.Second * seconds / changes)
		}
		testkit.Advance(2 * neighbours * topologyEvery)
		if most := seconds + 2; len(told.list()) > most {
			t.Errorf("%d changes in %v were passed on %d times", changes, time.Since(begin), len(told.list()))
		}
		all := make(map[string]bool)
		for _, data := range told.list() {
			maps.Copy(all, data.(*topologyData).mesh.(news).names)
			data.Encode()
			data.Merge(data).Encode() // a neighbour that is slow
			data.Encode()
		}
		if len(all) != changes+1 {
			t.Errorf("%d of %d changes were passed on", len(all), changes+1)
		}
		if told.encoded != 2*len(told.list()) {
			t.Errorf("%d messages were encoded %d times", len(told.list()), told.encoded)
		}

		before := len(told.list())
		testkit.Advance(10 * topologyWhole)
		synctest.Wait()
		if n := len(told.list()) - before; n != 10 {
			t.Errorf("everything was repeated %d times in 5 minutes", n)
		}
		if m.Gossip() != nil {
			t.Error("mesh would repeat everything too")
		}
		clear(n.peers.byID)
		n.Close()
	})
}

// A node that others have told of isn't told everything again, one that is new is. Each
// connection is judged once.
func TestMeshIntroduces(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	a.peers.mu.Lock()
	c := a.peers.byID[0xb].conns[0]
	introduced, known := c.introduced, c.known
	a.peers.mu.Unlock()
	if !introduced || known {
		t.Errorf("introduced %v, known before %v", introduced, known)
	}
	for _, known := range []bool{true, false} {
		a.peers.mu.Lock()
		c.introduced, c.known = false, known
		a.peers.mu.Unlock()
		if got := a.router.run.Load().topology.introduces(); got == known {
			t.Errorf("known before %v: everything is told %v", known, got)
		}
		if !c.introduced {
			t.Error("it would be judged again")
		}
	}
	closeAll(t, a, b)
}

// Routes are known beyond a neighbour, though nobody tells everything twice.
func TestMeshTopologyReachesAll(t *testing.T) {
	leaks(t)
	hidden := func(c *Config) { c.AdvertiseAddr = "127.0.0.1:1" } // only who dials gets a connection
	a := start(t, 0xa, nil)
	nodes := []*testNode{a}
	for id := uint64(0xb); id < 0xb+6; id++ {
		nodes = append(nodes, start(t, id, func(c *Config) {
			hidden(c)
			c.Peers = []string{a.Addr()}
		}))
	}
	for _, n := range nodes {
		wait(t, "a node knows all others", func() bool { return len(n.Members()) == len(nodes)-1 })
	}
	talk(t, "through a", nodes...)
	closeAll(t, nodes...)
}
