package replica

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
)

// Of nodes that reach each other one declares itself though the one with the lowest PeerID doesn't.
func TestNeverAloneIsSyncedInTheEnd(t *testing.T) {
	r := New(Config{
		ID: 2, Origin: 102, MaxSkew: time.Second, LogSize: 10, SyncTimeout: -1,
		Wake: func() {}, Changed: func(string, delta.Kind) {}, Store: store.Config{MaxKeys: 10},
	})
	at := func(d time.Duration) delta.Instant { return delta.Instant{Wall: 1e12 + d.Milliseconds(), Mono: d} }
	r.Tick(at(time.Hour))
	if r.standing.ready.synced {
		t.Fatal("it is synced alone")
	}
	r.Joined(at(time.Hour), 1, 101)
	r.Tick(at(time.Hour + DefaultSyncTimeout - 1))
	if r.standing.ready.synced {
		t.Error("it is synced too early")
	}
	if r.Tick(at(time.Hour + DefaultSyncTimeout)); !r.standing.ready.synced {
		t.Error("it is never synced")
	}
}
