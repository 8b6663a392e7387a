package meshnet

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/stack"
)

const stopLimit = 900 * time.Millisecond // the router gives up on actors that don't end

// The functions of mesh that run on the goroutines that Close has to end, and the one that
// sends what a new neighbour should know.
const (
	onAccept  = "weaveworks/mesh.(*Router).listenTCP.func1"
	onAttempt = "weaveworks/mesh.(*connectionMaker).attemptConnection"
	onConn    = "weaveworks/mesh.(*LocalConnection).run"
	onLocal   = "weaveworks/mesh.(*localPeer).actorLoop"
	onPeers   = "weaveworks/mesh.(*Peers).actorLoop"
	onRoutes  = "weaveworks/mesh.(*routes).run"
	onAdded   = "weaveworks/mesh.(*Router).sendAllGossipDown"
	onMaker   = "weaveworks/mesh.(*connectionMaker).queryLoop"
)

// endAccept frees the port: mesh's accept loop ends when it logs that it can't accept any
// more, see reap, so its listener is shut down. Where that doesn't work it gets a
// connection and ends when it logs that. Then the accepted side of it stays open until
// the next garbage collection, since only that goroutine knew of it.
func (r *router) endAccept(ctx context.Context) error {
	if own, err := boundTo(r.listensOn()); err == nil && cutListener(own) {
		shut := time.NewTimer(200 * time.Millisecond)
		defer shut.Stop()
		select {
		case <-r.accepted:
			return nil
		case <-shut.C:
		case <-ctx.Done():
		}
	}
	r.dialled.Store(true)
	dialer := net.Dialer{Timeout: 200 * time.Millisecond}
	for {
		if conn, err := dialer.DialContext(ctx, "tcp", dialTo(r.listensOn())); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
		again := time.NewTimer(200 * time.Millisecond)
		select {
		case <-r.accepted:
			again.Stop()
			return nil
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return fmt.Errorf("bcache: %s couldn't be freed", r.listensOn())
		}
	}
}

// stopActors ends what mesh.NewRouter has started.
func (r *router) stopActors(run *meshRun) {
	r.phase.Store(dead)
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	err := errMeshLayout
	if run.guts != nil {
		err = run.guts.stop(ctx, run.router, r.reaped)
	}
	if err == nil {
		err = until(ctx, func() bool { return r.goroutines() == 0 })
	}
	if err != nil {
		r.scope.log.Debugf(0, "goroutines of mesh stay parked: %v", linelog.Field("err", err))
	}
	r.run.Store(&meshRun{router: run.router})
}

// goroutines counts those of this router that are in mesh, but for those in the given functions.
func (r *router) goroutines(except ...string) int {
	var b bytes.Buffer
	if pprof.Lookup("goroutine").WriteTo(&b, 1) != nil {
		return 0
	}
	n := 0
	label := fmt.Sprintf("%q:%q", label, r.label)
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

// reap ends the goroutine of mesh that it is called on, if its time has come. mesh's
// deferred calls run: the accept loop closes its listener.
func (r *router) reap(format string) {
	phase := r.phase.Load()
	switch {
	case phase == running:
		if format == "%v" && stack.Contains(onAccept) {
			r.scope.pause(50 * time.Millisecond) // out of file descriptors: mesh would spin
		}
	case stack.Contains(onAccept):
		if format == "%v" || r.dialled.Load() {
			close(r.accepted)
			runtime.Goexit()
		}
		// AddFeaturesTo ends a connection that was accepted meanwhile, which closes it.
	case stack.Contains(onAttempt):
		runtime.Goexit()
	case phase == dead && stack.Contains(onConn):
		runtime.Goexit() // a straggler, which nobody would answer
	}
}

// reapPeers ends the actor of mesh's Peers, when it is called on it.
func (r *router) reapPeers() {
	if r.phase.Load() == dead && stack.Contains(onPeers) {
		close(r.reaped)
		runtime.Goexit()
	}
}

// until waits for a condition.
func until(ctx context.Context, ok func() bool) error {
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
