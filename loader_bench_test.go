package bcache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// A hit of a Loader beside a Get, of the same keys: the Fill captures a handle, as a real one does.
// With a prefix keys are joined first, to those of GetJoined. Stale values are served while the database is
// down.
func BenchmarkLoaderHit(b *testing.B) {
	c, err := New(Config{MaxKeys: 1 << 16})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	db := &testDB{}
	const n = 1 << 14
	ctx := context.Background()
	load := func(prefix string, ttl time.Duration) (*Loader, []string) {
		l := newLoader(b, c, func(ctx context.Context, key string) (Loaded, error) { return db.fill(ctx, key) },
			func(c *LoaderConfig) {
				c.Prefix, c.TTL, c.RefreshAhead, c.StaleFor, c.RetryAfter = prefix, ttl, 0.1, time.Hour, time.Hour
			})
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprintf("%s user %d", ttl, i)
			db.set(keys[i], "some value of a few bytes")
			if _, err := l.Get(ctx, keys[i]); err != nil {
				b.Fatal(err)
			}
		}
		return l, keys
	}
	run := func(name string, keys []string, get func(string) error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := get(keys[i&(n-1)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	plain, keys := load("", time.Hour)
	get := func(key string) error {
		if _, ok := c.Get(key); !ok {
			return ErrNotFound
		}
		return nil
	}
	run("Get", keys, get)
	run("Loader", keys, func(key string) error { _, err := plain.Get(ctx, key); return err })
	prefixed, keys := load("user:", time.Hour)
	joined := make([]string, n)
	for i := range joined {
		joined[i] = "user:" + keys[i]
	}
	run("GetJoined", joined, get)
	run("Prefix", keys, func(key string) error { _, err := prefixed.Get(ctx, key); return err })

	old, keys := load("", time.Millisecond)
	db.fail(errors.New("down"))
	for _, key := range keys { // each is tried once
		for err = nil; err == nil; {
			err = old.GetResult(ctx, key).Err
		}
	}
	run("Stale", keys, func(key string) error { _, err := old.Get(ctx, key); return err })
}
