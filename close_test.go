package bcache

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

func TestCloseWaitsForTheLastWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		release := net.Hold(3)
		testkit.Must(t, nodes[0].Set("k", "v", 60))
		closed := make(chan error)
		go func() { closed <- nodes[0].Close() }()
		testkit.Advance(time.Second)
		select {
		case err := <-closed:
			t.Fatalf("Close returned before node 3 had the last write: %v", err)
		default:
		}
		start := time.Now()
		release()
		testkit.Must(t, <-closed)
		if took := time.Since(start); took > replica.AskEvery {
			t.Errorf("Close took %v after the last answer", took)
		}
		get(t, nodes[2], "k", "v")
	})
}

func TestCloseNamesWhoDidNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		release := net.Hold(3)
		defer release()
		testkit.Must(t, nodes[0].Set("k", "v", 60))
		start := time.Now()
		err := nodes[0].Close()
		if !errors.Is(err, ErrUnconfirmed) || !strings.HasSuffix(err.Error(), " not by node 3") {
			t.Errorf("Close = %v, want ErrUnconfirmed for node 3 only", err)
		}
		if took := time.Since(start); took != confirmTimeout {
			t.Errorf("Close took %v", took)
		}
		if again := nodes[0].Close(); again != err {
			t.Errorf("a second Close = %v", again)
		}
	})
}

// A node that connected after some writes doesn't have those, and isn't asked for.
func TestCloseAsksForWhatTheNeighbourCouldGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a, b := memNode(t, net, 1, 0), memNode(t, net, 2, 0)
		synctest.Wait()
		testkit.Must(t, a.Set("early", "v", 60))
		synctest.Wait()
		late := memNode(t, net, 3, 0)
		synctest.Wait()
		testkit.Must(t, a.Set("k", "v", 60))
		start := time.Now()
		testkit.Must(t, a.Close())
		if time.Since(start) > replica.AskEvery {
			t.Error("Close took", time.Since(start))
		}
		get(t, b, "k", "v")
		get(t, late, "k", "v")
	})
}

// lossy makes two nodes that both have a write of the first one. What that writes next is lost as long as
// lose is set.
func lossy(t *testing.T) (a, b *Bcache, lose *atomic.Bool) {
	net := memnet.New()
	lose = losing(net, 2)
	a, b = memNode(t, net, 1, 0), memNode(t, net, 2, 0)
	synctest.Wait()
	testkit.Must(t, a.Set("k", "v", 60))
	synctest.Wait()
	lose.Store(true)
	return a, b, lose
}

// A frame that was lost is pulled from who closes, in time. If that can't be, the answer
// is no, not a guess.
func TestCloseAfterALostFrame(t *testing.T) {
	for _, repaired := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			a, b, lose := lossy(t)
			testkit.Must(t, a.Set("2", "v", 60))
			synctest.Wait()
			lose.Store(!repaired)
			testkit.Must(t, a.Set("3", "v", 60))
			start := time.Now()
			if err := a.Close(); errors.Is(err, ErrUnconfirmed) == repaired || time.Since(start) > confirmTimeout {
				t.Errorf("Close = %v, after %v", err, time.Since(start))
			}
			if repaired {
				get(t, b, "2", "v")
				get(t, b, "3", "v")
			}
		})
	}
}

// What the others lack at Close they get as fast as they can take it: 60 MB of lost writes in no time that
// a clock shows, where the network has none.
func TestCloseSendsWhatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, lose := lossy(t)
		large := strings.Repeat("v", 100<<10)
		for i := range 600 {
			testkit.Must(t, a.Set(fmt.Sprint(i), large, 60))
			synctest.Wait()
		}
		lose.Store(false)
		begin := time.Now()
		testkit.Must(t, a.Close())
		if took := time.Since(begin); took > 4*replica.AskEvery || b.Len() != 601 {
			t.Errorf("it took %v, and %d of 601 keys are there", took, b.Len())
		}
	})
}

