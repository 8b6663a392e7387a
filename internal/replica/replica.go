package replica

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// Names take seconds to be resolved and other nodes to start; a service that starts alone
// shouldn't take longer.
const DefaultSyncTimeout = 10 * time.Second

const DefaultMaxPending = 64 << 20

const TickEvery = time.Second

// A Replica is one node's part in the replication: a state machine that is
// driven by its methods and starts no goroutine, reads no clock and touches no
// network. What it wants sent it queues, for flush to take; wake tells that there
// is something. Nothing in it depends on the order of a Go map, so a simulation
// that makes the same calls sees the same results.
//
// Lock order: replica.mu, then a store shard's.
type Replica struct {
	ID       uint64 // PeerID
	stepWork int    // see letOthers
	between  func() // for tests: what others do when they are let
	became   func() // complete
	state           // what it holds and has processed

	mu         sync.Mutex // of all below, and of state but for its store
	closed     bool
	swept      int    // the next shard to sweep
	nonces     uint64 // drawn so far
	neighbours neighbours
	out        outgoing
	counts     replicaCounts

	leases     *lease.Table // those that this node grants
	asks       *lease.Asks  // for leases that its fills want
	leaseSends lease.Queue  // what is said about leases

	rounds   rounds
	arrivals arrivals
	pulls    pulls
	answers  pullAnswers
	server   syncServer
	client   syncClient
	ready    readiness
}

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
	chunkBytes  int           // of a full sync; 0 = defaultChunkBytes
	pullBytes   int           // of the answer to a pull; 0 = defaultPullBytes
	MaxPending  int           // bytes that wait to be sent; 0 = DefaultMaxPending
	touchLog    int           // touches remembered; 0 = touchLog
	Store       store.Config

	// Became is called when the node is synced, and complete, if it wasn't from the start, under the
	// lock.
	Became func()

	// Wake is called when flush has something to take after it had nothing; it
	// must not block nor call the replica. changed is called for every write that changes
	// a key or, with KindClear, all keys; the same goes for it.
	Wake    func()
	Changed func(key string, kind delta.Kind)
}

// replicaCounts are counters that belong to none of the parts.
type replicaCounts struct {
	Sets, Deletes          uint64
	RecordsIn              uint64
	Malformed, Unsupported uint64

	Clears                         uint64
	RepairsAsked, RepairsAnswered  uint64
	RecordsResent, RecordsRepaired uint64
	disbelieved                    uint64
	Stuck, RefusedSkewPeers        uint64
	LeasesGranted, LeasesMissed    uint64 // only in what stats returns: leases count for themselves

	ProvisionalKept, ProvisionalOffered     uint64
	ProvisionalAccepted, ProvisionalRefused uint64
}

// ErrFuture is wrapped by the error about records that weren't applied because of
// their stamps.
var ErrFuture = errors.New("bcache: stamped too far ahead of this node's clock")

const (
	ApplyBatch = 64       // records applied without letting others take the lock
	ApplyBytes = 64 << 10 // of their keys and values, about
	evictBatch = 64       // entries evicted likewise
	sweepTurns = 5        // ticks that a sweep of the whole store takes
)

func New(c Config) *Replica {
	if c.Became == nil {
		c.Became = func() {}
	}
	r := &Replica{
		ID:     c.ID,
		state:  newState(c),
		became: c.Became,
		out:    outgoing{wake: c.Wake, outbox: outbox{most: cmp.Or(c.MaxPending, DefaultMaxPending)}},

		neighbours: newNeighbours(),
		pulls:      newPulls(),
		server:     newSyncServer(c.chunkBytes),
		answers:    pullAnswers{most: cmp.Or(c.pullBytes, defaultPullBytes)},
		stepWork:   stepWork,
	}
	r.ready = newReadiness(&r.neighbours, &c)
	r.leases, r.asks = lease.New(c.ID, leaseLink{r}, c.Local)
	r.client = syncClient{neighbours: &r.neighbours, out: &r.out, limit: syncPatience}
	return r
}

