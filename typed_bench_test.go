package bcache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A hit of a Typed beside one of a Loader, of the same keys: what it costs more is the Codec.
func BenchmarkTypedHit(b *testing.B) {
	c, err := New(Config{MaxKeys: 1 << 17})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	const n = 1 << 13
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	text := strings.Repeat("v", 100)
	l := newLoader(b, c, (&testDB{}).fill, func(c *LoaderConfig) { c.Prefix, c.TTL = "loader:", time.Hour })
	for _, key := range keys {
		if err := l.Set(key, text, 0); err != nil {
			b.Fatal(err)
		}
	}
	hits(b, "Loader", keys, func(key string) error { _, err := l.Get(context.Background(), key); return err })

	type user struct {
		ID    int64  `json:"id"`
		Name  string `json:"name"`
		Email string `json:"email"`
		Bio   string `json:"bio"`
	}
	typedHits(b, c, "Raw string", keys, Raw[string]{}, "", text)
	typedHits(b, c, "Raw bytes", keys, Raw[[]byte]{}, "", []byte(text))
	typedHits(b, c, "Raw string with a Version", keys, Raw[string]{}, "2", text)
	typedHits(b, c, "JSON", keys, JSON[user]{}, "", user{7, "Ada", "ada@example.com", text[:50]})
}

func typedHits[V any](b *testing.B, c *Bcache, name string, keys []string, codec Codec[V], version string, v V) {
	t, err := NewTyped(c, TypedConfig[V]{
		Codec:   codec,
		Version: version,
		Fill:    func(context.Context, string) (TypedLoaded[V], error) { return TypedLoaded[V]{Value: v}, nil },
		Loader:  LoaderConfig{Prefix: name + ":", TTL: time.Hour},
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, key := range keys {
		if err := t.Set(key, v, 0); err != nil {
			b.Fatal(err)
		}
	}
	hits(b, name, keys, func(key string) error { _, err := t.Get(context.Background(), key); return err })
}

func hits(b *testing.B, name string, keys []string, get func(string) error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := get(keys[i%len(keys)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
