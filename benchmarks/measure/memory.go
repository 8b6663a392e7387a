package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// memory measures what each cache takes for all entries, alone in the process. Once is enough:
// how busy the machine is doesn't matter.
func (r *run) memory(ctx context.Context) error {
	kinds := append(caches.Local(), caches.Replicating())
	mortal, last := split(kinds, func(k caches.Kind) bool { return !k.Immortal })
	kinds = append(mortal, last...)
	for i, k := range kinds {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.memoryOf(k); err != nil {
			return err
		}
		r.step(float64(i+1) / float64(len(kinds)))
	}
	return nil
}

// SmallEntries is how many entries a small cache has room for, and holds: it shows what a cache takes
// however few they are.
const SmallEntries = 1000

// smallOf takes several caches together, as the heap grows by a little for other reasons, too.
func (r *run) smallOf(k caches.Kind) (err error) {
	if SmallEntries < k.MinCapacity {
		return nil
	}
	w := *r.big
	w.Keys = w.Keys[:min(SmallEntries, len(w.Keys))]
	var all [16]caches.Cache
	before := heap()
	entries := 0
	for i := range all {
		if all[i], err = k.New(SmallEntries); err != nil {
			return fmt.Errorf("%s: %w", k.Name, err)
		}
		defer func() { err = errors.Join(err, all[i].Close()) }()
		if err := fill(all[i], &w); err != nil {
			return fmt.Errorf("%s: %w", k.Name, err)
		}
		entries += all[i].Len()
	}
	r.SmallCache.Add(k.Name, perEntry(before, entries))
	return nil
}

func split(kinds []caches.Kind, by func(caches.Kind) bool) (yes, no []caches.Kind) {
	for _, k := range kinds {
		if by(k) {
			yes = append(yes, k)
		} else {
			no = append(no, k)
		}
	}
	return yes, no
}

func (r *run) memoryOf(k caches.Kind) error {
	if err := r.smallOf(k); err != nil {
		return err
	}
	before := heap()
	c, err := filled(k, r.big)
	if err != nil {
		return err
	}
	r.Overhead.Add(k.Name, perEntry(before, c.Len()))
	if !k.Unbounded {
		// As many new keys as it could hold, so that all old ones have to go.
		for i := range roomy(len(r.big.Keys)) * 5 / 4 {
			c.Set(fmt.Sprintf("c%0*d", workload.KeySize-1, i), strings.Clone(r.big.Val(i)))
			if i%1000 == 999 {
				c.Settle()
			}
		}
		c.Settle()
		r.AfterChurn.Add(k.Name, perEntry(before, c.Len()))
	}
	return c.Close()
}

// perEntry returns how many bytes the heap has grown by for each entry, beyond key and value.
func perEntry(before uint64, entries int) float64 {
	grown := float64(heap()) - float64(before)
	return grown/float64(entries) - workload.Payload
}

// heap is how much is alive.
func heap() uint64 {
	// What finalizers and sync.Pools keep is gone after the second.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
