package measure

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"runtime"
	"time"

	"github.com/iwanbk/bcache/benchmarks/caches"
)

const (
	expiryWindow  = time.Second      // in which all deadlines are
	expiryPatient = 15 * time.Second // until what is left counts as staying
)

// expiry watches Gets while all entries expire within a second.
func (r *run) expiry(ctx context.Context) error {
	r.Expiry = make(map[string]*Expiry)
	for _, k := range caches.Main(caches.Local()) {
		if len(r.Expiry) == r.plan.ExpireKinds {
			break
		}
		if err := r.expiryOf(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.Name, err)
		}
		r.step(float64(len(r.Expiry)) / float64(r.plan.ExpireKinds))
	}
	return nil
}

func (r *run) expiryOf(ctx context.Context, k caches.Kind) (err error) {
	c, err := k.New(roomy(len(r.big.Keys)))
	if err != nil {
		return err
	}
	defer func() {
		if cerr := c.Close(); err == nil {
			err = cerr
		}
	}()
	e, ok := c.(caches.Expirer)
	if !ok {
		return nil
	}
	random := rand.New(rand.NewSource(1))
	first := time.Now().Add(r.plan.ExpireAfter)
	for i, key := range r.big.Keys {
		deadline := first.Add(time.Duration(random.Int63n(int64(expiryWindow))))
		e.SetTTL(key, r.big.Val(i), time.Until(deadline))
	}
	c.Settle()
	if late := time.Since(first); late > 0 {
		return fmt.Errorf("writing %d entries took %v more than there was", len(r.big.Keys), late)
	}
	runtime.GC()
	if err := sleep(ctx, time.Until(first)); err != nil {
		return err
	}

	x := &Expiry{Gone: math.Inf(1)}
	r.Expiry[k.Name] = x
	last := first.Add(expiryWindow)
	times := make([]float64, 0, 1<<22)
	for now, i := time.Now(), 0; now.Sub(last) < expiryPatient; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.Get(r.big.Draws[i%len(r.big.Draws)])
		done := time.Now()
		times = append(times, float64(done.Sub(now))/1e3)
		now = done
		if i%1024 == 0 && done.After(last) && c.Len() <= len(r.big.Keys)/1000 {
			x.Gone = max(done.Sub(last).Seconds(), 0)
			break
		}
	}
	x.Longest = Quantile(times, 1) / 1e3
	x.P999 = Quantile(times, .999)
	return nil
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
