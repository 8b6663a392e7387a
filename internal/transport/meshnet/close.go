package meshnet

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
)

const (
	closeLimit = 3 * time.Second        // Close gives up on what doesn't end
	drainLimit = 200 * time.Millisecond // and first, on what waits to be sent

	// How often Close looks at what is left until it cuts handshakes.
	patience  = 3  // accepted ones: a few milliseconds
	patience2 = 50 // dialled ones: half a second
)

// Close implements transport.Transport. An error says what didn't end.
func (t *Transport) Close() error {
	t.closing.Do(func() { t.closeErr = t.shutdown() })
	return t.closeErr
}

// shutdown ends everything that mesh.Router.Stop doesn't, from the outside to the
// inside: what still runs must find the actors that it calls.
//
//  1. what waits to be sent leaves, if it can
//  2. nobody enters any more, neither from our side nor from mesh's
//  3. the listener, then the connections
//  4. our own goroutines, and calls that are under way
//  5. the actors, see guts.stop
func (t *Transport) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	t.ends.drain(ctx)
	t.scope.Shut()
	dialled := t.dials.underWay()
	t.router.phase.CompareAndSwap(running, ending) // dead already if Start has failed
	t.scope.Cancel()
	t.starting.Lock() // Start may be under way
	run := t.router.run.Load()
	t.starting.Unlock()
	if run == nil || t.router.phase.Load() == dead {
		t.scope.Wait()
		return nil
	}

	farewell := t.ends.sayClosing(ctx)
	defer farewell.Wait() // nobody writes to a connection that has ended
	err := t.router.endAccept(ctx)
	_ = until(ctx, func() bool { return t.ends.endAll(run) })
	t.scope.Wait()
	looks := 0
	left := until(ctx, func() bool {
		t.ends.endAll(run)
		switch looks++; looks {
		case patience:
			own := ownAddrs(t.Addr())
			cutTCP(func(local, _ netip.AddrPort) bool { return own(local) })
		case patience2:
			// Other nodes in this process may be connected to the same address; they
			// connect again.
			cutTCP(func(_, remote netip.AddrPort) bool { return slices.Contains(dialled, remote) })
		}
		return t.router.goroutines(onLocal, onPeers, onRoutes, onMaker) == 0
	})
	t.router.stopActors(run)
	t.upcalls.To = nil // goroutines of mesh that are left may hold all the rest
	t.scope.log.Printf(0, "node %x has stopped listening on %s",
		t.cfg.PeerID, linelog.Field("addr", t.Addr()))
	if err == nil && left != nil {
		err = fmt.Errorf("bcache: goroutines of mesh are left: %d", t.router.goroutines())
	}
	return err
}
