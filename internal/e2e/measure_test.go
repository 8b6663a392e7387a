package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
)

// Measurements rather than tests: they take minutes and gigabytes, and their figures are for
// people. They fail only where a bound is broken by far. They run with
//
//	go test -run Measure -v -timeout 30m ./internal/e2e -measure
var measure = flag.Bool("measure", false, "run the measurements")

func measuring(t *testing.T) {
	t.Helper()
	if !*measure {
		t.Skip("it takes minutes; run it with -measure, as .ci/run measure does")
	}
	testkit.SkipIfMeshRaces(t)
}

// A countingProxy forwards TCP connections to an address and counts their payload.
type countingProxy struct {
	net.Listener
	to    string
	bytes atomic.Int64
	conns sync.WaitGroup
}

func newCountingProxy(t testing.TB, to string) *countingProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &countingProxy{Listener: l, to: to}
	ctx, cancel := context.WithCancel(context.Background())
	p.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			context.AfterFunc(ctx, func() { c.Close(); d.Close() })
			p.conns.Go(func() { p.copy(c, d) })
			p.conns.Go(func() { p.copy(d, c) })
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); p.conns.Wait() })
	return p
}

func (p *countingProxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := from.Read(buf)
		p.bytes.Add(int64(n))
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

var _ io.Closer = (*countingProxy)(nil)

const measureKey = "key-%012d" // 16 bytes, and a value of 93: 109, as in the original's figures

var measureVal = strings.Repeat("v", 93)

func fillUp(t testing.TB, b *bcache.Bcache, n int) {
	t.Helper()
	for i := range n {
		if err := b.SetWithTTL(fmt.Sprintf(measureKey, i), measureVal, bcache.NoExpiry); err != nil {
			t.Fatal(err)
		}
	}
}

// gets times Gets in a tight loop until stop is closed.
func gets(b *bcache.Bcache, keys []string, stop <-chan struct{}) (times []time.Duration) {
	for i := 0; ; i++ {
		if i%64 == 0 {
			select {
			case <-stop:
				return times
			default:
			}
		}
		start := time.Now()
		b.Get(keys[i%len(keys)])
		times = append(times, time.Since(start))
	}
}

func percentiles(times []time.Duration) string {
	slices.Sort(times)
	at := func(p float64) time.Duration { return times[int(p*float64(len(times)-1))] }
	return fmt.Sprintf("p50 %v, p99 %v, p99.9 %v, max %v of %d", at(.5), at(.99), at(.999), at(1), len(times))
}

// A node joins 1,000,000 keys of 109 bytes.
func TestMeasureJoin(t *testing.T) {
	measuring(t)
	const keys = 1_000_000
	big := func(c *bcache.Config) { c.MaxKeys = keys * 11 / 10 }
	a := live.Node(t, big)
	fillUp(t, a, keys)
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf(measureKey, i*10)
	}
	runtime.GC()
	timed := func(f func()) string {
		stop, done := make(chan struct{}), make(chan []time.Duration)
		go func() { done <- gets(a, names, stop) }()
		f()
		close(stop)
		return percentiles(<-done)
	}
	alone := timed(func() { <-time.After(3 * time.Second) })

	proxy := newCountingProxy(t, a.Addr())
	var took time.Duration
	var b *bcache.Bcache
	joining := timed(func() {
		start := time.Now()
		b = live.Node(t, big, func(c *bcache.Config) { c.Peers = []string{proxy.Addr().String()} })
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := b.WaitSynced(ctx); err != nil {
			t.Fatal(err)
		}
		took = time.Since(start)
	})
	st := b.Stats()
	payload := float64(keys * 109)
	t.Logf("%d keys of 109 bytes: ready %.2f s after New, the sync itself %.2f s (%.0f MB/s of payload); %.1f MB on the wire, %.3f times the payload",
		b.Len(), took.Seconds(), st.SyncTook.Seconds(), payload/1e6/st.SyncTook.Seconds(), float64(proxy.bytes.Load())/1e6, float64(proxy.bytes.Load())/payload)
	t.Logf("Gets on the serving node, alone:   %s", alone)
	t.Logf("Gets on the serving node, serving: %s", joining)
	if b.Len() != keys || st.SyncsReceived != 1 {
		t.Errorf("%d keys after %d full syncs", b.Len(), st.SyncsReceived)
	}
	if wire := float64(proxy.bytes.Load()) / payload; wire > 1.25 {
		t.Errorf("%.2f times the payload went over the wire", wire)
	}
}

