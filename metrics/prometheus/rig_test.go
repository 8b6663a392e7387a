package bcacheprom

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A fakeNode has figures that nodes seldom have.
type fakeNode struct {
	liveNode
	stats   bcache.Stats
	loaders []bcache.LoaderStats
	members []bcache.Member
	unready error
	about   bcache.NodeInfo
	asked   int // for Stats
}

func (n *fakeNode) Stats() bcache.Stats {
	n.asked++
	return n.stats
}

func (n *fakeNode) Loaders() []bcache.LoaderStats { return n.loaders }
func (n *fakeNode) Members() []bcache.Member      { return n.members }
func (n *fakeNode) Ready() error                  { return n.unready }
func (n *fakeNode) Node() bcache.NodeInfo         { return n.about }

// A scrape is what an endpoint has answered, by the names of the metrics.
type scrape map[string]*dto.MetricFamily

// endpoint serves the metrics of collectors over HTTP, on loopback.
func endpoint(t testing.TB, collectors ...prometheus.Collector) (url string) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	for _, c := range collectors {
		testkit.Ok(t, r.Register(c))
	}
	s := httptest.NewServer(promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	t.Cleanup(s.Close)
	return s.URL
}

// get scrapes an endpoint.
func get(t testing.TB, url string) scrape {
	t.Helper()
	resp, err := http.Get(url)
	testkit.Ok(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the endpoint answers %s", resp.Status)
	}
	return parse(t, resp.Body)
}

// lines is how many lines of figures an endpoint shows: those are its series.
func lines(t testing.TB, url string) (n int) {
	t.Helper()
	resp, err := http.Get(url)
	testkit.Ok(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	testkit.Ok(t, err)
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// parse reads the text format as Prometheus does.
func parse(t testing.TB, text io.Reader) scrape {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(text)
	testkit.Ok(t, err)
	return families
}

func fillWithKey(_ context.Context, key string) (bcache.Loaded, error) {
	return bcache.Loaded{Value: key}, nil
}

// scrapeOf scrapes what one node shows.
func scrapeOf(t testing.TB, n node) scrape {
	t.Helper()
	c, err := newCollector(n, Options{Cache: "c"})
	testkit.Ok(t, err)
	return get(t, endpoint(t, c))
}

// series returns the metrics of a family that have some labels: their names, each followed by its value.
func (s scrape) series(name string, labels ...string) (found []*dto.Metric) {
	for _, m := range s[name].GetMetric() {
		has := map[string]string{}
		for _, l := range m.GetLabel() {
			has[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i+1 < len(labels); i += 2 {
			fits = fits && has[labels[i]] == labels[i+1]
		}
		if fits {
			found = append(found, m)
		}
	}
	return found
}

// sum adds up what series show; of a histogram or a summary how many there were. found is their number.
func (s scrape) sum(name string, labels ...string) (sum float64, found int) {
	for _, m := range s.series(name, labels...) {
		found++
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() +
			float64(m.GetHistogram().GetSampleCount()) + float64(m.GetSummary().GetSampleCount())
	}
	return sum, found
}

// is checks what series show together; there must be one at least.
func (s scrape) is(t testing.TB, want float64, name string, labels ...string) {
	t.Helper()
	if got, n := s.sum(name, labels...); n == 0 || got != want {
		t.Errorf("%s%v of %d series is %v, want %v", name, labels, n, got, want)
	}
}

// labelled returns the names and the values of labels, for is; without those of which any value will do.
func (s series) labelled() (labels []string) {
	for i, value := range s.labels {
		if value != "" {
			labels = append(labels, s.family.labels[i], value)
		}
	}
	return labels
}

func names(s scrape) []string { return slices.Sorted(maps.Keys(s)) }
