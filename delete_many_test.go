package bcache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/env"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/transport"
)

func manyKeys(prefix string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint(prefix, i))
	}
	return keys
}

// What is too large is named, and keeps nothing else from being deleted.
func TestDeleteMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		keys := manyKeys("k", 500)
		for _, key := range append(keys, "other") {
			testkit.Must(t, nodes[0].Set(key, "v", 60))
		}
		synctest.Wait()
		long := strings.Repeat("x", MaxRecordSize+1)
		keys = append([]string{long, "absent", "k7"}, keys...)
		err := nodes[1].DeleteMany(keys)
		var errs KeyErrors
		if !errors.As(err, &errs) || len(errs) != 1 || errs[long] != ErrTooLarge || !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d errors: %.100v", len(errs), err)
		}
		if s := err.Error(); len(s) > 300 || !strings.Contains(s, fmt.Sprintf("(%d bytes)", len(long))) {
			t.Errorf("%d bytes: %.300s", len(s), s)
		}
		synctest.Wait()
		for _, b := range nodes {
			for _, key := range keys[1:] {
				miss(t, b, key)
			}
			get(t, b, "other", "v")
		}
		if n := nodes[1].Stats().Deletes; n != 502 {
			t.Errorf("%d deletes", n)
		}
		testkit.Must(t, nodes[1].DeleteMany(nil))
		testkit.Must(t, nodes[1].Close())
		for _, keys := range [][]string{nil, {"k"}, {long}} {
			if err := nodes[1].DeleteMany(keys); !errors.Is(err, ErrClosed) {
				t.Errorf("after Close: %.100v", err)
			}
		}
	})
}

// However many keys there are, others get the lock after each 64, and the outbox isn't flooded.
func TestDeleteManyYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		var b *Bcache
		var seen, most uint64
		batches := 0
		watch := func() { // the clock is read once per batch, or once by the flusher
			n, _ := b.peer.replica.Stats(delta.Instant{})
			most, seen = max(most, n.Deletes-seen), n.Deletes
			batches++
		}
		watching := false
		cfg := Config{PeerID: 1, ListenAddr: "mem:1", MaxKeys: 200_000}.withDefaults()
		now := func() time.Time {
			if watching {
				watch()
			}
			return time.Now()
		}
		cfg.Env = onNet(net, now)
		b, err := New(cfg)
		testkit.Must(t, err)
		defer b.Close()
		watching = true
		testkit.Must(t, b.DeleteMany(manyKeys("k", 100_000)))
		watching = false
		long := []string{strings.Repeat("a", 1<<19), strings.Repeat("b", 1<<19), strings.Repeat("c", 1<<19)}
		before := batches
		watching = true
		testkit.Must(t, b.DeleteMany(long))
		watching = false
		if batches -= before; batches < 3 {
			t.Errorf("keys of 512 KiB, %d batches", batches)
		}
		if batches = before; most > replica.ApplyBatch || batches < 100_000/replica.ApplyBatch {
			t.Errorf("%d keys under one lock, in %d batches", most, batches)
		}

		other := memNode(t, net, 2, 0, peers, func(c *Config) { c.MaxKeys = 200_000 })
		waitSynced(t, other, time.Minute)
		keys := manyKeys("q", 100_000)
		testkit.Must(t, other.Set("q99999", "v", 60))
		synctest.Wait()
		testkit.Must(t, b.DeleteMany(keys))
		synctest.Wait()
		miss(t, other, "q99999")
		if s := b.Stats(); s.DroppedOutbox != 0 || s.RepairsAnswered != 0 || s.RecordsOut < 100_000 {
			t.Errorf("%+v", s)
		}
	})
}

// A countingTransport counts what is sent to everybody.
type countingTransport struct {
	transport.Transport
	frames atomic.Int64
}

func (c *countingTransport) Broadcast(frame []byte) {
	c.frames.Add(1)
	c.Transport.Broadcast(frame)
}

// What goes into a frame, a thousand keys and 60 KiB, is one frame.
func TestDeleteManyIsOneFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		var sent countingTransport
		cfg := Config{PeerID: 1, ListenAddr: "mem:1", MaxKeys: 200_000}.withDefaults()
		place := func(id, origin uint64, _ *linelog.Log) (transport.Transport, error) {
			sent.Transport = net.Transport(id, origin)
			return &sent, nil
		}
		cfg.Env = env.New(time.Now, place, nil)
		b, err := New(cfg)
		testkit.Must(t, err)
		defer b.Close()
		other := memNode(t, net, 2, 0, peers)
		waitSynced(t, other, time.Minute)
		long := strings.Repeat("x", MaxRecordSize+1)
		for _, tt := range []struct {
			keys        []string
			least, most int64
		}{
			{nil, 0, 0}, {manyKeys("k", 1), 1, 1}, {manyKeys("k", 1000), 1, 1},
			{append(manyKeys("k", replica.ApplyBatch), long), 1, 1}, // there is nothing in the last batch
			{manyKeys("k", 100_000), 98, 200},                       // the flusher may find more than a frame
		} {
			testkit.Must(t, b.Set("k0", "v", 60))
			testkit.Advance(3*time.Second + 300*time.Millisecond) // between ticks, which send what there is
			sent.frames.Store(0)
			if err := b.DeleteMany(tt.keys); err != nil && !errors.Is(err, ErrTooLarge) {
				t.Error(err)
			}
			synctest.Wait()
			if n := sent.frames.Load(); n < tt.least || n > tt.most {
				t.Errorf("%d keys: %d frames, want %d to %d", len(tt.keys), n, tt.least, tt.most)
			}
			if _, ok := other.Get("k0"); ok != (len(tt.keys) == 0) {
				t.Errorf("%d keys: the other node has k0: %v", len(tt.keys), ok)
			}
		}
	})
}

// A fill that began before a DeleteMany isn't cached.
func TestDeleteManyFencesFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		val, err := nodes[0].GetWithFiller("k1", func(string) (string, error) {
			return "old", nodes[rand.IntN(3)].DeleteMany([]string{"k0", "k1"})
		}, 60)
		if val != "old" || err != nil {
			t.Errorf("GetWithFiller = %q, %v", val, err)
		}
		synctest.Wait()
		for _, b := range nodes {
			miss(t, b, "k1")
		}
	})
}

func BenchmarkDeleteMany(b *testing.B) {
	cache, err := New(Config{ListenAddr: "127.0.0.1:0", MaxKeys: 100_000})
	if err != nil {
		b.Fatal(err)
	}
	defer cache.Close()
	keys := manyKeys("k", 1000)
	b.Run("one by one", func(b *testing.B) {
		for b.Loop() {
			for _, key := range keys {
				_ = cache.Delete(key)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		for b.Loop() {
			_ = cache.DeleteMany(keys)
		}
	})
}
