package bcacheprom

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func localCache(t testing.TB) *bcache.Bcache {
	t.Helper()
	b, err := bcache.New(bcache.Config{MaxKeys: 1000})
	testkit.Ok(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// What can't work is an error that says so, and no panic.
func TestNewRefuses(t *testing.T) {
	b := localCache(t)
	for _, tt := range []struct {
		cache *bcache.Bcache
		opts  Options
		says  []string
	}{
		{nil, Options{}, []string{"the cache is nil"}},
		{b, Options{Cache: "\xff"}, []string{`Cache is "\xff"`}},
		{b, Options{ConstLabels: prometheus.Labels{"": "v"}}, []string{`the name ""`}},
		{b, Options{ConstLabels: prometheus.Labels{"ä": "v"}}, []string{`the name "ä"`}},
		{b, Options{ConstLabels: prometheus.Labels{"__x": "v"}}, []string{`the name "__x"`}},
		{b, Options{ConstLabels: prometheus.Labels{"x": "\xff"}}, []string{`ConstLabels["x"] is "\xff"`}},
		{b, Options{Cache: "\xff", ConstLabels: prometheus.Labels{"cache": "c", "le": "1"}},
			[]string{"Cache is", `the name "cache"`, `the name "le"`}},
	} {
		_, err := New(tt.cache, tt.opts)
		if !errors.Is(err, bcache.ErrConfig) {
			t.Errorf("%+v: %v", tt.opts, err)
			continue
		}
		for _, says := range tt.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("the error %q doesn't say %q", err, says)
			}
		}
	}
	for _, label := range ownLabels() {
		if _, err := New(b, Options{ConstLabels: prometheus.Labels{label: "v"}}); err == nil {
			t.Errorf("a second label %s is no error", label)
		}
	}
}

// The Options may be changed afterwards.
func TestNewCopies(t *testing.T) {
	labels := prometheus.Labels{"zone": "1"}
	c, err := New(localCache(t), Options{Cache: "users", ConstLabels: labels})
	testkit.Ok(t, err)
	labels["zone"] = "2"
	delete(labels, "zone")
	s := get(t, endpoint(t, c))
	s.is(t, 0, "bcache_entries", "cache", "users", "zone", "1")
}

// Several caches show their metrics side by side; two can't have the same labels.
func TestSeveralCaches(t *testing.T) {
	var collectors []prometheus.Collector
	for i, name := range []string{"a", "b", ""} {
		b := localCache(t)
		for k := range i + 1 {
			testkit.Ok(t, b.Set(fmt.Sprint(k), "v", 60))
		}
		c, err := New(b, Options{Cache: name})
		testkit.Ok(t, err)
		collectors = append(collectors, c)
	}
	s := get(t, endpoint(t, collectors...))
	for i, name := range []string{"a", "b", ""} {
		s.is(t, float64(i+1), "bcache_entries", "cache", name)
	}
	r := prometheus.NewRegistry()
	testkit.Ok(t, r.Register(collectors[0]))
	again, err := New(localCache(t), Options{Cache: "a"})
	testkit.Ok(t, err)
	var twice prometheus.AlreadyRegisteredError
	if err := r.Register(again); !errors.As(err, &twice) {
		t.Errorf("a second cache of the name: %v", err)
	}
	if !r.Unregister(collectors[0]) {
		t.Error("it can't be unregistered")
	}
	testkit.Ok(t, r.Register(again))
}

// What is described is what is collected: all families, and each as it is said to be.
func TestFamiliesAreCollected(t *testing.T) {
	s := scrapeOf(t, busyNode())
	for _, f := range families {
		got := s[f.name]
		if got == nil {
			t.Errorf("%s isn't collected", f.name)
			continue
		}
		if typ := strings.ToLower(got.GetType().String()); typ != string(f.kind) || got.GetHelp() != f.help {
			t.Errorf("%s is a %s, %q", f.name, typ, got.GetHelp())
		}
		delete(s, f.name)
	}
	if len(s) > 0 {
		t.Errorf("these aren't described: %v", names(s))
	}
}

