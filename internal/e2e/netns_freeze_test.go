//go:build linux

package e2e_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

// A node freezes while another writes 8 MB/s. The others notice nothing, cut it off and
// keep their memory; it wakes up, and soon all agree.
func TestNetnsFreeze(t *testing.T) {
	const (
		frozen   = 90 * time.Second
		rate     = 2000 // Sets per second
		size     = 4096 // bytes each
		keys     = 5000
		doomed   = 200
		mostRSS  = 400 << 20 // a queue for the frozen node without a bound would take 600 more
		mostCut  = 12 * time.Second
		mostP99  = 100 * time.Millisecond // normal are 0.1 ms; the machine may be busy
		mostMove = time.Second
	)
	t.Parallel()
	c := newNetnsCluster(t, ipv4, 3, func(*bcache.Config) {})
	c.prepare(doomed)
	x, y, z := c.nodes[0], c.nodes[1], c.nodes[2]
	x.must(nil, "load", "load-x-", keys, rate, size)
	y.must(nil, "load", "load-y-", keys, rate/10, size)

	// watch samples the two others every 100 ms.
	moves := 0
	watch := func(d time.Duration) (s freezeSample) {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		start := time.Now()
		for i := 0; time.Since(start) < d; i++ {
			<-tick.C
			from, to := x, y
			if i%2 == 1 {
				from, to = y, x
			}
			took, err := replicates(from, to, fmt.Sprint("move-", moves), "v")
			testkit.Ok(t, err)
			c.oracle.sets("move-", moves, moves+1, "v")
			moves++
			s.moves = append(s.moves, took)
			if i%10 > 0 {
				continue
			}
			for j, p := range []*process{x, y} {
				rss, err := p.rss()
				testkit.Ok(t, err)
				s.rss = max(s.rss, rss)
				var r nodeprocess.LoadReport
				p.must(&r, "loaded", "load-"+string(rune('x'+j))+"-")
				s.p99 = max(s.p99, r.P99)
				s.max = max(s.max, r.Max)
				direct, err := p.lists()
				testkit.Ok(t, err)
				if !direct[z.cfg.PeerID] && s.cut[j] == 0 {
					s.cut[j] = time.Since(start)
				} else if direct[z.cfg.PeerID] {
					s.cut[j] = 0
				}
			}
		}
		return s
	}
	before := watch(5 * time.Second)
	if before.cut != [2]time.Duration{} {
		t.Fatal("the node isn't listed, although it isn't frozen")
	}

	var at nodeprocess.LoadReport
	x.must(&at, "loaded", "load-x-")
	z.signal(syscall.SIGSTOP)
	start := time.Now()
	c.deletes(x, "doomed-", 0, doomed/2)
	c.deletes(y, "doomed-", doomed/2, doomed)
	c.sets(x, z.name+"-", 0, 500, "frozen")
	during := watch(frozen)
	lasted := time.Since(start)
	wrote := c.stopLoad(x, "load-x-", keys).Count - at.Count
	c.stopLoad(y, "load-y-", keys)

	z.signal(syscall.SIGCONT)
	woken := time.Now()
	t.Logf("frozen for %.0f s beside %d Sets/s of %d bytes (%d written): "+
		"worst p99 of a second's Sets %v (%v before), slowest %v; replication between the others p50 %v, p99 %v, max %v (max %v before); "+
		"cut off after %.1f s and %.1f s; peak RSS %d MiB (%d MiB before)",
		lasted.Seconds(), rate, size, wrote, during.p99, before.p99, during.max,
		quantile(during.moves, 0.5), quantile(during.moves, 0.99), slices.Max(during.moves), slices.Max(before.moves),
		during.cut[0].Seconds(), during.cut[1].Seconds(), during.rss>>20, before.rss>>20)
	bad := func(is bool, format string, v ...any) {
		if is {
			t.Errorf(format, v...)
		}
	}
	bad(during.p99 > mostP99, "Sets stalled: p99 %v", during.p99)
	bad(slices.Max(during.moves) > mostMove, "replication stalled: %v", slices.Max(during.moves))
	bad(during.rss > mostRSS, "peak RSS %d MiB", during.rss>>20)
	bad(float64(wrote) < 0.9*rate*lasted.Seconds(), "only %d writes", wrote)
	for i, p := range []*process{x, y} {
		bad(during.cut[i] == 0 || during.cut[i] > mostCut, "%s cut the frozen node off after %v (0 is never)", p.name, during.cut[i])
	}

	outcome := c.agreed(woken)
	c.noneReturned(doomed)
	t.Logf("woken: %s, %d keys deleted", outcome, doomed)
}

// A freezeSample is what was seen of the two nodes that aren't frozen.
type freezeSample struct {
	p99, max time.Duration // of their Sets: of the worst second, and the slowest
	moves    []time.Duration
	rss      int
	cut      [2]time.Duration // when the third was seen to be gone, since then; 0 if it wasn't
}

func quantile(ds []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(ds))
	return sorted[int(q*float64(len(sorted)-1))]
}
