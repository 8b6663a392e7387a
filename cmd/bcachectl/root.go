package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Surroundings are what the command finds where it runs.
type surroundings struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	asks           bool // somebody is there who can answer
	shows          bool // stdout is a terminal
	size           func() (width, height int)
	transport      http.RoundTripper // nil: the network
}

const (
	defaultAddr    = "http://localhost:8080/cache/"
	defaultTimeout = 10 * time.Second
)

// Options are the flags that all commands have.
type options struct {
	addr    string
	headers []string
	timeout time.Duration
	caCert  string
	output  string
}

// An app is one call of the command.
type app struct {
	surroundings
	opts options
	out  *printer
}

// run runs the command, and returns its exit code.
func run(ctx context.Context, args []string, s surroundings) int {
	s.shows = s.shows && s.getenv("TERM") != "dumb"
	a := &app{surroundings: s, out: newPrinter(s)}
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // nil would be those of the process
	err := root.ExecuteContext(ctx)
	if written := a.out.err; written != nil && (err == nil || !errors.Is(written, syscall.EPIPE)) {
		err = written
	}
	text, code := verdict(ctx, err)
	if text != "" {
		_, _ = fmt.Fprintln(s.stderr, "bcachectl: "+message(text))
	}
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "bcachectl",
		Short:         "Asks a running node of bcache what it does",
		Long:          aboutRoot + exitCodes,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if addr := a.getenv("BCACHECTL_ADDR"); addr != "" && !cmd.Flags().Changed("addr") {
				a.opts.addr = addr
			}
			if a.opts.output != "table" && a.opts.output != "json" {
				return usage("--output is table or json, not %q", a.opts.output)
			}
			return nil
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.out.w)
	root.SetErr(a.stderr)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)

	f := root.PersistentFlags()
	f.StringVar(&a.opts.addr, "addr", defaultAddr, "`URL` where the page is mounted; or BCACHECTL_ADDR")
	f.StringArrayVar(&a.opts.headers, "header", nil,
		"`header` for each request, as 'Name: value'; may be given several times.\n"+
			"BCACHECTL_TOKEN is sent as a bearer token")
	f.DurationVar(&a.opts.timeout, "timeout", defaultTimeout, "how long to wait for each answer")
	f.StringVar(&a.opts.caCert, "cacert", "",
		"`file` with the certificates to trust, in PEM, instead of the system's")
	f.StringVarP(&a.opts.output, "output", "o", "table",
		"`format`: table, or json, which is what the node says, as one document")
	_ = root.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.MarkPersistentFlagFilename("cacert")

	root.AddCommand(
		nodeCommand(a), membersCommand(a), statsCommand(a), loadersCommand(a), warningsCommand(a),
		whyCommand(a), hotCommand(a), slowCommand(a), refusedCommand(a), watchCommand(a),
		deleteCommand(a), clearCommand(a), healthCommand(a), readyCommand(a), versionCommand(a),
	)
	return root
}

func (a *app) json() bool { return a.opts.output == "json" }
