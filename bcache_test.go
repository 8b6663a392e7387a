package bcache_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
	"go.uber.org/goleak"
)

// The surface as its users see it, over real mesh connections on loopback.

func shows(t testing.TB, b *bcache.Bcache, key, want string) {
	t.Helper()
	testkit.Within(t, 10*time.Second, func() error {
		if got, ok := b.Get(key); !ok || got != want {
			return fmt.Errorf("Get(%q) = %.40q, %v, want %.40q", key, got, ok, want)
		}
		return nil
	})
}

func gone(t testing.TB, b *bcache.Bcache, key string) {
	t.Helper()
	testkit.Within(t, 10*time.Second, func() error {
		if got, ok := b.Get(key); ok {
			return fmt.Errorf("Get(%q) = %.40q, want a miss", key, got)
		}
		return nil
	})
}

func TestThreeNodesReplicate(t *testing.T) {
	nodes := live.Cluster(t, 3)
	for i, b := range nodes {
		key := fmt.Sprint("k", i)
		testkit.Ok(t, b.Set(key, "v", 60))
		for _, o := range nodes {
			shows(t, o, key, "v")
		}
		testkit.Ok(t, nodes[(i+1)%3].Delete(key))
		for _, o := range nodes {
			gone(t, o, key)
		}
	}
	// The node that the others were told of goes; they still have each other.
	testkit.Ok(t, nodes[0].Close())
	left := nodes[1:]
	live.Connected(t, left)
	for i, b := range left {
		testkit.Ok(t, b.Set("after", fmt.Sprint(i), 60))
		shows(t, left[1-i], "after", fmt.Sprint(i))
		testkit.Ok(t, b.Delete("after"))
		gone(t, left[1-i], "after")
	}
}

func TestMembers(t *testing.T) {
	start := time.Now()
	nodes := live.Cluster(t, 3, func(c *bcache.Config) { c.Secret = "0123456789abcdef" })
	for i, b := range nodes {
		members := b.Members()
		for j, m := range members {
			if j > 0 && members[j-1].ID >= m.ID {
				t.Errorf("not sorted: %+v", members)
			}
			if !m.Direct || !m.Encrypted || m.Addr == "" || m.Addr == b.Addr() || m.Since.Before(start) || m.Since.After(time.Now()) {
				t.Errorf("node %d has the member %+v", i, m)
			}
		}
	}
}

func TestPeerIDsAreDrawn(t *testing.T) {
	nodes := live.Cluster(t, 2) // with the default PeerID, on one host
	testkit.Ok(t, nodes[0].Set("k", "v", 60))
	shows(t, nodes[1], "k", "v")
}

func TestOwnAddressAmongPeers(t *testing.T) {
	testkit.SkipIfMeshRaces(t)
	addrs := []string{testkit.FreeAddr(t), testkit.FreeAddr(t), testkit.FreeAddr(t)}
	var nodes []*bcache.Bcache
	for _, addr := range addrs { // the same list for all, as in a deployment
		nodes = append(nodes, live.Node(t, func(c *bcache.Config) { c.ListenAddr, c.Peers = addr, addrs }))
	}
	live.Connected(t, nodes)
	testkit.Ok(t, nodes[2].Set("k", "v", 60))
	shows(t, nodes[0], "k", "v")
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Ok(t, err)
	defer l.Close()
	b, err := bcache.New(bcache.Config{ListenAddr: l.Addr().String(), MaxKeys: 10})
	if err == nil {
		b.Close()
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), l.Addr().String()) || !strings.HasPrefix(err.Error(), "bcache: ") {
		t.Errorf("the error is %q", err)
	}
}