// Set writes a value; deadline is in Unix milliseconds, 0 = none.
func (r *Replica) Set(now delta.Instant, key, val string, deadline int64) error {
	return r.SetRecord(now, &delta.Record{Key: key, Val: val, Deadline: deadline})
}

// SetRecord is set for a record that is complete but for its version.
func (r *Replica) SetRecord(now delta.Instant, rec *delta.Record) error {
	at := r.Store.Approach(rec)
	if r.local && r.replace(now, rec, at) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.makeRoom(now, rec) {
		r.mu.Unlock()
		r.mu.Lock()
	}
	if r.closed {
		return delta.ErrClosed
	}
	r.counts.Sets++
	r.write(now, rec, at)
	return nil
}

// Delete writes a tombstone, also for a key that isn't held: others may hold it.
func (r *Replica) Delete(now delta.Instant, key string) error {
	rec := &delta.Record{Key: key, Kind: delta.KindTombstone}
	at := r.Store.Approach(rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return delta.ErrClosed
	}
	r.counts.Deletes++
	r.write(now, rec, at)
	return nil
}

// Clear deletes everything, up to now.
func (r *Replica) Clear(now delta.Instant) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return delta.ErrClosed
	}
	r.clearing.Store(true)
	defer r.clearing.Store(false)
	r.counts.Clears++
	r.write(now, &delta.Record{Kind: delta.KindClear}, store.Place{})
	return nil
}

// write stamps and commits a local write.
func (r *Replica) write(now delta.Instant, rec *delta.Record, at store.Place) {
	rec.Version = delta.Version{Stamp: r.clock.Tick(now.Wall), Origin: r.Origin}
	r.commit(now, rec, at)
}

// commit is the critical section of a local write, which has its version.
func (r *Replica) commit(now delta.Instant, rec *delta.Record, at store.Place) {
	r.applyLocal(now, rec, at)
	if r.local {
		return
	}
	r.rounds.active = true
	if len(r.neighbours.byID) == 0 {
		r.out.outbox.take() // nobody would get it
		return
	}
	r.out.broadcast(r.seq, rec)
}

// letOthers gives the lock up for a moment: others may want it. It is called after so much work as
// stepWork says.
func (r *Replica) letOthers() {
	r.mu.Unlock()
	if r.between != nil {
		r.between()
	}
	r.mu.Lock()
}

// Tick does the periodic work; it wants to be called about once a second. It pings the
// neighbours, gives up what takes too long, and sweeps a part of the store: expired
// entries, old tombstones.
func (r *Replica) Tick(now delta.Instant) {
	r.tend(now)
	n := r.Store.Shards()
	for range (n + sweepTurns - 1) / sweepTurns {
		r.Store.Sweeper.Sweep(now, r.swept)
		r.swept = (r.swept + 1) % n
	}
}

// tend is the tick of everything but the store.
func (r *Replica) tend(now delta.Instant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.local || r.closed {
		return
	}
	r.state.tick(now)
	r.dropArrivals(now)
	r.pullTick(now)
	r.client.tick(now)
	if r.server.tick(now) {
		r.out.wake()
	}
	r.round(now)
	if r.mayDeclare(now) {
		// It vouches itself for what it holds: everybody else will need a full sync from it.
		if r.client.unvouched {
			r.client.vouching = true
			for v := (vouching{store: r.Store}); v.step(r.stepWork); {
				r.letOthers()
			}
			r.client.vouching, r.client.unvouched = false, false
			r.skipSeq(now)
		}
		r.declare(now)
	}
	r.advance(now)
	r.noteComplete(now)
	if len(r.neighbours.where(func(p *neighbour) bool { return p.request != nil })) > 0 {
		r.out.wake() // it waited, see tooSoon
	}
	for range r.leases.Tick(now) {
		r.letOthers()
	}
}

// Ahead returns by how much what this node writes is stamped too far ahead, if it is.
func (r *Replica) Ahead(now delta.Instant) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.ahead(now)
}

