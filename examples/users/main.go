// Command users is a small HTTP service in front of an SQL database, read
// through bcache. Without arguments it shows three nodes at work in one process;
// with -node it is one node that runs until it is interrupted. See -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings as parameters, so that tests can call it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parseOptions(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "users: %v\nusers -h explains the flags.\n", err)
		return exitUsage
	}

	if opts.engine == engineNATS && opts.nats == "" {
		url, stop, err := startNATS()
		if err != nil {
			fmt.Fprintf(stderr, "users: %v\n", err)
			return exitFailed
		}
		defer stop()
		opts.nats = url
	}

	switch {
	case opts.node:
		log := slog.New(slog.NewTextHandler(stderr, nil))
		err = runNode(ctx, opts, log)
	case opts.deploy:
		err = runDeploy(ctx, opts, stdout, stderr)
	case opts.hot:
		err = runHot(ctx, opts, stdout, stderr)
	default:
		err = runDemo(ctx, opts, stdout, stderr)
	}
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "users: interrupted, everything is closed")
		return exitOK
	default:
		fmt.Fprintf(stderr, "users: %v\n", err)
		return exitFailed
	}
}
