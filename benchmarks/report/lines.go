package main

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A line is a named series of points.
type line struct {
	name   string
	points plotter.XYs
	marks  bool
}

// size of a figure, in points.
type size struct{ w, h vg.Length }

var lineSize = size{600, 340}

// A figure is a plot with a legend beside it, where no data can be.
type figure struct {
	*plot.Plot
	legend plot.Legend
	size
}

// lines draws bcache's line thickest, and before the others: one that coincides with it is seen on it.
func lines(p *plot.Plot, list []line) (*figure, error) {
	p.Add(grid(true, true))
	f := &figure{Plot: p, legend: plot.NewLegend(), size: lineSize}
	f.legend.TextStyle.Font.Size = vg.Points(10)
	f.legend.TextStyle.Color = ink
	f.legend.Top, f.legend.Left = true, true
	f.legend.ThumbnailWidth = vg.Points(26)
	f.legend.Padding = vg.Points(4)
	for pass := range 2 {
		for _, l := range list {
			look := lookOf(l.name)
			own := look.color == highlight
			if own != (pass == 0) {
				continue
			}
			curve, marks, err := plotter.NewLinePoints(l.points)
			if err != nil {
				return nil, err
			}
			curve.Color, curve.Dashes, curve.Width = look.color, look.dashes, vg.Points(1.4)
			marks.Color, marks.Shape, marks.Radius = look.color, look.shape, vg.Points(2.8)
			if own {
				curve.Width, marks.Radius = vg.Points(4), vg.Points(4.2)
			}
			p.Add(curve)
			if l.marks {
				p.Add(marks)
			}
		}
	}
	for _, l := range list {
		look := lookOf(l.name)
		curve := &plotter.Line{LineStyle: draw.LineStyle{Color: look.color, Dashes: look.dashes, Width: vg.Points(1.4)}}
		marks := &plotter.Scatter{GlyphStyle: draw.GlyphStyle{Color: look.color, Shape: look.shape, Radius: vg.Points(2.8)}}
		if look.color == highlight {
			curve.Width, marks.Radius = vg.Points(4), vg.Points(4.2)
		}
		if l.marks {
			f.legend.Add(l.name, curve, marks)
		} else {
			f.legend.Add(l.name, curve)
		}
	}
	return f, nil
}

// ticksAt puts ticks at the values that were measured, and nowhere else.
func ticksAt(values []int) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, v := range values {
		ticks = append(ticks, plot.Tick{Value: float64(v), Label: comma(v)})
	}
	return ticks
}

// logTicks are the powers of ten and what lies evenly between.
func logTicks(low, high float64) (ticks plot.ConstantTicks) {
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v := m * decade; v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: short(v)})
			}
		}
	}
	return ticks
}

// fromZero gives an axis even ticks with commas, and room above what is highest.
func fromZero(a *plot.Axis, highest float64) {
	a.Min, a.Max = 0, highest*1.1
	a.Tick.Marker = evenTicks{}
}

// evenTicks are about five, at 1, 2 or 5 times a power of ten.
type evenTicks struct{}

func (evenTicks) Ticks(low, high float64) (ticks []plot.Tick) {
	if !(high > low) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(m*step) >= 4 {
			step *= m
			break
		}
	}
	for n := math.Ceil(low / step); n*step <= high; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: short(n * step)})
	}
	return ticks
}
