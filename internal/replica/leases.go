package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/wire"
)

// Leases are a node's: those that it grants, and those that it asks for. The package lease says what
// they are. Callers don't hold the lock.
type Leases struct {
	mu         *lock
	id         uint64 // PeerID
	state      *state
	neighbours *neighbours
	ready      *readiness
	pinger     *pinger
	out        *outgoing

	table *lease.Table // those that this node grants
	asks  *lease.Asks  // for leases that its fills want
	sends lease.Queue  // what is said about leases
}

// Ask is lease.Asks.Ask; so are the next ones.
func (l *Leases) Ask(
	now delta.Instant, key string, old bool, term time.Duration, wake func(),
) *lease.Ask {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asks.Ask(now, key, old, term, wake)
}

func (l *Leases) AskAgain(now delta.Instant, a *lease.Ask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asks.AskAgain(now, a)
}

func (l *Leases) TurnOf(now delta.Instant, a *lease.Ask) (lease.Turn, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asks.TurnOf(now, a)
}

func (l *Leases) Suspect(now delta.Instant, a *lease.Ask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asks.Suspect(now, a)
}

func (l *Leases) Decline(now delta.Instant, a *lease.Ask) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asks.Decline(now, a)
}

func (l *Leases) End(now delta.Instant, a *lease.Ask, o lease.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asks.End(now, a, o)
}

// receiveLease deals with what a node says about a lease that this one grants.
func (l *Leases) receiveLease(now delta.Instant, from uint64, m wire.LeaseMsg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.neighbours.hear(now, from, m.Origin, m.Echo) != nil {
		l.table.Hear(now, from, m)
	}
}

// receiveTurn deals with a node's answer to an ask.
func (l *Leases) receiveTurn(now delta.Instant, from uint64, m wire.TurnMsg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.neighbours.hear(now, from, m.Origin, m.Echo) != nil {
		l.asks.Hear(now, from, m)
	}
}

// close has no more leases granted, nor asked for. The lock is held.
func (l *Leases) close() {
	l.table.Closed = true
	l.asks.Close()
}

func (l *Leases) counts() leaseCounts { return leaseCounts{l.table.Granted, l.asks.Missed} }

// Granter returns the node that this one would ask for the lease of a key; 0 is none.
func (l *Leases) Granter(key string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, _ := lease.Granter(key, leaseLink{l}.Granters())
	return id
}

// Load is how much this node has to do with leases: it grants or remembers so many, so many
// turns wait for them, and so many of its own fills have asked for one.
func (l *Leases) Load() (leases, waiting, asks int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	leases, waiting = l.table.Len()
	return leases, waiting, l.asks.Len()
}
