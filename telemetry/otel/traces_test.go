package bcacheotel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/iwanbk/bcache"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

var errDown = errors.New("the database is down")

// A database makes a span for each query, as its driver would.
func (r *rig) database(answer func(key string) (string, error)) func(context.Context, string) (bcache.Loaded, error) {
	return func(ctx context.Context, key string) (bcache.Loaded, error) {
		_, span := r.tracer.Start(ctx, "SELECT users")
		defer span.End()
		v, err := answer(key)
		return bcache.Loaded{Value: v}, err
	}
}

func found(string) (string, error) { return "v", nil }

// A miss has a span below that of its caller, and above that of the database; a hit has none.
func TestGetHasASpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := loader(t, localCache(t), bcache.LoaderConfig{Prefix: "u:", Fill: r.database(found), Observer: r.observer()})
		ctx, request := r.tracer.Start(t.Context(), "GET /users")
		for range 3 {
			if _, err := l.Get(ctx, "ada"); err != nil {
				t.Fatal(err)
			}
		}
		request.End()
		synctest.Wait()
		fill, query := r.one("bcache.fill"), r.one("SELECT users")
		if fill.Parent().SpanID() != request.SpanContext().SpanID() || query.Parent().SpanID() != fill.SpanContext().SpanID() {
			t.Errorf("the fill is below %v, the query below %v", fill.Parent(), query.Parent())
		}
		if s := fill.Status(); s.Code != codes.Unset || len(fill.Events()) > 0 || len(fill.Links()) > 0 {
			t.Errorf("status %v, events %v, links %v", s, fill.Events(), fill.Links())
		}
		if fill.SpanKind() != trace.SpanKindInternal || fill.InstrumentationScope().Name != scope {
			t.Errorf("it is a span %v of %v", fill.SpanKind(), fill.InstrumentationScope())
		}
		has(t, fill, keyCache.String("users"), keyLoader.String("u:"), keyKeys.Int(1),
			keyCause.String("foreground"), attribute.Int("bcache.fill.found", 1))
		if n := len(attributes(fill)); n != 5 {
			t.Errorf("%d attributes: %v", n, fill.Attributes())
		}
		for _, s := range r.spans.Ended() {
			for _, a := range s.Attributes() {
				if strings.Contains(a.Value.String(), "ada") {
					t.Errorf("the key is in %v", a)
				}
			}
		}
	})
}

// A caller without a span gets a trace of its own; one that isn't sampled has its fill not sampled.
func TestFillFollowsItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := loader(t, localCache(t), bcache.LoaderConfig{Fill: r.database(found), Observer: r.observer()})
		l.Get(t.Context(), "a")
		synctest.Wait()
		if fill := r.one("bcache.fill"); fill.Parent().IsValid() || len(fill.Links()) > 0 {
			t.Errorf("its parent is %v", fill.Parent())
		}
		has(t, r.one("bcache.fill"), keyLoader.String("(none)"))
		unsampled := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
		l.Get(trace.ContextWithSpanContext(t.Context(), unsampled), "b")
		synctest.Wait()
		if n := len(r.ended("bcache.fill")); n != 1 {
			t.Errorf("%d fills have spans", n)
		}
	})
}

// A call of FillMany has one span, which says what became of its keys.
func TestGetManyHasOneSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := loader(t, localCache(t), bcache.LoaderConfig{Prefix: "u:", BatchSize: 10, Observer: r.observer(),
			FillMany: func(context.Context, []string) (map[string]bcache.Loaded, error) {
				errs := bcache.KeyErrors{"secret3": errDown, "secret4": errors.New("no")}
				return map[string]bcache.Loaded{"secret1": {Value: "v"}}, fmt.Errorf("query: %w", errs)
			},
		})
		ctx, request := r.tracer.Start(t.Context(), "GET /users")
		l.GetMany(ctx, []string{"secret1", "secret2", "secret3", "secret4"})
		request.End()
		synctest.Wait()
		fill := r.one("bcache.fill")
		if fill.Parent().SpanID() != request.SpanContext().SpanID() {
			t.Errorf("its parent is %v", fill.Parent())
		}
		has(t, fill, keyKeys.Int(4), attribute.Int("bcache.fill.found", 1), attribute.Int("bcache.fill.not_found", 1),
			attribute.Int("bcache.fill.failed", 2), keyErrorType.String("_OTHER"))
		want := "the database is down (of 2 keys that failed, one)"
		if s := fill.Status(); s.Code != codes.Error || s.Description != want {
			t.Errorf("status %v", s)
		}
		if text := fmt.Sprint(fill.Events(), fill.Attributes(), fill.Status()); strings.Contains(text, "secret") {
			t.Errorf("keys are recorded: %s", text)
		}
	})
}

