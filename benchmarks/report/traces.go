package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/measure"
	"github.com/iwanbk/bcache/benchmarks/trace"
)

// reportTraces plays traces, and nothing else, and writes traces.md with a plot of each.
func reportTraces(
	ctx context.Context, files []string, format trace.Format, out string, stdout, stderr io.Writer,
) error {
	began := time.Now()
	traces, err := openTraces(files, format)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(out, plotDir), 0o755); err != nil {
		return err
	}
	bar := newProgress(stderr)
	played, err := measure.PlayTraces(ctx, traces, bar.show)
	bar.end()
	if err != nil {
		return err
	}
	for _, p := range played {
		if err := drawTrace(p, filepath.Join(out, plotDir, plotOfTrace(p))); err != nil {
			return fmt.Errorf("drawing %s: %w", p.Name, err)
		}
	}
	file := filepath.Join(out, "traces.md")
	if err := os.WriteFile(file, []byte(tracesDocument(played)), 0o644); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	fmt.Fprintf(stdout, "%s\nWritten in %.0f s: %s\n", tracesSummary(played), took, file)
	return nil
}

// openTraces reads all of them before anything is measured: nobody has to wait to hear of a wrong file.
func openTraces(files []string, format trace.Format) (traces []*trace.Trace, err error) {
	seen := make(map[string]string)
	for _, file := range files {
		t, err := trace.Open(file, format)
		if err != nil {
			return nil, err
		}
		if first, ok := seen[t.Name]; ok {
			return nil, fmt.Errorf("%s and %s: both traces would be named %s", first, file, t.Name)
		}
		seen[t.Name] = file
		traces = append(traces, t)
	}
	return traces, nil
}

func tracesDocument(played []*measure.Played) string {
	d := &doc{}
	d.p("# Hit ratios of traces")
	d.p("Hits in %%, written by `go run ./benchmarks/report -trace`: a Get, and a Set if it misses, "+
		"counted from the first access on. The capacity is a part of the different keys. %s is exact LRU. "+
		"A dash: the cache can't be that small.", measure.ExactLRU)
	d.b.WriteString(tracesSummary(played) + "\n")
	d.p("The mean is over all traces and capacities. A cache is as good as otter where no less is shown " +
		"for it. Below zero is above exact LRU everywhere.")
	for _, p := range played {
		d.p("## %s", p.Name)
		d.p("%s accesses to %s keys, read as `%s`.", comma(len(p.Accesses)), comma(len(p.Keys)), p.Format)
		d.plot(plotOfTrace(p), "Hit ratio of "+p.Name+" against capacity")
		d.table(traceTable(p))
	}
	return strings.TrimRight(d.b.String(), "\n") + "\n"
}

func traceTable(p *measure.Played) (header []string, rows [][]string) {
	header = []string{"capacity"}
	for _, k := range caches.Bounded() {
		header = append(header, k.Name)
	}
	for _, at := range p.Points {
		row := []string{fmt.Sprintf("%s (%d %%)", comma(at.Capacity), at.Part)}
		for _, k := range caches.Bounded() {
			row = append(row, hits(shown(at, k.Name)))
		}
		rows = append(rows, row)
	}
	return header, rows
}

// tracesSummary is a table of how all caches did over all traces.
func tracesSummary(played []*measure.Played) string {
	var rows [][]string
	for _, k := range caches.Bounded() {
		sum, worst := 0.0, math.Inf(-1)
		points, good, all := 0, 0, 0
		for _, p := range played {
			for _, at := range p.Points {
				all++
				own := shown(at, k.Name)
				if math.IsNaN(own) {
					continue
				}
				points++
				sum += own
				worst = max(worst, shown(at, measure.ExactLRU)-own)
				if own >= shown(at, caches.Otter) {
					good++
				}
			}
		}
		if points < all { // the mean of some, and others at that, compares with nothing
			sum = math.NaN()
		}
		rows = append(rows, rowOf(k.Name,
			hits(sum/float64(all)), fmt.Sprintf("%d of %d", good, points), hits(worst)))
	}
	return table([]string{"cache", "mean, %", "as good as otter", "below exact LRU at worst, points"}, rows)
}

// shown is a cache's hits at a point in percent, to a tenth: so the summary says what people find who
// compare the figures below it. It is NaN if the cache took no part.
func shown(at measure.Point, cache string) float64 {
	return math.Round(1000*at.HitRatio.Median(cache)) / 10
}

func hits(percent float64) string {
	if math.IsNaN(percent) || math.IsInf(percent, 0) {
		return missing
	}
	return fmt.Sprintf("%.1f", math.Round(10*percent)/10+0) // never "-0.0"
}

func plotOfTrace(p *measure.Played) string { return "trace-" + p.Name + ".svg" }

func drawTrace(p *measure.Played, file string) error {
	var capacities []int
	points := make(map[int]measure.Point)
	for _, at := range p.Points {
		capacities = append(capacities, at.Capacity)
		points[at.Capacity] = at
	}
	f, err := drawHits("Hit ratio of "+p.Name, capacities, func(c int, cache string) float64 {
		at := points[c]
		return at.HitRatio.Median(cache)
	})
	if err != nil {
		return err
	}
	return f.save(file)
}
