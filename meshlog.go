package bcache

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// What mesh says when a connection fails. It has no other way to tell.
const (
	meshSelf      = "cannot connect to ourself"
	meshCollision = "peer names collision"
	meshFull      = "Connection limit reached"
)

// The functions of mesh that run on the goroutines that Close has to end.
const (
	meshOnAccept  = "weaveworks/mesh.(*Router).listenTCP.func1"
	meshOnAttempt = "weaveworks/mesh.(*connectionMaker).attemptConnection"
	meshOnConn    = "weaveworks/mesh.(*LocalConnection).run"
	meshOnLocal   = "weaveworks/mesh.(*localPeer).actorLoop"
	meshOnPeers   = "weaveworks/mesh.(*Peers).actorLoop"
	meshOnRoutes  = "weaveworks/mesh.(*routes).run"
	meshOnMaker   = "weaveworks/mesh.(*connectionMaker).queryLoop"
)

const (
	meshRunning int32 = iota
	meshEnding        // nothing new begins
	meshDead          // mesh's actors end
)

// meshLogger is mesh's Logger. It translates for people what they should know, turns
// the rest into debug lines, and ends the goroutines of mesh that log while the
// transport closes, because mesh has no other way to end them.
type meshLogger struct{ t *meshTransport }

// Printf implements mesh.Logger.
func (l meshLogger) Printf(format string, args ...interface{}) {
	l.translate(format, args)
	l.debug(format, args)
	l.t.reap(format)
}

func (l meshLogger) translate(format string, args []any) {
	switch {
	case format == "->[%s] error during connection attempt: %v" && len(args) == 2:
		l.failed(fmt.Sprint(args[0]), args[1], false)
	case format == "->[%s] connection shutting down due to error during handshake: %v" && len(args) == 2:
		l.failed(fmt.Sprint(args[0]), args[1], true)
	case strings.HasPrefix(format, "->[") && strings.HasSuffix(format, "]: connection shutting down due to error: %v") && len(args) == 1:
		addr, _, _ := strings.Cut(format[len("->["):], "|")
		l.failed(addr, args[0], false)
	}
}

// failed translates why a connection didn't come about, or ended.
func (l meshLogger) failed(addr string, cause any, handshake bool) {
	t, text := l.t, fmt.Sprint(cause)
	contains := func(s string) bool { return strings.Contains(text, s) }
	err, _ := cause.(error)
	if err == nil {
		err = errMeshClosing
	}
	// A side that can't decrypt hangs up, and the other one may see no more than that. Whoever
	// is closing hangs up before its header.
	brokenOff := handshake && !contains("protocol header") &&
		(contains("connection reset") || contains("broken pipe") || contains("EOF"))
	dialled := t.dials.ended(addr, err)
	if t.phase.Load() != meshRunning {
		return
	}
	switch {
	case contains("Unable to decrypt TCP msg"),
		contains("password specified, but peer"),     // errExpectedCrypto
		contains("no password specificed, but peer"): // errExpectedNoCrypto
		t.count.refusedOther.Add(1)
		t.log.Errorf(0, "no connection with %s: the Secret or the ClusterName differs, or one side has no Secret", addr)
	case brokenOff:
		t.log.Errorf(0, "no connection with %s: it broke off the handshake; maybe the Secret or the ClusterName differs, or one side has no Secret", addr)
	case contains(meshCollision):
		t.count.refusedOther.Add(1)
		t.log.Errorf(0, "no connection with %s: another node uses the PeerID of this one, %x", addr, t.cfg.PeerID)
	case contains(meshFull):
		t.log.Errorf(0, "no connection with %s: MaxConns (%d) is reached", addr, t.cfg.MaxConns)
	case dialled && handshake && contains("is incompatible with ours"):
		t.log.Errorf(0, "no connection with %s: it isn't a bcache node", addr)
	}
}

// debug passes a line on. mesh puts addresses and names into its formats: what is
// behind them is what tells lines apart.
func (l meshLogger) debug(format string, args []any) {
	if i := strings.LastIndex(format, "]: "); i >= 0 && strings.HasPrefix(format, "->[") {
		args = append([]any{printable([]byte(format[:i+1]))}, args...)
		format = "%s" + format[i+1:]
	}
	l.t.log.Debugf(0, "mesh: "+format, args...)
}

// reap ends the goroutine of mesh that it is called on, if its time has come. mesh's
// deferred calls run: the accept loop closes its listener.
func (t *meshTransport) reap(format string) {
	phase := t.phase.Load()
	switch {
	case phase == meshRunning:
		if format == "%v" && onMeshStack(meshOnAccept) {
			t.pause(50 * time.Millisecond) // out of file descriptors: mesh would spin
		}
	case onMeshStack(meshOnAccept):
		close(t.accepted)
		runtime.Goexit()
	case onMeshStack(meshOnAttempt):
		runtime.Goexit()
	case phase == meshDead && onMeshStack(meshOnConn):
		runtime.Goexit() // a straggler, which nobody would answer
	}
}

// reapPeers ends the actor of mesh's Peers, when it is called on it.
func (t *meshTransport) reapPeers() {
	if t.phase.Load() == meshDead && onMeshStack(meshOnPeers) {
		close(t.reaped)
		runtime.Goexit()
	}
}

// onMeshStack reports whether a function is on the caller's stack.
func onMeshStack(suffix string) bool {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, suffix) {
			return true
		}
		if !more {
			return false
		}
	}
}
