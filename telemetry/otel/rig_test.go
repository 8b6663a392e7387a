package bcacheotel

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is what telemetry goes to in a test.
type rig struct {
	t      *testing.T
	spans  *tracetest.SpanRecorder
	tracer trace.Tracer // the user's
	reader *sdkmetric.ManualReader
	opts   Options
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))
	r.tracer = tp.Tracer("user")
	r.opts = Options{
		Cache:          "users",
		TracerProvider: tp,
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader)),
	}
	return r
}

// observer makes an Observer.
func (r *rig) observer() bcache.Observer {
	r.t.Helper()
	o, err := NewObserver(r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	return o
}

// register registers the metrics of a cache.
func (r *rig) register(cache *bcache.Bcache) metric.Registration {
	r.t.Helper()
	reg, err := RegisterMetrics(cache, r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	return reg
}

// collect reads all metrics.
func (r *rig) collect() map[string]metricdata.Metrics {
	r.t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.reader.Collect(r.t.Context(), &rm); err != nil {
		r.t.Fatal(err)
	}
	all := map[string]metricdata.Metrics{}
	for _, s := range rm.ScopeMetrics {
		if s.Scope.Name != scope {
			r.t.Errorf("the scope is %q", s.Scope.Name)
		}
		for _, m := range s.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

// value is that of a metric with exactly these attributes.
func value(m metricdata.Metrics, attrs ...attribute.KeyValue) (float64, bool) {
	want := attribute.NewSet(attrs...)
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		return find(d.DataPoints, want)
	case metricdata.Gauge[int64]:
		return find(d.DataPoints, want)
	case metricdata.Sum[float64]:
		return find(d.DataPoints, want)
	case metricdata.Gauge[float64]:
		return find(d.DataPoints, want)
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			if p.Attributes.Equals(&want) {
				return float64(p.Count), true
			}
		}
	}
	return 0, false
}

func find[N int64 | float64](points []metricdata.DataPoint[N], want attribute.Set) (float64, bool) {
	for _, p := range points {
		if p.Attributes.Equals(&want) {
			return float64(p.Value), true
		}
	}
	return 0, false
}

// check compares the value of a metric, whose attributes are these beside that of the cache.
func (r *rig) check(all map[string]metricdata.Metrics, name string, want float64, attrs ...attribute.KeyValue) {
	r.t.Helper()
	got, ok := value(all[name], append(attrs, keyCache.String("users"))...)
	if !ok {
		r.t.Errorf("%s%v isn't there: %+v", name, attrs, all[name].Data)
	} else if got != want {
		r.t.Errorf("%s%v is %v, want %v", name, attrs, got, want)
	}
}

// ended returns the spans with a name that have ended.
func (r *rig) ended(name string) (spans []sdktrace.ReadOnlySpan) {
	for _, s := range r.spans.Ended() {
		if s.Name() == name {
			spans = append(spans, s)
		}
	}
	return spans
}

// one returns the only span with a name that has ended.
func (r *rig) one(name string) sdktrace.ReadOnlySpan {
	r.t.Helper()
	spans := r.ended(name)
	if len(spans) != 1 {
		r.t.Fatalf("%d spans %s have ended, want one", len(spans), name)
	}
	return spans[0]
}

// attributes are those of a span, by key.
func attributes(s sdktrace.ReadOnlySpan) map[attribute.Key]attribute.Value {
	m := map[attribute.Key]attribute.Value{}
	for _, a := range s.Attributes() {
		m[a.Key] = a.Value
	}
	return m
}

// has compares attributes of a span.
func has(t *testing.T, s sdktrace.ReadOnlySpan, want ...attribute.KeyValue) {
	t.Helper()
	got := attributes(s)
	for _, a := range want {
		if got[a.Key] != a.Value {
			t.Errorf("%s of %s is %v, want %v", a.Key, s.Name(), got[a.Key].String(), a.Value.String())
		}
	}
}

func localCache(t *testing.T) *bcache.Bcache {
	t.Helper()
	b, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// loader makes a Loader of a configuration that lacks only its TTL.
func loader(t *testing.T, b *bcache.Bcache, cfg bcache.LoaderConfig) *bcache.Loader {
	t.Helper()
	if cfg.TTL == 0 {
		cfg.TTL = time.Minute
	}
	l, err := bcache.NewLoader(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
