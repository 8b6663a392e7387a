package bcache

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"
)

// A hit on a value that LocalValues keeps beside one on a record, which a Fill has brought for all
// nodes. Each kind has a node of its own, so that both have as much memory to look into.
func BenchmarkLocalHit(b *testing.B) {
	for _, n := range []int{1000, 1 << 17} {
		for _, local := range []bool{false, true} {
			kind := "record"
			if local {
				kind = "local"
			}
			c := benchNode(b)
			l := newLoader(b, c, func(context.Context, string) (Loaded, error) {
				return Loaded{Value: strings.Repeat("v", 100)}, nil
			}, func(c *LoaderConfig) { c.TTL, c.RefreshAhead, c.LocalValues = time.Hour, 0.1, local })
			keys := make([]string, n)
			for i := range keys {
				keys[i] = fmt.Sprintf("k%08d", i)
				if _, err := l.Get(context.Background(), keys[i]); err != nil {
					b.Fatal(err)
				}
			}
			rand.New(rand.NewSource(1)).Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			hits(b, fmt.Sprintf("of=Get/n=%d/is=%s", n, kind), keys, func(key string) error {
				if _, ok := c.Get(key); !ok {
					return ErrNotFound
				}
				return nil
			})
			hits(b, fmt.Sprintf("of=Loader/n=%d/is=%s", n, kind), keys, func(key string) error {
				_, err := l.Get(context.Background(), key)
				return err
			})
		}
	}
}
