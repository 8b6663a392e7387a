// Command scale draws docs/scale.svg: how the costs of a cluster grow with its nodes. The figures are
// those that the measurements of docs/scale.md have printed. It writes to stdout:
//
//	go run ./docs/scale > docs/scale.svg
package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
)

// Of each line the values at these numbers of nodes.
var nodes = [...]float64{5, 50, 500}

type line struct {
	name, colour string
	values       []float64
}

type panel struct {
	title, unit string
	low, high   float64 // powers of ten
	lines       []line
}

const (
	blue   = "#33658a"
	red    = "#c8553d"
	yellow = "#b8860b"
)

var panels = []panel{
	{"until all agree", "seconds", 0.1, 100, []line{
		{"lost to all, nobody else writes", blue, []float64{3.5, 7, 12}},
		{"lost to all, others write", red, []float64{1, 6.6, 4.2}},
		{"half and half", yellow, []float64{2.1, 2, 2}},
	}},
	{"what a node sends", "bytes a second", 10, 1e6, []line{
		{"nothing happens", blue, []float64{88, 52.8, 52.8}},
		{"each writes once a second: writes", red, []float64{404, 4998, 50898}},
		{"and all else", yellow, []float64{288, 2932, 26332}},
	}},
	{"until a frozen node is noticed", "seconds", 1, 10_000, []line{
		{"by one, others write", blue, []float64{5, 4.7, 6.1}},
		{"by all", red, []float64{6, 18.4, 182.8}},
		{"by all, nobody writes", yellow, []float64{6.3, 82, 1132}},
	}},
}

const (
	width, height = 300, 330 // of a panel
	left, right   = 62, 22
	top, bottom   = 102, 46
)

func main() {
	w := bufio.NewWriter(os.Stdout)
	draw(w)
	if err := w.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func draw(w io.Writer) {
	all := len(panels) * width
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" `+
		`font-family="sans-serif" font-size="11" fill="#222">`+"\n", all, height, all)
	fmt.Fprintln(w, "<title>How the costs of a cluster grow with its nodes</title>")
	fmt.Fprintf(w, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", all, height)
	for i := range panels {
		fmt.Fprintf(w, `<g transform="translate(%d 0)">`+"\n", i*width)
		panels[i].draw(w)
		fmt.Fprintln(w, "</g>")
	}
	fmt.Fprintln(w, "</svg>")
}

// x and y are where a number of nodes and a value lie: both axes are logarithmic.
func x(n float64) float64 {
	first, last := nodes[0], nodes[len(nodes)-1]
	return left + (width-left-right)*math.Log(n/first)/math.Log(last/first)
}

func (p *panel) y(v float64) float64 {
	return height - bottom - (height-top-bottom)*math.Log(v/p.low)/math.Log(p.high/p.low)
}

func (p *panel) draw(w io.Writer) {
	fmt.Fprintf(w, `<text x="12" y="20" font-size="13" font-weight="bold">%s</text>`, p.title)
	fmt.Fprintf(w, `<text x="12" y="36" fill="#666">%s</text>`+"\n", p.unit)
	for v := p.low; v <= p.high*1.01; v *= 10 {
		fmt.Fprintf(w, `<path d="M%d %.1f H%d" stroke="#e3e6ea"/>`+
			`<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, p.y(v), width-right, left-6, p.y(v)+4, short(v))
	}
	for _, n := range nodes {
		fmt.Fprintf(w, `<path d="M%.1f %d V%d" stroke="#e3e6ea"/>`+
			`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(n), top, height-bottom, x(n), height-bottom+16, short(n))
	}
	fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="middle" fill="#666">nodes</text>`+"\n",
		(left+width-right)/2, height-10)
	for i, l := range p.lines {
		fmt.Fprintf(w, `<path d="M12 %d h22" stroke="%s" stroke-width="2.5"/><text x="40" y="%d">%s</text>`+"\n",
			50+i*16, l.colour, 54+i*16, l.name)
		path := "M"
		for j, v := range l.values {
			path += fmt.Sprintf("%.1f %.1f ", x(nodes[j]), p.y(v))
		}
		fmt.Fprintf(w, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`, path, l.colour)
		for j, v := range l.values {
			fmt.Fprintf(w, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`, x(nodes[j]), p.y(v), l.colour)
		}
		fmt.Fprintln(w)
	}
}

// short is a number for an axis.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(math.Round(v/1e6), 'f', -1, 64) + " M"
	case v >= 1000:
		return strconv.FormatFloat(math.Round(v/1000), 'f', -1, 64) + " k"
	default:
		return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
	}
}
