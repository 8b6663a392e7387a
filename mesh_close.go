package bcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

const (
	meshLabel      = "bcache-mesh"
	meshCloseLimit = 3 * time.Second        // Close gives up on what doesn't end
	meshStopLimit  = 900 * time.Millisecond // and on actors that don't
	meshPatience   = 3                      // looks at what is left until accepted handshakes are cut, a few milliseconds
	meshPatience2  = 50                     // and dialled ones, half a second
)

// Close implements transport. What was queued is lost. An error says what didn't end.
func (t *meshTransport) Close() error {
	t.closing.Do(func() { t.closeErr = t.shutdown() })
	return t.closeErr
}

// shutdown ends everything that mesh.Router.Stop doesn't, from the outside to the
// inside: whoever is left must still find the actors that it calls.
//
//  1. nobody enters any more, neither from our side nor from mesh's
//  2. the listener, then the connections
//  3. our own goroutines, and calls that are under way
//  4. the actors, see meshGuts.stop
func (t *meshTransport) shutdown() error {
	t.scope.shut()
	dialled := t.dials.underWay()
	t.phase.CompareAndSwap(meshRunning, meshEnding) // dead already if Start has failed
	t.scope.cancel()
	t.starting.Lock() // Start may be under way
	run := t.run.Load()
	t.starting.Unlock()
	if run == nil || t.phase.Load() == meshDead {
		t.scope.wait()
		return nil
	}

	ctx, cancel := context.WithTimeout(context.Background(), meshCloseLimit)
	defer cancel()
	farewell := t.sayClosing(ctx)
	defer farewell.Wait() // nobody writes to a connection that has ended
	err := t.endAccept(ctx)
	t.until(ctx, func() bool { return t.endConns(run) })
	t.scope.wait()
	looks := 0
	left := t.until(ctx, func() bool {
		t.endConns(run)
		switch looks++; looks {
		case meshPatience:
			own := ownAddrs(t.Addr())
			cutTCP(func(local, _ netip.AddrPort) bool { return own(local) })
		case meshPatience2:
			// Other nodes in this process may be connected to the same address; they
			// connect again.
			cutTCP(func(_, remote netip.AddrPort) bool { return slices.Contains(dialled, remote) })
		}
		return t.countMesh(meshOnLocal, meshOnPeers, meshOnRoutes, meshOnMaker) == 0
	})
	t.stopActors(run)
	t.log.Printf(0, "node %x has stopped listening on %s", t.cfg.PeerID, t.Addr())
	if err == nil && left != nil {
		err = fmt.Errorf("bcache: %d goroutines of mesh are left", t.countMesh())
	}
	return err
}

// until waits for a condition.
func (t *meshTransport) until(ctx context.Context, ok func() bool) error {
	wait := time.Millisecond
	for !ok() {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			wait = min(2*wait, 10*time.Millisecond)
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return nil
}

// endAccept frees the port: mesh's accept loop ends when it logs that it can't accept any
// more, see meshLogger, so its listener is shut down. Where that doesn't work it gets a
// connection and ends when it logs that. Then the accepted side of it stays open until
// the next garbage collection, since only that goroutine knew of it.
func (t *meshTransport) endAccept(ctx context.Context) error {
	if own, err := boundTo(t.Addr()); err == nil && cutListener(own) {
		shut := time.NewTimer(200 * time.Millisecond)
		defer shut.Stop()
		select {
		case <-t.accepted:
			return nil
		case <-shut.C:
		case <-ctx.Done():
		}
	}
	t.dialled.Store(true)
	target := dialTo(t.Addr())
	dialer := net.Dialer{Timeout: 200 * time.Millisecond}
	for {
		if conn, err := dialer.DialContext(ctx, "tcp", target); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
		again := time.NewTimer(200 * time.Millisecond)
		select {
		case <-t.accepted:
			again.Stop()
			return nil
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return fmt.Errorf("bcache: %s couldn't be freed", t.Addr())
		}
	}
}

// endConns ends all connections and reports whether none is left.
func (t *meshTransport) endConns(run *meshRun) bool {
	t.mu.Lock()
	var left []*meshConn
	for _, p := range t.peers {
		left = append(left, p.conns...)
	}
	t.mu.Unlock()
	for _, c := range left {
		c.end(errMeshClosing)
		run.hangUp(c)
	}
	return len(left) == 0
}

// stopActors ends what mesh.NewRouter has started.
func (t *meshTransport) stopActors(run *meshRun) {
	t.phase.Store(meshDead)
	ctx, cancel := context.WithTimeout(context.Background(), meshStopLimit)
	defer cancel()
	err := errMeshLayout
	if run.guts != nil {
		err = run.guts.stop(ctx, run.router, t.reaped)
	}
	if err == nil {
		err = t.until(ctx, func() bool { return t.countMesh() == 0 })
	}
	if err != nil {
		t.log.Debugf(0, "goroutines of mesh stay parked: %v", err)
	}
	// They may hold the router, and the router holds t: nothing else should stay with it.
	run.handler = nil
	t.run.Store(&meshRun{router: run.router})
}

// countMesh counts the goroutines of this transport's router that are in mesh, but
// for those in the given functions.
func (t *meshTransport) countMesh(except ...string) int {
	var b bytes.Buffer
	if pprof.Lookup("goroutine").WriteTo(&b, 1) != nil {
		return 0
	}
	n := 0
	label := fmt.Sprintf("%q:%q", meshLabel, t.label)
stacks:
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		if !strings.Contains(stack, label) || !strings.Contains(stack, "weaveworks/mesh.") {
			continue
		}
		for _, f := range except {
			if strings.Contains(stack, f) {
				continue stacks
			}
		}
		n++
	}
	return n
}

