package linelog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// fieldLog is a FieldLogger that remembers its lines, with the level before them and the fields behind.
type fieldLog struct {
	testkit.Log // nobody calls its other methods
	fields      [][]slog.Attr
}

func (l *fieldLog) LogFields(level slog.Level, msg string, fields ...slog.Attr) {
	l.fields = append(l.fields, fields)
	var text strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&text, " %s=%v", f.Key, f.Value)
	}
	l.Printf("%v %s |%s", level, msg, &text)
}

func TestFieldPrintsAsItsValue(t *testing.T) {
	const verbs = "%x|%08b|%+d|%v|%T|%-6s|%.2s|%q|%#v|%s"
	values := []any{uint64(255), 5, 7, time.Second, time.Second, "a", "abc", "a\n", "a", errors.New("e")}
	named := make([]any, len(values))
	for i, v := range values {
		named[i] = Field("x", v)
	}
	verbsOf := strings.Replace(verbs, "%T", "%d", 1) // which asks for the type, and nobody else
	if got, want := fmt.Sprintf(verbsOf, named...), fmt.Sprintf(verbsOf, values...); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What is named is a field, what isn't stands in the sentence only, and what is aside in no sentence.
func TestFields(t *testing.T) {
	type count int16
	var out fieldLog
	l := New(&out, time.Now)
	l.Errorf(0, "%s in %v", "none", 3)
	l.Printf(0xab, "node %x (%s): %d keys in %v: %v", 0xab,
		Field("addr", netip.MustParseAddrPort("10.0.0.1:7")), Field("keys", 3),
		Field("took", 1500*time.Millisecond), Field("err", errors.New("gone")))
	l.Debugf(0, "%d %d %q %v", Field("bytes", count(-4)), Field("keys", uint8(5)), Field("key", "a\n"),
		Field("err", syscall.ENOENT))
	l.With(Field("origin", uint64(0xcd)), Field("reason", []byte("why"))).Errorf(7, "so")
	l.With(Field("origin", uint64(0xcd))).Printf(7, "and %s", Field("addr", "a"))
	l.With(Field("origin", uint64(0xcd))).Debugf(0, "%v %v", Field("err", nil), Field("reason", true))
	l.flush()
	out.Want(t,
		`P ERROR none in 3 |`,
		`P INFO node ab (10.0.0.1:7): 3 keys in 1.5s: gone | `+
			`addr=10.0.0.1:7 keys=3 took=1.5s err=gone peer=ab`,
		"P DEBUG -4 5 \"a\\n\" no such file or directory | "+
			"bytes=-4 keys=5 key=a\n err=no such file or directory",
		`P ERROR so | origin=cd reason=why peer=7`,
		`P INFO and a | addr=a origin=cd peer=7`,
		`P DEBUG <nil> true | err=<nil> reason=true origin=cd`)

	plain := []slog.Kind{slog.KindString, slog.KindInt64, slog.KindUint64, slog.KindDuration}
	for _, f := range slices.Concat(out.fields...) {
		if !slices.Contains(plain, f.Value.Kind()) {
			t.Errorf("%s is a %v", f.Key, f.Value.Kind())
		}
		if f.Key == "took" && f.Value.Kind() != slog.KindDuration {
			t.Errorf("took is a %v", f.Value.Kind())
		}
	}
}

// A line that is told apart by another number than its peer's names the peer itself.
func TestFieldsHaveOneOfAName(t *testing.T) {
	var out fieldLog
	l := New(&out, time.Now)
	l.Errorf(0xab^0xcd, "node %x", Field("peer", uint64(0xab)))
	l.With(Field("addr", "c")).Errorf(0, "%s %s", Field("addr", "a"), Field("addr", "b"))
	l.flush()
	out.Want(t, "P ERROR node ab | peer=ab", "P ERROR a b | addr=a")
}

// A Logger that takes no fields gets what it would get without them.
func TestFieldsOfAPlainLogger(t *testing.T) {
	var got, want plainLog
	for out, field := range map[*plainLog]func(string, any) any{
		&got:  func(name string, v any) any { return Field(name, v) },
		&want: func(_ string, v any) any { return v },
	} {
		now := time.Unix(0, 0)
		l := New(out, func() time.Time { return now })
		for range 2 {
			for range 3 {
				l.Errorf(0xab, "node %x: %d keys, %q in %v: %v", field("peer", uint64(0xab)), field("keys", 3),
					field("key", "k"), field("took", time.Second), field("err", errors.New("gone")))
				aside := l.With(Field("origin", uint64(1)))
				aside.Printf(1, "%[2]s %[1]d", field("bytes", 5), field("addr", "a"))
				aside.Debugf(1, "%s", field("reason", []byte("why")))
			}
			now = now.Add(lineInterval)
		}
		l.flush()
	}
	got.Want(t, want.Take()...)
	if !slices.Equal(got.args, want.args) || len(got.args) == 0 {
		t.Errorf("its arguments are %#v, want %#v", got.args, want.args)
	}
}

// plainLog remembers formats and arguments too.
type plainLog struct {
	testkit.Log
	args []any
}

func (l *plainLog) Errorf(format string, v ...any) {
	l.args = append(append(l.args, format), v...)
	l.Log.Errorf(format, v...)
}

func TestFieldRepeated(t *testing.T) {
	var out fieldLog
	now := time.Unix(0, 0)
	l := New(&out, func() time.Time { return now })
	for i := range 4 {
		l.Errorf(1, "refused %d", i)
	}
	now = now.Add(lineInterval)
	l.Errorf(1, "refused %d", 4)
	l.flush()
	out.Want(t, "P ERROR refused 0 | peer=1", "P ERROR refused 4 | peer=1 repeated=3")
}

// Fields are cut and counted as all texts are; they are the Log's own, and what is lost is a field.
func TestFieldsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out fieldLog
		release := make(chan struct{})
		out.Hook = func() { <-release }
		l := New(&out, time.Now)
		l.Printf(0, "it hangs")
		synctest.Wait()

		huge := strings.Repeat("é", 1<<15)
		took := func(log func()) int {
			_, before := l.lines.Waiting()
			log()
			_, after := l.lines.Waiting()
			return after - before
		}
		sentence := took(func() { l.Errorf(0, "%s", huge) })
		both := took(func() { l.Errorf(0, "a %s", Field("reason", huge)) })
		aside := took(func() { l.With(Field("reason", errors.New(huge))).Errorf(0, "b") })
		number := took(func() { l.Errorf(1, "c") })
		if sentence < maxLineText || both < 2*maxLineText || aside < maxLineText || aside > 2*maxLineText ||
			number < lineOverhead+fieldOverhead {
			t.Errorf("a sentence takes %d bytes, %d with its field, one aside %d, a number %d",
				sentence, both, aside, number)
		}

		changed := []byte("before")
		l.With(Field("key", changed)).Errorf(2, "%s", Field("reason", changed))
		copy(changed, "later ")
		const lines = 1000
		for peer := range uint64(lines) {
			l.With(Field("reason", huge)).Printf(peer+1, "d")
		}
		if n, bytes := l.lines.Waiting(); n == 0 || bytes > lineQueueBytes {
			t.Errorf("%d lines of %d bytes wait", n, bytes)
		}
		close(release)
		l.flush()
		got := out.Take()
		if want := "P ERROR before | reason=before key=before peer=2"; got[5] != want {
			t.Errorf("got %q, want %q", got[5], want)
		}
		for _, line := range got {
			if len(line) > 3*maxLineText {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		dropped := lines - (len(got) - 7)
		want := fmt.Sprintf("P ERROR lines were dropped, as the Logger was too slow: %d | dropped=%[1]d",
			dropped)
		if last := got[len(got)-1]; last != want {
			t.Errorf("got %q, want %q", last, want)
		}
	})
}

