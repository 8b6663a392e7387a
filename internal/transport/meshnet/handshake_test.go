package meshnet

import (
	"encoding/json"
	"maps"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/weaveworks/mesh"
)

// What nodes say of themselves in the handshake stays as it is, and so does what it means. A word that
// this version doesn't know is passed over.
func TestMeshGoldenHandshake(t *testing.T) {
	leaks(t)
	text, err := os.ReadFile(filepath.Join("testdata", "wire", "v1", "handshake.json"))
	testkit.Must(t, err)
	var golden map[string]string
	testkit.Must(t, json.Unmarshal(text, &golden))
	clock := time.UnixMilli(1_700_000_000_123)
	node := func(id uint64) *testNode {
		return start(t, id, func(c *Config) {
			c.ClusterName, c.Origin, c.AdvertiseAddr = "a cluster", 0xfedcba9876543200+id, "node.example:7000"
			c.Now = func() time.Time { return clock }
		})
	}
	a, b := node(0xa), node(0xb)
	said := map[string]string{}
	a.overlay.AddFeaturesTo(said)
	if !maps.Equal(said, golden) {
		t.Errorf("a node says %v, the golden one %v", said, golden)
	}
	golden["bcache.later"] = "a word of a later version"
	g, err := b.overlay.greet(mesh.OverlayConnectionParams{
		RemotePeer: &mesh.Peer{Name: 0xa}, RemoteAddr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1234},
		Features: golden,
	})
	if err != nil || g.peer != 0xa || g.origin != 0xfedcba987654320a || g.addr != "node.example:7000" {
		t.Errorf("it means %+v, %v", g, err)
	}
	closeAll(t, a, b)
}
