package main

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/measure"
)

// A target is what was set out to be reached.
type target struct {
	measure string
	limit   float64
	atLeast bool // the limit is a lower one
	ratio   bool // within one run, so that the machine hardly matters: -check looks at it
	unit    string
	value   reading
}

// A reading is a figure of a run; NaN if it wasn't measured.
type reading func(*measure.Results) float64

func ratioTarget(name string, limit float64, value reading) target {
	return target{measure: name, limit: limit, ratio: true, unit: "x", value: value}
}

// unchecked is the target, for people only.
func (t target) unchecked() target {
	t.ratio = false
	return t
}

// speedTarget compares bcache with otter, each with the TTL that a service uses.
func speedTarget(name string, limit float64) target {
	return ratioTarget(name+": bcache / otter", limit, func(r *measure.Results) float64 {
		return r.Speeds[name].Ns.Ratio(caches.Bcache, caches.Otter)
	})
}

// noTTLTarget compares them without.
func noTTLTarget(name string, limit float64) target {
	return ratioTarget(name+", neither with a TTL: bcache / otter", limit, func(r *measure.Results) float64 {
		return r.Speeds[name].Ns.Ratio(caches.BcacheNoTTL, caches.OtterNoTTL)
	})
}

// fastestTarget compares bcache with the fastest of the others, of those that have a TTL.
func fastestTarget(name string, limit float64) target {
	title := name + ": bcache / the fastest other cache with a TTL"
	return ratioTarget(title, limit, func(r *measure.Results) float64 {
		worst := math.NaN()
		for _, k := range r.Kinds {
			if k.NoTTL || k.Module == bcacheModule {
				continue
			}
			if v := r.Speeds[name].Ns.Ratio(caches.Bcache, k.Name); math.IsNaN(worst) || v > worst {
				worst = v
			}
		}
		return worst
	})
}

// loaderTarget compares a hit of a Loader.
func loaderTarget(with string, limit float64) target {
	return ratioTarget("Loader.Get hit / "+with, limit, func(r *measure.Results) float64 {
		return r.Filler.Ns.Ratio(measure.LoaderOf(caches.Bcache), with)
	})
}

// overheadTarget is of a word's size and of Go's allocator; how busy the machine is doesn't matter.
func overheadTarget(of string, limit float64, value reading) target {
	name := "overhead per entry beyond key and value, " + of
	return target{measure: name, limit: limit, unit: "B", value: value}
}

func allTargets(p measure.Plan) []target {
	return slices.Concat(getTargets(), setTargets(), replicationTargets(p), memoryTargets(p))
}

func getTargets() []target {
	return []target{
		speedTarget(measure.GetHit, .75), noTTLTarget(measure.GetHit, .9),
		fastestTarget(measure.GetHit, .95),
		speedTarget(measure.GetOne, .7), noTTLTarget(measure.GetOne, .75),
		speedTarget(measure.GetHot, .4), noTTLTarget(measure.GetHot, .4),
		speedTarget(measure.GetMiss, .8),
		{
			measure: "hits of Get, GetWithFiller, Loader.Get and Typed.Get, Get miss: the most allocations",
			limit:   0, unit: "per call", value: getAllocs,
		},
		ratioTarget("GetWithFiller hit / Get hit", 1.1, func(r *measure.Results) float64 {
			return r.Filler.Ns.Ratio(measure.GetWithFiller, measure.Get)
		}),
		loaderTarget(measure.Get, 1.15),
		loaderTarget(measure.LoaderOf("sturdyc"), 1),
		loaderTarget(measure.LoaderOf(caches.Otter), 1),
		ratioTarget("Typed.Get hit, with Shared / Loader.Get hit", 1.3, func(r *measure.Results) float64 {
			return r.Filler.Ns.Ratio(measure.TypedShared, measure.LoaderOf(caches.Bcache))
		}),
	}
}

func setTargets() []target {
	return []target{
		speedTarget(measure.SetOne, .9), noTTLTarget(measure.SetOne, .7),
		speedTarget(measure.SetAll, .85), noTTLTarget(measure.SetAll, .7),
		speedTarget(measure.SetNew, 1),
		{
			measure: "Set overwrite: allocations", limit: 1, unit: "per call",
			value: func(r *measure.Results) float64 {
				return r.Speeds[measure.SetOne].Allocs.Median(caches.Bcache)
			},
		},
		ratioTarget("Set with two peers, 50,000/s: bcache / otter, which has no peers", 1.2,
			func(r *measure.Results) float64 { return r.Peers.Ratio(measure.Paced, measure.OtterSet) }),
		speedTarget(measure.Mixed, .85), noTTLTarget(measure.Mixed, 1),
	}
}

