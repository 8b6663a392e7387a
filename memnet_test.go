package bcache

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/env"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/transport"
)

// memNode starts a node of the net with PeerID id whose clock is off by skew.
func memNode(t *testing.T, n *memnet.Net, id uint64, skew time.Duration, edit ...func(*Config)) *Bcache {
	t.Helper()
	var by atomic.Int64
	by.Store(int64(skew))
	return memNodeAt(t, n, id, &by, edit...)
}

// memNodeAt is memNode with a clock that can be set.
func memNodeAt(t *testing.T, n *memnet.Net, id uint64, skew *atomic.Int64, edit ...func(*Config)) *Bcache {
	t.Helper()
	cfg := Config{PeerID: id, ListenAddr: "mem:1", MaxKeys: 1000}
	for _, e := range edit {
		e(&cfg)
	}
	now := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	cfg.Env = onNet(n, now)
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// onNet is the outside of a node of the net.
func onNet(n *memnet.Net, now func() time.Time) *env.Env {
	place := func(id, origin uint64, _ *linelog.Log) (transport.Transport, error) {
		return n.Transport(id, origin), nil
	}
	return env.New(now, place, nil)
}
