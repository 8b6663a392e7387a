package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultEvery = time.Second
	minEvery     = 100 * time.Millisecond
)

func watchCommand(a *app) *cobra.Command {
	var (
		every time.Duration
		times int
	)
	cmd := &cobra.Command{
		Use: "watch", Short: "Shows what the node does, again and again", Args: cobra.NoArgs,
		Long: aboutWatch,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < minEvery {
				return usage("--every must be at least %s", minEvery)
			}
			if times < 0 {
				return usage("--times can't be negative")
			}
			return a.watch(cmd.Context(), every, times)
		},
	}
	cmd.Flags().DurationVar(&every, "every", defaultEvery, "how often")
	cmd.Flags().IntVarP(&times, "times", "n", 0, "how many times; 0: until Ctrl-C")
	return cmd
}

// watch shows an overview on and on.
func (a *app) watch(ctx context.Context, every time.Duration, times int) error {
	c, err := newClient(a)
	if err != nil {
		return err
	}
	defer c.close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last *overviewAnswer
	for n := 1; ; n++ {
		next, err := a.watchOnce(ctx, c, last)
		switch {
		case ctx.Err() != nil:
			return nil
		case a.out.err != nil:
			return a.out.err
		case err != nil && last == nil:
			return err // it has never worked: that won't mend itself
		case err != nil:
			a.lost(err)
		default:
			last = next
		}
		if n == times {
			return silent(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// watchOnce shows one overview.
func (a *app) watchOnce(ctx context.Context, c *client, last *overviewAnswer) (*overviewAnswer, error) {
	got, err := c.get(ctx, "api/overview", nil)
	next := new(overviewAnswer)
	if err := c.decode(got, err, next); err != nil {
		return nil, err
	}
	if a.json() {
		a.out.document(got.body, true)
		return next, nil
	}
	a.screen(func(b *app) { b.showOverview(next, last) }, last == nil)
	return next, nil
}

// silent has the code of an error whose text was shown.
func silent(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return &failure{code: f.code}
	}
	return err
}

// lost says that there was no answer this time.
func (a *app) lost(err error) {
	var f *failure
	text := err.Error()
	if errors.As(err, &f) {
		text = f.text
	}
	text = message(text)
	if a.shows && !a.json() {
		a.screen(func(b *app) { b.out.line(red, "%s", text) }, false)
		return
	}
	_, _ = fmt.Fprintln(a.stderr, "bcachectl: "+text)
}

// screen writes a block at once: in the place of the one before if this is a terminal; otherwise below
// it, after an empty line.
func (a *app) screen(show func(*app), first bool) {
	var block bytes.Buffer
	b := *a
	b.out = &printer{w: &block, colour: a.out.colour}
	show(&b)
	text := block.String()
	switch {
	case a.shows:
		text = place(fit(text, a.size))
	case !first:
		text = "\n" + text
	}
	_, _ = io.WriteString(a.out.w, text)
}

// place writes over what is on the screen: cleared first, it would flicker.
func place(text string) string {
	return "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
}

// fit leaves off what a terminal doesn't have room for: if it scrolled, blocks would move.
func fit(text string, size func() (width, height int)) string {
	width, height := size()
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	if height > 1 && len(lines) > height-1 {
		lines = lines[:height-1]
	}
	for i, line := range lines {
		lines[i] = crop(strings.TrimSuffix(line, "\n"), width) + "\n"
	}
	return strings.Join(lines, "")
}

// crop leaves the first width runes of a line. Styles, which it begins or ends with, have no width.
func crop(line string, width int) string {
	begin, rest, end := "", line, ""
	if strings.HasPrefix(line, "\x1b[") {
		if i := strings.IndexByte(line, 'm'); i > 0 {
			begin, rest = line[:i+1], line[i+1:]
		}
		if cut, ok := strings.CutSuffix(rest, "\x1b[0m"); ok {
			rest, end = cut, "\x1b[0m"
		}
	}
	if runes := []rune(rest); width > 0 && len(runes) > width {
		rest = string(runes[:width])
	}
	return begin + rest + end
}
