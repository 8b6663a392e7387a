package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// A progress tells people what is going on: one line that is overwritten on a
// terminal, else a line now and then. It is used by one goroutine.
type progress struct {
	w        io.Writer
	terminal bool
	last     time.Time
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// step shows a line unless another was shown just before.
func (p *progress) step(now time.Time, format string, v ...any) {
	every := time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	if p.terminal {
		// Return to the start of the line, and erase what is left of a longer one.
		fmt.Fprintf(p.w, "\r"+format+"\x1b[K", v...)
	} else {
		fmt.Fprintf(p.w, format+"\n", v...)
	}
}

// clear makes room for other output.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
