package bcachehttp

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The drawing's own units; the page stretches them.
const (
	plotWidth  = 300.0
	plotHeight = 60.0
)

// A plot is one figure over the last minutes, as lines within a drawing.
type plot struct {
	ID, Name string
	Now      string // the figure now
	Says     string // the rest, in words, for those who don't see the drawing
	Top      string // the figure at the upper edge
	Runs     []run  // where the figure is known without a gap
}

// A run is a line, and the area below it, as an SVG has them.
type run struct{ Line, Area string }

// A series is what is plotted: a figure of each rate, unless there was none then.
type series struct {
	id, name string
	of       func(*rate) (figure float64, ok bool)
	text     func(float64) string
	most     float64 // that the figure can be; 0: as much as it is
}

var allSeries = []series{
	{"hits", "Hit ratio", func(r *rate) (float64, bool) { return r.hitRatio, r.gets > 0 }, percent, 1},
	{"gets", "Gets", func(r *rate) (float64, bool) { return r.gets, true }, everySecond, 0},
	{"writes", "Sets and Deletes", func(r *rate) (float64, bool) { return r.sets + r.deletes, true },
		everySecond, 0},
	{"fills", "Fills", func(r *rate) (float64, bool) { return r.fills, true }, everySecond, 0},
	{"in", "Received", func(r *rate) (float64, bool) { return r.in, true }, bytesPerSecond, 0},
	{"out", "Sent", func(r *rate) (float64, bool) { return r.out, true }, bytesPerSecond, 0},
}

func everySecond(f float64) string    { return perSecond(f) + "/s" }
func bytesPerSecond(f float64) string { return size(f) + "/s" }

// plots draws all series between samples, up to now.
func plots(list []*sample, now time.Time) []plot {
	var latest *rate
	if n := len(list); n > 1 {
		r := between(ago(list, list[n-1].at, 5*sampleEvery), list[n-1])
		latest = &r
	}
	all := make([]plot, len(allSeries))
	points := rates(list)
	for i := range allSeries {
		all[i] = allSeries[i].plot(points, latest, now)
	}
	return all
}

// plot draws one series.
func (s *series) plot(points []rate, latest *rate, now time.Time) plot {
	p := plot{ID: s.id, Name: s.name, Now: "–"}
	low, high := math.Inf(1), 0.0
	for i := range points {
		if f, ok := s.of(&points[i]); ok {
			low, high = min(low, f), max(high, f)
		}
	}
	if latest != nil {
		if f, ok := s.of(latest); ok {
			p.Now = s.text(f)
		}
	}
	if math.IsInf(low, 1) {
		p.Says = "There was none yet."
		return p
	}
	p.Says = fmt.Sprintf("Now %s. In the last five minutes between %s and %s.", p.Now, s.text(low),
		s.text(high))
	top := s.most
	if top == 0 {
		top = high
	}
	p.Top = s.text(top)
	var known []point
	end := func() {
		if len(known) > 0 {
			p.Runs = append(p.Runs, newRun(known))
		}
		known = nil
	}
	for i := range points {
		f, ok := s.of(&points[i])
		if !ok {
			end()
			continue
		}
		part := 0.0
		if top > 0 {
			part = f / top
		}
		age := now.Sub(points[i].at).Seconds() / ((samples - 1) * sampleEvery.Seconds())
		known = append(known, point{plotWidth * (1 - min(age, 1)), plotHeight * (1 - part)})
	}
	end()
	return p
}

type point struct{ x, y float64 }

func newRun(points []point) run {
	if len(points) == 1 {
		points = append(points, points[0]) // a dot
	}
	var line strings.Builder
	for _, p := range points {
		fmt.Fprintf(&line, "%.1f,%.1f ", p.x, p.y)
	}
	text := strings.TrimSuffix(line.String(), " ")
	return run{text, fmt.Sprintf("%.1f,%.0f %s %.1f,%.0f", points[0].x, plotHeight, text,
		points[len(points)-1].x, plotHeight)}
}
