package main

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/measure"
)

func rgb(hex uint32) color.Color {
	return color.RGBA{uint8(hex >> 16), uint8(hex >> 8), uint8(hex), 255}
}

var (
	ink       = rgb(0x22272e)
	faint     = rgb(0xe3e6ea)
	highlight = rgb(0xd9480f)
	tint      = rgb(0xf4a67c)
	neutral   = rgb(0x9aa9b8)
)

// A look is how a series is drawn in a plot of several lines: by colour, and for those who
// don't see it, by mark and dashes.
type look struct {
	color  color.Color
	shape  draw.GlyphDrawer
	dashes []vg.Length
}

var (
	dashed = []vg.Length{vg.Points(5), vg.Points(3)}
	dotted = []vg.Length{vg.Points(1.5), vg.Points(2.5)}

	looks = map[string]look{
		caches.Bcache:    {highlight, draw.CircleGlyph{}, nil},
		caches.BcacheLRU: {tint, draw.RingGlyph{}, dashed},
		caches.Otter:     {rgb(0x1c4e80), draw.SquareGlyph{}, nil},
		caches.Ristretto: {rgb(0x2a9d8f), draw.TriangleGlyph{}, nil},
		"theine":         {rgb(0x7b4ea3), draw.PyramidGlyph{}, nil},
		"freecache":      {rgb(0x5c677d), draw.BoxGlyph{}, dashed},
		"sturdyc":        {rgb(0xa47148), draw.RingGlyph{}, dashed},
		"go-cache":       {rgb(0x3a86c8), draw.CrossGlyph{}, dashed},
		caches.GolangLRU: {rgb(0x5f8d2d), draw.PlusGlyph{}, nil},
		"expirable":      {rgb(0x93a84f), draw.RingGlyph{}, dotted},

		measure.JoinWhole: {highlight, draw.CircleGlyph{}, nil},
		measure.Visible:   {highlight, draw.CircleGlyph{}, nil},
		measure.RawTCP:    {rgb(0x1c4e80), draw.SquareGlyph{}, dashed},
	}
)

func lookOf(name string) look {
	if l, ok := looks[name]; ok {
		return l
	}
	return look{neutral, draw.CircleGlyph{}, nil}
}

// newPlot is an empty one in the report's style.
func newPlot(title, x, y string) *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = vg.Points(13)
	p.Title.TextStyle.Color = ink
	p.Title.Padding = vg.Points(10)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font.Size = vg.Points(10.5)
		a.Label.TextStyle.Color = ink
		a.Label.Padding = vg.Points(5)
		a.Tick.Label.Font.Size = vg.Points(9.5)
		a.Tick.Label.Color = ink
		a.LineStyle.Color = neutral
		a.Tick.LineStyle.Color = neutral
	}
	p.X.Label.Text, p.Y.Label.Text = x, y
	return p
}

func grid(vertical, horizontal bool) *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = nil, nil
	if vertical {
		g.Vertical.Color = faint
	}
	if horizontal {
		g.Horizontal.Color = faint
	}
	return g
}
