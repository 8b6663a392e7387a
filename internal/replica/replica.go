package replica

import (
	"errors"
	"strings"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// A Replica is one node's part in the replication: a state machine that is
// driven by its methods and starts no goroutine, reads no clock and touches no
// network. What it wants sent it queues, for Flush to take; Wake tells that there
// is something. Nothing in it depends on the order of a Go map, so a simulation
// that makes the same calls sees the same results.
//
// It is the lock, the order of things, and the dispatch of frames; all else is the business of its
// parts. Some of them know others, but none knows the replica.
//
// Lock order: mu, then a store shard's.
type Replica struct {
	ID    uint64       // PeerID
	Store *store.Store // gets go past the replica
	state state        // what it holds and has processed

	mu         lock // of all below, and of state but for its store
	neighbours neighbours
	out        outgoing
	counts     frameCounts

	writes   localWrites
	Fills    Fills
	Leases   Leases
	Asked    Inquiries
	standing standing
	arrivals arrivals
	deltas   deltaReceiver
	pinger   pinger
	pings    pingReceiver
	repair   repair
	answers  pullAnswers
	chunks   chunkReceiver
	server   syncServer
}

// ErrFuture is wrapped by the error about records that weren't applied because of
// their stamps.
var ErrFuture = errors.New("bcache: stamped too far ahead of this node's clock")

const (
	ApplyBatch = 64       // records applied without letting others take the lock
	ApplyBytes = 64 << 10 // of their keys and values, about
	evictBatch = 64       // entries evicted likewise
	statsStep  = 32       // neighbours that figures are made of likewise
	sweepTurns = 5        // ticks that a sweep of the whole store takes
)

// Set writes a value; deadline is in Unix milliseconds, 0 = none.
func (r *Replica) Set(now delta.Instant, key, val string, deadline int64) error {
	return r.SetRecord(now, &delta.Record{Key: key, Val: val, Deadline: deadline})
}

// SetRecord is Set for a record that is complete but for its version.
func (r *Replica) SetRecord(now delta.Instant, rec *delta.Record) error {
	at := r.Store.Approach(rec)
	if r.state.local && r.state.replace(now, rec, at) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.state.makeRoom(now, rec) {
		r.mu.Unlock()
		r.mu.Lock()
	}
	if r.writes.closed {
		return delta.ErrClosed
	}
	r.writes.counts.Sets++
	r.writes.write(now, rec, at)
	return nil
}

// Delete writes a tombstone, also for a key that isn't held: others may hold it.
func (r *Replica) Delete(now delta.Instant, key string) error {
	rec := &delta.Record{Key: key, Kind: delta.KindTombstone}
	at := r.Store.Approach(rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writes.closed {
		return delta.ErrClosed
	}
	r.writes.counts.Deletes++
	r.writes.write(now, rec, at)
	return nil
}

// DeleteMany is Delete for some keys, ApplyBatch at most, under one lock. If more come at once, they
// leave in one frame with these, as far as there is room in it.
func (r *Replica) DeleteMany(now delta.Instant, recs []delta.Record, more bool) error {
	var at [ApplyBatch]store.Place
	for i := range recs {
		at[i] = r.Store.Approach(&recs[i])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writes.closed {
		return delta.ErrClosed
	}
	r.writes.counts.Deletes += uint64(len(recs))
	r.out.gathering = true
	for i := range recs {
		r.writes.write(now, &recs[i], at[i])
	}
	r.out.gathering = false
	if !more {
		r.out.release()
	}
	return nil
}

// Clear deletes what a selector selects, up to now.
func (r *Replica) Clear(now delta.Instant, s delta.Selector) error {
	rec := &delta.Record{Key: strings.Clone(string(s)), Kind: delta.KindClear}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.state.makeRoom(now, rec) {
		r.mu.Unlock()
		r.mu.Lock()
	}
	if r.writes.closed {
		return delta.ErrClosed
	}
	r.state.clearing.Store(true)
	defer r.state.clearing.Store(false)
	*r.writes.counts.ofClear(s)++
	r.writes.write(now, rec, store.Place{})
	return nil
}

// Tick does the periodic work; it wants to be called about once a second. It pings the
// neighbours, gives up what takes too long, and sweeps a part of the store: expired
// entries, old tombstones.
func (r *Replica) Tick(now delta.Instant) {
	r.tend(now)
	r.Store.Hot.Tick(now.Mono)
	r.Store.Sweeper.Turn(now, sweepTurns)
}

// tend is the tick of everything but the store.
func (r *Replica) tend(now delta.Instant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.local || r.writes.closed {
		return
	}
	r.state.tick(now)
	r.pinger.dropArrivals(now)
	r.pinger.hearings.listen(now)
	r.pinger.hearings.isolation.look(now)
	r.repair.tick(now)
	r.repair.client.tick(now)
	if r.server.tick(now) {
		r.out.wake()
	}
	r.pinger.round(now, r.repair.busy())
	if r.standing.mayDeclare(now) {
		// It vouches itself for what it holds: everybody else will need a full sync from it.
		if r.repair.client.unvouched {
			r.repair.client.vouching = true
			for v := (vouching{store: r.Store}); v.step(r.mu.stepWork); {
				r.mu.letOthers()
			}
			r.repair.client.vouching, r.repair.client.unvouched = false, false
			r.writes.skipSeq(now)
		}
		r.standing.declare(now)
		r.pinger.pingAll(now) // they may be waiting for one that is
	}
	r.repair.advance(now)
	r.standing.noteComplete(now)
	if len(r.neighbours.where(func(p *neighbour) bool { return p.request != nil })) > 0 {
		r.out.wake() // it waited, see tooSoon
	}
	for range r.Leases.table.Tick(now) {
		r.mu.letOthers()
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
	r.out.unwoken = false
	others, pings, frames := r.out.messages, r.out.pings, r.Leases.sends.Take()
	r.out.messages, r.out.pings = nil, nil
	offers, echo := r.out.offers.take(), r.state.touches.Echo()
	r.mu.Unlock()
	for _, q := range pings {
		sends = append(sends, message{To: q.to, Frame: wire.AppendPing(nil, *q.Ping)})
	}
	sends = append(sends, others...)
	for _, f := range frames {
		sends = append(sends, message{To: f.To, Frame: f.Frame})
	}
	sends = offers.appendTo(sends, echo)
	for _, records := range chunks {
		broadcasts = append(broadcasts, cutDelta(r.state.Origin, first, echo, now.UnixMicro(), records)...)
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
	sends = r.answers.answer(now, sends)
	return broadcasts, r.server.serve(now, sends)
}

// TakeCuts returns the connections that are to be ended.
func (r *Replica) TakeCuts() (cuts []cut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cuts, r.out.cuts = r.out.cuts, nil
	return cuts
}

// Close refuses every local write from now on. What was written before can still be
// flushed, and what others write is still applied: they may be waiting for that,
// as they close too.
func (r *Replica) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes.closed = true
	r.Leases.close()
}

// Ask begins a question: whether others have processed what was written here so far.
func (r *Replica) Ask(now delta.Instant) *Question {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pinger.confirms.begin(now, &r.mu)
}

// Drop drops all that is held: from now on Gets miss, and what still comes isn't taken.
func (r *Replica) Drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Store.Close()
}

// Stats are the figures about it.
func (r *Replica) Stats(now delta.Instant) (n Counts, g Gauges) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g = Gauges{
		Origins: len(r.state.vector.Origins), LogRecords: r.state.log.Records, Outbox: r.out.outbox.n,
		Syncing: r.repair.client.session != nil, Serving: len(r.server.sessions),
	}
	g.Synced, g.SyncedFrom = r.standing.ready.complete, r.repair.client.syncedFrom
	g.Peers = make([]Peer, 0, len(r.neighbours.ids))
	for id, p := range r.neighbours.all() {
		of := Peer{
			ID: id, Lag: r.state.vector.Lag(now, p.origin), Silent: now.Mono - p.heard,
			Synced: p.synced, Behind: p.offer != 0,
			Late: p.lateBy(r.state.vector.Get(p.origin), now.Mono),
		}
		p.delays.tell(now, &of)
		if g.Peers = append(g.Peers, of); len(g.Peers)%statsStep == 0 {
			r.mu.letOthers()
		}
	}
	return r.allCounts(), g
}

// Synced says whether the node is complete, which node its last full sync came from, and when it last
// became synced; 0 if none did, or if it was from the start.
func (r *Replica) Synced() (complete bool, from uint64, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ready := &r.standing.ready
	return ready.complete, r.repair.client.syncedFrom, ready.syncedAt
}

// allCounts are the counters of the parts.
func (r *Replica) allCounts() Counts {
	return Counts{
		r.counts, r.writes.counts, r.Fills.counts, r.Leases.counts(), r.deltas.counts, r.pinger.counts,
		r.pings.counts, r.repair.counts, r.answers.counts, r.state.counts, r.out.counts, r.server.counts,
		r.repair.client.counts,
	}
}

// Processed is a fingerprint of all dots that were processed. It is false while there are gaps among
// them.
func (r *Replica) Processed() (sum uint64, settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.vector.RestOf(nil) ^ r.state.vector.Horizon.Print, !r.state.vector.HasGaps()
}

// Written is the last dot of this node: it stands for all that was written here so far. Its Seq is 0 if
// nothing was.
func (r *Replica) Written() delta.Dot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return delta.Dot{Origin: r.state.Origin, Seq: r.state.seq}
}

// Lacks says what this node hasn't processed yet of what some dots stand for, see lacking.
func (r *Replica) Lacks(dots []delta.Dot) (lacks []Lack, unknown uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return lacking(&r.state, &r.neighbours, dots)
}

// Origin says which life of the node this is.
func (r *Replica) Origin() uint64 { return r.state.Origin }

// Isolation says whether the node is isolated; nil if it isn't to know.
func (r *Replica) Isolation() *Isolation { return r.pinger.hearings.isolation }

// Unsynced says why the node isn't ready; "" if it is.
func (r *Replica) Unsynced(now delta.Instant) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	client := &r.repair.client
	return r.standing.ready.lacks(now, client.progress(), client.failure)
}

// Late lists the neighbours whose writes don't come soon enough, once this node has what was there
// before it.
func (r *Replica) Late(now delta.Instant) (l []lateness) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.standing.ready.synced {
		return nil
	}
	for id, p := range r.neighbours.all() {
		if by := p.lateBy(r.state.vector.Get(p.origin), now.Mono); by >= lateMost {
			l = append(l, lateness{id, by})
		}
	}
	return l
}

// TakeNotices returns what is to be logged.
func (r *Replica) TakeNotices() (ns []SyncNotice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ns, r.out.notices = r.out.notices, nil
	return ns
}
