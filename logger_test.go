package bcache

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/sirupsen/logrus"
)

func TestLogrusIsALogger(t *testing.T) {
	var _ Logger = (*logrus.Logger)(nil)
	var buf bytes.Buffer
	l := logrus.New()
	l.SetOutput(&buf)
	l.SetLevel(logrus.DebugLevel)
	l.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true})

	log := linelog.New(l, time.Now)
	log.Errorf(0, "a %d", 1)
	log.Printf(0, "b %d", 2)
	log.Debugf(0, "c %d", 3)
	log.Close(t.Context())
	want := "level=error msg=\"bcache: a 1\"\nlevel=info msg=\"bcache: b 2\"\nlevel=debug msg=\"bcache: c 3\"\n"
	if buf.String() != want {
		t.Errorf("got %q, want %q", &buf, want)
	}
}

func TestSlogLogger(t *testing.T) {
	lines := []string{"level=DEBUG msg=\"c 3\"\n", "level=INFO msg=\"b 2\"\n", "level=ERROR msg=\"a 1\"\n"}
	for _, tt := range []struct {
		level slog.Level
		want  []string
	}{
		{slog.LevelDebug, lines},
		{slog.LevelInfo, lines[1:]},
		{slog.LevelWarn, lines[2:]},
		{slog.LevelError + 1, nil},
	} {
		var buf bytes.Buffer
		opts := &slog.HandlerOptions{Level: tt.level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}
		l := NewSlogLogger(slog.New(slog.NewTextHandler(&buf, opts)))
		l.Debugf("c %d", 3)
		l.Printf("b %d", 2)
		l.Errorf("a %d", 1)
		if want := strings.Join(tt.want, ""); buf.String() != want {
			t.Errorf("level %v: got %q, want %q", tt.level, &buf, want)
		}
	}
}

func TestSlogLoggerFormatsLazily(t *testing.T) {
	var formatted int
	v := logCounts{&formatted}
	l := NewSlogLogger(slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))) // LevelInfo
	l.Debugf("%v", v)
	if formatted != 0 {
		t.Error("formatted for a level that is disabled")
	}
	l.Printf("%v", v)
	if formatted != 1 {
		t.Error("not formatted")
	}
}

type logCounts struct{ n *int }

func (c logCounts) String() string { *c.n++; return "" }

func TestNilSlogLogsNothing(t *testing.T) {
	var formatted int
	l := NewSlogLogger(nil)
	l.Errorf("%v", logCounts{&formatted})
	l.Printf("%v", logCounts{&formatted})
	l.Debugf("%v", logCounts{&formatted})
	if formatted != 0 {
		t.Error("formatted")
	}
}
