package linelog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// Loggers whose WithFields is as in logrus: on a pointer or not, with a map of a type of its own, and
// with another Logger as its result, or an interface.
type (
	names   map[string]any
	entry   struct{ *testkit.Log }
	logger  struct{ *testkit.Log }
	anyone  struct{ *testkit.Log }
	onPoint struct{ *testkit.Log }
	holds   struct {
		*testkit.Log
		inner logger // not embedded
	}
)

func (l logger) WithFields(f names) *entry              { l.Printf("%v", f); return &entry{l.Log} }
func (l anyone) WithFields(f map[string]any) Logger     { l.Printf("%v", f); return l }
func (h holds) WithFields(f map[string]any) Logger      { return h.inner.WithFields(f) }
func (l *onPoint) WithFields(f map[string]any) *onPoint { l.Printf("%v", f); return l }

// Loggers whose WithFields is something else.
type (
	texts    struct{ *testkit.Log }
	keyed    struct{ *testkit.Log }
	another  struct{ *testkit.Log }
	variadic struct{ *testkit.Log }
	anything struct{ *testkit.Log }
	nothing  struct{ *testkit.Log }
	failing  struct{ *testkit.Log }
	stranger struct{ *testkit.Log }
	field    struct {
		*testkit.Log
		WithFields func(map[string]any) Logger
	}
)

func (texts) WithFields(map[string]string) Logger         { panic("it is called") }
func (keyed) WithFields(map[any]any) Logger               { panic("it is called") }
func (another) WithFields(map[string]any, int) Logger     { panic("it is called") }
func (variadic) WithFields(...map[string]any) Logger      { panic("it is called") }
func (anything) WithFields(any) Logger                    { panic("it is called") }
func (nothing) WithFields(map[string]any)                 { panic("it is called") }
func (failing) WithFields(map[string]any) (Logger, error) { panic("it is called") }
func (stranger) WithFields(map[string]any) fmt.Stringer   { panic("it is called") }

// Loggers that embed one, and have methods of their own.
type (
	embeds        struct{ logger }
	embedsPointer struct{ *onPoint }
	embedsValue   struct{ onPoint }
	embedsDeep    struct{ embeds }
	embedsAny     struct{ withFieldser }
	withFieldser  interface {
		Logger
		WithFields(map[string]any) Logger
	}
)

func TestWithFields(t *testing.T) {
	var log testkit.Log
	fields := []string{"P map[err:gone keys:3 peer:ab]", "E 3 keys: gone"}
	sentence := []string{"E bcache: 3 keys: gone"}
	for _, tt := range []struct {
		out  Logger
		want []string
	}{
		{logger{&log}, fields},
		{&logger{&log}, fields},
		{anyone{&log}, fields},
		{&onPoint{&log}, fields},
		{holds{&log, logger{&log}}, fields},

		{texts{&log}, sentence},
		{keyed{&log}, sentence},
		{another{&log}, sentence},
		{variadic{&log}, sentence},
		{anything{&log}, sentence},
		{nothing{&log}, sentence},
		{failing{&log}, sentence},
		{stranger{&log}, sentence},
		{field{Log: &log, WithFields: anyone{&log}.WithFields}, sentence},

		{embeds{logger{&log}}, sentence},
		{&embeds{logger{&log}}, sentence},
		{embedsPointer{&onPoint{&log}}, sentence},
		{&embedsValue{onPoint{&log}}, sentence},
		{embedsDeep{embeds{logger{&log}}}, sentence},
		{embedsAny{anyone{&log}}, sentence},
	} {
		l := New(tt.out, time.Now)
		l.Errorf(0xab, "%d keys: %s", Field("keys", 3), Field("err", errors.New("gone")))
		l.flush()
		if got := log.Take(); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%T: got %q, want %q", tt.out, got, tt.want)
		}
	}
}

// The levels, a line without fields, and what comes after a panic.
func TestWithFieldsLevels(t *testing.T) {
	var log testkit.Log
	l := New(anyone{&log}, time.Now)
	log.Hook = func() {
		log.Hook = nil
		panic("user")
	}
	l.Errorf(0, "lost")
	l.flush()
	l.Errorf(1, "a %d", 1)
	l.Printf(0, "b %d", 2)
	l.Debugf(0, "c %d", 3)
	l.flush()
	log.Want(t, "P map[peer:1]", "E a 1", "P map[]", "P b 2", "P map[]", "D c 3")
}
