package bcache

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

func notReady(t *testing.T, b *Bcache, reason string) {
	t.Helper()
	if err := b.Ready(); !errors.Is(err, ErrNotSynced) || !strings.Contains(err.Error(), reason) {
		t.Errorf("Ready = %v, want %q", err, reason)
	}
}

// Ready isn't nil before MinPeers others are connected, nor when there are fewer again.
func TestMinPeers(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"with Peers":    peers,
		"without Peers": func(*Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := memnet.New()
				two := func(c *Config) { edit(c); c.MinPeers = 2 }
				a := memNode(t, net, 1, 0, two)
				notReady(t, a, "no other node is reached")
				testkit.Advance(time.Hour) // it never counts as synced while it is alone
				notReady(t, a, "it waits until one is")
				waited := make(chan error, 1)
				go func() { waited <- a.WaitSynced(context.Background()) }()
				b := memNode(t, net, 2, 0, two)
				testkit.Advance(replica.ElectAfter + 2*replica.TickEvery)
				if !a.Stats().Synced || !b.Stats().Synced {
					t.Error("two nodes that reach each other aren't synced")
				}
				notReady(t, a, "connected: 1 of at least 2 (MinPeers)")
				notReady(t, b, "(MinPeers)")
				if len(waited) > 0 {
					t.Errorf("WaitSynced = %v", <-waited)
				}
				testkit.Must(t, b.Set("k", "v", 3600))
				c := memNode(t, net, 3, 0, two)
				synctest.Wait()
				testkit.Must(t, a.Ready())
				testkit.Must(t, b.Ready())
				testkit.Must(t, <-waited)
				waitSynced(t, c, time.Minute)
				get(t, c, "k", "v")

				testkit.Must(t, c.Close())
				synctest.Wait()
				notReady(t, a, "connected: 1 of at least 2")
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := b.WaitSynced(ctx)
				if !errors.Is(err, ErrNotSynced) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("WaitSynced = %v", err)
				}
				get(t, a, "k", "v") // it works as before
				memNode(t, net, 4, 0, two)
				synctest.Wait()
				testkit.Must(t, a.Ready())
				testkit.Must(t, b.Close())
				if err := b.Ready(); !errors.Is(err, ErrClosed) {
					t.Errorf("Ready after Close = %v", err)
				}
			})
		})
	}
}

// A node that was alone for long, and has MinPeers, gets what the others hold before it is ready.
func TestMinPeersIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a := memNode(t, net, 1, 0)
		for _, key := range manyKeys("k", 500) {
			testkit.Must(t, a.Set(key, "v", 3600))
		}
		net.Relink = 2 * time.Minute
		net.Delay(time.Second) // so that nothing has come when New returns
		b := memNode(t, net, 2, 0, peers, func(c *Config) { c.MinPeers = 1 })
		b.peer.transport.Disconnect(1)
		net.Delay(0)
		testkit.Advance(time.Minute)
		notReady(t, b, "it waits until one is")
		waitSynced(t, b, 5*time.Minute)
		if synctest.Wait(); b.Len() != 500 {
			t.Errorf("ready with %d entries", b.Len())
		}
	})
}

// With a negative SyncTimeout a node is never ready alone; nodes that reach each other are.
func TestNeverReadyAlone(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"with Peers":    peers,
		"without Peers": func(*Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := memnet.New()
				negative := func(c *Config) { edit(c); c.SyncTimeout = -1 }
				a := memNode(t, net, 1, 0, negative)
				testkit.Advance(time.Hour)
				notReady(t, a, "it waits until one is")
				b := memNode(t, net, 2, 0, negative)
				waitSynced(t, a, replica.ElectAfter+2*replica.TickEvery)
				waitSynced(t, b, time.Minute)
				testkit.Must(t, b.Close())
				testkit.Advance(time.Hour)
				testkit.Must(t, a.Ready()) // it is synced: only MinPeers takes that back
			})
		})
	}
}
