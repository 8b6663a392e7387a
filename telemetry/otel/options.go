package bcacheotel

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/iwanbk/bcache"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name of the Meter and of the Tracer.
const scope = "github.com/iwanbk/bcache/telemetry/otel"

// Options are those of [RegisterMetrics] and [NewObserver]. The zero value is fine for a process with
// one cache. Give the same Options to both.
type Options struct {
	// Cache tells caches of one process apart: it is the attribute bcache.cache of all metrics and spans.
	// "" leaves that out. It must be valid UTF-8, and each cache whose metrics are registered must have
	// another one: the counts of two with the same name are added up.
	Cache string

	MeterProvider  metric.MeterProvider // nil: otel.GetMeterProvider()
	TracerProvider trace.TracerProvider // nil: otel.GetTracerProvider()

	// LeaseWaitSpans is how long a wait for a lease must have taken to have a span. 0 is a millisecond.
	// With a negative one every wait has a span. RegisterMetrics doesn't use it.
	LeaseWaitSpans time.Duration
}

// defaultLeaseWaitSpans leaves out what is hardly longer than asking for a lease takes.
const defaultLeaseWaitSpans = time.Millisecond

func (o Options) validate() error {
	if !utf8.ValidString(o.Cache) {
		return fmt.Errorf("%w: telemetry: Cache is %q: must be valid UTF-8", bcache.ErrConfig, o.Cache)
	}
	return nil
}

func (o Options) meter() metric.Meter {
	if o.MeterProvider == nil {
		return otel.Meter(scope)
	}
	return o.MeterProvider.Meter(scope)
}

func (o Options) tracer() trace.Tracer {
	if o.TracerProvider == nil {
		return otel.Tracer(scope)
	}
	return o.TracerProvider.Tracer(scope)
}

// with returns attributes, and that of the cache if it has a name.
func (o Options) with(more ...attribute.KeyValue) []attribute.KeyValue {
	if o.Cache == "" {
		return more
	}
	return append(more, keyCache.String(o.Cache))
}

// shortestLeaseSpan is LeaseWaitSpans or its default.
func (o Options) shortestLeaseSpan() time.Duration {
	if o.LeaseWaitSpans == 0 {
		return defaultLeaseWaitSpans
	}
	return o.LeaseWaitSpans
}