// What mesh says when a connection fails. It has no other way to tell.
const (
	meshSelf      = "cannot connect to ourself"
	meshCollision = "peer names collision"
)

// The functions of mesh that run on the goroutines that Close has to end, and the one that
// sends what a new neighbour should know.
const (
	meshOnAccept  = "weaveworks/mesh.(*Router).listenTCP.func1"
	meshOnAttempt = "weaveworks/mesh.(*connectionMaker).attemptConnection"
	meshOnConn    = "weaveworks/mesh.(*LocalConnection).run"
	meshOnLocal   = "weaveworks/mesh.(*localPeer).actorLoop"
	meshOnPeers   = "weaveworks/mesh.(*Peers).actorLoop"
	meshOnRoutes  = "weaveworks/mesh.(*routes).run"
	meshOnAdded   = "weaveworks/mesh.(*Router).sendAllGossipDown"
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
	case format == "->[%s] connection accepted" && len(args) == 1:
		l.t.scope.pause(l.t.accepts.begin(fmt.Sprint(args[0]), time.Now()))
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
	t.accepts.end(addr)
	t.broke(addr, bareText(cause))
	contains := func(s string) bool { return strings.Contains(text, s) }
	// A side that can't decrypt hangs up, and the other one may see no more than that. Whoever
	// is closing hangs up before its header.
	brokenOff := handshake && !contains("protocol header") &&
		(contains("connection reset") || contains("broken pipe") || contains("EOF"))
	dialled := t.dials.ended(addr, errors.New(printable([]byte(text))))
	if t.phase.Load() != meshRunning {
		return
	}
	switch {
	case contains("Unable to decrypt TCP msg"):
		t.count.refusedOther.Add(1)
		t.log.Errorf(0, "no connection with %s: its Secret differs from this node's", addr)
	case contains("no password specificed, but peer"): // errExpectedNoCrypto
		t.count.refusedOther.Add(1)
		t.log.Errorf(0, "no connection with %s: it has a Secret, this node has none", addr)
	case contains("password specified, but peer"): // errExpectedCrypto
		t.count.refusedOther.Add(1)
		t.log.Errorf(0, "no connection with %s: it has no Secret, this node has one", addr)
	case brokenOff && t.cfg.Key != nil:
		t.log.Errorf(0, "no connection with %s: it broke off the handshake; maybe its Secret differs, or it has none", addr)
	case brokenOff:
		t.log.Errorf(0, "no connection with %s: it broke off the handshake; maybe it has a Secret, this node has none", addr)
	case strings.HasSuffix(text, meshCollision):
		t.count.refusedOther.Add(1)
		t.log.Errorf(0, "no connection with %s: another node uses the PeerID of this one, %x", addr, t.cfg.PeerID)
	case dialled && handshake && contains("is incompatible with ours"):
		t.log.Errorf(0, "no connection with %s: it isn't a bcache node", addr)
	}
}

// debug passes a line on. mesh puts addresses and names into its formats: what is
// behind them is what tells lines apart. Parts of it may come from strangers.
func (l meshLogger) debug(format string, args []any) {
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
	l.t.log.Debugf(0, "mesh: "+format, safe...)
}

// reap ends the goroutine of mesh that it is called on, if its time has come. mesh's
// deferred calls run: the accept loop closes its listener.
func (t *meshTransport) reap(format string) {
	phase := t.phase.Load()
	switch {
	case phase == meshRunning:
		if format == "%v" && onStack(meshOnAccept) {
			t.scope.pause(50 * time.Millisecond) // out of file descriptors: mesh would spin
		}
	case onStack(meshOnAccept):
		if format == "%v" || t.dialled.Load() {
			close(t.accepted)
			runtime.Goexit()
		}
		// AddFeaturesTo ends a connection that was accepted meanwhile, which closes it.
	case onStack(meshOnAttempt):
		runtime.Goexit()
	case phase == meshDead && onStack(meshOnConn):
		runtime.Goexit() // a straggler, which nobody would answer
	}
}

// reapPeers ends the actor of mesh's Peers, when it is called on it.
func (t *meshTransport) reapPeers() {
	if t.phase.Load() == meshDead && onStack(meshOnPeers) {
		close(t.reaped)
		runtime.Goexit()
	}
}
