package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/measure"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

const (
	plotDir = "benchmarks" // beside benchmarks.md

	plotGet        = "get.svg"
	plotSet        = "set.svg"
	plotGoroutines = "goroutines.svg"
	plotMemory     = "memory.svg"
	plotHitRatio   = "hitratio.svg"
	plotBurst      = "replication.svg"
	plotWire       = "wire.svg"
	plotLatency    = "visible.svg"
	plotJoin       = "join.svg"
	plotIdle       = "idle.svg"
)

// drawAll writes every plot.
func drawAll(r *measure.Results, out string) error {
	var errs []error
	for file, draw := range map[string]func(*measure.Results) (*figure, error){
		plotGet:        drawGet,
		plotSet:        drawSet,
		plotGoroutines: drawGoroutines,
		plotMemory:     drawMemory,
		plotHitRatio:   drawHitRatio,
		plotBurst:      drawBurst,
		plotWire:       drawWire,
		plotLatency:    drawLatency,
		plotJoin:       drawJoin,
		plotIdle:       drawIdle,
	} {
		f, err := draw(r)
		if err == nil {
			err = f.save(filepath.Join(out, plotDir, file))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
		}
	}
	return errors.Join(errs...)
}

func (f *figure) save(file string) error {
	canvas := vgsvg.New(f.w, f.h)
	c := draw.New(canvas)
	c.SetColor(rgb(0xffffff))
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, vg.Points(10), -vg.Points(14), vg.Points(10), -vg.Points(10))
	legend := f.legend.Rectangle(c).Size().X
	if legend > 0 {
		right := draw.Crop(c, c.Size().X-legend-vg.Points(4), 0, 0, -vg.Points(34))
		f.legend.Draw(right)
		c = draw.Crop(c, 0, -legend-vg.Points(20), 0, 0)
	}
	f.Draw(c)
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// Few have Liberation, and these are as wide.
	fonts := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	return os.WriteFile(file, fonts, 0o644)
}

func barFigure(title, unit string, list []bar) (*figure, error) {
	p, s, err := bars(title, unit, list)
	if err != nil {
		return nil, err
	}
	return &figure{Plot: p, legend: plot.NewLegend(), size: s}, nil
}

// ranked are the bars of a series, the shortest first.
func ranked(s *measure.Series) (list []bar) {
	for _, name := range ranking(s) {
		list = append(list, bar{name, s.Median(name)})
	}
	return list
}

func drawGet(r *measure.Results) (*figure, error) {
	return barFigure(fmt.Sprintf("%s, %s keys, Zipf(%.2f)", measure.GetHit, comma(r.Plan.Keys), workload.Exponent), "ns per Get, less is better", ranked(&r.Speeds[measure.GetHit].Ns))
}

func drawSet(r *measure.Results) (*figure, error) {
	return barFigure(fmt.Sprintf("%s, %s keys, Zipf(%.2f)", measure.SetOne, comma(r.Plan.Keys), workload.Exponent), "ns per Set, less is better", ranked(&r.Speeds[measure.SetOne].Ns))
}

func drawMemory(r *measure.Results) (*figure, error) {
	return barFigure(fmt.Sprintf("Memory per entry beyond key and value, %s entries", comma(r.Plan.Entries)),
		"bytes, less is better", ranked(&r.Overhead))
}

func drawIdle(r *measure.Results) (*figure, error) {
	var list []bar
	for _, keys := range r.Plan.IdleKeys {
		list = append(list, bar{comma(keys) + " keys", r.IdleUsed[keys]})
	}
	return barFigure("Traffic between two idle nodes", "bytes per minute, both ways", list)
}

// against are the lines of caches over some number of something.
func against(kinds []caches.Kind, xs []int, y func(x int, cache string) float64) (list []line) {
	for _, k := range kinds {
		l := line{name: k.Name, marks: true}
		for _, x := range xs {
			if v := y(x, k.Name); !math.IsNaN(v) {
				l.points = append(l.points, plotter.XY{X: float64(x), Y: v})
			}
		}
		if len(l.points) > 0 {
			list = append(list, l)
		}
	}
	return list
}

func drawGoroutines(r *measure.Results) (*figure, error) {
	p := newPlot("Get hit against goroutines", "goroutines", "ns per Get over all of them, less is better")
	kinds := caches.Main(caches.Local())
	list := against(kinds, r.Plan.Goroutines, func(n int, cache string) float64 {
		return r.Goroutines[n].Median(cache)
	})
	logX(p, r.Plan.Goroutines)
	f, err := lines(p, list)
	fromZero(&p.Y, highest(list))
	return f, err
}

