package bcache

import (
	"context"
	"testing"
	"time"
)

// A hit of a Loader beside a Get, of the same keys: the Fill captures a handle, as a real one does.
func BenchmarkLoaderHit(b *testing.B) {
	c, err := New(Config{MaxKeys: 1 << 16})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	db := &testDB{}
	keys := make([]string, 1<<14)
	l := newLoader(b, c, func(ctx context.Context, key string) (Loaded, error) { return db.fill(ctx, key) },
		func(c *LoaderConfig) { c.TTL, c.RefreshAhead, c.StaleFor = time.Hour, 0.1, time.Hour })
	ctx := context.Background()
	for i := range keys {
		keys[i] = "user:" + string(rune('a'+i%26)) + time.Duration(i).String()
		db.set(keys[i], "some value of a few bytes")
		if _, err := l.Get(ctx, keys[i]); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, ok := c.Get(keys[i&(1<<14-1)]); !ok {
				b.Fatal("a miss")
			}
		}
	})
	b.Run("Loader", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := l.Get(ctx, keys[i&(1<<14-1)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
