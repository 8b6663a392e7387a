package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"runtime"
	"slices"
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
		if !slices.Contains(r.plan.Expire, k.Name) {
			continue
		}
		if err := r.expiryOf(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.Name, err)
		}
		r.step(float64(len(r.Expiry)) / float64(len(r.plan.Expire)))
	}
	return nil
}

func (r *run) expiryOf(ctx context.Context, k caches.Kind) (err error) {
	c, err := k.New(roomy(len(r.big.Keys)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	e, ok := c.(caches.Expirer)
	if !ok {
		return errors.New("its entries have no TTL of their own")
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
	if err := Sleep(ctx, time.Until(first)); err != nil {
		return err
	}

	x := &Expiry{Gone: math.Inf(1)}
	r.Expiry[k.Name] = x
	last := first.Add(expiryWindow)
	var times histogram
	for i := 0; ; i++ {
		began := time.Now()
		c.Get(r.big.Draws[i%len(r.big.Draws)])
		done := time.Now()
		times.add(done.Sub(began))
		if i%1024 != 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if done.After(last) && c.Len() <= len(r.big.Keys)/1000 {
			x.Gone = max(done.Sub(last).Seconds(), 0)
			break
		}
		if done.Sub(last) > expiryPatient {
			break
		}
	}
	x.Longest = times.longest.Seconds() * 1e3
	x.P999 = times.quantile(.999).Seconds() * 1e6
	return nil
}
