package bcache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/env"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
	"github.com/iwanbk/bcache/transport"
)

// confirm is Confirm within a time, and how long it took.
func confirm(b *Bcache, within time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	start := time.Now()
	err := b.Confirm(ctx)
	return time.Since(start), err
}

// confirmed checks that Confirm returns nil within a time.
func confirmed(t *testing.T, b *Bcache, within time.Duration) {
	t.Helper()
	if took, err := confirm(b, within); err != nil {
		t.Fatalf("after %v: %v", took, err)
	}
}

// unconfirmed checks that Confirm waits until its context ends, and then says all of this and names
// nobody else.
func unconfirmed(t *testing.T, b *Bcache, within time.Duration, says ...string) {
	t.Helper()
	took, err := confirm(b, within)
	if !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, context.DeadlineExceeded) || took != within {
		t.Fatalf("after %v: %v", took, err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q doesn't say %q", err, text)
		}
	}
	if n := strings.Count(err.Error(), " (mem)"); n != len(says) {
		t.Errorf("%q has %d nodes", err, n)
	}
}

func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		confirmed(t, nodes[0], 0) // nothing was written
		net.Delay(10 * time.Millisecond)
		testkit.Must(t, nodes[0].Set("k", "old", 60))
		took, err := confirm(nodes[0], time.Minute)
		if err != nil || took != 20*time.Millisecond {
			t.Fatalf("%v after %v, the way there and back is 20 ms", err, took)
		}
		get(t, nodes[2], "k", "old")
		confirmed(t, nodes[0], 0) // they have said so
		testkit.Must(t, nodes[0].DeleteConfirmed(t.Context(), "k"))
		for _, b := range nodes {
			miss(t, b, "k")
		}
		testkit.Must(t, nodes[0].Set("k", "new", 60))
		testkit.Must(t, nodes[0].ClearConfirmed(t.Context()))
		for _, b := range nodes {
			miss(t, b, "k")
		}
	})
}

// A node by itself has nobody to wait for; after Close nothing can be said.
func TestConfirmAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local, err := New(Config{MaxKeys: 1})
		testkit.Must(t, err)
		alone := memNode(t, memnet.New(), 1, 0)
		for _, b := range []*Bcache{local, alone} {
			testkit.Must(t, b.Set("k", "v", 60))
			confirmed(t, b, 0)
			testkit.Must(t, b.Close())
			if _, err := confirm(b, 0); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrUnconfirmed) {
				t.Errorf("after Close: %v", err)
			}
			if err := b.DeleteConfirmed(t.Context(), "k"); !errors.Is(err, ErrClosed) || errors.Is(err, ErrUnconfirmed) {
				t.Errorf("a Delete that wasn't done: %v", err)
			}
			if err := b.ClearConfirmed(t.Context()); !errors.Is(err, ErrClosed) || errors.Is(err, ErrUnconfirmed) {
				t.Errorf("a Clear that wasn't done: %v", err)
			}
		}
	})
}

// A node that doesn't know yet who is there confirms nothing.
func TestConfirmWaitsUntilReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		b := memNode(t, net, 1, 0, peers, func(c *Config) { c.MinPeers = 1 })
		testkit.Must(t, b.Set("k", "v", 600))
		_, err := confirm(b, time.Minute)
		if !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, ErrNotSynced) {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- b.Confirm(t.Context()) }()
		synctest.Wait()
		other := memNode(t, net, 2, 0)
		testkit.Must(t, <-done)
		get(t, other, "k", "v")
	})
}

