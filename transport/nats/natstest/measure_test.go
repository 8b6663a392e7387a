//go:build unix

package natstest

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport/nats"
)

var measure = flag.Bool("measure", false, "measure clusters of many nodes")

// Figures of many nodes and a server in this process.
func TestMeasure(t *testing.T) {
	if !*measure {
		t.Skip("with -measure: takes two minutes of a quiet machine")
	}
	for _, n := range []int{3, 50, 100, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := newServer(t)
			goroutines, heap := runtime.NumGoroutine(), testkit.Heap()
			var nodes []*node
			for i := range n {
				nodes = append(nodes, newNode(t, uint64(i+1), nats.Config{Servers: []string{s.ClientURL()}}))
			}
			start, cpu := time.Now(), used()
			var wg sync.WaitGroup
			for _, one := range nodes {
				wg.Go(func() { one.start(t, "c") })
			}
			wg.Wait()
			testkit.Within(t, 2*time.Minute, func() error {
				for _, one := range nodes {
					if got := one.h.Count("+"); got < n-1 {
						return fmt.Errorf("node %x is joined with %d", one.id, got)
					}
				}
				return nil
			})
			t.Logf("%d nodes: joined with all in %v, %v of CPU", n, time.Since(start).Round(time.Millisecond),
				(used() - cpu).Round(time.Millisecond))
			t.Logf("%d goroutines a node, with the server's; %d KiB of heap",
				(runtime.NumGoroutine()-goroutines)/n, (testkit.Heap()-heap)/int64(n)>>10)
			const idle = 10 * time.Second
			start, cpu = time.Now(), used()
			<-time.After(idle)
			t.Logf("idle: %.3f %% of a processor a node, with the server's part",
				100*float64(used()-cpu)/float64(time.Since(start))/float64(n))
			for _, one := range nodes {
				if one.h.Count("-") > 0 {
					t.Errorf("node %x has left some: %s", one.id, one.log)
					break
				}
				if strings.Contains(one.log.String(), "E ") {
					t.Errorf("node %x: %s", one.id, one.log)
					break
				}
			}
		})
	}
}

// used is the time of processors that this process has taken.
func used() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
