package linelog

import (
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"time"
)

// A Named is a value with a name, which a Logger that takes fields gets as one. In a sentence it prints
// as its value.
type Named struct {
	name  string
	value any
}

// Field returns a value with a name, which is one of the table in docs/operations.md.
func Field(name string, value any) Named { return Named{name, value} }

// Format implements fmt.Formatter, for go vet: it asks for no more, whatever the verb is.
func (n Named) Format(s fmt.State, verb rune) { fmt.Fprintf(s, fmt.FormatString(s, verb), n.value) }

// An Aside is a Log whose lines have fields that the sentence doesn't say.
type Aside struct {
	log    *Log
	fields []Named
}

// With returns the Log with fields for the next line, beside those among its arguments.
func (l *Log) With(fields ...Named) Aside { return Aside{l, fields} }

func (a Aside) Errorf(peer uint64, format string, v ...any) {
	a.log.logf(slog.LevelError, peer, a.fields, format, v...)
}

func (a Aside) Printf(peer uint64, format string, v ...any) {
	a.log.logf(slog.LevelInfo, peer, a.fields, format, v...)
}

func (a Aside) Debugf(peer uint64, format string, v ...any) {
	a.log.logf(slog.LevelDebug, peer, a.fields, format, v...)
}

// fieldValue is what a field has of an argument, as lineArg returns it: a text, an integer or a
// duration, so that no Logger calls methods of an argument. Numbers of nodes are hexadecimal, as in
// sentences.
func fieldValue(name string, arg any) slog.Value {
	switch x := arg.(type) {
	case string:
		return slog.StringValue(x)
	case time.Duration:
		return slog.DurationValue(x)
	case error, fmt.Stringer: // a number with a text, such as a syscall.Errno
		return slog.StringValue(CutText(fmt.Sprint(x), maxLineText))
	}
	switch v := reflect.ValueOf(arg); {
	case v.CanInt():
		return slog.Int64Value(v.Int())
	case v.CanUint() && (name == "peer" || name == "origin"):
		return slog.StringValue(strconv.FormatUint(v.Uint(), 16))
	case v.CanUint():
		return slog.Uint64Value(v.Uint())
	}
	return slog.StringValue(fmt.Sprint(arg))
}