// Who doesn't hear is named, and what it lacks. Heard again, it confirms.
func TestConfirmNamesWhoIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		release := net.Hold(3)
		testkit.Must(t, nodes[0].Set("k", "v", 60))
		unconfirmed(t, nodes[0], time.Second, "node 3 (mem) doesn't answer")
		release()
		confirmed(t, nodes[0], replica.AskEvery)
		get(t, nodes[2], "k", "v")

		lose := losing(net, 3)
		lose.Store(true)
		testkit.Must(t, nodes[0].Set("k", "w", 60))
		synctest.Wait()
		lose.Store(false)
		testkit.Must(t, nodes[0].Set("l", "w", 60))
		confirmed(t, nodes[0], time.Second) // it pulls what it lacks at once
		get(t, nodes[2], "k", "w")

		var pongs atomic.Bool // it never gets what it lacks, and says so
		net.Filter(func(_, to uint64, frame []byte) bool {
			typ, _ := wire.FrameType(frame)
			return to != 3 || typ != wire.FrameDelta || pongs.Load()
		})
		testkit.Must(t, nodes[0].Set("k", "x", 60))
		unconfirmed(t, nodes[0], 10*time.Second, "node 3 (mem) has only the first 3 of 4 writes")
		pongs.Store(true)
		confirmed(t, nodes[0], 3*time.Second)
		get(t, nodes[2], "k", "x")
	})
}

// What was written while a node was cut off counts, also of one that has just connected again.
func TestConfirmAfterAPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		testkit.Must(t, nodes[0].Set("k", "old", 600))
		confirmed(t, nodes[0], time.Second)
		net.Partition(map[uint64]int{3: 1})
		testkit.Must(t, nodes[0].Delete("k"))
		testkit.Advance(time.Second)
		unconfirmed(t, nodes[0], time.Second, "node 3 (mem) went without a goodbye 2s ago")
		get(t, nodes[2], "k", "old") // it does
		net.Heal()
		start := time.Now()
		for errors.Is(nodes[0].Confirm(expired()), ErrUnconfirmed) {
			if time.Since(start) > time.Second {
				t.Fatal("not confirmed")
			}
			time.Sleep(time.Millisecond)
		}
		miss(t, nodes[2], "k")
	})
}

func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A node that died, or is cut off, is waited for as long as it may serve what it had; one that has said
// goodbye isn't.
func TestConfirmOfTheDeparted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		testkit.Must(t, nodes[1].Close())
		testkit.Must(t, nodes[0].Set("k", "v", 600))
		confirmed(t, nodes[0], time.Second)
		net.Kill(3)
		testkit.Must(t, nodes[0].Delete("k"))
		start := time.Now()
		unconfirmed(t, nodes[0], isolatedAfter-time.Second, "node 3 (mem) went without a goodbye 9s ago")
		confirmed(t, nodes[0], time.Minute)
		if took := time.Since(start) - goneMore; took < isolatedAfter || took > isolatedAfter+goneEvery {
			t.Errorf("confirmed after %v", took)
		}
	})
}

// closeUnheard closes a node that has something and hears nothing of whether others have that.
func closeUnheard(t *testing.T, b *Bcache) {
	t.Helper()
	if err := b.Close(); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("Close = %v", err)
	}
}

// Who leaves or comes while Confirm waits isn't waited for if it says goodbye, and is if it doesn't, or
// comes.
func TestConfirmWhileNodesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		release := net.Hold(3)
		testkit.Must(t, nodes[0].Set("k", "v", 60))
		done := make(chan error)
		go func() { done <- nodes[0].Confirm(t.Context()) }()
		testkit.Advance(time.Second)
		wait := net.Hold(1) // what the newcomer says
		late := memNode(t, net, 4, 0)
		testkit.Advance(time.Second)
		release()
		testkit.Advance(time.Second)
		select {
		case err := <-done:
			t.Fatalf("nobody has asked the newcomer: %v", err)
		default:
		}
		wait()
		testkit.Must(t, <-done)
		get(t, late, "k", "v")

		net.Hold(4)
		testkit.Must(t, nodes[0].Set("k", "w", 60))
		go func() { done <- nodes[0].Confirm(t.Context()) }()
		testkit.Advance(time.Second)
		closeUnheard(t, late)
		start := time.Now()
		if testkit.Must(t, <-done); time.Since(start) > replica.AskEvery {
			t.Errorf("who has closed was waited for for %v", time.Since(start))
		}
		net.Hold(3)
		testkit.Must(t, nodes[0].Set("k", "x", 60))
		go func() { done <- nodes[0].Confirm(t.Context()) }()
		testkit.Advance(time.Second)
		net.Kill(3)
		start = time.Now()
		if testkit.Must(t, <-done); time.Since(start) < isolatedAfter {
			t.Errorf("who has died was waited for for %v", time.Since(start))
		}
	})
}