// Flush takes what is to be sent: frames for everybody, and messages. It mustn't be called by two
// goroutines at a time.
func (r *Replica) Flush(now delta.Instant) (broadcasts [][]byte, sends []message) {
	r.mu.Lock()
	r.out.counts.RecordsOut += uint64(r.out.outbox.n)
	first, chunks := r.out.outbox.take()
	others, pings, frames := r.out.messages, r.out.pings, r.leaseSends.Take()
	r.out.messages, r.out.pings = nil, nil
	offers, echo := r.out.offers.take(), r.touches.Echo()
	r.mu.Unlock()
	for _, q := range pings {
		sends = append(sends, message{To: q.to, Frame: wire.AppendPing(nil, *q.Ping)})
	}
	sends = append(sends, others...)
	for _, f := range frames {
		sends = append(sends, message{To: f.To, Frame: f.Frame})
	}
	sends = offers.appendTo(sends, r.Origin, echo)
	for _, records := range chunks {
		broadcasts = append(broadcasts, cutDelta(r.Origin, first, echo, records)...)
		first += uint64(len(records))
	}
	if len(chunks) > 0 {
		for _, records := range chunks {
			clear(records)
		}
		r.mu.Lock()
		r.out.outbox.recycle(chunks)
		r.mu.Unlock()
	}
	sends = r.answerPulls(now, sends)
	return broadcasts, r.serve(now, sends)
}

// TakeCuts returns the connections that are to be ended.
func (r *Replica) TakeCuts() (cuts []cut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cuts, r.out.cuts = r.out.cuts, nil
	return cuts
}

// cutDelta encodes consecutive records as frames of about CutFrame at most.
func cutDelta(origin, first, echo uint64, records []delta.Record) (frames [][]byte) {
	for len(records) > 0 {
		n, size := 0, 0
		for n < len(records) && (n == 0 || size+wire.RecordSize(&records[n]) <= wire.CutFrame) {
			size += wire.RecordSize(&records[n])
			n++
		}
		frame := wire.AppendDelta(make([]byte, 0, size+64), origin, first, records[:n])
		frames = append(frames, wire.AppendEcho(frame, echo))
		first += uint64(n)
		records = records[n:]
	}
	return frames
}

// Close refuses every local write from now on. What was written before can still be
// flushed, and what others write is still applied: they may be waiting for that,
// as they close too.
func (r *Replica) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.leases.Closed = true
	r.asks.Close()
}

func (r *Replica) Stats(now delta.Instant) (n Counts, g Gauges) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g = Gauges{
		Origins: len(r.vector.Origins), LogRecords: r.log.Records, Outbox: r.out.outbox.n,
		Syncing: r.client.session != nil, Serving: len(r.server.sessions),
	}
	g.Synced, g.SyncedFrom = r.ready.complete, r.client.syncedFrom
	for id, p := range r.neighbours.all() {
		g.Peers = append(g.Peers, Peer{
			ID: id, Lag: r.vector.Lag(now, p.origin), Silent: now.Mono - p.heard,
			Synced: p.synced, Behind: p.offer != 0, Late: p.lateBy(r.vector.Get(p.origin), now.Mono),
		})
	}
	own := r.counts
	own.LeasesGranted, own.LeasesMissed = r.leases.Granted, r.asks.Missed
	return Counts{own, r.state.counts, r.out.counts, r.server.counts, r.client.counts}, g
}

// Counts are the counters of a replica and its parts.
type Counts struct {
	replicaCounts
	stateCounts
	outgoingCounts
	syncServerCounts
	syncClientCounts
}

type Gauges struct {
	Origins, LogRecords, Outbox, Serving int
	Syncing, Synced                      bool
	SyncedFrom                           uint64
	Peers                                []Peer
}

// Processed is a fingerprint of all dots that were processed. It is false while there are gaps among them.
func (r *Replica) Processed() (print uint64, settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.vector.RestOf(nil) ^ r.vector.Horizon.Print, !r.vector.HasGaps()
}
