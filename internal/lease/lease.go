package lease

import (
	"container/list"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// Leases let one node at a time fill a key. The node that rendezvous hashing chooses for the key grants
// the lease to one of the fills that ask for it. The other fills wait: for the value, which comes to
// them as every write does, or for their turn. table.go is the side of the node that grants,
// asks.go that of the nodes that ask.
//
// Whoever waits, waits for one holder, and is answered when that one's try is over, whatever became of
// it: so nobody waits for two tries that fail.
//
// Leases are about efficiency, never about correctness: what a fill writes is fenced like any other.
// Nodes that disagree about who is there may both grant a lease, which costs a fill.

const (
	// Reach is how long a node has to answer, and how long a value that is said to be on its way;
	// then the fill that asked goes on without.
	Reach = 100 * time.Millisecond

	// Again is after how long, at most, a waiter asks again: what was said to it may be lost.
	Again = time.Second

	// step is how many leases, or asks, are dealt with while others wait for the lock.
	step = 64
)

// A lease is what is known of the fills of a key. It is kept as long as it says something.
type lease struct {
	key     string
	holders []Holder      // the last one has the lease, the others had it before and still fill
	queue   []waiter      // each waits for one of the holders
	idle    *list.Element // in Table.idle, while there is no holder

	filled      uint64        // the stamp of what was written last,
	deadline    int64         // and its deadline, 0 = none
	filledUntil time.Duration // for how long that is remembered

	// Until then there is nothing to be had, for those who have an old value.
	failedUntil time.Duration
}

// An Asker is a fill of a node: id is the one of its ask.
type Asker struct{ Peer, ID uint64 }

type Holder struct {
	Asker
	Since, Until time.Duration
	suspect      bool // somebody waited for it until a deadline: it may hang
}

type waiter struct {
	Asker
	after Asker // the holder that it waits for
	old   bool  // it has an old value
	term  time.Duration
}

// holder returns the holder who is that asker, or nil. It is good until holders change.
func (l *lease) holder(who Asker) *Holder {
	for i := range l.holders {
		if l.holders[i].Asker == who {
			return &l.holders[i]
		}
	}
	return nil
}

// current returns who has the lease, or nil.
func (l *lease) current() *Holder {
	if len(l.holders) == 0 {
		return nil
	}
	return &l.holders[len(l.holders)-1]
}

func (l *lease) waits(who Asker) bool {
	return slices.ContainsFunc(l.queue, func(w waiter) bool { return w.Asker == who })
}

// turnsOf counts the fills of a node that hold the lease or wait.
func (l *lease) turnsOf(peer uint64) (n int) {
	for i := range l.holders {
		if l.holders[i].Peer == peer {
			n++
		}
	}
	for i := range l.queue {
		if l.queue[i].Peer == peer {
			n++
		}
	}
	return n
}

// hasFilled reports whether a value is on its way that the sender of an ask still takes.
func (l *lease) hasFilled(now delta.Instant, m wire.LeaseMsg) bool {
	return now.Mono < l.filledUntil && m.Stamp < l.filled && (l.deadline == 0 || m.Wall < l.deadline)
}

func overdueAt(now delta.Instant) func(Holder) bool {
	return func(h Holder) bool { return now.Mono >= h.Until }
}

// inSteps does something for each of many. It yields after every step of them, so that the caller can
// let others have its lock.
func inSteps[T any](many []T, do func(T)) func(yield func() bool) {
	return func(yield func() bool) {
		for i, x := range many {
			if i%step == step-1 && !yield() {
				return
			}
			do(x)
		}
	}
}
