package bcachehttp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
)

// Many look at it while the cache is used, and closed.
func TestManyLook(t *testing.T) {
	c := bcachetest.New(t, 3, bcache.Config{MaxKeys: 1000})
	h := Handler(c.Node(0), Options{Values: true, Actions: true})
	paths := []string{
		"/", "/?hot=1", "/why?key=k1&values=1", "/api/overview", "/api/history", "/api/why?key=k2", "/readyz",
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 20 {
				for k := range 50 {
					key := fmt.Sprint("k", k)
					_ = c.Node(n%3).Set(key, "v", 60) // one of them is closed in the end
					c.Node(0).Get(key)
				}
				r := httptest.NewRequest(http.MethodGet, paths[(i+n)%len(paths)], nil)
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
					t.Errorf("%s: %d", r.URL, w.Code)
				}
				if n == 10 {
					post(h, "/api/delete", url.Values{"key": {"k1"}})
				}
				if n == 15 && i == 0 {
					c.Kill(0)
				}
			}
		})
	}
	all.Wait()
}

// A page of a node with a million entries.
func BenchmarkPage(b *testing.B) {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1_000_000})
	if err != nil {
		b.Fatal(err)
	}
	defer cache.Close()
	for i := range 1_000_000 {
		if err := cache.Set(fmt.Sprint("key:", i), "v", 3600); err != nil {
			b.Fatal(err)
		}
	}
	h := Handler(cache, Options{}).(*handler)
	for range samples {
		h.history.add(cache)
	}
	for _, path := range []string{"/?hot=1", "/api/overview", "/api/history", "/why?key=key:7"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				get(b, h, path, http.StatusOK)
			}
		})
	}
}
