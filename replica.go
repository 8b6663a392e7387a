package bcache

import (
	"cmp"
	"errors"
	"sync"
	"time"
)

// A replica is one node's part in the replication: a state machine that is
// driven by its methods and starts no goroutine, reads no clock and touches no
// network. What it wants sent it queues, for flush to take; wake tells that there
// is something. Nothing in it depends on the order of a Go map, so a simulation
// that makes the same calls sees the same results.
//
// Lock order: replica.mu, then a store shard's.
type replica struct {
	id       uint64 // PeerID
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

	leases     *leaseTable // those that this node grants
	asks       *leaseAsks  // for leases that its fills want
	leaseSends leaseQueue  // what is said about leases

	rounds   rounds
	arrivals arrivals
	pulls    pulls
	answers  pullAnswers
	server   syncServer
	client   syncClient
	ready    readiness
}

type replicaConfig struct {
	id          uint64
	origin      uint64
	maxSkew     time.Duration
	logSize     int
	maxOrigins  int // 0 = maxOrigins
	local       bool
	first       bool          // it has nobody to wait for: it is synced from the start
	syncTimeout time.Duration // a node that reaches nobody for so long is synced; negative: never
	minPeers    int           // if it isn't 0: never either, see Config.MinPeers
	chunkBytes  int           // of a full sync; 0 = defaultChunkBytes
	pullBytes   int           // of the answer to a pull; 0 = defaultPullBytes
	maxPending  int           // bytes that wait to be sent; 0 = defaultMaxPending
	touchLog    int           // touches remembered; 0 = touchLog
	store       storeConfig

	// became is called when the node is synced, and complete, if it wasn't from the start, under the
	// lock.
	became func()

	// wake is called when flush has something to take after it had nothing; it
	// must not block nor call the replica. changed is called for every write that changes
	// a key or, with kindClear, all keys; the same goes for it.
	wake    func()
	changed func(key string, kind kind)
}

// replicaCounts are counters that belong to none of the parts.
type replicaCounts struct {
	sets, deletes          uint64
	recordsIn              uint64
	malformed, unsupported uint64

	clears                         uint64
	repairsAsked, repairsAnswered  uint64
	recordsResent, recordsRepaired uint64
	disbelieved                    uint64
	stuck, refusedSkewPeers        uint64
	leasesGranted, leasesMissed    uint64 // only in what stats returns: leases count for themselves

	provisionalKept, provisionalOffered     uint64
	provisionalAccepted, provisionalRefused uint64
}

// errFuture is wrapped by the error about records that weren't applied because of
// their stamps.
var errFuture = errors.New("bcache: stamped too far ahead of this node's clock")

const (
	applyBatch = 64       // records applied without letting others take the lock
	applyBytes = 64 << 10 // of their keys and values, about
	evictBatch = 64       // entries evicted likewise
	sweepTurns = 5        // ticks that a sweep of the whole store takes
)

func newReplica(c replicaConfig) *replica {
	if c.became == nil {
		c.became = func() {}
	}
	r := &replica{
		id:     c.id,
		state:  newState(c),
		became: c.became,
		out:    outgoing{wake: c.wake, outbox: outbox{most: cmp.Or(c.maxPending, defaultMaxPending)}},

		neighbours: newNeighbours(),
		pulls:      newPulls(),
		server:     newSyncServer(c.chunkBytes),
		answers:    pullAnswers{most: cmp.Or(c.pullBytes, defaultPullBytes)},
		stepWork:   stepWork,
	}
	r.ready = newReadiness(&r.neighbours, &c)
	r.leases, r.asks = newLeases(c.id, leaseLink{r}, c.local)
	r.client = syncClient{neighbours: &r.neighbours, out: &r.out, limit: syncPatience}
	return r
}

// set writes a value; deadline is in Unix milliseconds, 0 = none.
func (r *replica) set(now instant, key, val string, deadline int64) error {
	return r.setRecord(now, &record{key: key, val: val, deadline: deadline})
}

// setRecord is set for a record that is complete but for its version.
func (r *replica) setRecord(now instant, rec *record) error {
	at := r.store.approach(rec)
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
		return ErrClosed
	}
	r.counts.sets++
	r.write(now, rec, at)
	return nil
}

// delete writes a tombstone, also for a key that isn't held: others may hold it.
func (r *replica) delete(now instant, key string) error {
	rec := &record{key: key, kind: kindTombstone}
	at := r.store.approach(rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.counts.deletes++
	r.write(now, rec, at)
	return nil
}

// clear deletes everything, up to now.
func (r *replica) clear(now instant) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.clearing.Store(true)
	defer r.clearing.Store(false)
	r.counts.clears++
	r.write(now, &record{kind: kindClear}, place{})
	return nil
}

