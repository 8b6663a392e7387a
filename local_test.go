package bcache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
)

// The writes of a local node aren't serialised where they needn't be. Still no key ever goes back to an
// older version, nor to what a goroutine wrote earlier, whoever deletes or clears meanwhile, and every
// bound holds.
func TestLocalWritesConcurrently(t *testing.T) {
	const writers, keys, maxBytes = 4, 4, 3 * (EntryOverhead + 20)
	writes := testkit.Rounds(20_000)
	for _, cfg := range []Config{{MaxKeys: 1000}, {MaxKeys: 3}, {MaxKeys: 1000, MaxBytes: maxBytes}} {
		b, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range writers {
			rng := rand.New(rand.NewPCG(uint64(w), 0))
			wg.Go(func() {
				var last [keys][writers]int
				var newest [keys]uint64
				see := func(key int) {
					held, _ := b.store.Peek(fmt.Sprint(key))
					if held.Stamp != 0 && held.Stamp < newest[key] {
						t.Errorf("%d: held at %d after %d", key, held.Stamp, newest[key])
					}
					newest[key] = max(newest[key], held.Stamp)
					val, ok := b.Get(fmt.Sprint(key))
					if !ok {
						return
					}
					var from, n int
					if _, err := fmt.Sscanf(val, "%d-%d-", &from, &n); err != nil {
						t.Errorf("%q: %v", val, err)
						return
					}
					if n < last[key][from] {
						t.Errorf("%d: writer %d's %d after %d", key, from, n, last[key][from])
					}
					last[key][from] = n
				}
				for n := range writes {
					key, x := rng.IntN(keys), rng.IntN(1000)
					var err error
					switch {
					case x < 50:
						err = b.Delete(fmt.Sprint(key))
						last[key][w] = n + 1 // no write of its own before is seen again
					case x == 50:
						err = b.Clear()
						for k := range last {
							last[k][w] = n + 1
						}
					default:
						err = b.SetWithTTL(fmt.Sprint(key), fmt.Sprintf("%d-%d-%s", w, n, strings.Repeat("v", x%40)), NoExpiry)
						last[key][w] = n
					}
					if err != nil {
						t.Error(err)
					}
					see(key)
					see(key)
					if s := b.Stats(); cfg.MaxBytes > 0 && s.Bytes > cfg.MaxBytes || s.Keys > cfg.MaxKeys {
						t.Errorf("%d keys, %d bytes", s.Keys, s.Bytes)
					}
				}
			})
		}
		wg.Wait()
		s := b.Stats()
		keys, size := 0, int64(0)
		for key, val := range b.All() {
			keys++
			size += int64(len(key) + len(val) + EntryOverhead)
		}
		if keys != b.Len() || keys != s.Keys || size != s.Bytes {
			t.Errorf("%d keys, %d bytes; Len is %d, Stats says %d keys, %d bytes", keys, size, b.Len(), s.Keys, s.Bytes)
		}
		if got := s.Sets + s.Deletes + s.Clears; got != uint64(writers*writes) {
			t.Errorf("%d writes counted, want %d", got, writers*writes)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Set("0", "late", 60); err != ErrClosed {
			t.Errorf("Set after Close: %v", err)
		}
	}
}
