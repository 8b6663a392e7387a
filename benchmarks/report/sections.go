package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/measure"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

const bcacheModule = "github.com/iwanbk/bcache"

func comma(n int) string { return humanize.Comma(int64(n)) }

// textTable is a table whose columns are all text.
func textTable(header []string, rows [][]string) string {
	return strings.Replace(table(header, rows), strings.Repeat("---:|", len(header)-1), strings.Repeat("---|", len(header)-1), 1)
}

func (d *doc) speed() {
	d.p("## Get and Set")
	d.p("%s keys of %d bytes with values of %d; everything fits. Nanoseconds of wall time per operation: where several "+
		"goroutines work, that is the time divided by the operations of all of them. Only where each new key "+
		"evicts another one, caches are full, and working off what they queue is part of the time.",
		comma(d.r.Plan.Keys), workload.KeySize, workload.ValSize)
	d.plot(plotGet, "Get by cache")
	d.plot(plotSet, "Set by cache")
	for _, name := range speedOrder {
		s := d.r.Speeds[name]
		d.p("### %s", name)
		var rows [][]string
		for _, cache := range ranking(&s.Ns) {
			rows = append(rows, rowOf(cache, number(s.Ns.Median(cache)), number(s.Allocs.Median(cache)),
				times(s.Ns.Ratio(cache, caches.Bcache)), times(s.Ns.Ratio(cache, caches.Otter))))
		}
		d.table([]string{"cache", "ns", "allocations", "/ bcache", "/ otter"}, rows)
		if name == measure.GetMiss {
			continue
		}
		for _, cache := range s.Missed.Subjects {
			if m := s.Missed.Median(cache); m > .001 {
				d.p("%s missed %s of its Gets here, which makes its figure that of another mixture.", cache, percent(m))
			}
		}
	}
}

// rowOf is the row of a cache; that of bcache is bold.
func rowOf(cache string, cells ...string) []string {
	row := append([]string{cache}, cells...)
	if cache == caches.Bcache {
		for i := range row {
			row[i] = "**" + row[i] + "**"
		}
	}
	return row
}

func (d *doc) goroutines() {
	d.p("## Get hit against goroutines")
	d.plot(plotGoroutines, "Get against goroutines")
	header := []string{"ns per Get, goroutines:"}
	for _, n := range d.r.Plan.Goroutines {
		header = append(header, fmt.Sprint(n))
	}
	var rows [][]string
	for _, k := range caches.Main(caches.Local()) {
		var cells []string
		for _, n := range d.r.Plan.Goroutines {
			cells = append(cells, number(d.r.Goroutines[n].Median(k.Name)))
		}
		rows = append(rows, rowOf(k.Name, cells...))
	}
	d.table(header, rows)
}

func (d *doc) filler() {
	d.p("## Hits of caches that know how to fill themselves")
	d.p("One goroutine, every key is there. A loader is told once, or with each Get, how to look up what isn't: bcache's `Loader.Get`, " +
		"otter's `Get`, sturdyc's `GetOrFetch`, which wants a new function for each key. A Typed is a " +
		"Loader of decoded values, here of JSON; with Shared it keeps them decoded.")
	s := d.r.Filler
	var rows [][]string
	for _, name := range s.Ns.Subjects {
		rows = append(rows, []string{name, number(s.Ns.Median(name)), number(s.Allocs.Median(name)), times(s.Ns.Ratio(name, measure.Get))})
	}
	d.table([]string{"hit", "ns", "allocations", "/ bcache's Get"}, rows)
}

