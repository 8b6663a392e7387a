package bcache

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/sirupsen/logrus"
	logrustest "github.com/sirupsen/logrus/hooks/test"
)

// logSome logs lines of all levels, with fields and without, and one that repeats.
func logSome(t *testing.T, out Logger) {
	t.Helper()
	now := time.Unix(0, 0)
	log := linelog.New(out, func() time.Time { return now })
	for range 2 {
		log.With(linelog.Field("origin", uint64(0xcd))).Printf(0xab^0xcd, "node %x (%s) joined",
			linelog.Field("peer", uint64(0xab)), linelog.Field("addr", "10.0.0.1:7000"))
		log.Printf(0xab, "synced with node %x: %d keys in %v", 0xab, linelog.Field("keys", 3),
			linelog.Field("took", 1500*time.Millisecond))
	}
	now = now.Add(time.Minute)
	log.Errorf(0, "a fill of %q failed: %s", linelog.Field("key", "k"), linelog.Field("err", "gone"))
	log.Printf(0xab, "synced with node %x: %d keys in %v", 0xab, linelog.Field("keys", 4),
		linelog.Field("took", time.Second))
	log.Debugf(0, "nothing else")
	log.Close(t.Context())
}

func TestLoggerIsToldSentences(t *testing.T) {
	var out testkit.Log
	logSome(t, &out)
	out.Want(t, "P bcache: node ab (10.0.0.1:7000) joined",
		"P bcache: synced with node ab: 3 keys in 1.5s",
		`E bcache: a fill of "k" failed: gone`,
		"P bcache: synced with node ab: 4 keys in 1s (repeated once)",
		"D bcache: nothing else")
}

// A FieldLogger gets sentences and fields apart, with the levels of slog; NewSlogLogger's is one.
func TestFieldLogger(t *testing.T) {
	var out fieldLines
	logSome(t, &out)
	out.Want(t, "P INFO node ab (10.0.0.1:7000) joined [peer=ab addr=10.0.0.1:7000 origin=cd]",
		"P INFO synced with node ab: 3 keys in 1.5s [keys=3 took=1.5s peer=ab]",
		`P ERROR a fill of "k" failed: gone [key=k err=gone]`,
		"P INFO synced with node ab: 4 keys in 1s [keys=4 took=1s peer=ab repeated=1]",
		"P DEBUG nothing else []")

	if _, ok := NewSlogLogger(nil).(FieldLogger); !ok {
		t.Error("NewSlogLogger makes none")
	}
}

type fieldLines struct{ testkit.Log }

func (l *fieldLines) LogFields(level slog.Level, msg string, fields ...slog.Attr) {
	l.Printf("%v %s %v", level, msg, fields)
}

