package bcache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A hit of a Typed beside one of a Loader, of the same keys: what it costs more is the Codec, unless the
// decoded value is shared.
func BenchmarkTypedHit(b *testing.B) {
	const n = 1 << 13
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	text := strings.Repeat("v", 100)
	l := newLoader(b, benchNode(b), (&testDB{}).fill, func(c *LoaderConfig) { c.Prefix, c.TTL = "loader:", time.Hour })
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
	typedHits(b, "Raw string", keys, Raw[string]{}, "", text)
	typedHits(b, "Raw bytes", keys, Raw[[]byte]{}, "", []byte(text))
	typedHits(b, "Raw string with a Version", keys, Raw[string]{}, "2", text)
	ada := user{7, "Ada", "ada@example.com", text[:50]}
	typedHits(b, "JSON", keys, JSON[user]{}, "", ada)
	shared := func(c *TypedConfig[user]) { c.Shared = true }
	typedHits(b, "JSON, Shared", keys, JSON[user]{}, "", ada, shared)
	typedHits(b, "JSON of a pointer, Shared", keys, JSON[*user]{}, "", &ada,
		func(c *TypedConfig[*user]) { c.Shared = true })
	typedHits(b, "JSON, Shared with a Clone", keys, JSON[user]{}, "", ada, shared,
		func(c *TypedConfig[user]) { c.Clone = func(u user) user { return u } })
}

// benchNode is a node of its own for each case, so that all have as much memory to look into.
func benchNode(b *testing.B) *Bcache {
	b.Helper()
	c, err := New(Config{MaxKeys: 1 << 17})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func typedHits[V any](
	b *testing.B, name string, keys []string, codec Codec[V], version string, v V,
	edit ...func(*TypedConfig[V]),
) {
	cfg := TypedConfig[V]{
		Codec: codec, Version: version,
		Fill:   func(context.Context, string) (TypedLoaded[V], error) { return TypedLoaded[V]{Value: v}, nil },
		Loader: LoaderConfig{Prefix: "typed0:", TTL: time.Hour},
	}
	for _, e := range edit {
		e(&cfg)
	}
	t, err := NewTyped(benchNode(b), cfg)
	if err != nil {
		b.Fatal(err)
	}
	for _, key := range keys {
		if err := t.Set(key, v, 0); err != nil {
			b.Fatal(err)
		}
		if _, err := t.Get(context.Background(), key); err != nil { // which shares it, if at all
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