// Two idle nodes.
func TestMeasureIdle(t *testing.T) {
	measuring(t)
	for _, keys := range []int{50_000, 1_000_000} {
		t.Run(fmt.Sprint(keys), func(t *testing.T) {
			big := func(c *bcache.Config) { c.MaxKeys = keys }
			a := live.Node(t, big)
			fillUp(t, a, keys)
			proxy := newCountingProxy(t, a.Addr())
			b := live.Node(t, big, func(c *bcache.Config) { c.Peers = []string{proxy.Addr().String()} })
			live.Connected(t, []*bcache.Bcache{a, b})
			<-time.After(5 * time.Second)
			if err := b.Ready(); err != nil {
				t.Fatal(err)
			}
			before := proxy.bytes.Load()
			<-time.After(65 * time.Second)
			n := proxy.bytes.Load() - before
			t.Logf("%d keys: %d bytes in 65 s, both ways, mesh's own included", b.Len(), n)
			if n > 20_000 {
				t.Errorf("%d bytes in 65 idle seconds", n)
			}
		})
	}
}

// One of three nodes writes 1,000,000 keys as fast as one goroutine can.
func TestMeasureBurst(t *testing.T) {
	measuring(t)
	const keys = 1_000_000
	nodes := live.Cluster(t, 3, func(c *bcache.Config) { c.MaxKeys = keys * 11 / 10 })
	for _, b := range nodes {
		testkit.Within(t, 10*time.Second, b.Ready)
	}
	var before, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if m.HeapAlloc > peak.HeapAlloc {
				peak = m
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	start := time.Now()
	fillUp(t, nodes[0], keys)
	wrote := time.Since(start)
	testkit.Within(t, 2*time.Minute, func() error {
		for _, b := range nodes {
			if n := b.Len(); n != keys {
				return fmt.Errorf("%d keys", n)
			}
		}
		return nil
	})
	whole := time.Since(start)
	close(stop)
	<-done
	runtime.GC()
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	t.Logf("written in %.2f s (%.0f Sets/s), all nodes whole after %.2f s", wrote.Seconds(), keys/wrote.Seconds(), whole.Seconds())
	t.Logf("heap of the three nodes: %d MB before, %d MB at most, %d MB in the end (payload 3 x 109 MB)",
		before.HeapAlloc>>20, peak.HeapAlloc>>20, after.HeapAlloc>>20)
	for i, b := range nodes {
		s := b.Stats()
		t.Logf("node %d: dropped %d writes in the outbox and %d frames; asked for repairs %d times, %d writes repaired; %d full syncs received, %d failed",
			i, s.DroppedOutbox, s.DroppedFrames, s.RepairsAsked, s.RecordsRepaired, s.SyncsReceived, s.SyncsFailed)
		if i > 0 && s.SyncsReceived > 2 { // the one of joining, and one more
			t.Errorf("node %d received %d full syncs", i, s.SyncsReceived)
		}
	}
}

// Many nodes in one process.
func TestMeasureManyNodes(t *testing.T) {
	measuring(t)
	for _, n := range []int{10, 20, 30, 40} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var before runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			goroutines := runtime.NumGoroutine()
			start := time.Now()
			nodes := []*bcache.Bcache{live.Node(t)}
			for range n - 1 {
				nodes = append(nodes, live.Node(t, func(c *bcache.Config) { c.Peers = []string{nodes[0].Addr()} }))
			}
			all := func(direct bool) func() error {
				return func() error {
					for i, b := range nodes {
						seen := 0
						for _, m := range b.Members() {
							if m.Direct || !direct {
								seen++
							}
						}
						if seen != n-1 {
							return fmt.Errorf("node %d sees %d", i, seen)
						}
					}
					return nil
				}
			}
			testkit.Within(t, 2*time.Minute, all(false))
			reached := time.Since(start)
			testkit.Within(t, 2*time.Minute, all(true))
			direct := time.Since(start)
			for _, b := range nodes {
				testkit.Within(t, time.Minute, b.Ready)
			}
			ready := time.Since(start)
			<-time.After(3 * time.Second)

			var times []time.Duration
			for round := range 100 {
				key := fmt.Sprint("k", round)
				from := nodes[round%n]
				set := time.Now()
				if err := from.Set(key, "v", 600); err != nil {
					t.Fatal(err)
				}
				testkit.Within(t, 20*time.Second, func() error {
					for _, b := range nodes {
						if _, ok := b.Get(key); !ok {
							return fmt.Errorf("%s isn't everywhere", key)
						}
					}
					return nil
				})
				times = append(times, time.Since(set))
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			t.Logf("%d nodes: all reach all after %.1f s, directly after %.1f s, ready after %.1f s; a Set is on all nodes after %s; %d goroutines and %.1f MB per node",
				n, reached.Seconds(), direct.Seconds(), ready.Seconds(), percentiles(times),
				(runtime.NumGoroutine()-goroutines)/n, float64(m.HeapAlloc+m.StackInuse-before.HeapAlloc-before.StackInuse)/1e6/float64(n))
			var cuts uint64
			for _, b := range nodes {
				cuts += b.Stats().StuckCut
			}
			if cuts > 0 {
				t.Logf("%d connections were cut as stuck", cuts)
			}
			for _, b := range nodes {
				b.Close()
			}
		})
	}
}
