package bcache

import (
	"os"
	"testing"
)

// Bursts is for the tests of both packages.
var Bursts = bursts

// GranterOf returns the PeerID of the node that a node would ask for a key's lease; 0 is none.
func GranterOf(b *Bcache, key string) uint64 {
	return b.peer.replica.granter(key)
}

// SkipIfMeshRaces skips a test with real mesh connections if the race detector would
// report mesh's own data races. CI runs it against a copy of mesh in which they
// are patched, see scripts/racemesh.sh.
func SkipIfMeshRaces(t testing.TB) {
	if raceDetector && os.Getenv("BCACHE_RACE_MESH") == "" {
		t.Skip("mesh has data races of its own; scripts/racemesh.sh makes a copy without them to test with")
	}
}
