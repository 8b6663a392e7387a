package bcacheotel

import (
	"testing"

	"github.com/iwanbk/bcache"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// A hit costs the same with an Observer and without one.
func BenchmarkHit(b *testing.B) {
	for _, name := range []string{"plain", "observed"} {
		b.Run(name, func(b *testing.B) {
			cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
			if err != nil {
				b.Fatal(err)
			}
			defer cache.Close()
			user := rig{tracer: sdktrace.NewTracerProvider().Tracer("")}
			cfg := bcache.LoaderConfig{Prefix: "u:", TTL: bcache.NoExpiry, Fill: user.database(found)}
			if name == "observed" {
				opts := Options{TracerProvider: sdktrace.NewTracerProvider()}
				if cfg.Observer, err = NewObserver(opts); err != nil {
					b.Fatal(err)
				}
			}
			l, err := bcache.NewLoader(cache, cfg)
			if err != nil {
				b.Fatal(err)
			}
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if v, err := l.Get(ctx, "k"); v != "v" || err != nil {
					b.Fatal(v, err)
				}
			}
		})
	}
}

// What a collection of all metrics costs.
func BenchmarkCollect(b *testing.B) {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		b.Fatal(err)
	}
	defer cache.Close()
	manual := sdkmetric.NewManualReader()
	opts := Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(manual))}
	if _, err := RegisterMetrics(cache, opts); err != nil {
		b.Fatal(err)
	}
	var rm metricdata.ResourceMetrics
	for b.Loop() {
		if err := manual.Collect(b.Context(), &rm); err != nil {
			b.Fatal(err)
		}
	}
}
