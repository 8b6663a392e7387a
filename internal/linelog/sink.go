package linelog

import (
	"fmt"
	"log/slog"
	"strconv"
)

// A FieldLogger is a user's Logger that takes fields.
type FieldLogger interface {
	Logger
	LogFields(level slog.Level, msg string, fields ...slog.Attr)
}

// A sink writes lines in a way that the user's Logger understands.
type sink interface{ write(n line) }

// sinkOf finds the way for a Logger, and whether it takes fields.
func sinkOf(out Logger) (s sink, fields bool) {
	if f, ok := out.(FieldLogger); ok {
		return fielded{f}, true
	}
	if w, ok := findWithFields(out); ok {
		return w, true
	}
	return plain{out}, false
}

// plain gets a line as one sentence, which says how many like it were held back.
type plain struct{ out Logger }

func (p plain) write(n line) {
	format := "bcache: " + n.format
	switch { // not as an argument: the format may number its own
	case n.held == 1:
		format += " (repeated once)"
	case n.held > 1:
		format += " (repeated " + strconv.Itoa(n.held) + " times)"
	}
	tell(p.out, n.level, format, n.args)
}

// fielded gets sentence and fields apart.
type fielded struct{ out FieldLogger }

func (f fielded) write(n line) {
	if s, ok := f.out.(Slog); ok && !s.enabled(n.level) {
		return
	}
	f.out.LogFields(n.level, fmt.Sprintf(n.format, n.args...), n.fields...)
}

// tell calls the method of a level.
func tell(out Logger, level slog.Level, format string, args []any) {
	switch level {
	case slog.LevelError:
		out.Errorf(format, args...)
	case slog.LevelInfo:
		out.Printf(format, args...)
	default:
		out.Debugf(format, args...)
	}
}
