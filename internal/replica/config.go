package replica

import (
	"cmp"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/store"
)

const (
	// Names take seconds to be resolved and other nodes to start; a service that starts alone
	// shouldn't take longer.
	DefaultSyncTimeout = 10 * time.Second

	DefaultMaxPending = 64 << 20 // bytes
	TickEvery         = time.Second
)

// A Config says what a replica is to be like.
type Config struct {
	ID          uint64
	Origin      uint64
	MaxSkew     time.Duration
	LogSize     int
	maxOrigins  int // 0 = maxOrigins
	Local       bool
	First       bool          // it has nobody to wait for: it is synced from the start
	SyncTimeout time.Duration // a node that reaches nobody for so long is synced; negative: never
	MinPeers    int           // if it isn't 0: never either, see Config.MinPeers
	Isolated    time.Duration // not heard from MinPeers for so long, it hides what it holds; 0: it never does
	chunkBytes  int           // of a full sync; 0 = defaultChunkBytes
	pullBytes   int           // of the answer to a pull; 0 = defaultPullBytes
	MaxPending  int           // bytes that wait to be sent; 0 = DefaultMaxPending
	touchLog    int           // touches remembered; 0 = touchLog
	fanout      int           // neighbours that a round pings; 0 = Fanout
	Store       store.Config

	// Became is called when the node is synced, and complete, if it wasn't from the start, under the
	// lock.
	Became func()

	// Confirmed is called when another node may have confirmed what was written here, under the lock.
	Confirmed func()

	// Wake is called when Flush has something to take after it had nothing; it
	// must not block nor call the replica. Changed is called for every write that changes
	// a key or, with KindClear, all keys; the same goes for it.
	Wake    func()
	Changed func(key string, kind delta.Kind)
}

// New makes a replica of its parts.
func New(c Config) *Replica {
	if c.Became == nil {
		c.Became = func() {}
	}
	if c.Confirmed == nil {
		c.Confirmed = func() {}
	}
	r := &Replica{
		ID: c.ID, state: newState(c), mu: lock{stepWork: stepWork}, neighbours: newNeighbours(),
		out: outgoing{wake: c.Wake, outbox: outbox{most: cmp.Or(c.MaxPending, DefaultMaxPending)}},
	}
	r.Store = r.state.Store
	r.standing = standing{
		id: c.ID, state: &r.state, neighbours: &r.neighbours, arrivals: &r.arrivals,
		client: &r.repair.client, repaired: &r.deltas.counts, out: &r.out, became: c.Became,
		ready: newReadiness(&r.neighbours, &c),
	}
	r.writes = localWrites{
		state: &r.state, neighbours: &r.neighbours, rounds: &r.pinger.rounds, out: &r.out,
	}
	r.Fills = Fills{
		mu: &r.mu, state: &r.state, neighbours: &r.neighbours, writes: &r.writes,
		leases: &r.Leases, out: &r.out,
	}
	r.Leases = Leases{
		mu: &r.mu, id: c.ID, state: &r.state, neighbours: &r.neighbours, ready: &r.standing.ready,
		pinger: &r.pinger, out: &r.out,
	}
	r.Leases.table, r.Leases.asks = lease.New(c.ID, leaseLink{&r.Leases}, c.Local)
	r.Asked = Inquiries{
		mu: &r.mu, state: &r.state, neighbours: &r.neighbours, leases: &r.Leases,
		pinger: &r.pinger, out: &r.out,
	}
	r.deltas = deltaReceiver{
		mu: &r.mu, state: &r.state, neighbours: &r.neighbours, arrivals: &r.arrivals,
		rounds: &r.pinger.rounds, repair: &r.repair,
	}
	r.pinger = pinger{
		state: &r.state, neighbours: &r.neighbours, arrivals: &r.arrivals,
		standing: &r.standing, writes: &r.writes, out: &r.out,
		hearings: hearings{state: &r.state, neighbours: &r.neighbours},
		subset:   newSubset(cmp.Or(c.fanout, Fanout), c.Origin),
		rounds:   rounds{most: RoundMax},
	}
	if c.Isolated > 0 {
		forget := func() { c.Changed("", delta.KindClear) }
		isolation := newIsolation(c.Isolated, c.MinPeers, r.Store.Hide, forget)
		isolation.reach = func(now delta.Instant) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !r.writes.closed {
				r.pinger.pingSome(now)
			}
		}
		r.pinger.hearings.isolation, r.Fills.isolation = isolation, isolation
		// At least every third of the bound enough others are asked.
		r.pinger.subset.most = max(r.pinger.subset.most, enoughFor(c.MinPeers))
		r.pinger.rounds.most = min(max((c.Isolated/3).Truncate(TickEvery), TickEvery), RoundMax)
	}
	r.pinger.confirms = confirmations{
		state: &r.state, neighbours: &r.neighbours, standing: &r.standing, out: &r.out,
		nonce: r.pinger.nonce, progress: c.Confirmed,
	}
	r.pings = pingReceiver{
		mu: &r.mu, state: &r.state, neighbours: &r.neighbours, pinger: &r.pinger, answers: &r.answers,
		repair: &r.repair, standing: &r.standing, out: &r.out,
	}
	r.repair = repair{
		state: &r.state, neighbours: &r.neighbours, arrivals: &r.arrivals, pinger: &r.pinger,
		standing: &r.standing, writes: &r.writes, pulls: newPulls(),
		client: syncClient{neighbours: &r.neighbours, out: &r.out, limit: syncPatience},
	}
	r.answers = pullAnswers{
		mu: &r.mu, state: &r.state, neighbours: &r.neighbours, pinger: &r.pinger, out: &r.out,
		most: cmp.Or(c.pullBytes, defaultPullBytes),
	}
	r.chunks = chunkReceiver{
		mu: &r.mu, state: &r.state, neighbours: &r.neighbours, client: &r.repair.client,
		writes: &r.writes, standing: &r.standing, pinger: &r.pinger, out: &r.out,
	}
	r.server = syncServer{
		mu: &r.mu, state: &r.state, neighbours: &r.neighbours, standing: &r.standing,
		writes: &r.writes, out: &r.out,
		sessions: map[uint64]*syncOut{}, chunkBytes: cmp.Or(c.chunkBytes, defaultChunkBytes),
	}
	return r
}
