// Command bcachectl asks a running node of bcache what it does, and why it has what it has of a key. It
// talks to the page that package bcachehttp serves, where the service mounts it. See README.md, or
//
//	bcachectl help
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

func main() {
	// Who doesn't read any more is noticed when something is written, and ends the command quietly.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second one ends it at once
	code := run(ctx, os.Args[1:], surroundings{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
		asks:  isTerminal(os.Stdin) && isTerminal(os.Stderr),
		shows: isTerminal(os.Stdout),
		size: func() (width, height int) {
			width, height, _ = term.GetSize(int(os.Stdout.Fd())) // zeros: it isn't known
			return width, height
		},
	})
	stop()
	os.Exit(code)
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
