package bcacheotel_test

import (
	"context"
	"log"
	"time"

	"github.com/iwanbk/bcache"
	bcacheotel "github.com/iwanbk/bcache/telemetry/otel"
	"go.opentelemetry.io/otel"
)

// A cache whose figures and fills OpenTelemetry sees. Where they go to is up to the providers that the
// program sets with otel.SetMeterProvider and otel.SetTracerProvider.
func Example() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 100_000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	opts := bcacheotel.Options{Cache: "users"}
	metrics, err := bcacheotel.RegisterMetrics(cache, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer metrics.Unregister()
	observer, err := bcacheotel.NewObserver(opts)
	if err != nil {
		log.Fatal(err)
	}
	users, err := bcache.NewLoader(cache, bcache.LoaderConfig{
		Prefix: "user:", TTL: time.Minute, Observer: observer,
		Fill: func(ctx context.Context, id string) (bcache.Loaded, error) {
			return query(ctx, id) // with ctx: the spans of the driver are below that of the fill
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	ctx, span := otel.Tracer("service").Start(context.Background(), "GET /users")
	defer span.End()
	_, _ = users.Get(ctx, "17")
}

// slowFills logs what takes long, beside what the Observer within records.
type slowFills struct{ bcache.Observer }

func (s slowFills) FillEnded(ctx context.Context, r bcache.FillResult) {
	s.Observer.FillEnded(ctx, r)
	if r.Took > time.Second {
		log.Printf("a fill of %q took %v", r.Prefix, r.Took)
	}
}

// An Observer of your own around that of this package: it embeds it, and calls it.
func ExampleNewObserver() {
	observer, err := bcacheotel.NewObserver(bcacheotel.Options{})
	if err != nil {
		log.Fatal(err)
	}
	_ = bcache.LoaderConfig{Observer: slowFills{observer}}
}

func query(context.Context, string) (bcache.Loaded, error) { return bcache.Loaded{Value: "Ada"}, nil }
