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
func TestLoad(t *testing.T) {
	c := bcachetest.New(t, 3, bcache.Config{MaxKeys: 1000})
	h := Handler(c.Node(0), Options{Values: true, Actions: true})
	paths := []string{
		"/", "/?hot=1", "/why?key=k1&values=1", "/api/overview", "/api/history", "/api/why?key=k2", "/readyz",
	}
	var readers, writers sync.WaitGroup
	end := make(chan struct{})
	for i := range 3 {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-end:
					return
				default:
				}
				key := fmt.Sprint("k", n%50)
				_ = c.Node(i).Set(key, "v", 60) // it is closed in the end
				c.Node(i).Get(key)
			}
		})
	}
	for i := range 8 {
		readers.Go(func() {
			for n := range 40 {
				r := httptest.NewRequest(http.MethodGet, paths[(i+n)%len(paths)], nil)
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
					t.Errorf("%s: %d", r.URL, w.Code)
				}
				if n == 20 {
					post(h, "/api/delete", url.Values{"key": {"k1"}})
				}
				if n == 30 && i == 0 {
					if err := c.Stop(0); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	readers.Wait()
	close(end)
	writers.Wait()
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
