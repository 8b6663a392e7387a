package bcache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

// awaits checks that a node awaits a Token, and for how long.
func awaits(t *testing.T, b *Bcache, token Token, took time.Duration) {
	t.Helper()
	start := time.Now()
	if err := b.Await(t.Context(), token); err != nil || time.Since(start) != took {
		t.Errorf("after %v, not %v: %v", time.Since(start), took, err)
	}
}

func set(t *testing.T, b *Bcache, key, val string) {
	t.Helper()
	testkit.Must(t, b.Set(key, val, 3600))
}

func TestTokenIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		if token := nodes[0].Token(); !token.IsZero() {
			t.Errorf("a node that has written nothing has the Token %v", token)
		}
		set(t, nodes[0], "k", "old")
		synctest.Wait()
		net.Delay(70 * time.Millisecond)
		set(t, nodes[0], "k", "new")
		first := nodes[0].Token()
		get(t, nodes[1], "k", "old") // it doesn't know yet
		awaits(t, nodes[0], first, 0)
		awaits(t, nodes[1], first, 70*time.Millisecond)
		get(t, nodes[1], "k", "new")
		awaits(t, nodes[1], first, 0)
		awaits(t, nodes[1], Token{}, 0)

		testkit.Must(t, nodes[0].Delete("k"))
		testkit.Advance(30 * time.Millisecond)
		testkit.Must(t, nodes[1].Delete("other"))
		both, err := MergeTokens(first, nodes[0].Token(), nodes[1].Token())
		testkit.Must(t, err)
		awaits(t, nodes[2], nodes[0].Token(), 40*time.Millisecond)
		awaits(t, nodes[2], both, 30*time.Millisecond)
		miss(t, nodes[2], "k")
	})
}

// Many wait, each for its own Token, and each is woken when its own is there.
func TestTokenManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		net.Delay(time.Second)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 20 {
			set(t, nodes[0], "k", fmt.Sprint(i))
			token := nodes[0].Token()
			for range 3 {
				wg.Go(func() {
					came := time.Duration(i) * 10 * time.Millisecond
					if err := nodes[1].Await(t.Context(), token); err != nil || time.Since(start) != time.Second+came {
						t.Errorf("write %d after %v: %v", i, time.Since(start), err)
					}
				})
			}
			testkit.Advance(10 * time.Millisecond)
		}
		wg.Wait()
	})
}

// What is lost on its way is waited for until it is repaired, also if what came later is there.
func TestTokenOfWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		testkit.Advance(5 * time.Second)
		net.Loss(1)
		set(t, nodes[0], "lost", "v")
		lost := nodes[0].Token()
		synctest.Wait()
		net.Loss(0)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		err := nodes[1].Await(ctx, lost)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "lacks 1 write of node 1:") {
			t.Errorf("Await = %v", err)
		}
		if err := nodes[1].Await(ctx, nodes[1].Token()); err != nil {
			t.Errorf("of what is processed, after its context has ended: %v", err)
		}
		start := time.Now()
		testkit.Must(t, nodes[1].Await(t.Context(), lost))
		get(t, nodes[1], "lost", "v")
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("it was repaired after %v", took)
		}
	})
}

func TestTokenUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unknown := func(b *Bcache, token Token) {
			t.Helper()
			start := time.Now()
			if err := b.Await(t.Context(), token); !errors.Is(err, ErrTokenUnknown) || time.Since(start) != 0 {
				t.Errorf("after %v Await = %v", time.Since(start), err)
			}
		}
		net := memnet.New()
		a := memNode(t, net, 1, 0)
		local := localNode(t)
		set(t, local, "k", "v")
		set(t, local, "k", "w") // in its place
		awaits(t, local, local.Token(), 0)
		unknown(a, local.Token())
		set(t, a, "k", "v")
		unknown(local, a.Token())

		never := a.Token()
		never.dots[0].Seq++ // nobody else can have written that
		unknown(a, never)

		b := memNode(t, net, 2, 0, peers)
		waitSynced(t, b, time.Minute)
		awaits(t, b, a.Token(), 0) // by its full sync
		net.Delay(time.Hour)
		set(t, a, "k", "w")
		token := a.Token()
		done := make(chan error, 1)
		go func() { done <- b.Await(t.Context(), token) }()
		synctest.Wait()
		net.Kill(1)
		testkit.Advance(time.Minute)
		select {
		case err := <-done:
			t.Errorf("of a life that it knows something of: %v", err)
		default:
		}
		closeUnheard(t, b)
		if err := <-done; err != ErrClosed {
			t.Errorf("Await = %v", err)
		}
		if err := b.Await(t.Context(), token); err != ErrClosed {
			t.Errorf("after Close Await = %v", err)
		}
		awaits(t, b, Token{}, 0)
	})
}

// Of a neighbour of which nothing was heard yet what it has written is waited for; when it leaves,
// nothing is known of it.
func TestTokenOfANeighbourThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		net.Delay(time.Hour)
		set(t, nodes[0], "k", "v")
		token := nodes[0].Token()
		done := make(chan error, 1)
		go func() { done <- nodes[1].Await(t.Context(), token) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("of a neighbour: %v", err)
		default:
		}
		net.Kill(1)
		if err := <-done; !errors.Is(err, ErrTokenUnknown) {
			t.Errorf("Await = %v", err)
		}
	})
}

// To have a Token awaited that is processed takes no memory, nor does a frame that nobody waits for.
func TestTokenAllocations(t *testing.T) {
	b := localNode(t)
	set(t, b, "k", "v")
	token, ctx := b.Token(), context.Background()
	with := WithToken(ctx, token)
	l := newLoader(t, b, (&testDB{}).fill, func(c *LoaderConfig) { c.AwaitToken = time.Second })
	for name, call := range map[string]func(){
		"Await":        func() { _ = b.Await(ctx, token) },
		"Get":          func() { _, _ = l.Get(with, "k") },
		"no Token":     func() { _, _ = l.Get(ctx, "k") },
		"nobody waits": b.peer.awaits.Tell,
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestTokenOfAContext(t *testing.T) {
	first, second := Token{[]delta.Dot{{Origin: 1, Seq: 2}}}, Token{[]delta.Dot{{Origin: 3, Seq: 4}}}
	ctx := WithToken(t.Context(), first)
	if got := TokenFrom(ctx); got.String() != first.String() {
		t.Errorf("it has %v", got)
	}
	if got := TokenFrom(WithToken(ctx, second)); got.String() != second.String() {
		t.Errorf("it has %v", got)
	}
	if got := TokenFrom(t.Context()); !got.IsZero() {
		t.Errorf("a context without one has %v", got)
	}
}
