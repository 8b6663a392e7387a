package bcache

import (
	"context"
	"fmt"
	"log/slog"
)

// Logger receives what a node has to say. A *logrus.Logger is one as it is; [NewSlogLogger] makes one of
// a *slog.Logger.
//
// Errorf means that an operator must act. Printf is for joins, leaves, start and stop, Debugf for
// everything else. Lines begin with "bcache: " and don't end in a newline. A line that repeats is logged
// at most once per 10 seconds and peer, with a count. No line holds a value or the Secret. Texts in it
// are cut after 4 KiB.
//
// Nobody waits for the methods but Close. They are called one at a time, on a goroutine that lasts while
// there are lines. 256 lines are queued at most, and 1 MiB; if more are dropped, a line in their place
// says how many. Close waits until the last lines are logged, for 2 seconds at most; none comes after
// it. A panic in a method is dropped. docs/callbacks.md says what they may call.
type Logger interface {
	Errorf(format string, v ...interface{})
	Printf(format string, v ...interface{})
	Debugf(format string, v ...interface{})
}

// NewSlogLogger returns a Logger that logs to l: Errorf at slog.LevelError, Printf at
// slog.LevelInfo, Debugf at slog.LevelDebug. A line whose level is disabled isn't
// formatted. A nil l logs nothing.
func NewSlogLogger(l *slog.Logger) Logger {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return slogLogger{l}
}

type slogLogger struct{ l *slog.Logger }

func (s slogLogger) Errorf(format string, v ...interface{}) { s.logf(slog.LevelError, format, v...) }
func (s slogLogger) Printf(format string, v ...interface{}) { s.logf(slog.LevelInfo, format, v...) }
func (s slogLogger) Debugf(format string, v ...interface{}) { s.logf(slog.LevelDebug, format, v...) }

func (s slogLogger) logf(level slog.Level, format string, v ...interface{}) {
	ctx := context.Background()
	if s.l.Enabled(ctx, level) {
		s.l.Log(ctx, level, fmt.Sprintf(format, v...))
	}
}
