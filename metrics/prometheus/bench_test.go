package bcacheprom

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A scrape with everything that HTTP takes, but for the connection.
func BenchmarkScrape(b *testing.B) {
	const million = 1_000_000
	for _, bm := range []struct{ entries, loaders int }{{1000, 1}, {million, 1}, {million, 50}, {million, 1024}} {
		b.Run(fmt.Sprintf("entries=%d/loaders=%d", bm.entries, bm.loaders), func(b *testing.B) {
			cache, err := bcache.New(bcache.Config{MaxKeys: bm.entries})
			testkit.Ok(b, err)
			defer cache.Close()
			for i := range bm.entries {
				testkit.Ok(b, cache.SetWithTTL(fmt.Sprintf("key:%d", i), "value", time.Hour))
			}
			for i := range bm.loaders {
				l, err := bcache.NewLoader(cache, bcache.LoaderConfig{
					Prefix: fmt.Sprint("p", i, ":"), TTL: time.Hour, Fill: fillWithKey,
				})
				testkit.Ok(b, err)
				_, err = l.Get(b.Context(), "k")
				testkit.Ok(b, err)
			}
			c, err := New(cache, Options{Cache: "c"})
			testkit.Ok(b, err)
			r := prometheus.NewRegistry()
			testkit.Ok(b, r.Register(c))
			h := promhttp.HandlerFor(r, promhttp.HandlerOpts{DisableCompression: true})
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
				b.ReportMetric(float64(w.Body.Len()), "bytes")
			}
		})
	}
}
