package bcache

import (
	"context"
	"errors"
	"fmt"
)

// ErrNotSynced is wrapped by what Ready and WaitSynced return while the node isn't synced.
var ErrNotSynced = errors.New("bcache: not synced yet")

// Ready returns nil once the node is synced: it has received all that another synced node
// held. Before, the error wraps ErrNotSynced and says what the node is waiting for. It is
// meant for readiness probes: an instance that gets traffic only when it is ready doesn't
// begin with an empty cache.
//
// A node without Peers is ready at once; one that reaches no other node after SyncTimeout; of
// nodes that start together, one after some seconds, and then the others. Once ready a
// node stays ready, whatever happens to its connections, until Close: then the error is
// ErrClosed.
//
// It is not about safety: a node that isn't ready can be used, and only misses more. Nor
// does it tell whether other nodes are connected; see Members.
func (b *Bcache) Ready() error {
	if b.closed.Load() {
		return ErrClosed
	}
	if reason := b.peer.replica.unsynced(b.peer.instant()); reason != "" {
		return fmt.Errorf("%w: %s", ErrNotSynced, reason)
	}
	return nil
}

// WaitSynced waits until Ready returns nil. The error is ErrClosed after Close, or that of
// ctx, which then wraps ErrNotSynced too and says what the node was waiting for.
func (b *Bcache) WaitSynced(ctx context.Context) error {
	select {
	case <-b.peer.synced:
	case <-b.peer.done:
	case <-ctx.Done():
	}
	switch err := b.Ready(); {
	case err == nil, errors.Is(err, ErrClosed):
		return err
	default:
		return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
}
