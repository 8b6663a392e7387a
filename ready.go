package bcache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/transport"
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
// With [MissWhenIsolated] a node isn't ready while it is isolated: then the error wraps [ErrIsolated],
// and ErrNotSynced too if there is another reason.
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
		return fmt.Errorf("%w: %s; %w: %s", ErrNotSynced, reason, within{ErrIsolated}, isolated)
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
	return fmt.Sprintf("within %v this node has heard from too few others: %d of at least %d (MinPeers)",
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

// Confirm waits until every other node of the cluster has processed all that this node wrote before the
// call: each Set, Delete, Clear and fill, of all goroutines, from New on. Then it returns nil. A node
// that has processed a write doesn't serve what was before it, whatever happens to it from then on.
//
// Asked are all nodes that are connected, and those that are reached through others, also one that joins
// meanwhile. Whoever lacks something gets it now. A node that has said goodbye, by Close, isn't waited
// for. One that went without it, killed or cut off, may live on and serve what it had: Confirm waits
// until it is back and has caught up, or for Config.IsolatedAfter from when it went. With
// [MissWhenIsolated] it serves nothing of that any more by then, unless MinPeers others were cut off
// together with it: give MinPeers at least half of the other nodes.
//
// If ctx ends first, or Close is called, the error wraps [ErrUnconfirmed] and the cause of ctx, or
// [ErrClosed]. It says of each node that hasn't confirmed what is known of it. The writes are done, and
// reach the others as they always do: only nobody knows yet. Give ctx a deadline: a node that is frozen
// is waited for until it is cut, up to 7 seconds, and IsolatedAfter more. With a ctx that has ended
// already it waits for nobody, and goes by what the others have said before.
//
// A node asks those that it knows of. If it isn't ready (see [Bcache.Ready]) it may not know all, and so
// waits until it is. One that has been alone for 10 seconds is the whole cluster, for all that it knows;
// set MinPeers, so that it isn't ready then.
//
// Nothing is sent but when Confirm waits: then each node that hasn't confirmed yet is asked again every
// 20 ms, and while it has no news less often, every 80 ms in the end. Many goroutines may call it at once,
// and share the answers. On a node without a ListenAddr it returns nil at once.
func (b *Bcache) Confirm(ctx context.Context) error {
	q := b.peer.replica.Ask(b.peer.instant())
	defer q.End()
	vain := ctx.Err() != nil
	for {
		said, news, ended := b.peer.said.Next(), b.peer.news.Next(), ctx.Err() != nil
		err := b.Ready()
		if errors.Is(err, ErrClosed) {
			return fmt.Errorf("%w: %w", ErrUnconfirmed, within{ErrClosed})
		}
		missing, again := b.peer.unconfirmed(q)
		switch {
		case q.Writes() == 0 || b.peer.transport == nil, err == nil && len(missing) == 0:
			return nil
		case ended:
			return tooLate(ctx, vain, err, whoLacks(missing, q.Writes(), vain))
		}
		wait := time.NewTimer(again)
		select {
		case <-wait.C:
		case <-said:
		case <-news:
		case <-b.peer.done:
		case <-ctx.Done():
		}
		wait.Stop()
	}
}

// tooLate is the error of a Confirm whose context has ended: in vain, if it had before. unready is why
// the node isn't ready, or nil.
func tooLate(ctx context.Context, vain bool, unready error, who string) error {
	cause := context.Cause(ctx)
	if vain {
		cause = fmt.Errorf("nobody was waited for, as the context had ended before: %w", cause)
	}
	switch {
	case unready == nil:
		return fmt.Errorf("%w: %s (%w)", ErrUnconfirmed, who, cause)
	case who == "":
		return fmt.Errorf("%w: %w (%w)", ErrUnconfirmed, within{unready}, cause)
	}
	return fmt.Errorf("%w: %w; %s (%w)", ErrUnconfirmed, within{unready}, who, cause)
}

// DeleteConfirmed is [Bcache.Delete], and then [Bcache.Confirm]: when it returns nil, no node serves
// what key had before. If the error wraps [ErrUnconfirmed], the key is deleted, here at once, and on the
// other nodes as they hear of it: what failed is to know that all have. Any other error is that of
// Delete, and nothing is deleted.
func (b *Bcache) DeleteConfirmed(ctx context.Context, key string) error {
	if err := b.Delete(key); err != nil {
		return err
	}
	return b.Confirm(ctx)
}

// ClearConfirmed is [Bcache.Clear], and then [Bcache.Confirm]. Its errors are those of
// [Bcache.DeleteConfirmed].
func (b *Bcache) ClearConfirmed(ctx context.Context) error {
	if err := b.Clear(); err != nil {
		return err
	}
	return b.Confirm(ctx)
}

// A lack is a node that hasn't confirmed.
type lack struct {
	transport.Presence
	said replica.Verdict
}

// about says who it is, and what is known of it, for people. In vain there was no time for an answer.
func (l lack) about(writes uint64, vain bool) string {
	name := fmt.Sprintf("node %x", l.ID)
	if l.Addr != "" {
		name += " (" + l.Addr + ")"
	}
	switch {
	case l.Gone:
		return fmt.Sprintf("%s went without a goodbye %v ago, and may serve what it had", name,
			time.Since(l.Since).Round(time.Millisecond))
	case l.said.UpTo == 0 && vain:
		return name + " has confirmed nothing yet"
	case vain:
		return fmt.Sprintf("%s has confirmed only the first %d of %d writes yet", name, l.said.UpTo, writes)
	case !l.said.Answered && l.Origin == 0:
		return name + ", reached through others, doesn't answer"
	case !l.said.Answered:
		return name + " doesn't answer"
	case writes == 1:
		return name + " lacks the only write"
	case l.said.UpTo == 0:
		return fmt.Sprintf("%s lacks the first of %d writes", name, writes)
	default:
		return fmt.Sprintf("%s has only the first %d of %d writes", name, l.said.UpTo, writes)
	}
}

// whoLacks says who hasn't confirmed a number of writes, in one line.
func whoLacks(missing []lack, writes uint64, vain bool) string {
	const most = 8
	var list []string
	for _, l := range missing[:min(len(missing), most)] {
		list = append(list, l.about(writes, vain))
	}
	if more := len(missing) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, "; ")
}

// within is an error that is told of within another one of bcache: its text doesn't begin anew.
type within struct{ error }

func (w within) Error() string { return strings.TrimPrefix(w.error.Error(), "bcache: ") }
func (w within) Unwrap() error { return w.error }
