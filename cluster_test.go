package bcache

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
	"github.com/iwanbk/bcache/transport"
	"google.golang.org/protobuf/encoding/protowire"
)

// Three nodes on the in-memory transport, under synctest: time is virtual, and
// synctest.Wait returns when every frame has been dealt with.

func get(t *testing.T, b *Bcache, key, want string) {
	t.Helper()
	if got, ok := b.Get(key); !ok || got != want {
		t.Fatalf("Get(%.40q) = %.40q, %v, want %.40q", key, got, ok, want)
	}
}

func miss(t *testing.T, b *Bcache, key string) {
	t.Helper()
	if got, ok := b.Get(key); ok {
		t.Fatalf("Get(%.40q) = %.40q, want a miss", key, got)
	}
}

func three(t *testing.T, skews ...time.Duration) (*memnet.Net, []*Bcache) {
	t.Helper()
	net := memnet.New()
	var nodes []*Bcache
	for i := range 3 {
		var skew time.Duration
		if i < len(skews) {
			skew = skews[i]
		}
		nodes = append(nodes, memNode(t, net, uint64(i+1), skew))
	}
	synctest.Wait()
	return net, nodes
}

func TestClusterSetAndDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		for i, b := range nodes {
			key := fmt.Sprint("k", i)
			testkit.Must(t, b.Set(key, "v", 60))
			get(t, b, key, "v") // at once, here
			synctest.Wait()
			for _, o := range nodes {
				get(t, o, key, "v")
			}
			testkit.Must(t, nodes[(i+1)%3].Delete(key))
			synctest.Wait()
			for _, o := range nodes {
				miss(t, o, key)
			}
		}
	})
}

// The original kept the greater deadline, so the nodes diverged.
func TestClusterShorterTTLWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		testkit.Must(t, nodes[0].Set("k", "long", 3600))
		testkit.Must(t, nodes[0].Set("k", "short", 1))
		synctest.Wait()
		for _, b := range nodes {
			get(t, b, "k", "short")
		}
		testkit.Advance(time.Second)
		for _, b := range nodes {
			miss(t, b, "k")
		}
	})
}

// The original lost a Delete on a node that didn't hold the key.
func TestClusterDeleteOfUnknownKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a := memNode(t, net, 1, 0)
		synctest.Wait()
		testkit.Must(t, a.Set("k", "v", 60))
		synctest.Wait()
		testkit.Advance(time.Millisecond)
		b := memNode(t, net, 2, 0) // comes later, without the key
		synctest.Wait()
		testkit.Must(t, b.Delete("k"))
		synctest.Wait()
		miss(t, a, "k")
	})
}

func TestClusterConcurrentWritesAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		for range 100 {
			for i, b := range nodes { // the same millisecond: equal stamps
				testkit.Must(t, b.Set("k", fmt.Sprint("from ", i), 60))
			}
			synctest.Wait()
			want, _ := nodes[0].Get("k")
			for _, b := range nodes {
				get(t, b, "k", want)
			}
		}
	})
}

// A write made after another was seen beats it, even if its node's clock is behind.
func TestClusterCausalOrderDespiteSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t, 250*time.Millisecond, -250*time.Millisecond)
		testkit.Must(t, nodes[0].Set("k", "first", 60))
		synctest.Wait()
		testkit.Must(t, nodes[1].Set("k", "second", 60))
		synctest.Wait()
		for _, b := range nodes {
			get(t, b, "k", "second")
		}
	})
}

func TestClusterDeadlineIsTheSameEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		release := net.Hold(2)
		testkit.Must(t, nodes[0].Set("k", "v", 5))
		testkit.Advance(4 * time.Second)
		release() // arrives 4 s late: 1 s of life is left
		synctest.Wait()
		get(t, nodes[1], "k", "v")
		testkit.Advance(time.Second)
		for _, b := range nodes {
			miss(t, b, "k")
		}
	})
}

func TestClusterArrivesExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		testkit.Must(t, nodes[0].Set("k", "old", 3600))
		synctest.Wait()
		release := net.Hold(2)
		testkit.Must(t, nodes[0].Set("k", "new", 1))
		testkit.Advance(2 * time.Second)
		release()
		synctest.Wait()
		miss(t, nodes[1], "k") // not the old value, which "new" had replaced
	})
}

