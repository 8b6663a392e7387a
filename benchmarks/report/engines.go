package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/iwanbk/bcache/benchmarks/engines"
)

// engineOptions are the flags of -engines.
type engineOptions struct {
	quick bool
	which string
	soak  time.Duration
	churn bool
	nodes int
}

func (o engineOptions) engines() (list []engines.Engine, err error) {
	if o.which == "" {
		return engines.All, nil
	}
	var errs []error
	for name := range strings.SplitSeq(o.which, ",") {
		e, err := engines.Named(name)
		list, errs = append(list, e), append(errs, err)
	}
	return list, errors.Join(errs...)
}

func (o engineOptions) check() error {
	switch {
	case o.soak < 0:
		return fmt.Errorf("-soak is %v, but must be positive", o.soak)
	case o.nodes < 0 || o.nodes > 0 && o.nodes < 4:
		return fmt.Errorf("-nodes is %d, but must be 4 or more", o.nodes)
	case o.soak == 0 && (o.nodes > 0 || o.churn):
		return errors.New("-nodes and -churn are for -soak")
	case o.soak > 0 && o.quick:
		return errors.New("-quick isn't for -soak, which takes as long as it says")
	}
	return nil
}

// reportEngines measures engines side by side, and writes the tables of engines.md in the folder out.
func reportEngines(ctx context.Context, o engineOptions, out string, stdout, stderr io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	list, err := o.engines()
	if err != nil {
		return err
	}
	if o.soak > 0 {
		return soakEngines(ctx, o, list, stdout)
	}
	file := filepath.Join(out, "engines.md")
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// A mistake in the file is told of before minutes are spent.
	if _, err := between(string(before), engineMarker, ""); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	plan := engines.Full
	if o.quick {
		plan = engines.Quick
	}
	bar := newProgress(stderr)
	r, err := engines.Run(ctx, plan, list, bar.show)
	bar.end()
	if err != nil {
		return err
	}
	text := engineTables(r, thisMachine())
	after, err := between(string(before), engineMarker, text)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\nWritten in %.0f s: %s\n", text, r.Took.Seconds(), file)
	return nil
}

const engineMarker = "engines"

// between replaces what a document has between two comments, NAME:begin and NAME:end.
func between(document, name, text string) (string, error) {
	begin, end := "<!-- "+name+":begin -->\n", "<!-- "+name+":end -->"
	head, rest, hasBegin := strings.Cut(document, begin)
	_, foot, hasEnd := strings.Cut(rest, end)
	if !hasBegin || !hasEnd {
		return "", fmt.Errorf("there is nothing between %q and %q", strings.TrimSpace(begin), end)
	}
	return head + begin + text + end + foot, nil
}

// soakEngines has each engine in use for a while, and fails if something grows or is cut.
func soakEngines(ctx context.Context, o engineOptions, list []engines.Engine, stdout io.Writer) error {
	var bad []error
	for _, e := range list {
		n := o.nodes
		if n == 0 {
			n = min(defaultSoakNodes(o.churn), e.Most())
		}
		s, err := engines.RunSoak(ctx, e, n, o.soak, o.churn)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", e.Name(), err))
			continue
		}
		fmt.Fprintln(stdout, soakText(s))
		if !s.Flat || !o.churn && (s.Cut > 0 || s.Lost > 0) {
			bad = append(bad, fmt.Errorf("%s: something grew or was cut, see above", e.Name()))
		}
	}
	return errors.Join(bad...)
}

func defaultSoakNodes(churn bool) int {
	if churn {
		return 20
	}
	return 100
}

func soakText(s *engines.Soak) string {
	flat := "flat"
	if !s.Flat {
		flat = "NOT flat"
	}
	return fmt.Sprintf("%s, %d nodes, %v: %s writes, %d restarts, %d connections cut as stuck, %d lost; "+
		"heap %.0f to %.0f MiB, goroutines %d to %d, descriptors %d to %d: %s",
		s.Engine, s.Nodes, s.For, comma(s.Writes), s.Restarts, s.Cut, s.Lost,
		s.Begin.Heap/(1<<20), s.End.Heap/(1<<20), s.Begin.Goroutines, s.End.Goroutines,
		s.Begin.Descriptors, s.End.Descriptors, flat)
}

// engineTables is what stands between the markers: the targets, then all figures.
func engineTables(r *engines.Results, m machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured by `go run ./benchmarks/report -engines` in the %s mode, in %.0f minutes.\n"+
		"The machine: %d cores of %s,\n%s, %s.\n\n"+
		"All nodes of a cluster, and an engine's server, share these cores. What misses its target is\n"+
		"**bold**:\n\n",
		r.Plan.Name, math.Ceil(r.Took.Minutes()), m.Cores, m.CPU, m.OS, m.Go)
	header := []string{"", "target"}
	for _, e := range r.Engines {
		header = append(header, e.Name)
	}
	b.WriteString(table(header, targetRows(r)) + "\n")
	b.WriteString("Everything that was measured:\n\n")
	b.WriteString(table(append([]string{""}, header[2:]...), figureRows(r)))
	for _, e := range r.Engines {
		for _, failed := range e.Failed {
			fmt.Fprintf(&b, "\n%s couldn't be measured with %s\n", e.Name, oneLine(failed))
		}
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
