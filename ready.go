package bcache

import (
	"context"
	"errors"
	"fmt"

	"github.com/iwanbk/bcache/internal/delta"
)

// ErrNotSynced is wrapped by the errors of [Bcache.Ready] and [Bcache.WaitSynced] while the node isn't
// synced.
var ErrNotSynced = errors.New("bcache: not synced yet")

// ErrIsolated is wrapped by the errors of [Bcache.Ready] and [Bcache.WaitSynced] while a node with
// [MissWhenIsolated] is isolated.
var ErrIsolated = errors.New("bcache: isolated")

// Ready returns nil once the node is synced: it has received all that another synced node held. It has
// also received what the other connected nodes held besides, unless nothing of that comes for
// SyncTimeout (10 s if that is negative). Before, the error wraps [ErrNotSynced] and says what the node
// is waiting for. Ready is meant for readiness probes: an instance that gets traffic only when it is
// ready doesn't begin with an empty cache.
//
// A node without Peers is ready at once. A node that reaches no other node is ready after SyncTimeout,
// unless that is negative. Of nodes that start together, the one that holds most is ready after some
// seconds, and then the others. A node that is ready stays ready, whatever happens to its connections,
// until Close: then the error is [ErrClosed].
//
// With Config.MinPeers a node isn't ready while fewer other nodes are connected directly, also if it has
// been ready before.
//
// With [MissWhenIsolated] a node isn't ready while it is isolated: then the error wraps [ErrIsolated], and
// ErrNotSynced too if there is another reason.
//
// Ready is not about safety. A node that isn't ready can be used, and only misses more. Nor does it tell
// whether other nodes are connected, unless MinPeers is set; see [Bcache.Members].
func (b *Bcache) Ready() error {
	if b.closed.Load() {
		return ErrClosed
	}
	now := b.peer.instant()
	reason, isolated := b.peer.replica.Unsynced(now), whyIsolated(b, now)
	switch {
	case reason != "" && isolated != "":
		return fmt.Errorf("%w: %s; %w: %s", ErrNotSynced, reason, ErrIsolated, isolated)
	case reason != "":
		return fmt.Errorf("%w: %s", ErrNotSynced, reason)
	case isolated != "":
		return fmt.Errorf("%w: %s", ErrIsolated, isolated)
	}
	return nil
}

// whyIsolated says why a node is isolated; "" if it isn't.
func whyIsolated(b *Bcache, now delta.Instant) string {
	is, _, heard := b.peer.replica.Isolation().Stats(now)
	if !is {
		return ""
	}
	return fmt.Sprintf("within %v this node has heard from %d of at least %d other nodes (MinPeers)",
		b.cfg.IsolatedAfter, heard, b.cfg.MinPeers)
}

// WaitSynced waits until [Bcache.Ready] returns nil, for MinPeers too. After Close the error is
// [ErrClosed]. If ctx ends first, the error wraps both that of ctx and that of Ready, and says what the
// node was waiting for.
func (b *Bcache) WaitSynced(ctx context.Context) error {
	for {
		moved, ended := b.peer.news.Next(), ctx.Err() != nil
		err := b.Ready()
		switch {
		case err == nil, errors.Is(err, ErrClosed):
			return err
		case ended:
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
		select {
		case <-moved:
		case <-b.peer.done:
		case <-ctx.Done():
		}
	}
}