// What a Fill has ended with is seen in its span.
func TestOutcomesInSpans(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		panics  any
		outcome string
		kind    string // error.type; "" if it isn't an error
		text    string
	}{
		{name: "not found", err: fmt.Errorf("row: %w", bcache.ErrNotFound), outcome: "not_found"},
		{name: "failed", err: errDown, outcome: "failed", kind: "_OTHER", text: "the database is down"},
		{name: "timeout", err: context.DeadlineExceeded, outcome: "failed", kind: "timeout", text: "context deadline exceeded"},
		{name: "cancelled by the driver", err: context.Canceled, outcome: "failed", kind: "canceled", text: "context canceled"},
		{name: "panicked", panics: "oops", outcome: "failed", kind: "panic"},
		{name: "not UTF-8", err: errors.New("a\xffb"), outcome: "failed", kind: "_OTHER", text: "a\uFFFDb"},
		{name: "long", err: errors.New(strings.Repeat("é", 10_000)), outcome: "failed", kind: "_OTHER",
			text: strings.Repeat("é", 512)},
		{name: "long, cut within a character", err: errors.New("x" + strings.Repeat("é", 10_000)), outcome: "failed",
			kind: "_OTHER", text: "x" + strings.Repeat("é", 511) + "\uFFFD"},
		{name: "bad error", err: badError{}, outcome: "failed", kind: "_OTHER", text: "the error's own method panicked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				l := loader(t, localCache(t), bcache.LoaderConfig{Prefix: "u:", Observer: r.observer(),
					Fill: r.database(func(string) (string, error) {
						if tt.panics != nil {
							panic(tt.panics)
						}
						return "", tt.err
					}),
				})
				l.Get(t.Context(), "k")
				synctest.Wait()
				fill := r.one("bcache.fill")
				has(t, fill, attribute.Int(outcomePrefix+tt.outcome, 1))
				metrics := r.collect()
				attrs := []attribute.KeyValue{keyLoader.String("u:"), keyCause.String("foreground")}
				if tt.kind == "" {
					r.check(metrics, "bcache.fill.duration", 1, attrs...)
					if _, typed := attributes(fill)[keyErrorType]; typed || fill.Status().Code != codes.Unset || len(fill.Events()) > 0 {
						t.Errorf("it looks failed: %v, %v", fill.Status(), fill.Events())
					}
					return
				}
				r.check(metrics, "bcache.fill.duration", 1, append(attrs, keyErrorType.String(tt.kind))...)
				has(t, fill, keyErrorType.String(tt.kind))
				s := fill.Status()
				if s.Code != codes.Error || !strings.Contains(s.Description, tt.text) || len(s.Description) > maxErrorText+3 {
					t.Errorf("status %v", s)
				}
				if len(fill.Events()) != 1 {
					t.Fatalf("events %v", fill.Events())
				}
				e := fill.Events()[0]
				want := []attribute.KeyValue{attribute.String("exception.message", s.Description)}
				if e.Name != "exception" || !slices.Contains(e.Attributes, want[0]) {
					t.Errorf("event %v", e)
				}
				for _, a := range e.Attributes {
					if !utf8.ValidString(a.Value.AsString()) {
						t.Errorf("%v isn't UTF-8", a)
					}
				}
			})
		})
	}
}

// A badError gets through bcache's own errors.Is, and no further.
type badError struct{}

func (badError) Is(target error) bool {
	if target == bcache.ErrFillPanicked {
		panic("oops")
	}
	return false
}

func (badError) Error() string { panic("oops") }

// A fill that nobody waits for any more hasn't failed.
func TestAbandonedFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := loader(t, localCache(t), bcache.LoaderConfig{Observer: r.observer(),
			Fill: func(ctx context.Context, _ string) (bcache.Loaded, error) {
				<-ctx.Done()
				return bcache.Loaded{}, ctx.Err()
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		l.Get(ctx, "k")
		synctest.Wait()
		fill := r.one("bcache.fill")
		has(t, fill, attribute.Int("bcache.fill.abandoned", 1))
		if fill.Status().Code != codes.Unset {
			t.Errorf("status %v", fill.Status())
		}
	})
}

// A fill in the background is a trace of its own, linked to the caller's span, which has an event.
func TestRefreshIsLinked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var err error
		l := loader(t, localCache(t), bcache.LoaderConfig{TTL: time.Second, StaleFor: time.Minute,
			Prefix: "u:", Observer: r.observer(),
			Fill: r.database(func(string) (string, error) { return "v", err }),
		})
		l.Get(t.Context(), "k")
		time.Sleep(2 * time.Second)
		err = errDown
		var requests []trace.Span
		for range 2 {
			ctx, request := r.tracer.Start(t.Context(), "GET /users")
			requests = append(requests, request)
			l.Get(ctx, "k")
			synctest.Wait()
			request.End()
		}
		fills, queries := r.ended("bcache.fill"), r.ended("SELECT users")
		if len(fills) != 2 {
			t.Fatalf("%d fills", len(fills))
		}
		refresh := fills[1]
		has(t, refresh, keyCause.String("refresh"))
		caller := requests[0].SpanContext()
		if refresh.Parent().IsValid() || refresh.SpanContext().TraceID() == caller.TraceID() {
			t.Errorf("its parent is %v, its trace that of its caller", refresh.Parent())
		}
		if links := refresh.Links(); len(links) != 1 || !links[0].SpanContext.Equal(caller) {
			t.Errorf("links %v", links)
		}
		if queries[1].Parent().SpanID() != refresh.SpanContext().SpanID() {
			t.Errorf("the query is below %v", queries[1].Parent())
		}
		spans := r.ended("GET /users")
		for i, want := range []string{"", "the database is down"} {
			events := spans[i].Events()
			if len(events) != 1 || events[0].Name != "bcache.stale_served" {
				t.Fatalf("request %d has events %v", i, events)
			}
			set := attribute.NewSet(events[0].Attributes...)
			name, _ := set.Value(keyLoader)
			text, _ := set.Value("exception.message")
			kind, failed := set.Value(keyErrorType)
			if name.AsString() != "u:" || text.AsString() != want || failed != (want != "") || failed && kind.AsString() != "_OTHER" {
				t.Errorf("request %d has the event %v", i, events[0])
			}
		}
		l.Get(t.Context(), "k") // no span, no event
	})
}