// A FieldLogger may do what any Logger may: panic, end its goroutine, and end the Log.
func TestFieldLoggerMisbehaves(t *testing.T) {
	var out fieldLog
	l := New(&out, time.Now)
	n := 0
	out.Hook = func() {
		switch n++; n {
		case 1:
			panic("user")
		case 2:
			runtime.Goexit()
		case 4:
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if l.Close(ctx) || ctx.Err() != nil {
				t.Error("Close from within waited")
			}
		}
	}
	for i := range uint64(6) {
		l.Printf(i, "%d", i)
		l.flush()
	}
	out.Want(t, "P INFO 2 | peer=2", "P INFO 3 | peer=3")
}

// go vet knows the formats of all methods, and takes a field for what has any verb.
func TestVetReadsFormats(t *testing.T) {
	const file = "testdata/vet/vet.go"
	source, err := os.ReadFile(file)
	testkit.Must(t, err)
	var want []string
	for i, line := range strings.Split(string(source), "\n") {
		if strings.HasSuffix(line, "// wrong") {
			want = append(want, fmt.Sprint(i+1))
		}
	}
	out, err := exec.Command("go", "vet", "./testdata/vet").CombinedOutput()
	var got []string
	for _, m := range regexp.MustCompile(`vet\.go:(\d+):\d+: `).FindAllSubmatch(out, -1) {
		got = append(got, string(m[1]))
	}
	if slices.Sort(got); err == nil || len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("it complains of the lines %v, want %v: %v\n%s", got, want, err, out)
	}
}
