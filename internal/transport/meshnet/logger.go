package meshnet

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/engine"
)

// What mesh says when a connection fails. It has no other way to tell.
const (
	self      = "cannot connect to ourself"
	collision = "peer names collision"
)

// logger is mesh's Logger. It translates for people what they should know, turns
// the rest into debug lines, and ends the goroutines of mesh that log while the
// transport closes, because mesh has no other way to end them.
type logger struct {
	self    uint64 // PeerID
	secret  bool   // this node has one
	scope   *scope
	router  *router
	peers   *peerTable
	accepts *accepts
	dials   *dialer
	count   *engine.Counters
}

// Printf implements mesh.Logger.
func (l *logger) Printf(format string, args ...interface{}) {
	addr := addrOf(format, args)
	l.translate(addr, format, args)
	l.debug(addr, format, args)
	l.router.reap(format)
}

// addrOf returns the other end of the connection that a line is about; "" is none.
func addrOf(format string, args []any) string {
	switch {
	case strings.HasPrefix(format, "->[%s]") && len(args) > 0:
		return fmt.Sprint(args[0])
	case strings.HasPrefix(format, "->["):
		if addr, _, ok := strings.Cut(format[len("->["):], "|"); ok {
			return addr
		}
	}
	return ""
}

func (l *logger) translate(addr, format string, args []any) {
	const ended = "]: connection shutting down due to error: %v"
	switch {
	case format == "->[%s] connection accepted" && len(args) == 1:
		l.scope.pause(l.accepts.begin(addr, time.Now()))
	case format == "->[%s] error during connection attempt: %v" && len(args) == 2:
		l.failed(addr, args[1], false)
	case format == "->[%s] connection shutting down due to error during handshake: %v" && len(args) == 2:
		l.failed(addr, args[1], true)
	case strings.HasPrefix(format, "->[") && strings.HasSuffix(format, ended) && len(args) == 1:
		l.failed(addr, args[0], false)
	}
}

// failed translates why a connection didn't come about, or ended.
func (l *logger) failed(addr string, cause any, handshake bool) {
	text := fmt.Sprint(cause)
	l.accepts.end(addr)
	l.peers.broke(addr, bareText(cause))
	contains := func(s string) bool { return strings.Contains(text, s) }
	// A side that can't decrypt hangs up, and the other one may see no more than that. A node that
	// is closing hangs up before its header.
	brokenOff := handshake && !contains("protocol header") &&
		(contains("connection reset") || contains("broken pipe") || contains("EOF"))
	dialled := l.dials.ended(addr, errors.New(printable([]byte(text))))
	if l.router.phase.Load() != running {
		return
	}
	at := linelog.Field("addr", addr)
	switch {
	case contains("Unable to decrypt TCP msg"):
		l.count.RefusedOther.Add(1)
		l.scope.log.Errorf(0, "no connection with %s: its Secret differs from this node's", at)
	case contains("no password specificed, but peer"): // errExpectedNoCrypto
		l.count.RefusedOther.Add(1)
		l.scope.log.Errorf(0, "no connection with %s: it has a Secret, this node has none", at)
	case contains("password specified, but peer"): // errExpectedCrypto
		l.count.RefusedOther.Add(1)
		l.scope.log.Errorf(0, "no connection with %s: it has no Secret, this node has one", at)
	case brokenOff && l.secret:
		l.scope.log.Errorf(0, "no connection with %s: it broke off the handshake; "+
			"maybe its Secret differs, or it has none", at)
	case brokenOff:
		l.scope.log.Errorf(0, "no connection with %s: it broke off the handshake; "+
			"maybe it has a Secret, this node has none", at)
	case strings.HasSuffix(text, collision):
		l.count.RefusedOther.Add(1)
		l.scope.log.Errorf(0, "no connection with %s: another node uses the PeerID of this one, %x",
			at, l.self)
	case dialled && handshake && contains("is incompatible with ours"):
		l.scope.log.Errorf(0, "no connection with %s: it isn't a bcache node", at)
	}
}

// debug passes a line on. mesh puts addresses and names into its formats: what is
// behind them is what tells lines apart. Parts of it may come from strangers.
func (l *logger) debug(addr, format string, args []any) {
	safe := make([]any, 0, len(args)+1)
	named := strings.HasPrefix(format, "->[") || strings.HasPrefix(format, "[gossip ")
	if i := strings.LastIndex(format, "]: "); i >= 0 && named {
		safe = append(safe, printable([]byte(format[:i+1])))
		format = "%s" + format[i+1:]
	}
	for _, a := range args {
		switch a.(type) {
		case error, string:
			a = printable(fmt.Append(nil, a))
		}
		safe = append(safe, a)
	}
	var beside []linelog.Named
	if addr != "" {
		beside = append(beside, linelog.Field("addr", printable([]byte(addr))))
	}
	l.scope.log.With(beside...).Debugf(0, "mesh: "+format, safe...)
}
