package bcache

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/transport"
)

// A node says once when it is synced, and how it came to that.
func TestSyncedIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		logs := map[uint64]*testkit.Log{}
		start := func(id uint64, edit ...func(*Config)) *Bcache {
			logs[id] = &testkit.Log{}
			return memNode(t, net, id, 0, append(edit, func(c *Config) { c.Logger = logs[id] })...)
		}
		says := func(id uint64, want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, line := range logs[id].Take() {
				if strings.Contains(line, "synced") {
					got = append(got, line)
				}
			}
			if len(got) != len(want) {
				t.Errorf("node %d says %q, want %q", id, got, want)
				return
			}
			for i := range want {
				if !strings.Contains(got[i], want[i]) {
					t.Errorf("node %d says %q, want %q", id, got[i], want[i])
				}
			}
		}
		is := func(b *Bcache, synced bool, from uint64) {
			t.Helper()
			if s := b.Stats(); s.Synced != synced || s.SyncedFrom != from {
				t.Errorf("Synced %v, SyncedFrom %d", s.Synced, s.SyncedFrom)
			}
		}

		a := start(1) // without Peers: nothing to say
		for _, key := range manyKeys("k", 300) {
			testkit.Must(t, a.Set(key, "v", 3600))
		}
		testkit.Advance(time.Minute)
		says(1)
		is(a, true, 0)

		net.Delay(time.Second) // so that nothing has come when New returns
		b := start(2, peers)
		is(b, false, 0)
		net.Delay(0)
		waitSynced(t, b, time.Minute)
		testkit.Advance(10 * time.Second)
		says(2, "P bcache: synced with node 1: 300 keys in ")
		is(b, true, 1)
		testkit.Must(t, a.Close())
		testkit.Must(t, b.Close())

		c := start(3, peers)
		var failed []transport.DialFailure
		for range 10 {
			failed = append(failed, transport.DialFailure{Addr: "10.0.0.1:7000", Err: errors.New("connection refused")})
		}
		c.peer.transport.(*memnet.Transport).SetUnreached(failed...)
		testkit.Advance(replica.DefaultSyncTimeout - 1)
		says(3)
		testkit.Advance(2 * time.Second)
		is(c, true, 0)
		says(3, "E bcache: declares itself synced: no other node is reached for 10s: "+
			strings.Repeat("10.0.0.1:7000: connection refused; ", 8)+"and 2 more")
		testkit.Must(t, c.Close())

		d := start(4, peers) // its Peers are its own address
		waitSynced(t, d, time.Minute)
		says(4, "P bcache: declares itself synced: its Peers lead to no other node")
		testkit.Must(t, d.Close())

		e, f := start(5, peers), start(6, peers)
		waitSynced(t, e, time.Minute)
		waitSynced(t, f, time.Minute)
		says(5, "P bcache: declares itself synced, as the first of those that are reached; others: 1")
		says(6, "P bcache: synced with node 5: 0 keys in ")
	})
}

// The twin in memory lists what a test tells it to.
func TestMemNetUnreached(t *testing.T) {
	b := memNode(t, memnet.New(), 1, 0)
	want := transport.DialFailure{Addr: "10.0.0.1:7000", Configured: true, Err: errors.New("no address")}
	b.peer.transport.(*memnet.Transport).SetUnreached(want)
	if got := b.peer.transport.Unreached(); len(got) != 1 || got[0].String() != want.String() {
		t.Errorf("%v", got)
	}
}