// A write from a clock that is too far ahead isn't applied, and what it replaced
// isn't served either.
func TestClusterRefusesTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		var skew atomic.Int64
		var lines testkit.Log
		nodes[1] = memNodeAt(t, net, 4, &skew, func(c *Config) { c.Logger = &lines })
		testkit.Must(t, nodes[0].Set("k", "now", 60))
		synctest.Wait()
		skew.Store(int64(2 * time.Second))
		testkit.Must(t, nodes[1].Set("k", "ahead", 60))
		testkit.Must(t, nodes[1].Set("new", "ahead", 60))
		synctest.Wait()
		miss(t, nodes[0], "k")
		miss(t, nodes[0], "new")
		if n := nodes[0].Stats().RefusedFuture; n != 2 {
			t.Errorf("RefusedFuture = %d, want 2", n)
		}
		testkit.Must(t, nodes[0].Set("k", "again", 60))
		get(t, nodes[0], "k", "again")

		// Soon the connections are cut, until the clock is right again; and by then what was
		// refused is in the past.
		testkit.Advance(5 * time.Second)
		synctest.Wait() // lines are queued
		if got := strings.Join(lines.Take(), "\n"); !strings.Contains(got, "clocks differ by more than 500 ms") || !strings.Contains(got, "2000-01-01T") {
			t.Errorf("logged %q", got)
		}
		if n := nodes[0].Stats().SkewCut + nodes[1].Stats().SkewCut; n == 0 {
			t.Error("nobody was cut")
		}
		skew.Store(0)
		testkit.Advance(10 * time.Second)
		get(t, nodes[1], "k", "ahead") // stamped later, though written before
		get(t, nodes[0], "k", "ahead")
		get(t, nodes[0], "new", "ahead")
	})
}

func TestClusterTooLargeDeletesEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		small := memNode(t, net, 1, 0, func(c *Config) { c.MaxBytes = 10_000 })
		big := memNode(t, net, 2, 0)
		synctest.Wait()

		testkit.Must(t, big.Set("k", "old", 60))
		synctest.Wait()
		get(t, small, "k", "old")
		if err := big.Set("k", strings.Repeat("x", MaxRecordSize), 60); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("Set = %v, want ErrTooLarge", err)
		}
		synctest.Wait()
		miss(t, big, "k")
		miss(t, small, "k")

		// The largest record travels; a node that can't hold it gives up the old value.
		testkit.Must(t, small.Set("k", "old", 60))
		synctest.Wait()
		value := strings.Repeat("x", MaxRecordSize-1)
		testkit.Must(t, big.Set("k", value, 60))
		synctest.Wait()
		get(t, big, "k", value)
		miss(t, small, "k")
		if n := small.Stats().RefusedTooLarge; n != 1 {
			t.Errorf("RefusedTooLarge = %d, want 1", n)
		}

		// And what follows still replicates.
		testkit.Must(t, big.Set("after", "v", 60))
		synctest.Wait()
		get(t, small, "after", "v")
	})
}

func TestClusterArbitraryBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		for _, key := range []string{"", "\x00", "a\x00b", "\xff\xfe", "ключ", strings.Repeat("k", 70_000)} {
			for _, val := range []string{"", "\x00", "\xc3\x28", strings.Repeat("v", 70_000)} {
				testkit.Must(t, nodes[0].Set(key, val, 60))
				synctest.Wait()
				get(t, nodes[2], key, val)
			}
		}
	})
}

func TestClusterEvictionIsLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		small := memNode(t, net, 1, 0, func(c *Config) { c.MaxKeys = 10 })
		big := memNode(t, net, 2, 0)
		synctest.Wait()
		for i := range 100 {
			testkit.Must(t, small.Set(fmt.Sprint(i), "v", 60))
		}
		synctest.Wait()
		if small.Len() != 10 || big.Len() != 100 {
			t.Errorf("Len = %d and %d, want 10 and 100", small.Len(), big.Len())
		}
	})
}

func TestClusterLargeBatchIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		largest := 0
		net.Filter(func(_, _ uint64, frame []byte) bool { largest = max(largest, len(frame)); return true })
		a, b := memNode(t, net, 1, 0), memNode(t, net, 2, 0)
		synctest.Wait()
		val := strings.Repeat("x", 100_000)
		for i := range 100 {
			testkit.Must(t, a.Set(fmt.Sprint(i), val, 60))
		}
		synctest.Wait()
		if b.Len() != 100 {
			t.Errorf("Len = %d, want 100", b.Len())
		}
		if largest > wire.MaxFrame+100_100 {
			t.Errorf("a frame of %d bytes", largest)
		}
	})
}

func TestClusterIsSilentWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		var frames, bytes atomic.Int64
		net.Filter(func(_, _ uint64, frame []byte) bool {
			frames.Add(1)
			bytes.Add(int64(len(frame)))
			return true
		})
		a, _ := memNode(t, net, 1, 0), memNode(t, net, 2, 0)
		synctest.Wait()
		for i := range 1000 {
			testkit.Must(t, a.Set(fmt.Sprint(i), "v", 3600))
		}
		testkit.Advance(90 * time.Second)
		frames.Store(0)
		bytes.Store(0)
		testkit.Advance(10 * time.Minute)
		// A ping and its pong, each way, every 3 seconds.
		if n := frames.Load(); n > 4*201 || bytes.Load() > 100*n {
			t.Errorf("%d frames of %d bytes in ten idle minutes", n, bytes.Load())
		}
	})
}

