package bcache

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/callqueue"
	"github.com/iwanbk/bcache/internal/linelog"
)

// What a Loader makes of an error of a Fill: what it remembers of it, and what OnStale is told.

const (
	errorOverhead = 50      // bytes of an error beside its text
	maxError      = 2 << 10 // what is larger isn't remembered: maxErrorText bytes of its text are
	maxErrorText  = 1 << 10
	maxWrapped    = 20 // errors in one that are looked at; what wraps more is too large
)

// A knownError is what is known of an error of the user's. Its methods are the user's too.
type knownError struct {
	kept error  // what is remembered
	text string // its beginning
	size int    // bytes that are remembered
}

// examine calls the methods of an error, which may panic. Its size is that of its text, and of the texts
// of all that it wraps, as they are kept beside each other; what else an error has can't be seen. One
// that is too large is remembered as the beginning of its text, which is still one of those errors that
// this package or context define, if it was.
func examine(err error) knownError {
	look, failed := contain(func() (knownError, error) {
		text := err.Error()
		look := knownError{kept: err, text: linelog.CutText(text, maxErrorText), size: sizeOf(err)}
		if look.size > maxError {
			short := &shortError{text: look.text}
			for _, is := range wellKnown {
				if errors.Is(err, is) {
					short.is = is
					break
				}
			}
			look.kept, look.size = short, errorOverhead+len(short.text)
		}
		return look, nil
	})
	if failed != nil {
		text := "an error whose methods panic"
		look = knownError{kept: &shortError{text: text}, text: text, size: errorOverhead}
	}
	return look
}

// sizeOf estimates what an error takes, and stops when that is too much.
func sizeOf(err error) int {
	size, todo := 0, []error{err}
	for n := 0; len(todo) > 0; n++ {
		if n == maxWrapped || size > maxError {
			return maxError + 1
		}
		err, todo = todo[0], todo[1:]
		size += errorOverhead + len(err.Error())
		var wrapped []error
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			wrapped = []error{x.Unwrap()}
		case KeyErrors: // not in their order, which takes time
			if len(x) > maxWrapped {
				return maxError + 1
			}
			wrapped = x.Unwrap()
		case interface{ Unwrap() []error }:
			wrapped = x.Unwrap()
		}
		for _, err := range wrapped {
			if err != nil {
				todo = append(todo, err)
			}
		}
	}
	return size
}

// wellKnown are the errors that a shortError may still be.
var wellKnown = []error{
	context.DeadlineExceeded, context.Canceled, ErrFillPanicked, ErrFillAborted, ErrDecode, ErrEncode,
}

// A shortError stands for an error that is too large to be remembered.
type shortError struct {
	text string
	is   error // nil: none that is well known
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.is }

// A staleTeller tells OnStale of failures that an old value covers, by a queue: who gets the value
// doesn't wait for it.
type staleTeller struct {
	calls  callqueue.Queue[staleCall]
	missed *atomic.Uint64 // counts those that OnStale was too slow for
}

type staleCall struct {
	key string
	err error
}

const (
	staleQueue      = 1024 // calls that wait for a slow OnStale,
	staleQueueBytes = 4 << 20
	staleOverhead   = 100 // each, beside its key and its error
)

// newStaleTeller returns nil if there is no OnStale.
func newStaleTeller(l *Loader) *staleTeller {
	b, cfg := l.cache, &l.cfg
	onStale := cfg.OnStale
	if onStale == nil {
		return nil
	}
	name := "OnStale"
	if cfg.Prefix != "" {
		name += " of " + linelog.CutText(cfg.Prefix, 100)
	}
	log := b.peer.log
	return &staleTeller{missed: &l.figures.StaleMissed, calls: callqueue.Queue[staleCall]{
		Name: name, Call: func(c staleCall) { onStale(c.key, c.err) },
		Most: staleQueue, MostBytes: staleQueueBytes, Group: &b.calls,
		Panicked: func(value any, stack []byte) {
			log.Errorf(0, "OnStale panicked: %v\n\n%s", linelog.Field("err", value), stack)
		},
	}}
}

// tell has OnStale called, if there is one, with what is remembered of the error.
func (t *staleTeller) tell(key string, err knownError) {
	if t == nil {
		return
	}
	size := staleOverhead + len(key) + err.size
	if !t.calls.Put(staleCall{strings.Clone(key), err.kept}, size, nil) {
		t.missed.Add(1)
	}
}
