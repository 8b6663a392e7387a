package bcache

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A node says once when it is synced, and how it came to that.
func TestSyncedIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		logs := map[uint64]*logLines{}
		start := func(id uint64, edit ...func(*Config)) *Bcache {
			logs[id] = &logLines{}
			return memNode(t, net, id, 0, append(edit, func(c *Config) { c.Logger = logs[id] })...)
		}
		says := func(id uint64, want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, line := range logs[id].take() {
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
			must(t, a.Set(key, "v", 3600))
		}
		advance(time.Minute)
		says(1)
		is(a, true, 0)

		b := start(2, peers)
		is(b, false, 0)
		waitSynced(t, b, time.Minute)
		advance(10 * time.Second)
		says(2, "P bcache: synced with node 1: 300 keys in ")
		is(b, true, 1)
		must(t, a.Close())
		must(t, b.Close())

		c := start(3, peers)
		var failed []dialFailure
		for range 10 {
			failed = append(failed, dialFailure{addr: "10.0.0.1:7000", err: errors.New("connection refused")})
		}
		c.peer.transport.(*memTransport).unreachable(failed...)
		advance(defaultSyncTimeout - 1)
		says(3)
		advance(2 * time.Second)
		is(c, true, 0)
		says(3, "E bcache: declares itself synced: no other node is reached for 10s: "+
			strings.Repeat("10.0.0.1:7000: connection refused; ", 8)+"and 2 more")
		must(t, c.Close())

		d := start(4, peers) // its Peers are its own address
		waitSynced(t, d, time.Minute)
		says(4, "P bcache: declares itself synced: its Peers lead to no other node")
		must(t, d.Close())

		e, f := start(5, peers), start(6, peers)
		waitSynced(t, e, time.Minute)
		waitSynced(t, f, time.Minute)
		says(5, "P bcache: declares itself synced, as the first of those that are reached: 1 other nodes")
		says(6, "P bcache: synced with node 5: 0 keys in ")
	})
}

// The twin in memory lists what a test tells it to.
func TestMemNetUnreached(t *testing.T) {
	b := memNode(t, newMemNet(), 1, 0)
	want := dialFailure{addr: "10.0.0.1:7000", configured: true, err: errors.New("no address")}
	b.peer.transport.(*memTransport).unreachable(want)
	if got := b.peer.transport.Unreached(); len(got) != 1 || got[0].String() != want.String() {
		t.Errorf("%v", got)
	}
}
