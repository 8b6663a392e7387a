package linelog

import (
	"context"
	"fmt"
	"log/slog"
)

// Slog is a FieldLogger that logs to a *slog.Logger.
type Slog struct{ l *slog.Logger }

// NewSlog returns a Slog; one of nil logs nothing.
func NewSlog(l *slog.Logger) Slog {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return Slog{l}
}

func (s Slog) Errorf(format string, v ...any) { s.logf(slog.LevelError, format, v...) }
func (s Slog) Printf(format string, v ...any) { s.logf(slog.LevelInfo, format, v...) }
func (s Slog) Debugf(format string, v ...any) { s.logf(slog.LevelDebug, format, v...) }

func (s Slog) logf(level slog.Level, format string, v ...any) {
	if s.enabled(level) {
		s.LogFields(level, fmt.Sprintf(format, v...))
	}
}

// LogFields implements FieldLogger.
func (s Slog) LogFields(level slog.Level, msg string, fields ...slog.Attr) {
	s.l.LogAttrs(context.Background(), level, msg, fields...)
}

func (s Slog) enabled(level slog.Level) bool { return s.l.Enabled(context.Background(), level) }