func (d *doc) long() {
	d.p("## Many entries for a long time")
	entries := comma(d.r.Plan.Entries)
	d.p("Each cache alone in the process with %s entries. Overhead is what the heap grows by for an entry, "+
		"less the %d bytes of its key and value: what the allocator rounds up is part of it. *After churn* is the same after "+
		"every entry has made room for others. *Small cache* is that of %s entries in a cache for %s. "+
		"The collector's share is of all CPU time, under the 90/10 load with new values, while "+
		"GOGC is %d: so there is something to measure within seconds. By default, with 100, it runs a tenth as often.",
		entries, workload.Payload, comma(measure.SmallEntries), comma(measure.SmallEntries), measure.EagerGC)
	d.plot(plotMemory, "Memory per entry")
	var rows [][]string
	for _, cache := range ranking(&d.r.Overhead) {
		rows = append(rows, rowOf(cache, number(d.r.Overhead.Median(cache)), number(d.r.AfterChurn.Median(cache)),
			number(d.r.SmallCache.Median(cache)),
			percent(d.r.GCShare.Median(cache)), number(d.r.GCPerOp.Median(cache)), number(d.r.LoadNs.Median(cache)), number(d.r.LongestStep.Median(cache))))
	}
	d.table([]string{"cache", "overhead, B per entry", "after churn", "small cache",
		"collector, share of CPU", "collector, ns per operation", "load, ns per operation",
		"longest 16 operations, ms"}, rows)
	d.p("The log of writes that a node keeps which others could connect to is the difference between "+
		"*%s* and *%s*: %s bytes per entry. The floors are 128 KiB in all. There were no tombstones: nothing was deleted. "+
		"The longest operations include what the system does with other processes. expirable is left out under load: "+
		"it can't be ended, and would be the collector's burden in the turns of the others.",
		caches.BcacheNet, caches.Bcache, number(d.r.Overhead.Median(caches.BcacheNet)-d.r.Overhead.Median(caches.Bcache)))
	d.p("### %s entries expire within one second", entries)
	rows = nil
	for _, cache := range slices.Sorted(maps.Keys(d.r.Expiry)) {
		e := d.r.Expiry[cache]
		gone := number(e.Gone) + " s"
		if math.IsInf(e.Gone, 1) {
			gone = "not within 15 s"
		}
		rows = append(rows, []string{cache, number(e.Longest), number(e.P999), gone})
	}
	d.table([]string{"cache", "longest Get meanwhile, ms", "p99.9 of Gets, us", "removed after"}, rows)
	d.p("*Removed* is when 99.9 %% of them no longer take room, counted from the last deadline. No cache returns one that has expired.")
}

func (d *doc) hitRatio() {
	d.p("## Hit ratio against capacity")
	d.p("A Zipf(%.2f) trace over %s keys: a Get, and a Set if it misses. golang-lru is exact LRU. A dash: the cache can't be that small.",
		workload.Exponent, comma(d.r.Plan.Universe))
	d.plot(plotHitRatio, "Hit ratio against capacity")
	header := []string{"capacity:"}
	names := make(map[string]bool)
	for _, c := range d.r.Plan.Capacities {
		header = append(header, comma(c))
		for _, n := range d.r.HitRatio[c].Subjects {
			names[n] = true
		}
	}
	var rows [][]string
	for _, k := range caches.Bounded() {
		if !names[k.Name] {
			continue
		}
		var cells []string
		for _, c := range d.r.Plan.Capacities {
			cells = append(cells, percent(d.r.HitRatio[c].Median(k.Name)))
		}
		rows = append(rows, rowOf(k.Name, cells...))
	}
	d.table(header, rows)
}

func (d *doc) replication() {
	d.p("## Replicated Sets")
	d.p("One node of several in one process writes %s keys as fast as one goroutine can; it ends when every node has every key. "+
		"CPU is of all nodes together.", comma(d.r.Plan.Sets))
	d.plot(plotBurst, "Replicated Sets per second against nodes")
	var rows [][]string
	for _, n := range d.r.Plan.Nodes {
		b, name := d.r.Burst(n), measure.Case(n)
		rows = append(rows, []string{fmt.Sprint(n), number(b.Rate.Median(name)), number(b.CPU.Median(name)), number(b.Bytes.Median(name))})
	}
	d.table([]string{"nodes", "Sets/s", "CPU, us per Set", "bytes per Set and peer, by Stats"}, rows)

	d.p("### What a Set costs its caller")
	d.p("Batches of 100 Sets of keys that exist are timed: paced ones at 50,000 Sets per second, and saturated ones, where the next follows at once.")
	rows = nil
	for _, name := range []string{measure.Local, measure.Paced, measure.Saturated, measure.OtterSet} {
		rows = append(rows, []string{name, number(d.r.Peers.Median(name)), times(d.r.Peers.Ratio(name, measure.OtterSet))})
	}
	d.table([]string{"Set", "ns", "/ otter"}, rows)
	if d.r.Dropped > 0 {
		d.p("The saturated ones were more than the queue took: %s Sets weren't sent at once, but repaired later.", comma(int(d.r.Dropped)))
	}

	d.p("### Bytes on the wire")
	d.p("Everything between two nodes, both ways, for Sets of %d bytes of payload, by how many are issued in a row. TCP's and IP's headers aren't counted.", workload.Payload)
	d.plot(plotWire, "Bytes per Set")
	rows = nil
	for _, w := range d.r.Wire {
		rows = append(rows, []string{comma(w.AtOnce), number(w.Bytes)})
	}
	d.table([]string{"Sets in a row", "bytes per Set"}, rows)
}