func TestSlogHasAttributes(t *testing.T) {
	var buf bytes.Buffer
	logSome(t, NewSlogLogger(slog.New(slog.NewJSONHandler(&buf, timeless(slog.LevelDebug)))))
	got := strings.Split(buf.String(), "\n")
	want := []string{
		`"INFO","msg":"node ab (10.0.0.1:7000) joined","peer":"ab","addr":"10.0.0.1:7000","origin":"cd"`,
		`"INFO","msg":"synced with node ab: 3 keys in 1.5s","keys":3,"took":1500000000,"peer":"ab"`,
		`"ERROR","msg":"a fill of \"k\" failed: gone","key":"k","err":"gone"`,
		`"INFO","msg":"synced with node ab: 4 keys in 1s","keys":4,"took":1000000000,"peer":"ab","repeated":1`,
		`"DEBUG","msg":"nothing else"`,
	}
	for i := range want {
		want[i] = `{"level":` + want[i] + "}"
	}
	if want = append(want, ""); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLogrusIsALogger(t *testing.T) {
	var _ Logger = (*logrus.Logger)(nil)
	var _ Logger = (*logrus.Entry)(nil)
	for _, tt := range []struct {
		name   string
		logger func(*logrus.Logger) Logger
		more   logrus.Fields
	}{
		{"Logger", func(l *logrus.Logger) Logger { return l }, nil},
		{"Entry", func(l *logrus.Logger) Logger { return l.WithField("app", "shop") },
			logrus.Fields{"app": "shop"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, lines := logrustest.NewNullLogger()
			l.SetLevel(logrus.DebugLevel)
			logSome(t, tt.logger(l))
			want := []struct {
				level logrus.Level
				msg   string
				data  logrus.Fields
			}{
				{logrus.InfoLevel, "node ab (10.0.0.1:7000) joined",
					logrus.Fields{"peer": "ab", "addr": "10.0.0.1:7000", "origin": "cd"}},
				{logrus.InfoLevel, "synced with node ab: 3 keys in 1.5s",
					logrus.Fields{"peer": "ab", "keys": int64(3), "took": 1500 * time.Millisecond}},
				{logrus.ErrorLevel, `a fill of "k" failed: gone`, logrus.Fields{"key": "k", "err": "gone"}},
				{logrus.InfoLevel, "synced with node ab: 4 keys in 1s",
					logrus.Fields{"peer": "ab", "keys": int64(4), "took": time.Second, "repeated": int64(1)}},
				{logrus.DebugLevel, "nothing else", logrus.Fields{}},
			}
			got := lines.AllEntries()
			if len(got) != len(want) {
				t.Fatalf("%d lines, want %d", len(got), len(want))
			}
			for i, w := range want {
				maps.Copy(w.data, tt.more)
				if e := got[i]; e.Level != w.level || e.Message != w.msg || !maps.Equal(e.Data, w.data) {
					t.Errorf("got %v %q %v, want %v %q %v", e.Level, e.Message, e.Data, w.level, w.msg, w.data)
				}
			}
		})
	}
}

// Who embeds a logrus.Logger and has an Errorf of his own wants to be called.
func TestLogrusEmbedded(t *testing.T) {
	l, lines := logrustest.NewNullLogger()
	l.SetLevel(logrus.DebugLevel)
	out := countingLogger{Logger: l}
	logSome(t, &out)
	got := lines.AllEntries()
	if out.errors != 1 || len(got) != 5 {
		t.Fatalf("%d calls of Errorf, %d lines", out.errors, len(got))
	}
	if first := got[0]; first.Message != "bcache: node ab (10.0.0.1:7000) joined" || len(first.Data) > 0 {
		t.Errorf("got %q %v", first.Message, first.Data)
	}
}

type countingLogger struct {
	*logrus.Logger
	errors int
}

func (l *countingLogger) Errorf(format string, v ...interface{}) {
	l.errors++
	l.Logger.Errorf(format, v...)
}

// A Logger that panics with every line harms nobody: a nil one of logrus, or one of the user's.
func TestLoggersThatPanic(t *testing.T) {
	for _, out := range []Logger{(*logrus.Logger)(nil), (*logrus.Entry)(nil), hostileLogger{}} {
		b, err := New(Config{MaxKeys: 10, Logger: out})
		testkit.Must(t, err)
		b.peer.log.Errorf(0, "of %q", linelog.Field("key", "k"))
		b.peer.log.Printf(1, "node %x", 1)
		testkit.Must(t, b.Set("k", "v", 60))
		testkit.Must(t, b.Close())
	}
}

type hostileLogger struct{ Logger }

func (hostileLogger) LogFields(slog.Level, string, ...slog.Attr) { panic("user") }

// The lines of a node, and of its Loaders, name what an operator looks for.
func TestLinesOfANodeHaveFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		var lines fieldLines
		b := memNode(t, net, 0xb, 0, func(c *Config) { c.Logger = &lines })
		var failure error
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
			return Loaded{Value: "old"}, failure
		}, func(c *LoaderConfig) { c.Prefix, c.StaleOnErrorFor = "u:", time.Hour })
		loaded(t, l, "k", "old")
		testkit.Advance(2 * time.Minute)
		lines.Take()

		failure = errors.New("the database is down")
		loaded(t, l, "k", "old")
		b.peer.Receive(0xc, []byte("junk"))
		b.peer.announce([]replica.SyncNotice{{From: 0xa, Keys: 3, Took: 1234567 * time.Microsecond}})
		warnIfOpen(&Config{ListenAddr: ":1", ClusterName: "c"}, "10.0.0.1:1", b.peer.log)
		newSubscription(b, func(Event) { panic("boom") }).put(Event{Kind: EventSet}, nil)
		synctest.Wait()
		got := lines.Take()
		want := []string{
			"[key=u:k err=the database is down]", "[bytes=4 err=", "[keys=3 took=1.235s peer=a]",
			"[addr=10.0.0.1:1]", "[err=boom]",
		}
		if len(got) != len(want) {
			t.Fatalf("got %q", got)
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("got %q, want %q", got[i], want[i])
			}
		}
		if !strings.HasSuffix(got[1], " peer=c]") {
			t.Errorf("got %q", got[1])
		}
	})
}

// What a node logs has fields of the names that docs/operations.md has, and no other ones.
func TestFieldNamesAreDocumented(t *testing.T) {
	_, logs, _ := strings.Cut(testkit.Document(t, "docs/operations.md"), "\n## Logs\n")
	logs, _, _ = strings.Cut(logs, "\n## ")
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(logs, -1) {
		documented[m[1]] = true
	}
	used := map[string]bool{}
	field := regexp.MustCompile(`\b(?:Field|addField|slog\.Int)\((?:&n, )?"(\w+)"`)
	for _, name := range filesOf(t, ".go") {
		if strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata") {
			continue
		}
		for _, m := range field.FindAllStringSubmatch(testkit.Document(t, name), -1) {
			used[m[1]] = true
		}
	}
	if !maps.Equal(used, documented) || len(used) < 10 {
		t.Errorf("the fields are %v, documented are %v",
			slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(documented)))
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
		l := NewSlogLogger(slog.New(slog.NewTextHandler(&buf, timeless(tt.level))))
		l.Debugf("c %d", 3)
		l.Printf("b %d", 2)
		l.Errorf("a %d", 1)
		if want := strings.Join(tt.want, ""); buf.String() != want {
			t.Errorf("level %v: got %q, want %q", tt.level, &buf, want)
		}
	}
}

// timeless leaves the time out of lines.
func timeless(level slog.Level) *slog.HandlerOptions {
	return &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
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
