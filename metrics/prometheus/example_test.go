package bcacheprom_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/iwanbk/bcache"
	bcacheprom "github.com/iwanbk/bcache/metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func Example() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 10_000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	collector, err := bcacheprom.New(cache, bcacheprom.Options{Cache: "users"})
	if err != nil {
		log.Fatal(err)
	}
	prometheus.MustRegister(collector)
	http.Handle("/metrics", promhttp.Handler())

	// What a scrape of one metric shows:
	if err := cache.Set("key", "value", 60); err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	fmt.Println(w.Code)
	n, err := testutil.GatherAndCount(prometheus.DefaultGatherer, "bcache_requests_total")
	fmt.Println(n, err)
	// Output:
	// 200
	// 4 <nil>
}