func (d *doc) latency() {
	d.p("## Until a Set is visible on another node")
	d.p("Two idle nodes, a Set every 4 ms, and between them round trips of as many bytes over a bare TCP connection. " +
		"It ends when the receiver's subscription tells of the value, on a goroutine of its own.")
	d.plot(plotLatency, "Distribution of the latency")
	var rows [][]string
	for _, name := range []string{measure.RawTCP, measure.Visible} {
		s := d.r.Samples[name]
		row := []string{name, comma(len(s))}
		for _, q := range []float64{.5, .9, .99, 1} {
			row = append(row, number(measure.Quantile(s, q)))
		}
		rows = append(rows, row)
	}
	d.table([]string{"us", "samples", "p50", "p90", "p99", "max"}, rows)
}

func (d *doc) sync() {
	d.p("## Joins")
	d.plot(plotJoin, "Join time against keys")
	var rows [][]string
	for _, keys := range d.r.Plan.Joins {
		s := d.r.Join[keys]
		whole, itself := s.Median(measure.JoinWhole), s.Median(measure.SyncItself)
		rows = append(rows, []string{comma(keys), number(whole), number(payloadMB(keys) / whole), number(itself), number(payloadMB(keys) / itself)})
	}
	d.table([]string{"keys", "from New until ready, s", "MB/s of payload", "the sync itself, s", "MB/s of payload"}, rows)
	d.p("## Idle nodes")
	d.p("What two nodes send each other while nothing happens, both ways, mesh's own included, over %.0f s.", d.r.Plan.Idle.Seconds())
	d.plot(plotIdle, "Idle bytes against keys")
	rows = nil
	for _, keys := range d.r.Plan.IdleKeys {
		rows = append(rows, []string{comma(keys), number(d.r.IdleUsed[keys])})
	}
	d.table([]string{"keys", "bytes per minute"}, rows)
}

func (d *doc) method() {
	d.p("%s", strings.TrimSpace(fmt.Sprintf(`
- Every cache is driven through the same interface of two methods, with the same keys, values and Zipf(%.2f) draws, made before
  anything is timed. Looked-up keys are other strings than those that the caches were filled with.
- Every cache counts hits and misses, except go-cache and golang-lru, which can't. Every cache has a TTL of an hour, except golang-lru,
  which has none, and the variants that say so.
- Caches are filled first; then, in each of %d rounds, every cache has a turn of %d ms, in another order each time, an eighth of a turn
  before it to warm up. A figure is the median of the rounds.
- Memory, hit ratios, expiry, bytes and idle traffic are measured once: they depend little on how busy the machine is.
- All caches of the measures of speed are alive at the same time; the collector rarely runs there. What it costs is measured apart.
- Values are strings that exist already, except under the load for the collector, where each Set has a new one. freecache is
  given and gives bytes without a copy of ours.
- Ristretto, otter and theine queue what was written. They are given time to work it off while they are filled, after each turn of
  writes, and every 64 operations of a trace.
- Go's collector has its default settings, except where it says so. Nodes talk over loopback, in one process, without a Secret.`,
		workload.Exponent, d.r.Plan.Rounds, d.r.Plan.Slot.Milliseconds())))
}
