// Report compares bcache with other caches on this machine, and writes what it measured as
// Markdown with plots.
//
//	go run ./benchmarks/report          # about 12 minutes; writes docs/benchmarks.md
//	go run ./benchmarks/report -short   # less than 2
//
// or what their hit ratios are on somebody's traces:
//
//	go run ./benchmarks/report -out DIR -trace FILE...
//
// or the engines, side by side:
//
//	go run ./benchmarks/report -engines          # some 10 minutes; writes the tables of docs/engines.md
//	go run ./benchmarks/report -engines -quick   # a minute, for tests
//	go run ./benchmarks/report -engines -soak 5m # 100 nodes that write: nothing may be cut
//	go run ./benchmarks/report -engines -soak 10m -churn -nodes 20
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/iwanbk/bcache/benchmarks/engines"
	"github.com/iwanbk/bcache/benchmarks/measure"
	"github.com/iwanbk/bcache/benchmarks/trace"
)

func main() {
	engines.Child() // the measurements of -engines are this program, started again
	// The caches are closed and Redis is ended also when somebody presses Ctrl-C.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	short := flags.Bool("short", false, "measure less, in under 2 minutes")
	out := flags.String("out", "docs", "the `directory` to write to, and the plots below it")
	check := flags.Bool("check", false, "fail if a ratio is worse than three times its target, twice in a row")
	var traces []string
	flags.Func("trace", "only play the trace in this `file`, and in those that follow, and write traces.md",
		func(file string) error {
			traces = append(traces, file)
			return nil
		})
	format := flags.String("trace-format", string(trace.Auto), "of traces: auto, be32, be64, arc or keys")
	side := flags.Bool("engines", false, "only measure the engines side by side, for engines.md")
	var o engineOptions
	flags.BoolVar(&o.quick, "quick", false, "with -engines: measure as little as possible, for tests")
	flags.StringVar(&o.which, "engine", "", "with -engines: only these `names`, with commas")
	flags.DurationVar(&o.soak, "soak", 0, "with -engines: only use them for so `long`; fails if one grows")
	flags.BoolVar(&o.churn, "churn", false, "with -soak: nodes are restarted all the time")
	flags.IntVar(&o.nodes, "nodes", 0, "with -soak: `how many`; 0 is 100, with -churn 20")
	if err := flags.Parse(args); err != nil {
		return err
	}
	f, err := trace.ParseFormat(*format)
	switch {
	case err != nil:
		return err
	case len(traces) > 0:
		if *short || *check || *side {
			return errors.New("traces have no targets and no short mode: " +
				"give -trace without -short, -check and -engines")
		}
		for _, file := range flags.Args() {
			if strings.HasPrefix(file, "-") {
				return fmt.Errorf("%s comes too late: flags stand before the files", file)
			}
		}
		return reportTraces(ctx, append(traces, flags.Args()...), f, *out, stdout, stderr)
	case flags.NArg() > 0:
		return fmt.Errorf("what is %q? There are only flags", flags.Args())
	case f != trace.Auto:
		return errors.New("there is a -trace-format, but no -trace")
	case *side && (*short || *check):
		return errors.New("-engines has no -short and no -check: give -quick")
	case *side:
		return reportEngines(ctx, o, *out, stdout, stderr)
	case o != engineOptions{}:
		return errors.New("-quick, -engine, -soak, -churn and -nodes are for -engines")
	}
	plan := measure.Full
	if *short {
		plan = measure.Short
	}
	return report(ctx, plan, *out, *check, stdout, stderr)
}

func report(ctx context.Context, plan measure.Plan, out string, check bool, stdout, stderr io.Writer) error {
	if err := os.MkdirAll(filepath.Join(out, plotDir), 0o755); err != nil {
		return err
	}
	bar := newProgress(stderr)
	r, err := measure.Run(ctx, plan, bar.show)
	bar.end()
	if err != nil {
		return err
	}
	if err := drawAll(r, out); err != nil {
		return fmt.Errorf("drawing: %w", err)
	}
	file := filepath.Join(out, "benchmarks.md")
	if err := os.WriteFile(file, []byte(document(r, thisMachine())), 0o644); err != nil {
		return err
	}
	fmt.Fprint(stdout, targetsTable(r))
	fmt.Fprintf(stdout, "\nWritten in %.0f s: %s\n", r.Took.Seconds(), file)
	if !check {
		return nil
	}
	bad := checkTargets(r)
	if bad == nil {
		return nil
	}
	fmt.Fprintf(stdout, "\nMeasured once more, as the machine may have been busy with something else:\n%v\n", bad)
	again, err := measure.Run(ctx, plan, bar.show)
	bar.end()
	if err != nil {
		return err
	}
	return checkTargets(r, again)
}