// write stamps and commits a local write.
func (r *replica) write(now instant, rec *record, at place) {
	rec.version = version{r.clock.tick(now.wall), r.origin}
	r.commit(now, rec, at)
}

// commit is the critical section of a local write, which has its version.
func (r *replica) commit(now instant, rec *record, at place) {
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
func (r *replica) letOthers() {
	r.mu.Unlock()
	if r.between != nil {
		r.between()
	}
	r.mu.Lock()
}

// tick does the periodic work; it wants to be called about once a second. It pings the
// neighbours, gives up what takes too long, and sweeps a part of the store: expired
// entries, old tombstones.
func (r *replica) tick(now instant) {
	r.tend(now)
	n := r.store.shards()
	for range (n + sweepTurns - 1) / sweepTurns {
		r.store.sweeper.sweep(now, r.swept)
		r.swept = (r.swept + 1) % n
	}
}

// tend is the tick of everything but the store.
func (r *replica) tend(now instant) {
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
			for v := (vouching{store: r.store}); v.step(r.stepWork); {
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
	for range r.leases.tick(now) {
		r.letOthers()
	}
}

// ahead returns by how much what this node writes is stamped too far ahead, if it is.
func (r *replica) ahead(now instant) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.ahead(now)
}

// flush takes what is to be sent: frames for everybody, and messages. It mustn't be called by two
// goroutines at a time.
func (r *replica) flush(now instant) (broadcasts [][]byte, sends []message) {
	r.mu.Lock()
	r.out.counts.recordsOut += uint64(r.out.outbox.n)
	first, chunks := r.out.outbox.take()
	others, pings, frames := r.out.messages, r.out.pings, r.leaseSends.take()
	r.out.messages, r.out.pings = nil, nil
	offers, echo := r.out.offers.take(), r.touches.echo()
	r.mu.Unlock()
	for _, q := range pings {
		sends = append(sends, message{to: q.to, frame: appendPing(nil, *q.ping)})
	}
	sends = append(sends, others...)
	for _, f := range frames {
		sends = append(sends, message{to: f.to, frame: f.frame})
	}
	sends = offers.appendTo(sends, r.origin, echo)
	for _, records := range chunks {
		broadcasts = append(broadcasts, cutDelta(r.origin, first, echo, records)...)
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

// takeCuts returns the connections that are to be ended.
func (r *replica) takeCuts() (cuts []cut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cuts, r.out.cuts = r.out.cuts, nil
	return cuts
}

// cutDelta encodes consecutive records as frames of about cutFrame at most.
func cutDelta(origin, first, echo uint64, records []record) (frames [][]byte) {
	for len(records) > 0 {
		n, size := 0, 0
		for n < len(records) && (n == 0 || size+recordSize(&records[n]) <= cutFrame) {
			size += recordSize(&records[n])
			n++
		}
		frame := appendDelta(make([]byte, 0, size+64), origin, first, records[:n])
		frames = append(frames, appendEcho(frame, echo))
		first += uint64(n)
		records = records[n:]
	}
	return frames
}

// close refuses every local write from now on. What was written before can still be
// flushed, and what others write is still applied: they may be waiting for that,
// as they close too.
func (r *replica) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.leases.closed = true
	r.asks.close()
}

func (r *replica) stats(now instant) (n allCounts, g replicaGauges) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g = replicaGauges{
		origins: len(r.vector.origins), logRecords: r.log.records, outbox: r.out.outbox.n,
		syncing: r.client.session != nil, serving: len(r.server.sessions),
	}
	g.synced, g.syncedFrom = r.ready.complete, r.client.syncedFrom
	for id, p := range r.neighbours.all() {
		g.peers = append(g.peers, PeerStats{
			ID: id, Lag: r.vector.lag(now, p.origin), Silent: now.mono - p.heard,
			Synced: p.synced, Behind: p.offer != 0, Late: p.lateBy(r.vector.get(p.origin), now.mono),
		})
	}
	own := r.counts
	own.leasesGranted, own.leasesMissed = r.leases.granted, r.asks.missed
	return allCounts{own, r.state.counts, r.out.counts, r.server.counts, r.client.counts}, g
}

// allCounts are the counters of a replica and its parts.
type allCounts struct {
	replicaCounts
	stateCounts
	outgoingCounts
	syncServerCounts
	syncClientCounts
}

type replicaGauges struct {
	origins, logRecords, outbox, serving int
	syncing, synced                      bool
	syncedFrom                           uint64
	peers                                []PeerStats
}
