package bcacheotel

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
	"go.opentelemetry.io/otel/trace"
)

// leased has two nodes ask for a key at once, whose query takes a time, and returns the callers' spans.
func leased(t *testing.T, r *rig, takes time.Duration) []trace.Span {
	c := bcachetest.New(t, 2, bcache.Config{MaxKeys: 100})
	o := r.observer()
	requests := make([]trace.Span, 2)
	var wg sync.WaitGroup
	for i := range requests {
		l := loader(t, c.Node(i), bcache.LoaderConfig{Prefix: "u:", ClusterWide: true, Observer: o,
			Fill: r.database(func(string) (string, error) { time.Sleep(takes); return "v", nil })})
		ctx, request := r.tracer.Start(t.Context(), "GET /users")
		requests[i] = request
		wg.Go(func() {
			defer request.End()
			if _, err := l.Get(ctx, "k"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	synctest.Wait()
	return requests
}

// The node that waits for the other's fill has a span of its wait, the other one has that of the fill.
func TestLeaseWaitHasASpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		requests := leased(t, r, 50*time.Millisecond)
		fill, wait := r.one("bcache.fill"), r.one("bcache.lease.wait")
		has(t, fill, keyCause.String("lease"))
		has(t, wait, keyCache.String("users"), keyLoader.String("u:"), keyLeaseEnd.String("filled"))
		filler, waiter := requests[0].SpanContext(), requests[1].SpanContext()
		if fill.Parent().SpanID() == waiter.SpanID() {
			filler, waiter = waiter, filler
		}
		if fill.Parent().SpanID() != filler.SpanID() || wait.Parent().SpanID() != waiter.SpanID() {
			t.Errorf("the fill is below %v, the wait below %v", fill.Parent(), wait.Parent())
		}
		took := wait.EndTime().Sub(wait.StartTime())
		if took < 40*time.Millisecond || took > 100*time.Millisecond || !wait.EndTime().Equal(time.Now()) {
			t.Errorf("it waited %v, until %v, and it is %v", took, wait.EndTime(), time.Now())
		}
		metrics := r.collect()
		r.check(metrics, "bcache.lease.wait.duration", 1, keyLoader.String("u:"), keyLeaseEnd.String("filled"))
		r.check(metrics, "bcache.lease.wait.duration", 1, keyLoader.String("u:"), keyLeaseEnd.String("granted"))
	})
}

// Which waits have spans is an option.
func TestLeaseWaitsThatHaveSpans(t *testing.T) {
	for _, tt := range []struct {
		from time.Duration
		want int
	}{{-1, 2}, {0, 1}, {20 * time.Millisecond, 1}, {time.Second, 0}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.opts.LeaseWaitSpans = tt.from
			leased(t, r, 50*time.Millisecond)
			if n := len(r.ended("bcache.lease.wait")); n != tt.want {
				t.Errorf("LeaseWaitSpans of %v: %d spans, want %d", tt.from, n, tt.want)
			}
		})
	}
}

// A wait of exactly the threshold has a span.
func TestLeaseWaitOfTheThreshold(t *testing.T) {
	r := newRig(t)
	o := r.observer()
	for _, took := range []time.Duration{time.Millisecond - 1, time.Millisecond} {
		o.LeaseWaited(context.Background(), bcache.LeaseWait{Took: took})
	}
	r.one("bcache.lease.wait")
}

// The wait of a fill in the background, which its caller doesn't wait for, is the root of a trace.
func TestLeaseWaitInTheBackground(t *testing.T) {
	r := newRig(t)
	o := r.observer()
	ctx, request := r.tracer.Start(t.Context(), "GET /users")
	request.End()
	o.LeaseWaited(ctx, bcache.LeaseWait{Took: time.Second, Background: true})
	wait := r.one("bcache.lease.wait")
	if wait.Parent().IsValid() || len(wait.Links()) != 1 || !wait.Links()[0].SpanContext.Equal(request.SpanContext()) {
		t.Errorf("it is below %v, and has the links %v", wait.Parent(), wait.Links())
	}
}