func TestOversizedValueDoesNotStopReplication(t *testing.T) {
	nodes := live.Cluster(t, 2)
	testkit.Ok(t, nodes[0].Set("k", "old", 60))
	shows(t, nodes[1], "k", "old")
	if err := nodes[0].Set("k", strings.Repeat("x", 11<<20), 60); !errors.Is(err, bcache.ErrTooLarge) {
		t.Fatalf("Set = %v", err)
	}
	gone(t, nodes[1], "k")
	largest := strings.Repeat("x", bcache.MaxRecordSize-1)
	for range 20 {
		testkit.Ok(t, nodes[0].Set("k", largest, 60))
	}
	shows(t, nodes[1], "k", largest)
	testkit.Ok(t, nodes[0].Set("after", "v", 60))
	shows(t, nodes[1], "after", "v")
}

// What is written right before Close arrives.
func TestSetThenClose(t *testing.T) {
	testkit.SkipIfMeshRaces(t)
	stays := live.Node(t)
	for i := range testkit.Rounds(100) {
		leaves := live.Node(t, func(c *bcache.Config) { c.Peers = []string{stays.Addr()} })
		testkit.Within(t, 10*time.Second, func() error {
			if len(leaves.Members()) != 1 {
				return errors.New("not connected")
			}
			return nil
		})
		key := fmt.Sprint("k", i)
		testkit.Ok(t, leaves.Set(key, strings.Repeat("x", 100_000), 60))
		testkit.Ok(t, leaves.Set(key, "last", 60))
		testkit.Ok(t, leaves.Close())
		if got, found := stays.Get(key); !found || got != "last" {
			t.Fatalf("round %d: %q, %v", i, got, found)
		}
	}
}