// Who waits for a fill that another caller began isn't in that caller's trace.
func TestTheFirstCallerHasTheSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := loader(t, localCache(t), bcache.LoaderConfig{Observer: r.observer(),
			Fill: r.database(func(string) (string, error) { time.Sleep(time.Second); return "v", nil }),
		})
		var requests []trace.Span
		for range 2 {
			ctx, request := r.tracer.Start(t.Context(), "GET /users")
			requests = append(requests, request)
			go func() { l.Get(ctx, "k"); request.End() }()
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		fill := r.one("bcache.fill")
		if fill.Parent().SpanID() != requests[0].SpanContext().SpanID() {
			t.Errorf("its parent is %v", fill.Parent())
		}
		if took := fill.EndTime().Sub(fill.StartTime()); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A Fill may read from another Loader: its fill is below the first one.
func TestFillWithinAFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		b, o := localCache(t), r.observer()
		inner := loader(t, b, bcache.LoaderConfig{Prefix: "i:", Fill: r.database(found), Observer: o})
		outer := loader(t, b, bcache.LoaderConfig{Prefix: "o:", Observer: o,
			Fill: func(ctx context.Context, key string) (bcache.Loaded, error) {
				v, err := inner.Get(ctx, key)
				return bcache.Loaded{Value: v}, err
			},
		})
		outer.Get(t.Context(), "k")
		synctest.Wait()
		fills := r.ended("bcache.fill")
		if len(fills) != 2 {
			t.Fatalf("%d fills", len(fills))
		}
		has(t, fills[0], keyLoader.String("i:"))
		has(t, fills[1], keyLoader.String("o:"))
		if fills[0].Parent().SpanID() != fills[1].SpanContext().SpanID() {
			t.Errorf("the inner one is below %v", fills[0].Parent())
		}
	})
}

// An Observer around another, which makes spans of its own: each ends its own ones.
type around struct {
	bcache.Observer
	tracer trace.Tracer
}

func (a around) FillBegun(ctx context.Context, f bcache.FillInfo) context.Context {
	ctx, _ = a.tracer.Start(a.Observer.FillBegun(ctx, f), "around")
	return ctx
}

func (a around) FillEnded(ctx context.Context, r bcache.FillResult) {
	a.Observer.FillEnded(ctx, r)
	trace.SpanFromContext(ctx).End()
}

func TestObserversNest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := loader(t, localCache(t), bcache.LoaderConfig{Fill: r.database(found),
			Observer: around{around{r.observer(), r.tracer}, r.tracer}})
		l.Get(t.Context(), "k")
		synctest.Wait()
		has(t, r.one("bcache.fill"), attribute.Int("bcache.fill.found", 1))
		if n := len(r.spans.Started()); n != 4 {
			t.Errorf("%d spans were started", n)
		}
	})
}

// Spans of prefixes that aren't UTF-8 are written so that they are.
func TestSpansAreUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := loader(t, localCache(t), bcache.LoaderConfig{Prefix: "\xff\xfe:", Observer: r.observer(), Fill: r.database(found)})
		l.Get(t.Context(), "k")
		synctest.Wait()
		has(t, r.one("bcache.fill"), keyLoader.String(`\xff\xfe:`))
	})
}

// Sampling may be decided by what the span begins with.
func TestSamplerSeesTheAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := &sampler{}
		r.opts.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSampler(s), sdktrace.WithSpanProcessor(r.spans))
		l := loader(t, localCache(t), bcache.LoaderConfig{Prefix: "u:", Observer: r.observer(), Fill: r.database(found)})
		l.Get(t.Context(), "k")
		if !slices.Contains(s.seen, keyCause.String("foreground")) || !slices.Contains(s.seen, keyLoader.String("u:")) {
			t.Errorf("it sees %v", s.seen)
		}
		if n := len(r.ended("bcache.fill")); n != 0 {
			t.Errorf("%d spans are recorded", n)
		}
	})
}

type sampler struct{ seen []attribute.KeyValue }

func (*sampler) Description() string { return "never" }

func (s *sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.seen = p.Attributes
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}
