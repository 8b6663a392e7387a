package replica

import (
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// The two ends of a connection don't notice at the same moment that it is there. So an Ask may come from
// a node that isn't a neighbour yet. It waits until that node is one: the requester would ask again
// after seconds only.

const (
	earlyMost = 16        // Asks that wait, one of each node
	earlyFor  = syncAgain // no longer: then the requester asks again
)

// An earlyAsk is one that waits.
type earlyAsk struct {
	from uint64 // PeerID
	at   time.Duration
	wire.SyncAsk
}

// earlyAsks are those that wait, as they came.
type earlyAsks []earlyAsk

// keep keeps an Ask, in the place of the one that the node sent before. If there are too many the oldest
// goes: some may never be neighbours.
func (e *earlyAsks) keep(now delta.Instant, from uint64, a wire.SyncAsk) {
	cancels := a.Flags&wire.AskCancel != 0
	kept := slices.DeleteFunc(*e, func(old earlyAsk) bool {
		return old.from == from && (!cancels || old.Session == a.Session)
	})
	if !cancels {
		if len(kept) == earlyMost {
			kept = slices.Delete(kept, 0, 1)
		}
		kept = append(kept, earlyAsk{from, now.Mono, a})
	}
	*e = kept
}

// take takes that of a node, unless it has waited for too long.
func (e *earlyAsks) take(now delta.Instant, from uint64) (a wire.SyncAsk, ok bool) {
	i := slices.IndexFunc(*e, func(x earlyAsk) bool { return x.from == from })
	if i < 0 {
		return a, false
	}
	x := (*e)[i]
	*e = slices.Delete(*e, i, i+1)
	return x.SyncAsk, now.Mono-x.at < earlyFor
}
