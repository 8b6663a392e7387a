package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/measure"
	"github.com/iwanbk/bcache/benchmarks/trace"
)

// write makes a file with that many rounds over keys, a line each.
func write(t *testing.T, name string, keys, rounds int) (file string) {
	t.Helper()
	var b strings.Builder
	for range rounds {
		for key := range keys {
			fmt.Fprintf(&b, "k%d\n", key)
		}
	}
	file = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTraces(t *testing.T) {
	out := t.TempDir()
	var stdout strings.Builder
	args := []string{"-trace", write(t, "one.keys", 200, 3), "-out", out, write(t, "two", 3, 2)}
	if err := run(t.Context(), args, &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, "traces.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{
		"## one\n", "600 accesses to 200 keys, read as `keys`", "\n| 2 (1 %) |", "\n| 100 (50 %) |",
		"## two\n", "6 accesses to 3 keys", "\n| 1 (1 %) |",
		"(" + plotDir + "/trace-one.svg)", "(" + plotDir + "/trace-two.svg)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in %s", want, text)
		}
	}
	for _, k := range caches.Bounded() {
		if !strings.Contains(text, "| "+k.Name+" |") || !strings.Contains(stdout.String(), k.Name) {
			t.Errorf("%s is missing", k.Name)
		}
	}
	for _, bad := range []string{"NaN", "%!", "Inf", "-0.0"} {
		if strings.Contains(text, bad) {
			t.Errorf("there is a %q", bad)
		}
	}
	for _, plot := range []string{"trace-one.svg", "trace-two.svg"} {
		if _, err := os.Stat(filepath.Join(out, plotDir, plot)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "benchmarks.md")); err == nil {
		t.Error("more than the traces was measured")
	}
}

// The summary counts what the tables show.
func TestTracesSummary(t *testing.T) {
	point := func(bcache, otter, lru float64) (p measure.Point) {
		p.HitRatio.Add(caches.Bcache, bcache)
		p.HitRatio.Add(caches.Otter, otter)
		p.HitRatio.Add(measure.ExactLRU, lru)
		return p
	}
	withTheine := point(.6, .5, .601)
	withTheine.HitRatio.Add("theine", .7)
	played := []*measure.Played{
		{Trace: &trace.Trace{}, Points: []measure.Point{withTheine, point(.4, .5, .41)}},
		{Trace: &trace.Trace{}, Points: []measure.Point{point(.4996, .5, .4)}},
	}
	summary := tracesSummary(played)
	for _, row := range []string{
		"| **bcache** | **50.0** | **2 of 3** | **1.0** |\n",
		"| otter | 50.0 | 3 of 3 | 10.1 |\n",
		"| theine | – | 1 of 1 | -9.9 |\n",
		"| sturdyc | – | 0 of 0 | – |\n",
	} {
		if !strings.Contains(summary, row) {
			t.Errorf("there is no %q in\n%s", row, summary)
		}
	}
}

// Nothing is measured if something can't be.
func TestTraceArguments(t *testing.T) {
	good, out := write(t, "good", 10, 1), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for says, args := range map[string][]string{
		"bad: the trace is empty":             {"-trace", good, write(t, "bad", 0, 0)},
		"would be named good":                 {"-trace", good, "-trace", write(t, "good.trace", 10, 1)},
		`no format "csv"`:                     {"-trace-format", "csv", "-trace", good},
		"access 1, ":                          {"-trace-format", "be64", "-trace", write(t, "short", 1, 1)},
		"no -trace":                           {"-trace-format", "be32"},
		"without -short, -check and -engines": {"-short", "-trace", good},
		"-check comes too late":               {"-trace", good, good, "-check"},
		"missing: no such file":               {"-trace", filepath.Join(out, "missing")},
		"what is [\"" + good + "\"]? There":   {good},
	} {
		err := run(ctx, append([]string{"-out", out}, args...), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: it doesn't say %q: %v", args, says, err)
		}
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("it wrote %v, %v", left, err)
	}
}