// Nodes that close at the same time don't wait for each other in vain.
func TestCloseTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		for i, b := range nodes {
			testkit.Must(t, b.Set("k", fmt.Sprint(i), 60))
		}
		start := time.Now()
		var wg sync.WaitGroup
		for _, b := range nodes {
			wg.Go(func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took > replica.AskEvery {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		a := nodes[0]
		testkit.Must(t, a.Set("k", "v", 60))
		testkit.Must(t, a.Close())
		testkit.Must(t, a.Close())
		miss(t, a, "k")
		if err := a.Set("k", "v", 60); !errors.Is(err, ErrClosed) {
			t.Errorf("Set = %v", err)
		}
		if err := a.Set("k", strings.Repeat("x", MaxRecordSize), 60); !errors.Is(err, ErrClosed) {
			t.Errorf("Set of too much = %v", err)
		}
		if err := a.Delete("k"); !errors.Is(err, ErrClosed) {
			t.Errorf("Delete = %v", err)
		}
		val, err := a.GetWithFiller("k", func(string) (string, error) { return "filled", nil }, 60)
		if val != "filled" || err != nil {
			t.Errorf("GetWithFiller = %q, %v", val, err)
		}
		if a.Len() != 0 {
			t.Errorf("Len = %d", a.Len())
		}
		a.Stats()
		a.Members()
		a.Addr()
	})
}

// After Close no line is logged, and the Logger isn't called.
func TestCloseEndsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		var lines testkit.Log
		a := memNode(t, net, 1, 0, func(c *Config) { c.Logger = &lines })
		testkit.Must(t, a.Close())
		lines.Take()
		a.peer.log.Errorf(0, "too late")
		if got := lines.Take(); len(got) != 0 {
			t.Errorf("logged after Close: %q", got)
		}
	})
}

// A node that is open to all says so, once; one on loopback or with a Secret doesn't.
func TestOpenNodeWarns(t *testing.T) {
	for _, tt := range []struct {
		addr, secret string
		want         int
	}{{":7000", "", 1}, {"10.0.0.1:7000", "", 1}, {"127.0.0.1:7000", "", 0}, {":7000", "0123456789abcdef", 0}} {
		synctest.Test(t, func(t *testing.T) {
			var lines testkit.Log
			memNode(t, memnet.New(), 1, 0, func(c *Config) { c.ListenAddr, c.Secret, c.Logger = tt.addr, tt.secret, &lines })
			testkit.Advance(time.Minute)
			warnings := 0
			synctest.Wait() // lines are queued
			for _, line := range lines.Take() {
				if strings.Contains(line, "no Secret is set") {
					warnings++
				}
			}
			if warnings != tt.want {
				t.Errorf("%q, Secret %q: %d warnings", tt.addr, tt.secret, warnings)
			}
		})
	}
}

// Expired entries are gone within ten seconds of their deadline, without any Get.
func TestExpiredEntriesGoOnTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, maxKeys := range []int{10, 100_000} {
			b, err := New(Config{MaxKeys: maxKeys})
			testkit.Must(t, err)
			for i := range 10 {
				testkit.Must(t, b.Set(fmt.Sprint(i), "v", 60))
			}
			testkit.Advance(59 * time.Second)
			if b.Len() != 10 {
				t.Errorf("Len = %d before the deadline", b.Len())
			}
			testkit.Advance(11 * time.Second)
			if s := b.Stats(); b.Len() != 0 || s.Expirations != 10 || s.Bytes != 0 {
				t.Errorf("Len = %d, %d expirations, %d bytes", b.Len(), s.Expirations, s.Bytes)
			}
			testkit.Must(t, b.Close())
		}
	})
}

// A node whose clock is set back by much says that the others won't follow.
func TestClockSetBackIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		var lines, others testkit.Log
		var skew atomic.Int64
		a := memNodeAt(t, net, 1, &skew, func(c *Config) { c.Logger = &lines })
		b := memNode(t, net, 2, 0, func(c *Config) { c.Logger = &others })
		synctest.Wait()
		skew.Store(int64(time.Hour))
		testkit.Must(t, a.Set("k", "v", 60))
		synctest.Wait()
		miss(t, b, "k")
		if got := strings.Join(others.Take(), "\n"); !strings.Contains(got, "check the clocks") {
			t.Errorf("the other node logged %q", got)
		}
		skew.Store(0)
		testkit.Advance(2 * time.Second)
		if got := strings.Join(lines.Take(), "\n"); !strings.Contains(got, "clock was set back") {
			t.Errorf("logged %q", got)
		}
	})
}