// Nodes start and close on one port, again and again: nothing is left of them.
func TestNewCloseCycles(t *testing.T) {
	testkit.SkipIfMeshRaces(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	other := live.Node(t)
	addr := testkit.FreeAddr(t)
	cycles := 200
	if os.Getenv("CI") != "" {
		cycles = 1000
	}
	var before usage
	for i := range cycles {
		b, err := bcache.New(bcache.Config{ListenAddr: addr, Peers: []string{other.Addr()}, MaxKeys: 100})
		if err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		if i%10 == 0 { // otherwise it closes while it connects
			testkit.Within(t, 10*time.Second, func() error {
				if len(b.Members()) != 1 {
					return errors.New("not connected")
				}
				return nil
			})
		}
		testkit.Ok(t, b.Set("k", "v", 60))
		testkit.Ok(t, b.Close())
		if i == cycles/10 {
			before = usageNow()
		}
	}
	testkit.Ok(t, other.Close())
	after := usageNow()
	t.Logf("%d cycles: goroutines %d -> %d, descriptors %d -> %d, heap %d KiB -> %d KiB", cycles,
		before.goroutines, after.goroutines, before.files, after.files, before.heap>>10, after.heap>>10)
	if after.goroutines > before.goroutines || after.files > before.files+1 || after.heap > before.heap+2<<20 {
		t.Errorf("grown: %+v -> %+v", before, after)
	}
}

type usage struct {
	goroutines, files int
	heap              uint64
}

func usageNow() usage {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, _ := os.ReadDir("/proc/self/fd") // elsewhere: 0
	return usage{runtime.NumGoroutine(), len(files), m.HeapAlloc}
}

// Close comes while everything is under way: nothing panics, nothing hangs.
func TestCloseDuringEverything(t *testing.T) {
	testkit.SkipIfMeshRaces(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for range testkit.Rounds(20) {
		nodes := []*bcache.Bcache{live.Node(t)}
		for range 2 {
			nodes = append(nodes, live.Node(t, func(c *bcache.Config) { c.Peers = []string{nodes[0].Addr()} }))
		}
		var wg sync.WaitGroup
		var closed atomic.Int32
		for i, b := range nodes {
			midway := make(chan struct{}) // closed while writes run
			for w := range 4 {
				wg.Go(func() {
					for n := 0; n < 2000 || closed.Load() < 6; n++ {
						if w == 0 && n == 500+200*i {
							close(midway)
						}
						key := fmt.Sprint(rand.IntN(100))
						err := b.Set(key, "v", 60)
						if err == nil {
							err = b.Delete(key)
						}
						if err != nil && !errors.Is(err, bcache.ErrClosed) {
							t.Error(err)
						}
						b.Get(key)
						if val, err := b.GetWithFiller(key, func(string) (string, error) { return "v", nil }, 60); val != "v" || err != nil {
							t.Errorf("GetWithFiller = %q, %v", val, err)
						}
						b.Members()
						b.Stats()
						b.Len()
					}
				})
			}
			for range 2 {
				wg.Go(func() {
					<-midway
					if err := b.Close(); err != nil && !errors.Is(err, bcache.ErrUnconfirmed) {
						t.Error(err)
					}
					closed.Add(1)
				})
			}
		}
		wg.Wait()
	}
}

func TestLocalOnly(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	b, err := bcache.New(bcache.Config{MaxKeys: 2})
	testkit.Ok(t, err)
	if b.Addr() != "" || b.Members() != nil {
		t.Errorf("Addr %q, Members %v", b.Addr(), b.Members())
	}
	testkit.Ok(t, b.Set("a", "1", 60))
	testkit.Ok(t, b.Set("b", "2", 60))
	b.Get("a")
	testkit.Ok(t, b.Set("c", "3", 60))
	if _, found := b.Get("b"); found || b.Len() != 2 {
		t.Error("the least recently used wasn't evicted")
	}
	testkit.Ok(t, b.Set("a", "", 60))
	if got, found := b.Get("a"); !found || got != "" {
		t.Error("an empty value isn't a value")
	}
	testkit.Ok(t, b.Set("a", "x", 0))
	if _, found := b.Get("a"); found {
		t.Error("Set with ttl 0 doesn't delete")
	}
	s := b.Stats()
	if s.Sets != 4 || s.Deletes != 1 || s.Hits != 2 || s.Misses != 2 || s.Evictions != 1 || s.Keys != 1 {
		t.Errorf("%+v", s)
	}
	testkit.Ok(t, b.Close())
}

// A Get allocates nothing, and an overwrite what it puts in place: an entry, and a copy of the value.
func TestAllocations(t *testing.T) {
	b, err := bcache.New(bcache.Config{MaxKeys: 100})
	testkit.Ok(t, err)
	defer b.Close()
	testkit.Ok(t, b.Set("k", "v", 60))
	filler := func(string) (string, error) { return "v", nil }
	for _, c := range []struct {
		name string
		f    func()
		want float64
	}{
		{"hit", func() { b.Get("k") }, 0},
		{"miss", func() { b.Get("unknown") }, 0},
		{"GetWithFiller hit", func() { b.GetWithFiller("k", filler, 60) }, 0},
		{"overwrite", func() { b.Set("k", "v", 60) }, 2},
	} {
		if n := testing.AllocsPerRun(1000, c.f); n != c.want {
			t.Errorf("%s: %v allocations, want %v", c.name, n, c.want)
		}
	}
}

// Values that have been replaced don't stay in memory, whatever still refers to their keys.
func TestReplacedValuesAreFreed(t *testing.T) {
	nodes := live.Cluster(t, 2, func(c *bcache.Config) { c.MaxKeys = 2000 })
	before := usageNow().heap
	for i := range 1000 {
		page := fmt.Sprintf("key-%04d", i) + strings.Repeat("x", 100<<10)
		testkit.Ok(t, nodes[0].Set(page[:8], page, 60)) // the key is part of the value
		if i%100 == 99 {
			shows(t, nodes[1], page[:8], page) // more at once would be dropped
		}
	}
	for i := range 1000 {
		testkit.Ok(t, nodes[0].Set(fmt.Sprintf("key-%04d", i), "1", 60))
	}
	shows(t, nodes[1], "key-0999", "1")
	testkit.Within(t, 10*time.Second, func() error {
		if after := usageNow().heap; after > before+2<<20 {
			return fmt.Errorf("heap %d KiB -> %d KiB", before>>10, after>>10)
		}
		return nil
	})
}
