// Package live starts nodes over mesh on loopback, for tests.
//
// Its law: it uses bcache as a user does, by its exported names. A node is closed when its test ends.
// Under the race detector Cluster skips its test unless mesh's own races are patched, see
// scripts/racemesh.sh.
package live

import (
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
)

func Node(t testing.TB, edit ...func(*bcache.Config)) *bcache.Bcache {
	t.Helper()
	cfg := bcache.Config{ListenAddr: "127.0.0.1:0", MaxKeys: 1000}
	for _, e := range edit {
		e(&cfg)
	}
	b, err := bcache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// Cluster starts n nodes that know the first one only, and waits until each has
// found all the others.
func Cluster(t testing.TB, n int, edit ...func(*bcache.Config)) []*bcache.Bcache {
	t.Helper()
	testkit.SkipIfMeshRaces(t)
	nodes := []*bcache.Bcache{Node(t, edit...)}
	for range n - 1 {
		first := func(c *bcache.Config) { c.Peers = []string{nodes[0].Addr()} }
		nodes = append(nodes, Node(t, append(edit, first)...))
	}
	Connected(t, nodes)
	return nodes
}

func Connected(t testing.TB, nodes []*bcache.Bcache) {
	t.Helper()
	for _, b := range nodes {
		testkit.Within(t, 20*time.Second, func() error {
			m := b.Members()
			direct := 0
			for _, m := range m {
				if m.Direct {
					direct++
				}
			}
			if direct != len(nodes)-1 {
				return fmt.Errorf("%s sees %+v", b.Addr(), m)
			}
			return nil
		})
	}
}
