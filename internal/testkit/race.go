package testkit

import (
	"os"
	"testing"
)

// Rounds is n, or a tenth of it, and at least one, under the race detector, which makes each some ten
// times as slow: it finds a race in the first ones, or in none.
func Rounds(n int) int {
	if RaceDetector {
		return max(1, n/10)
	}
	return n
}

// SkipIfMeshRaces skips a test with real mesh connections if the race detector would
// report mesh's own data races. CI runs it against a copy of mesh in which they
// are patched, see scripts/racemesh.sh.
func SkipIfMeshRaces(t testing.TB) {
	if RaceDetector && os.Getenv("BCACHE_RACE_MESH") == "" {
		t.Skip("mesh has data races of its own; scripts/racemesh.sh makes a copy without them to test with")
	}
}
