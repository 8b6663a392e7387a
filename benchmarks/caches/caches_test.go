package caches

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

func all(t *testing.T) []Kind {
	kinds := append(Local(), Replicating())
	path, _ := FindRedis()
	if path == "" {
		t.Log("there is no redis-server on the PATH: Redis isn't tested")
		return kinds
	}
	return append(kinds, RedisKinds(path)...)
}

func TestEveryCache(t *testing.T) {
	for _, k := range all(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			c, err := k.New(10_000)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			if val, ok := c.Get("none"); ok {
				t.Errorf("a key that was never set has %q", val)
			}
			keys := make([]string, 100)
			for i := range keys {
				keys[i] = fmt.Sprint("key", i)
				c.Set(keys[i], fmt.Sprint("old", i))
			}
			c.Settle() // without it, ristretto may keep the first of two values
			for i, key := range keys {
				c.Set(key, fmt.Sprint("val", i))
			}
			c.Settle()
			for i, key := range keys {
				if val, ok := c.Get(key); !ok || val != fmt.Sprint("val", i) {
					t.Errorf("%s has %q, %t", key, val, ok)
				}
			}
			if n := c.Len(); n != len(keys) {
				t.Errorf("it holds %d entries", n)
			}
			if l, ok := c.(Loader); ok {
				if err := l.Load([]string{"a", "b"}, []string{"1", "2"}); err != nil {
					t.Error(err)
				}
				if val, _ := c.Get("b"); val != "2" {
					t.Errorf("loaded was %q", val)
				}
			}
		})
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range all(t) {
		if seen[k.Name] {
			t.Errorf("two are named %q", k.Name)
		}
		seen[k.Name] = true
		if k.Module == "" || k.Setup == "" {
			t.Errorf("%s doesn't say what it is", k.Name)
		}
	}
}

// A capacity is kept, as hit ratios would mean nothing otherwise.
func TestCapacity(t *testing.T) {
	const capacity = 8192
	for _, k := range Local() {
		if k.Unbounded || capacity < k.MinCapacity {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			c, err := k.New(capacity)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			val := fmt.Sprintf("%0100d", 0)
			for i := range 4 * capacity {
				c.Set(fmt.Sprintf("k%08d", i), val)
				c.Settle()
			}
			if n := c.Len(); n > capacity*101/100 || n < capacity*8/10 {
				t.Errorf("it holds %d entries instead of %d", n, capacity)
			}
		})
	}
}

func TestExpirers(t *testing.T) {
	for _, k := range Local() {
		c, err := k.New(1000)
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := c.(Expirer); ok {
			e.SetTTL("key", "val", time.Hour)
			c.Settle()
			if val, ok := c.Get("key"); !ok || val != "val" {
				t.Errorf("%s: %q, %t", k.Name, val, ok)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What went wrong in a Get or Set isn't lost.
func TestErrorsShowInClose(t *testing.T) {
	c, err := bcacheKind.New(10)
	if err != nil {
		t.Fatal(err)
	}
	c.Set("key", string(make([]byte, bcache.MaxRecordSize)))
	if err := c.Close(); err == nil {
		t.Error("a Set that failed isn't told")
	}
}

// A loader is asked for what isn't there, and only for that.
func TestLoaders(t *testing.T) {
	loaders := 0
	for _, k := range Local() {
		c, err := k.New(1000)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l, ok := c.(Loading)
		if !ok {
			continue
		}
		loaders++
		asked := ""
		get, err := l.Loader(func(_ context.Context, key string) (string, error) {
			asked += key
			return "val", nil
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Set("there", "val")
		for _, key := range []string{"there", "absent", "absent"} {
			if val, err := get(t.Context(), key); val != "val" || err != nil {
				t.Errorf("%s: %s is %q, %v", k.Name, key, val, err)
			}
			c.Settle()
		}
		if asked != "absent" {
			t.Errorf("%s asked for %q", k.Name, asked)
		}
	}
	if loaders < 3 {
		t.Errorf("%d caches have loaders", loaders)
	}
}
