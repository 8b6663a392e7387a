package main

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// A bar is a name and its figure.
type bar struct {
	name  string
	value float64
}

// bars draws horizontal ones from the top down, each with its figure. One that is so long that
// the others couldn't be told apart is cut off, and says so.
func bars(title, unit string, list []bar) (*plot.Plot, size, error) {
	p := newPlot(title, unit, "")
	p.Add(grid(true, false))
	limit := cutoff(list)
	var ends plotter.XYLabels
	names := make([]string, len(list))
	for i, b := range slices.Backward(list) {
		at := len(list) - 1 - i
		names[at] = b.name
		length, label := b.value, number(b.value)
		if length > limit {
			length, label = limit, label+", cut off"
		}
		chart, err := plotter.NewBarChart(plotter.Values{length}, vg.Points(13))
		if err != nil {
			return nil, size{}, err
		}
		chart.Horizontal = true
		chart.XMin = float64(at)
		chart.LineStyle.Width = 0
		chart.Color = barColor(b.name)
		p.Add(chart)
		ends.XYs = append(ends.XYs, plotter.XY{X: length, Y: float64(at)})
		ends.Labels = append(ends.Labels, label)
	}
	labels, err := plotter.NewLabels(ends)
	if err != nil {
		return nil, size{}, err
	}
	labels.Offset = vg.Point{X: vg.Points(4), Y: vg.Points(1.5)}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Font.Size = vg.Points(9.5)
		labels.TextStyle[i].Color = ink
		labels.TextStyle[i].YAlign = text.YCenter
	}
	p.Add(labels)
	p.NominalY(names...)
	p.Y.Tick.LineStyle.Width = 0
	p.Y.Min, p.Y.Max = -.7, float64(len(list))-.3
	p.X.Min, p.X.Max = 0, limit*1.2
	p.X.Tick.Marker = evenTicks{}
	return p, size{580, vg.Length(80 + 22*len(list))}, nil
}

func barColor(name string) color.Color {
	switch {
	case name == "bcache":
		return highlight
	case ownVariant(name):
		return tint
	}
	return neutral
}

// cutoff is the length of the longest bar that is drawn whole.
func cutoff(list []bar) float64 {
	var values []float64
	for _, b := range list {
		values = append(values, b.value)
	}
	slices.Sort(values)
	longest := 0.0
	for _, v := range values {
		if v <= 5*values[len(values)/2] {
			longest = math.Max(longest, v)
		}
	}
	if longest == 0 {
		return 1
	}
	return longest
}
