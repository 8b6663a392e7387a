package store

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/keyhash"
	"pgregory.net/rapid"
)

// What was just written here and not read yet stays when others write twenty times what fits: neither
// their writes nor their overwrites take its place.
func TestFloodSparesWhatIsNew(t *testing.T) {
	for _, maxKeys := range []int{1000, 5000} {
		r := newStoreRig(Config{MaxKeys: maxKeys})
		for i := range maxKeys {
			r.remote(fmt.Sprint("old", i), "")
		}
		filled := maxKeys / 2
		for i := range filled {
			r.set(fmt.Sprint("filled", i), "")
		}
		for i := range 20 * maxKeys {
			r.remote(fmt.Sprint(i), "")
			r.remote(fmt.Sprint(i/2), "again")
		}
		left := 0
		for i := range filled {
			if r.has(fmt.Sprint("filled", i)) {
				left++
			}
		}
		if left < filled {
			t.Errorf("maxKeys %d: %d of %d remain", maxKeys, left, filled)
		}
		storeCheck(t, r.Store)
	}
}

// A remote write is neither a use of its key, nor a ghost's return.
func TestFIFORemoteWrites(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	queueOf := func(key string) int { return r.table.at(0).entries.find(r.hash.Of(key), key).queue() }
	for i := range 10 {
		r.set(fmt.Sprint(i), "")
	}
	for range 5 {
		r.remote("0", "again")
	}
	r.set("new", "")
	if _, ok := r.Peek("0"); ok {
		t.Fatal("a remote write was taken for a use")
	}
	r.remote("0", "back")
	if q := queueOf("0"); q != inRemote {
		t.Errorf("another node's write of what went is in queue %d", q)
	}
	r.del("0")
	r.set("newer", "")
	r.set("newest", "") // 1 or 2 goes
	gone := "1"
	if _, ok := r.Peek(gone); ok {
		t.Fatalf("%s is there", gone)
	}
	if r.set(gone, ""); queueOf(gone) != inMain {
		t.Errorf("what went and came back is in queue %d", queueOf(gone))
	}
	storeCheck(t, r.Store)
}

// One pass over many new keys costs little of what is used.
func TestFIFOScan(t *testing.T) {
	const maxKeys = 2000
	r := newStoreRig(Config{MaxKeys: maxKeys})
	used := func(touch bool) (left int) {
		for i := range maxKeys / 2 {
			if key := fmt.Sprint("used", i); r.has(key) {
				left++
			} else if touch {
				r.set(key, "")
			}
		}
		return left
	}
	used(true)
	used(true)
	for i := range 20 * maxKeys {
		r.set(fmt.Sprint("scan", i), "")
	}
	if left := used(false); left < maxKeys/2*99/100 {
		t.Errorf("%d of %d remain after a scan", left, maxKeys/2)
	}
}

// After a time of reads only, everything was used. To find a victim takes a bounded number of steps
// nevertheless.
func TestFIFOWhenAllIsUsed(t *testing.T) {
	for _, c := range []Config{{MaxKeys: 1024}, {MaxKeys: 10_000}, {MaxKeys: 1 << 20, MaxBytes: 1 << 20, Shards: 512}} {
		r := newStoreRig(c)
		val := ""
		if c.MaxBytes > 0 {
			val = strings.Repeat("v", 1000)
		}
		n := 0
		for ; r.Stats().Evictions == 0; n++ {
			r.set(fmt.Sprint(n), val)
		}
		use := func() {
			for i := range n {
				for range 4 {
					r.has(fmt.Sprint(i))
				}
			}
		}
		use()
		for i := range 100 {
			before := r.policy.(*s3fifo).clock.Load()
			r.set(fmt.Sprint("new", i), val)
			if moved := r.policy.(*s3fifo).clock.Load() - before; moved > maxSteps+sweepBatch+2 {
				t.Errorf("%+v: %d entries were moved for one", c, moved)
			}
			if i%10 == 0 {
				use()
			}
		}
		storeCheck(t, r.Store)
	}
}

// Where large values fill MaxBytes, shards have an entry or two. What goes is chosen for all of them: the hit ratio is
// that of few shards.
func TestFIFOThinShards(t *testing.T) {
	const entries, keys, requests, size = 500, 4000, 100_000, 10_000
	ratio := func(shards int) float64 {
		r := newStoreRig(Config{MaxKeys: 1 << 30, MaxBytes: entries * (size + 10), Shards: shards})
		zipf := rand.NewZipf(rand.New(rand.NewSource(1)), 1.01, 1, keys-1)
		hits := 0
		for range requests {
			key := fmt.Sprint(zipf.Uint64())
			if r.has(key) {
				hits++
			} else {
				r.set(key, strings.Repeat("v", size-EntryOverhead-len(key)))
			}
		}
		storeCheck(t, r.Store)
		return 100 * float64(hits) / requests
	}
	thick, thin := ratio(1), ratio(1024)
	t.Logf("hits: %.2f %% in one shard, %.2f %% in 1,024", thick, thin)
	if thin < thick-1 {
		t.Errorf("hits: %.2f %% in one shard, %.2f %% in 1,024", thick, thin)
	}
}

// What others delete, expire and replace leaves the queues as the index has them, and their memory bounded.
func TestFIFOLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newStoreRig(Config{
			MaxKeys:  rapid.SampledFrom([]int{1, 3, 20, 200}).Draw(t, "maxKeys"),
			MaxBytes: rapid.SampledFrom([]int64{0, 1000, 10_000}).Draw(t, "maxBytes"),
			Shards:   rapid.SampledFrom([]int{1, 2, 64}).Draw(t, "shards"),
			Hash:     keyhash.Hash{Replay: rapid.Uint64Min(1).Draw(t, "hash")},
		})
		key := func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 300).Draw(t, "key")) }
		val := func(t *rapid.T) string {
			return strings.Repeat("v", rapid.SampledFrom([]int{0, 10, 700}).Draw(t, "len"))
		}
		t.Repeat(map[string]func(*rapid.T){
			"set":    func(t *rapid.T) { r.set(key(t), val(t)) },
			"remote": func(t *rapid.T) { r.remote(key(t), val(t)) },
			"ttl": func(t *rapid.T) {
				r.setTTL(key(t), val(t), time.Duration(rapid.IntRange(1, 500).Draw(t, "ms"))*time.Millisecond)
			},
			"get": func(t *rapid.T) { r.has(key(t)) },
			"del": func(t *rapid.T) { r.del(key(t)) },
			"keep": func(t *rapid.T) {
				r.stamp++
				r.Fills.Keep(r.now, r.Epochs.Now(), &delta.Record{Key: key(t), Val: val(t), Version: delta.Version{Origin: 2}}, nil, false)
			},
			"many": func(t *rapid.T) {
				for i := range rapid.IntRange(1, 300).Draw(t, "n") {
					r.set(fmt.Sprint("m", i), "")
				}
			},
			"none": func(t *rapid.T) {
				for i := range 300 {
					r.del(fmt.Sprint("m", i))
				}
			},
			"pass":  func(t *rapid.T) { r.pass(time.Duration(rapid.IntRange(1, 300).Draw(t, "ms")) * time.Millisecond) },
			"sweep": func(*rapid.T) { r.sweep() },
			"": func(t *rapid.T) {
				storeCheck(t, r.Store)
				for sh := range r.table.all {
					for _, ring := range sh.entries.order.(*fifo).rings {
						if len(ring.cells) > minCells && ring.span()*4 <= len(ring.cells) {
							t.Fatalf("%d of %d cells are in use", ring.span(), len(ring.cells))
						}
					}
				}
			},
		})
	})
}
