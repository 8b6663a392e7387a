//go:build unix

package memberlist

import (
	"flag"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

var nodes = flag.Int("measure", 0, "nodes to measure: start, CPU, goroutines, heap, idle CPU, end")

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestMeasure prints what so many nodes cost, all in this process.
func TestMeasure(t *testing.T) {
	n := *nodes
	if n == 0 {
		t.Skip("with -measure")
	}
	heap, goroutines := testkit.Heap(), runtime.NumGoroutine()
	began, used := time.Now(), cpu()
	all := together(t, n, plain)
	fmt.Printf("%d nodes: all joined in %v, CPU %v\n", n, time.Since(began), cpu()-used)
	time.Sleep(10 * time.Second)
	fmt.Printf("a node: %.1f goroutines, %.2f MiB of heap\n", float64(runtime.NumGoroutine()-goroutines)/float64(n),
		float64(testkit.Heap()-heap)/float64(n)/(1<<20))
	used = cpu()
	const idle = 20 * time.Second
	time.Sleep(idle)
	fmt.Printf("idle: %.3f %% of a core a node\n", 100*float64(cpu()-used)/float64(idle)/float64(n))
	began, used = time.Now(), cpu()
	for _, p := range all {
		testkit.Must(t, p.Close())
	}
	fmt.Printf("all closed in %v, CPU %v\n", time.Since(began), cpu()-used)
}
