package measure

import (
	"testing"

	"github.com/iwanbk/bcache/benchmarks/workload"
)

// Every key is there, and decoded: a hit doesn't decode it again, as that would allocate.
func TestSharing(t *testing.T) {
	w := workload.New(1024)
	s, err := newSharing(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	defer s.node.Close()
	do := loaderHits(t.Context(), s.Get, w)
	if missed := do(0); missed != 0 {
		t.Errorf("%d missed", missed)
	}
	if n := testing.AllocsPerRun(100, func() { do(chunkSize) }); n != 0 {
		t.Errorf("%v allocations for %d hits", n, chunkSize)
	}
	if p, err := s.Get(t.Context(), w.Keys[7]); err != nil || p != (profile{7, w.Val(7)}) {
		t.Errorf("%v, %v", p, err)
	}
}