// Another life of a node has processed nothing, but gets everything: only then has it confirmed.
func TestConfirmAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a, _ := memNode(t, net, 1, 0), memNode(t, net, 2, 0, peers)
		synctest.Wait()
		for i := range 500 {
			testkit.Must(t, a.Set(fmt.Sprint(i), "v", 600))
		}
		confirmed(t, a, time.Second)
		net.Kill(2)
		net.Delay(200 * time.Millisecond)
		b := memNode(t, net, 2, 0, peers)
		synctest.Wait()
		unconfirmed(t, a, 100*time.Millisecond, "node 2 (mem) doesn't answer")
		confirmed(t, a, 5*time.Second)
		if b.Len() != 500 {
			t.Errorf("confirmed, and %d entries", b.Len())
		}
	})
}

// A context that has ended already has nobody waited for. The error says so, and names who hasn't
// confirmed before.
func TestConfirmInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		testkit.Must(t, nodes[0].Set("k", "v", 60))
		unconfirmed(t, nodes[0], 0, "node 2 (mem) has confirmed nothing yet; node 3 (mem) has confirmed nothing "+
			"yet (nobody was waited for, as the context had ended before: context deadline exceeded)", "node 3 (mem)")
		confirmed(t, nodes[0], time.Second)
		net.Hold(3)
		testkit.Must(t, nodes[0].Set("k", "w", 60))
		unconfirmed(t, nodes[0], time.Second, "node 3 (mem) doesn't answer (context deadline exceeded)")
		unconfirmed(t, nodes[0], 0, "node 3 (mem) has confirmed only the first 1 of 2 writes yet (nobody")
		testkit.Must(t, nodes[1].Close())
		net.Kill(3)
		unconfirmed(t, nodes[0], 0, "node 3 (mem) went without a goodbye 0s ago, and may serve what it had (nobody")

		// A node that isn't ready says so, and names who hasn't confirmed all the same.
		net = memnet.New()
		two := func(c *Config) { c.MinPeers = 2 }
		b := memNode(t, net, 2, 0, peers, two)
		memNode(t, net, 3, 0, peers)
		testkit.Advance(time.Minute)
		testkit.Must(t, b.Set("k", "v", 60))
		_, err := confirm(b, 0)
		const want = "bcache: not every node has confirmed that it has the last writes: not synced yet: too few " +
			"other nodes are connected: 1 of at least 2 (MinPeers); node 3 (mem) has confirmed nothing yet (nobody " +
			"was waited for, as the context had ended before: context deadline exceeded)"
		if !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, ErrNotSynced) || fmt.Sprint(err) != want {
			t.Errorf("of a node that isn't ready it says %q", err)
		}
	})
}

// Nodes that others lead to are asked through those, and pull what they lack.
func TestConfirmThroughOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		net.Relay(1, 3, true)
		synctest.Wait()
		lose := losing(net, 3)
		lose.Store(true)
		testkit.Must(t, nodes[0].Set("k", "v", 60))
		unconfirmed(t, nodes[0], time.Second, "node 3 (mem) lacks the only write")
		testkit.Must(t, nodes[0].Set("k", "v", 60))
		unconfirmed(t, nodes[0], time.Second, "node 3 (mem) lacks the first of 2 writes")
		lose.Store(false)
		confirmed(t, nodes[0], replica.RoundMin+time.Second)
		release := net.Hold(3)
		testkit.Must(t, nodes[0].Set("l", "v", 60))
		unconfirmed(t, nodes[0], time.Second, "node 3 (mem), reached through others, doesn't answer")
		release()
		confirmed(t, nodes[0], replica.AskEvery)
		get(t, nodes[2], "k", "v")
		net.Kill(3)
		testkit.Must(t, nodes[0].Set("k", "w", 60))
		unconfirmed(t, nodes[0], time.Second, "node 3 (mem) went without a goodbye 1s ago")
		testkit.Advance(isolatedAfter)
		confirmed(t, nodes[0], 0)
	})
}

