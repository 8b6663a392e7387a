package memberlist

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// A node that dies is left as soon as its connections break.
func TestDeathIsNoticed(t *testing.T) {
	all := together(t, 3, plain)
	began := time.Now()
	kill(all[2].Transport)
	for _, p := range all[:2] {
		until(t, "it has left", func() bool { return p.Count("-3") == 1 })
	}
	t.Logf("it is left within %v", time.Since(began)) // milliseconds, on a machine with time
	until(t, "memberlist gives it up", func() bool {
		e := all[0].Everybody(time.Hour)
		return len(e) == 2 && e[1].ID == 3 && e[1].Gone
	})
}

// Close doesn't wait for what memberlist waits for: the answer of a neighbour that is frozen. On a machine that
// has much else to do it may take long all the same, but not each time.
func TestCloseWaitsForNoProbe(t *testing.T) {
	var took time.Duration
	for range 5 {
		if took = closeInProbe(t); took < probeInterval*3/4 {
			return
		}
	}
	t.Errorf("Close took %v", took)
}

// closeInProbe returns how long Close takes while a neighbour is asked that is frozen.
func closeInProbe(t *testing.T) time.Duration {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	host := start(t, 1, Config{})
	frozen := bare(t, 2, Config{Join: []string{host.Addr()}})
	frozen.through = g.through
	testkit.Must(t, frozen.Start(frozen.node(5), frozen.Handler))
	t.Cleanup(func() { frozen.Close() })
	until(t, "they join", func() bool { return full([]*place{host, frozen}) })
	thaw := g.freeze()
	defer thaw()
	pings := func() int {
		p := &host.run.Load().hub.gossip.net.pings
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.next
	}
	before := pings()
	until(t, "a probe begins", func() bool { return pings() > before })
	began := time.Now()
	testkit.Must(t, host.Close())
	return time.Since(began)
}

// After Close nothing is called.
func TestNoCallAfterClose(t *testing.T) {
	all := together(t, 3, plain)
	one := all[0]
	testkit.Must(t, one.Close())
	events, frames := one.Count(""), one.NumFrames()
	all[1].Broadcast([]byte("late"))
	testkit.Must(t, all[1].Close())
	testkit.Must(t, all[2].Close())
	if one.Count("") != events || one.NumFrames() != frames {
		t.Error("it is called after Close")
	}
}
