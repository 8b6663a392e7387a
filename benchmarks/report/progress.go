package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

const progressParts = 1000

// A progress shows which measure runs and how much is done.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress shows it on a terminal only: a log would get a line for each step of the bar.
func newProgress(w io.Writer) *progress {
	terminal := false
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return &progress{progressbar.NewOptions(progressParts,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(terminal),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(200*time.Millisecond),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionClearOnFinish(),
	)}
}

// show is a measure.Progress. That a bar can't be drawn is no reason to stop measuring.
func (p *progress) show(step string, share float64) {
	p.bar.Describe(step)
	_ = p.bar.Set(int(share * progressParts))
}

func (p *progress) end() { _ = p.bar.Clear() }
