package bcache

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime/pprof"
	"strings"
	"time"
)

const (
	meshLabel      = "bcache-mesh"
	meshCloseLimit = 5 * time.Second // Close gives up on what doesn't end
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
	t.gate.shut()
	t.phase.CompareAndSwap(meshRunning, meshEnding) // dead already if Start has failed
	t.cancel()
	t.starting.Lock() // Start may be under way
	run := t.run.Load()
	t.starting.Unlock()
	if run == nil || t.phase.Load() == meshDead {
		t.gate.wait()
		return nil
	}

	ctx, cancel := context.WithTimeout(context.Background(), meshCloseLimit)
	defer cancel()
	err := t.endAccept(ctx)
	t.until(ctx, func() bool { return t.endConns(run) })
	t.gate.wait()
	left := t.until(ctx, func() bool {
		t.endConns(run)
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

// endAccept frees the port: mesh's accept loop ends when it logs a connection, see
// meshLogger, so it gets one.
func (t *meshTransport) endAccept(ctx context.Context) error {
	target := t.Addr()
	if host, port, err := net.SplitHostPort(target); err == nil {
		switch ip, _ := netip.ParseAddr(host); {
		case host == "" || ip.Is4() && ip.IsUnspecified():
			target = net.JoinHostPort("127.0.0.1", port)
		case ip.IsUnspecified():
			target = net.JoinHostPort("::1", port)
		}
	}
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
	left := make(map[uint64]bool)
	for id, p := range t.peers {
		for _, c := range p.conns {
			c.end(errMeshClosing)
			left[id] = true
		}
	}
	t.mu.Unlock()
	for id := range left {
		t.hangUp(run, id)
	}
	return len(left) == 0
}

// stopActors ends what mesh.NewRouter has started.
func (t *meshTransport) stopActors(run *meshRun) {
	t.phase.Store(meshDead)
	ctx, cancel := context.WithTimeout(context.Background(), meshCloseLimit)
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
