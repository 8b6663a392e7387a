package bcacheotel

import (
	"context"
	"fmt"
	"time"

	"github.com/iwanbk/bcache"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const (
	fillSpan   = "bcache.fill"
	leaseSpan  = "bcache.lease.wait"
	staleEvent = "bcache.stale_served"
)

// fillBounds are the bounds of the buckets of the histograms, in seconds: those of bcache's own.
var fillBounds = []float64{
	10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6,
	1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3, 200e-3, 500e-3,
	1, 2, 5, 10, 20, 50, 100,
}

// An observer makes spans and measures durations. It is its own key in the contexts that it returns, so
// that several of them, and other Observers around them, don't take one another's spans for theirs.
type observer struct {
	opts   Options
	tracer trace.Tracer
	names  loaderNames
	fills  metric.Float64Histogram
	waits  metric.Float64Histogram
}

// NewObserver returns an Observer for LoaderConfig.Observer. One does for any number of Loaders, and of
// caches if they needn't be told apart. It does nothing for hits, and records:
//
//   - a span bcache.fill for each call of a Fill or a FillMany. The Fill's context has it, so the spans
//     of the database's driver become its children. It is a child of the span of the caller that came
//     first. If nobody waits for the fill (FillRefresh), it is the root of a trace of its own, with a
//     link to the span of the caller whose hit began it;
//   - a span bcache.lease.wait for a wait for a lease that was longer than Options.LeaseWaitSpans, as a
//     child of the span of the caller that came first;
//   - an event bcache.stale_served on the caller's span, if that is recorded, for each stale value;
//   - the histograms bcache.fill.duration and bcache.lease.wait.duration.
//
// Keys and values aren't recorded. The text of a Fill's error is: its first 1,024 bytes, and of a
// [bcache.KeyErrors] without the keys that it names.
//
// The error wraps [bcache.ErrConfig] and says what can't be used, or is the MeterProvider's.
func NewObserver(opts Options) (bcache.Observer, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	o := &observer{opts: opts, tracer: opts.tracer()}
	m := opts.meter()
	var err error
	if o.fills, err = newHistogram(m, fillDuration); err != nil {
		return nil, err
	}
	if o.waits, err = newHistogram(m, leaseWaitDuration); err != nil {
		return nil, err
	}
	return o, nil
}

func newHistogram(m metric.Meter, i instrument) (metric.Float64Histogram, error) {
	return m.Float64Histogram(i.name, metric.WithUnit(i.unit), metric.WithDescription(i.description),
		metric.WithExplicitBucketBoundaries(fillBounds...))
}

// FillBegun begins a span.
func (o *observer) FillBegun(ctx context.Context, f bcache.FillInfo) context.Context {
	opts := []trace.SpanStartOption{trace.WithAttributes(o.opts.with(
		keyLoader.String(loaderName(f.Prefix)),
		keyKeys.Int(f.Keys),
		keyCause.String(f.Cause.String()),
	)...)}
	if f.Cause == bcache.FillRefresh {
		opts = append(opts, outlives(ctx)...)
	}
	ctx, span := o.tracer.Start(ctx, fillSpan, opts...)
	return context.WithValue(ctx, o, span)
}

// outlives makes a span of work in the background, which its caller doesn't wait for, the root of a trace
// that is linked to the caller's.
func outlives(ctx context.Context) []trace.SpanStartOption {
	opts := []trace.SpanStartOption{trace.WithNewRoot()}
	if caller := trace.SpanContextFromContext(ctx); caller.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: caller}))
	}
	return opts
}

// FillEnded measures the fill, and ends its span.
func (o *observer) FillEnded(ctx context.Context, r bcache.FillResult) {
	name := o.names.bounded(loaderName(r.Prefix))
	attrs := o.opts.with(keyLoader.String(name), keyCause.String(r.Cause.String()))
	failed := r.Outcomes[bcache.FillFailed] > 0
	err, kind := r.Err, ""
	if failed {
		if err == nil { // it was ended by something else than the Fill, which a Codec can do
			err = bcache.ErrFillAborted
		}
		kind = errorType(err)
		attrs = append(attrs, keyErrorType.String(kind))
	}
	o.fills.Record(ctx, r.Took.Seconds(), metric.WithAttributes(attrs...))

	span, ok := ctx.Value(o).(trace.Span)
	if !ok {
		return
	}
	defer span.End()
	for outcome, n := range r.Outcomes {
		span.SetAttributes(attribute.Int(outcomePrefix+outcome.String(), n))
	}
	if failed && span.IsRecording() {
		recordError(span, kind, err)
	}
}

// recordError is the span's RecordError, for an error whose text can't be recorded as it is.
func recordError(span trace.Span, kind string, err error) {
	text := errorText(err)
	span.SetAttributes(keyErrorType.String(kind))
	span.SetStatus(codes.Error, text)
	span.AddEvent("exception", trace.WithAttributes(
		attribute.String("exception.type", clean(fmt.Sprintf("%T", err))),
		attribute.String("exception.message", text),
	))
}

// StaleServed tells the caller's span.
func (o *observer) StaleServed(ctx context.Context, s bcache.StaleInfo) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attrs := o.opts.with(keyLoader.String(loaderName(s.Prefix)))
	if s.Err != nil {
		attrs = append(attrs, keyErrorType.String(errorType(s.Err)),
			attribute.String("exception.message", errorText(s.Err)))
	}
	span.AddEvent(staleEvent, trace.WithAttributes(attrs...))
}

// LeaseWaited measures the wait, and makes a span of it if it was long.
func (o *observer) LeaseWaited(ctx context.Context, w bcache.LeaseWait) {
	end := keyLeaseEnd.String(w.End.String())
	name := loaderName(w.Prefix)
	o.waits.Record(ctx, w.Took.Seconds(),
		metric.WithAttributes(o.opts.with(keyLoader.String(o.names.bounded(name)), end)...))
	if w.Took < o.opts.shortestLeaseSpan() {
		return
	}
	now := time.Now()
	opts := []trace.SpanStartOption{
		trace.WithTimestamp(now.Add(-w.Took)),
		trace.WithAttributes(o.opts.with(keyLoader.String(name), end)...),
	}
	if w.Background {
		opts = append(opts, outlives(ctx)...)
	}
	_, span := o.tracer.Start(ctx, leaseSpan, opts...)
	span.End(trace.WithTimestamp(now))
}