func drawHitRatio(r *measure.Results) (*figure, error) {
	title := fmt.Sprintf("Hit ratio of a Zipf(%.2f) trace over %s keys",
		workload.Exponent, comma(r.Plan.Universe))
	return drawHits(title, r.Plan.Capacities, func(c int, cache string) float64 {
		return r.HitRatio[c].Median(cache)
	})
}

// drawHits draws shares of hits against capacities.
func drawHits(
	title string, capacities []int, share func(capacity int, cache string) float64,
) (*figure, error) {
	p := newPlot(title, "capacity, entries", "hits, %")
	list := against(caches.Bounded(), capacities, func(c int, cache string) float64 {
		return 100 * share(c, cache)
	})
	logX(p, capacities)
	p.Y.Tick.Marker = evenTicks{}
	return lines(p, list)
}

func drawBurst(r *measure.Results) (*figure, error) {
	p := newPlot("Replicated Sets, until every node has every key", "nodes in one process", "Sets per second, more is better")
	l := line{name: caches.Bcache, marks: true}
	for _, n := range r.Plan.Nodes {
		l.points = append(l.points, plotter.XY{X: float64(n), Y: r.Burst(n).Rate.Median(measure.Case(n))})
	}
	p.X.Tick.Marker = ticksAt(r.Plan.Nodes)
	f, err := lines(p, []line{l})
	fromZero(&p.Y, highest([]line{l}))
	return f, err
}

func drawWire(r *measure.Results) (*figure, error) {
	p := newPlot("Bytes on the wire per Set and peer", "Sets in a row", "bytes, less is better")
	own, payload := line{name: caches.Bcache, marks: true}, line{name: "payload"}
	var at []int
	for i, w := range r.Wire {
		if i == 0 || w.AtOnce == 10*r.Wire[i-1].AtOnce { // there is no room for a label in between
			at = append(at, w.AtOnce)
		}
		own.points = append(own.points, plotter.XY{X: float64(w.AtOnce), Y: w.Bytes})
		payload.points = append(payload.points, plotter.XY{X: float64(w.AtOnce), Y: workload.Payload})
	}
	logX(p, at)
	f, err := lines(p, []line{own, payload})
	fromZero(&p.Y, highest([]line{own}))
	return f, err
}

func drawLatency(r *measure.Results) (*figure, error) {
	p := newPlot("From a Set until it is visible on another, idle node", "us, less is better", "of all samples, %")
	var list []line
	low, high := math.Inf(1), 0.0
	for _, name := range []string{measure.RawTCP, measure.Visible} {
		l := line{name: name}
		for share := range 401 {
			us := measure.Quantile(r.Samples[name], float64(share)/400)
			l.points = append(l.points, plotter.XY{X: us, Y: float64(share) / 4})
			low, high = math.Min(low, us), math.Max(high, us)
		}
		list = append(list, l)
	}
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = logTicks(low, high)
	p.Y.Tick.Marker = evenTicks{}
	return lines(p, list)
}

func drawJoin(r *measure.Results) (*figure, error) {
	p := newPlot("A node joins another", "keys", "seconds, less is better")
	whole, itself := line{name: measure.JoinWhole, marks: true}, line{name: measure.SyncItself, marks: true}
	for _, keys := range r.Plan.Joins {
		s := r.Join[keys]
		whole.points = append(whole.points, plotter.XY{X: float64(keys), Y: s.Median(measure.JoinWhole)})
		itself.points = append(itself.points, plotter.XY{X: float64(keys), Y: s.Median(measure.SyncItself)})
	}
	logX(p, r.Plan.Joins)
	list := []line{whole, itself}
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = logTicks(lowest(list), highest(list))
	return lines(p, list)
}

func logX(p *plot.Plot, values []int) {
	if len(values) > 1 && slices.Min(values) > 0 {
		p.X.Scale = plot.LogScale{}
	}
	p.X.Tick.Marker = ticksAt(values)
}

func highest(list []line) (y float64) {
	for _, l := range list {
		for _, p := range l.points {
			y = math.Max(y, p.Y)
		}
	}
	return y
}

func lowest(list []line) float64 {
	y := math.Inf(1)
	for _, l := range list {
		for _, p := range l.points {
			y = math.Min(y, p.Y)
		}
	}
	return y
}
