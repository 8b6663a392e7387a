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
			c, err := newClient(a)
			if err != nil {
				return err
			}
			defer c.close()
			return (&watcher{client: c}).run(cmd.Context(), every, times)
		},
	}
	cmd.Flags().DurationVar(&every, "every", defaultEvery, "how often")
	cmd.Flags().IntVarP(&times, "times", "n", 0, "how many times; 0: until Ctrl-C")
	return cmd
}

// A watcher shows an overview on and on.
type watcher struct {
	*client
	last *overviewAnswer // that was shown
}

func (w *watcher) run(ctx context.Context, every time.Duration, times int) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		err := w.once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case w.app.out.err != nil:
			return w.app.out.err
		case err != nil && w.last == nil:
			return err // it has never worked: that won't mend itself
		case err != nil:
			w.lost(err)
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

// once shows one overview.
func (w *watcher) once(ctx context.Context) error {
	got, err := w.get(ctx, "api/overview", nil)
	next := new(overviewAnswer)
	if err := w.decode(got, err, next); err != nil {
		return err
	}
	if w.app.json() {
		w.app.out.document(got.body, true)
	} else {
		w.block(func(out *printer) { showOverview(out, next, w.last) })
	}
	w.last = next
	return nil
}

// lost says that there was no answer this time.
func (w *watcher) lost(err error) {
	text := message(err.Error())
	if w.app.shows && !w.app.json() {
		w.block(func(out *printer) { out.line(red, "%s", text) })
		return
	}
	_, _ = fmt.Fprintln(w.app.stderr, "bcachectl: "+text)
}

// block writes one at once: in the place of the one before if this is a terminal; otherwise below it,
// after an empty line.
func (w *watcher) block(show func(*printer)) {
	var block bytes.Buffer
	show(&printer{w: &block, colour: w.app.out.colour})
	text := block.String()
	switch {
	case w.app.shows:
		text = place(fit(text, w.app.size))
	case w.last != nil:
		text = "\n" + text
	}
	_, _ = io.WriteString(w.app.out.w, text)
}

// silent has the code of an error whose text was shown.
func silent(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return &failure{code: f.code}
	}
	return err
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