func replicationTargets(p measure.Plan) []target {
	return []target{
		{
			measure: "replicated Sets, 3 nodes in one process", limit: 400_000, atLeast: true, unit: "/s",
			value: func(r *measure.Results) float64 { return r.Burst(3).Rate.Median(measure.Case(3)) },
		},
		{
			measure: "CPU of all three nodes per replicated Set", limit: 4, unit: "us",
			value: func(r *measure.Results) float64 { return r.Burst(3).CPU.Median(measure.Case(3)) },
		},
		// Either median is one of two figures, far apart, depending on whether a thread had to be woken: on
		// a machine of two cores their ratio says more about that than about bcache.
		ratioTarget("Set until visible on another node, idle, p50 / raw TCP round trip", 2,
			func(r *measure.Results) float64 { return r.Latency.Ratio(measure.Visible, measure.RawTCP) },
		).unchecked(),
		{
			measure: "Set until visible on another node, idle, p99", limit: 1000, unit: "us",
			value: func(r *measure.Results) float64 { return r.Latency.Median(measure.Visible99) },
		},
		{
			measure: "bytes on the wire per Set and peer, burst, 109 bytes of payload", limit: 123, unit: "B",
			value: burstBytes,
		},
		{
			measure: "join of " + comma(largest(p.Joins)) + " keys, payload rate",
			limit:   60, atLeast: true, unit: "MB/s", value: joinRate,
		},
	}
}

func memoryTargets(p measure.Plan) []target {
	entries, few := "one of "+comma(p.Entries), "one of "+comma(measure.SmallEntries)
	return []target{
		ratioTarget("overhead per entry beyond key and value: bcache / otter", .87,
			func(r *measure.Results) float64 { return r.Overhead.Ratio(caches.Bcache, caches.Otter) }),
		overheadTarget(entries, 120,
			func(r *measure.Results) float64 { return r.Overhead.Median(caches.Bcache) }),
		overheadTarget(entries+", replicating", 150,
			func(r *measure.Results) float64 { return r.Overhead.Median(caches.BcacheNet) }),
		overheadTarget(few+" in a cache for no more", 300,
			func(r *measure.Results) float64 { return r.SmallCache.Median(caches.Bcache) }),
		ratioTarget("collector's share of CPU under the mixed load: bcache / otter", 1,
			func(r *measure.Results) float64 { return r.GCShare.Ratio(caches.Bcache, caches.Otter) }),
		{
			measure: "hit ratio below exact LRU's, at the worst capacity", limit: .3, unit: "percentage points",
			value: hitRatioLost,
		},
	}
}

func getAllocs(r *measure.Results) float64 {
	return slices.Max([]float64{
		r.Speeds[measure.GetHit].Allocs.Median(caches.Bcache),
		r.Speeds[measure.GetMiss].Allocs.Median(caches.Bcache),
		r.Filler.Allocs.Median(measure.GetWithFiller),
		r.Filler.Allocs.Median(measure.LoaderOf(caches.Bcache)),
		r.Filler.Allocs.Median(measure.TypedShared),
	})
}

func burstBytes(r *measure.Results) float64 {
	if len(r.Wire) == 0 {
		return math.NaN()
	}
	return r.Wire[len(r.Wire)-1].Bytes
}

func joinRate(r *measure.Results) float64 {
	keys := largest(r.Plan.Joins)
	s, ok := r.Join[keys]
	if !ok {
		return math.NaN()
	}
	return payloadMB(keys) / s.Median(measure.JoinWhole)
}

func largest(list []int) (n int) {
	for _, v := range list {
		n = max(n, v)
	}
	return n
}

func hitRatioLost(r *measure.Results) float64 {
	worst := math.NaN()
	for _, s := range r.HitRatio {
		lost := 100 * (s.Median(measure.ExactLRU) - s.Median(caches.Bcache))
		if math.IsNaN(worst) || lost > worst {
			worst = lost
		}
	}
	return worst
}

// met tells whether v is as good as it should be. Counts of allocations include those of what
// runs in the background, and are met if they round to the limit.
func (t target) met(v float64) bool {
	if t.atLeast {
		return v >= t.limit
	}
	return v <= t.limit+.005
}

// bad tells whether v is so far off that something must have broken. NaN is bad, too: a ratio that
// wasn't measured guards nothing. Sets miss their target by twice where a processor is slow to allocate:
// bcache copies what it is given, and otter doesn't.
func (t target) bad(v float64) bool { return t.ratio && !(v <= 3*t.limit) }

// targetsTable compares every target with what was measured, for who changes the code.
func targetsTable(r *measure.Results) string {
	var rows [][]string
	for _, t := range allTargets(r.Plan) {
		v := t.value(r)
		bound, verdict := "at most ", "**no**"
		if t.atLeast {
			bound = "at least "
		}
		switch {
		case math.IsNaN(v):
			verdict = "not measured"
		case t.met(v):
			verdict = "yes"
		}
		rows = append(rows,
			[]string{t.measure, bound + withUnit(t.limit, t.unit), withUnit(v, t.unit), verdict})
	}
	return table([]string{"measure", "target", "measured", "met"}, rows)
}

// checkTargets names each ratio that is worse than three times its target in every run.
func checkTargets(runs ...*measure.Results) error {
	var errs []error
	for _, t := range allTargets(runs[0].Plan) {
		bad := 0
		for _, r := range runs {
			if t.bad(t.value(r)) {
				bad++
			}
		}
		if bad == len(runs) {
			errs = append(errs, fmt.Errorf("%s: %.2f is worse than three times the target of %.2f",
				t.measure, t.value(runs[0]), t.limit))
		}
	}
	return errors.Join(errs...)
}
