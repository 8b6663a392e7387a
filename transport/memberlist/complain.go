package memberlist

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

// A badCert is why the other side's certificate isn't accepted.
type badCert struct{ error }

func (b badCert) Error() string { return fmt.Sprintf("its certificate isn't accepted: %v", b.error) }
func (b badCert) Unwrap() error { return b.error }

// A alert is what the other side says of this node's certificate.
type alert struct{ error }

func (a alert) Error() string {
	return fmt.Sprintf("it doesn't accept this node's certificate: %v", a.error)
}
func (a alert) Unwrap() error { return a.error }

// translate says for people why a handshake failed.
func translate(err error, outbound bool) error {
	var header tls.RecordHeaderError
	if errors.As(err, &header) && outbound {
		return refused{refusedCrypt} // that is how it answers
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return alert{err}
	}
	return err
}

// complain logs why there is no connection with who is at an address: as an error if an operator must see
// to it. What doesn't answer is listed by Unreached.
func complain(log transport.Logger, count *engine.Counters, addr string, err error) {
	at := linelog.Field("addr", addr)
	var own refusal
	var theirs refused
	switch {
	case errors.As(err, &theirs):
		if theirs.quiet() {
			break
		}
		log.Errorf(0, "no connection with %s: %v", at, linelog.Field("reason", theirs))
		return
	case errors.As(err, &own):
		if own.quiet() {
			break
		}
		if own == refusedClock {
			count.RefusedSkew.Add(1)
		} else {
			count.RefusedOther.Add(1)
		}
		log.Errorf(0, "no connection with %s: %v", at, linelog.Field("reason", own))
		return
	case errors.As(err, new(badCert)):
		count.RefusedOther.Add(1)
		log.Errorf(0, "no connection with %s: %v", at, linelog.Field("reason", err))
		return
	case errors.As(err, new(alert)):
		log.Errorf(0, "no connection with %s: %v", at, linelog.Field("reason", err))
		return
	}
	log.Debugf(0, "no connection with %s: %v", at, linelog.Field("err", err))
}