// Garbage is counted and dropped; what follows is applied.
func TestClusterMalformedFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		good := wire.AppendDelta(nil, 77, 1, []delta.Record{{Key: "k", Val: "v", Version: delta.Version{Stamp: delta.StampOf(time.Now().UnixMilli()), Origin: 77}}})
		send := func(frame []byte) {
			net.Node(2).Inject(1, frame)
		}
		for n := range len(good) {
			send(good[:n])
		}
		send([]byte{9, 1, 2, 3})
		send([]byte{wire.Version, 200})
		synctest.Wait()
		miss(t, nodes[1], "k")
		s := nodes[1].Stats()
		if s.Malformed+s.Unsupported != uint64(len(good)+2) || s.Unsupported < 2 {
			t.Errorf("Malformed %d, Unsupported %d, sent %d", s.Malformed, s.Unsupported, len(good)+2)
		}
		send(good)
		send(good)
		synctest.Wait()
		get(t, nodes[1], "k", "v")
		if s := nodes[1].Stats(); s.Duplicates != 1 {
			t.Errorf("Duplicates = %d", s.Duplicates)
		}
	})
}

// A node of a later version, with kinds and fields that don't exist today, beside
// today's: what isn't understood deletes, the rest is applied, and all counts as received.
func TestClusterWithALaterVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		later := net.Transport(9, 77)
		pongs := make(pongHandler, 100)
		testkit.Must(t, later.Start(transport.Node{}, pongs))
		defer later.Close()
		synctest.Wait()
		for _, key := range []string{"a", "b", "c", "d"} {
			testkit.Must(t, nodes[0].Set(key, "old", 60))
		}
		synctest.Wait()

		// The fields that docs/wire.proto has.
		const deltaBase, deltaRecord, recordKey, recordVal = 3<<3 | 1, 4<<3 | 2, 2<<3 | 2, 3<<3 | 2
		stamp := delta.StampOf(time.Now().UnixMilli() + 1)
		var body []byte
		body = wire.AppendFixed64(body, wire.DeltaOrigin, 77)
		body = wire.AppendVarint(body, wire.DeltaFirst, 1)
		body = wire.AppendFixed64(body, deltaBase, stamp)
		record := func(fields ...func([]byte) []byte) {
			var b []byte
			for _, f := range fields {
				b = f(b)
			}
			body = protowire.AppendBytes(append(body, deltaRecord), b)
		}
		str := func(tag byte, s string) func([]byte) []byte {
			return func(b []byte) []byte { return protowire.AppendString(append(b, tag), s) }
		}
		num := func(tag protowire.Number, x uint64) func([]byte) []byte {
			return func(b []byte) []byte {
				return protowire.AppendVarint(protowire.AppendTag(b, tag, protowire.VarintType), x)
			}
		}
		record(num(1, 99), str(recordKey, "a"), str(recordVal, "of a later kind"))
		record(str(recordKey, "b"), str(recordVal, "must understand"), num(15, 1))
		record(str(recordKey, "c"), str(recordVal, "may ignore"), num(16, 1), num(1000, 1))
		record(str(recordKey, "d"), str(recordVal, "of today"))
		body = protowire.AppendVarint(protowire.AppendTag(body, 100, protowire.VarintType), 1)

		later.Broadcast(append([]byte{wire.Version, wire.FrameDelta}, body...))
		later.Broadcast([]byte{wire.Version + 1, wire.FrameDelta, 1, 2, 3})
		later.Broadcast([]byte{wire.Version, 200, 1, 2, 3})
		synctest.Wait()
		for _, b := range nodes {
			miss(t, b, "a")
			miss(t, b, "b")
			get(t, b, "c", "may ignore")
			get(t, b, "d", "of today")
			if s := b.Stats(); s.Unsupported != 2 || s.Malformed != 0 {
				t.Errorf("Unsupported %d, Malformed %d", s.Unsupported, s.Malformed)
			}
		}
		testkit.Must(t, later.Send(1, wire.AppendPing(nil, wire.Ping{Origin: 77, Seq: 4}), false))
		if p := <-pongs; p.To != 4 || p.From != 0 {
			t.Errorf("covered (%d, %d], want all four", p.From, p.To)
		}
		testkit.Must(t, nodes[1].Set("a", "new", 60))
		synctest.Wait()
		get(t, nodes[2], "a", "new")
	})
}

// A pongHandler collects the pongs that a bare transport gets.
type pongHandler chan wire.Pong

func (pongHandler) Joined(_, _ uint64)      {}
func (pongHandler) Left(uint64)             {}
func (pongHandler) Moved(uint64, bool)      {}
func (pongHandler) Arriving(uint64, []byte) {}
func (h pongHandler) Receive(_ uint64, frame []byte) {
	if p, err := wire.DecodePong(frame); err == nil {
		h <- p
	}
}
