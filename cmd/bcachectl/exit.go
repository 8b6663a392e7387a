package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// Exit codes, for scripts.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitNotReady    = 4
	exitRefused     = 5
	exitDisagree    = 6
	exitInterrupted = 130 // as shells have it
)

const exitCodes = `Exit codes:
  0    done
  1    failed in a way that isn't below
  2    called in a wrong way: a flag, an argument, a key
  3    not reached, or no answer within --timeout
  4    health, ready: it isn't; warnings: there is one on which somebody must act
  5    refused: no token or a wrong one, or the service doesn't allow that
  6    why: the nodes differ, or one didn't answer
  130  interrupted (but 0: watch)`

// A failure is why the command ends with another code than 0. Its text says what to do; one without a
// text has its answer on stdout already.
type failure struct {
	code int
	text string
}

func (f *failure) Error() string { return f.text }

func failed(code int, format string, v ...any) error {
	return &failure{code, fmt.Sprintf(format, v...)}
}

func usage(format string, v ...any) error { return failed(exitUsage, format, v...) }

// verdict is what an error means for who called.
func verdict(ctx context.Context, err error) (text string, code int) {
	var f *failure
	switch {
	case err == nil:
		return "", exitOK
	case errors.Is(err, syscall.EPIPE):
		return "", exitOK // who read has got what he wanted
	case ctx.Err() != nil:
		return "interrupted", exitInterrupted
	case errors.As(err, &f):
		return f.text, f.code
	}
	// All others are of the flags and arguments, as cobra finds them.
	return strings.TrimSpace(err.Error()) + ": see bcachectl --help", exitUsage
}

// maxMessage is how many runes a message has: a server's error may be long.
const maxMessage = 1000

// message is a text as it comes on stderr: one line.
func message(text string) string {
	return cut(clean(strings.Join(strings.Fields(text), " ")), maxMessage)
}
