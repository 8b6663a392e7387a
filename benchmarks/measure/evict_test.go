package measure

import (
	"math/rand"
	"testing"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// Each chunk begins where the last one ended.
func TestEvictingIsOfNewKeys(t *testing.T) {
	d := &diary{held: make(map[string]string)}
	fresh := workload.NewFresh()
	do := evicting(d, workload.New(1024), fresh)
	for range 3 {
		if missed := do(0); missed != 0 {
			t.Errorf("%d Sets missed", missed)
		}
	}
	if n := d.Len(); n != 3*chunkSize {
		t.Errorf("%d Sets were of %d keys", 3*chunkSize, n)
	}
	if n := len(d.notes); d.notes[n-1] != "settle" || n != 3*(chunkSize+1) {
		t.Errorf("%d notes, the last is %q", n, d.notes[n-1])
	}
}

// Every cache with a capacity takes part, and is full: what was set first is gone.
func TestEvictions(t *testing.T) {
	plan := Short
	plan.Keys, plan.Rounds, plan.Slot = 1<<12, 1, 1
	r := &run{
		plan: plan, load: workload.New(plan.Keys), order: rand.New(rand.NewSource(1)), step: func(float64) {},
		Results: &Results{Speeds: make(map[string]*Speed)},
	}
	if err := r.evictions(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, k := range caches.Bounded() {
		if ns := r.Speeds[SetNew].Ns.Median(k.Name); !(ns > 0) {
			t.Errorf("%s took %v ns", k.Name, ns)
		}
	}
	for _, k := range caches.Bounded() {
		t.Run(k.Name, func(t *testing.T) {
			c, do, err := full(k, r.load, workload.NewFresh())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			do(0)
			if n := c.Len(); n < plan.Keys*3/4 || n > plan.Keys*101/100 {
				t.Errorf("it holds %d entries of %d", n, plan.Keys)
			}
		})
	}
}

// A cache takes more for an entry when it holds only a few.
func TestSmallCaches(t *testing.T) {
	r := &run{big: workload.New(5000), Results: &Results{}}
	for _, k := range caches.Bounded() {
		if err := r.smallOf(k); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{caches.Bcache, caches.Otter, caches.GolangLRU} {
		if b := r.SmallCache.Median(name); b < 10 || b > 2000 {
			t.Errorf("%s takes %v bytes for each of %d entries", name, b, SmallEntries)
		}
	}
	if n := len(r.SmallCache.Values("freecache")); n != 0 {
		t.Error("freecache can't be that small")
	}
}