func TestMetricsAreClean(t *testing.T) {
	c, err := newCollector(busyNode(), Options{Cache: "c"})
	testkit.Ok(t, err)
	problems, err := testutil.CollectAndLint(c)
	testkit.Ok(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range families {
		if !strings.HasSuffix(f.help, ".") || strings.ContainsAny(f.help, "|`\n") {
			t.Errorf("the help of %s is %q", f.name, f.help)
		}
	}
}

// A scrape asks for the figures once.
func TestScrapeAsksOnce(t *testing.T) {
	n := busyNode()
	c, err := newCollector(n, Options{})
	testkit.Ok(t, err)
	url := endpoint(t, c)
	n.asked = 0 // registering has collected
	get(t, url)
	if n.asked != 1 {
		t.Errorf("Stats was called %d times", n.asked)
	}
}

// A node that isn't ready, and one that is closed, say so; the figures stay.
func TestScrapeOfAClosedCache(t *testing.T) {
	b := localCache(t)
	c, err := New(b, Options{})
	testkit.Ok(t, err)
	url := endpoint(t, c)
	testkit.Ok(t, b.Set("k", "v", 60))
	b.Get("k")
	get(t, url).is(t, 1, "bcache_ready")
	testkit.Ok(t, b.Close())
	s := get(t, url)
	s.is(t, 0, "bcache_ready")
	s.is(t, 1, "bcache_writes_total")
	s.is(t, 1, "bcache_requests_total", "result", "hit")
}

// Scrapes may run while the cache is used, and while it is closed.
func TestScrapeUnderLoad(t *testing.T) {
	b := localCache(t)
	l, err := bcache.NewLoader(b, bcache.LoaderConfig{Prefix: "p:", TTL: 1, Fill: fillWithKey})
	testkit.Ok(t, err)
	c, err := New(b, Options{})
	testkit.Ok(t, err)
	r := prometheus.NewPedanticRegistry()
	testkit.Ok(t, r.Register(c))
	handler := promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				key := fmt.Sprint(i % 50)
				_ = b.Set(key, "v", 60)
				b.Get(key)
				_, _ = l.Get(t.Context(), key)
				if w == 0 && i == 1500 {
					_ = b.Close()
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			last := map[string]float64{}
			for range 30 {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
				if w.Code != http.StatusOK {
					t.Errorf("the scrape answers %d: %s", w.Code, w.Body)
				}
				for _, m := range parse(t, w.Body).series("bcache_requests_total") {
					if result, n := m.GetLabel()[1].GetValue(), m.GetCounter().GetValue(); n < last[result] {
						t.Errorf("%s went back from %v to %v", result, last[result], n)
					} else {
						last[result] = n
					}
				}
			}
		})
	}
	wg.Wait()
}

// However the counters are read, no result goes back, and in the end the results are all Gets.
func TestGetsNeverGoBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c getCounts
		var now gets
		last := map[string]float64{}
		for range rapid.IntRange(1, 30).Draw(t, "scrapes") {
			read := now
			for _, n := range []*uint64{&now.hits, &now.misses, &now.notFound, &now.stale, &now.staleHits} {
				*n += uint64(rapid.IntRange(0, 3).Draw(t, "more"))
			}
			// the true numbers are hits, misses and the like; a scrape reads some of them earlier
			now.hits = max(now.hits, now.notFound+now.staleHits)
			now.stale = max(now.stale, now.staleHits)
			now.misses = max(now.misses, now.stale-now.staleHits)
			for i, n := range []*uint64{&read.hits, &read.misses, &read.notFound, &read.stale, &read.staleHits} {
				if rapid.Bool().Draw(t, "late") {
					*n = []uint64{now.hits, now.misses, now.notFound, now.stale, now.staleHits}[i]
				}
			}
			for result, n := range c.next("", read) {
				if n < last[result] || n < 0 {
					t.Fatalf("%s went from %v to %v", result, last[result], n)
				}
				last[result] = n
			}
		}
	})
	var c getCounts
	sum := 0.0
	for _, n := range c.next("", gets{hits: 10, misses: 7, notFound: 3, stale: 5, staleHits: 2}) {
		sum += n
	}
	if sum != 17 {
		t.Errorf("they are %v", sum)
	}
}
