package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/iwanbk/bcache/benchmarks/workload"
)

const missing = "–"

// number shows three digits or more, with commas; a dash for what wasn't measured.
func number(v float64) string {
	switch abs := math.Abs(v); {
	case math.IsNaN(v):
		return missing
	case math.IsInf(v, 0):
		return "never"
	case abs >= 100:
		return humanize.Comma(int64(math.Round(v)))
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func times(v float64) string {
	if math.IsNaN(v) {
		return missing
	}
	return number(v) + "x"
}

func percent(v float64) string {
	if math.IsNaN(v) {
		return missing
	}
	return fmt.Sprintf("%.1f %%", 100*v)
}

func payloadMB(keys int) float64 { return float64(keys) * workload.Payload / 1e6 }

// table is a Markdown table. All columns but the first have figures.
func table(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	b.WriteString("|---|" + strings.Repeat("---:|", len(header)-1) + "\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// short is a number on an axis.
func short(v float64) string {
	if v >= 1000 {
		return humanize.Comma(int64(math.Round(v)))
	}
	return humanize.Ftoa(math.Round(v*1e6) / 1e6)
}