// Whatever is lost, in the end they confirm.
func TestConfirmInSpiteOfLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		net.Loss(0.5)
		for i := range 20 {
			testkit.Must(t, nodes[i%3].Set(fmt.Sprint("k", i), "v", 60))
			confirmed(t, nodes[i%3], time.Minute)
			for _, b := range nodes {
				get(t, b, fmt.Sprint("k", i), "v")
			}
		}
	})
}

// Many that ask at once share the questions; Close ends their wait; and where nobody asks, nothing is
// sent.
func TestConfirmTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		var asked atomic.Int64
		net.Filter(func(_, _ uint64, frame []byte) bool {
			if p, err := wire.DecodePing(frame); err == nil && p.Flags&wire.PingConfirm != 0 {
				asked.Add(1)
			}
			return true
		})
		net.Delay(5 * time.Millisecond)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				time.Sleep(time.Duration(i%20) * time.Millisecond)
				if err := nodes[0].DeleteConfirmed(t.Context(), fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := asked.Load(); n < 4 || n > 16 { // 10 ms there and back, for 30 ms
			t.Errorf("200 Confirms asked %d times", n)
		}
		asked.Store(0)
		testkit.Advance(time.Minute)
		if n := asked.Load(); n > 0 {
			t.Errorf("asked %d times, and nobody wants to know", n)
		}

		net.Hold(3)
		testkit.Must(t, nodes[0].Set("k", "v", 60))
		for range 10 {
			wg.Go(func() {
				if err := nodes[0].Confirm(t.Context()); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrUnconfirmed) {
					t.Error(err)
				}
			})
		}
		testkit.Advance(time.Second)
		if n := asked.Load(); n < 15 || n > 22 { // one of them is silent, and asked less and less often
			t.Errorf("10 Confirms asked %d times within a second", n)
		}
		start := time.Now()
		closed := make(chan error)
		go func() { closed <- nodes[0].Close() }()
		if wg.Wait(); time.Since(start) > 0 {
			t.Error("Close didn't end the wait at once")
		}
		if err := <-closed; !errors.Is(err, ErrUnconfirmed) {
			t.Error(err)
		}
	})
}

// What a node wrote that was cut off, and is connected again, Close doesn't take for confirmed because
// of that.
func TestCloseAfterAPartition(t *testing.T) {
	for _, repaired := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			net, nodes := three(t)
			testkit.Must(t, nodes[0].Set("k", "old", 600))
			testkit.Advance(time.Minute) // they know each other well
			net.Partition(map[uint64]int{1: 1})
			testkit.Must(t, nodes[0].Set("k", "new", 600))
			synctest.Wait()
			if !repaired {
				net.Filter(func(from, _ uint64, frame []byte) bool {
					typ, _ := wire.FrameType(frame)
					return typ != wire.FrameDelta && typ != wire.FrameChunk
				})
			}
			net.Heal()
			for len(nodes[0].Stats().Peers) < 2 { // alone, Close would ask nobody
				runtime.Gosched()
			}
			start := time.Now()
			err := nodes[0].Close()
			if errors.Is(err, ErrUnconfirmed) == repaired || repaired && time.Since(start) > time.Second {
				t.Errorf("Close = %v, after %v", err, time.Since(start))
			}
			if repaired {
				get(t, nodes[1], "k", "new")
			}
		})
	}
}

// Once it has said goodbye, a node serves nothing.
func TestCloseServesNothingAfterTheGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *Bcache
		said := false
		place := func(id, origin uint64, _ *linelog.Log) (transport.Transport, error) {
			return farewell{memnet.New().Transport(id, origin), func() {
				said = true
				miss(t, b, "k")
			}}, nil
		}
		var err error
		b, err = New(Config{ListenAddr: "mem:1", MaxKeys: 1, Env: env.New(time.Now, place, nil)})
		testkit.Must(t, err)
		testkit.Must(t, b.Set("k", "v", 60))
		if testkit.Must(t, b.Close()); !said {
			t.Error("no goodbye")
		}
	})
}

// A farewell is a transport that tells when it is about to say goodbye.
type farewell struct {
	transport.Transport
	before func()
}

func (f farewell) Close() error {
	f.before()
	return f.Transport.Close()
}
