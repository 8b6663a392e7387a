package bcache

import (
	"errors"
	"fmt"
	"strings"
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
	origin  uint64
	maxSkew int64 // ms, rounded up
	local   bool  // no other node will ever be: nothing is logged or queued
	wake    func()
	changed func(key string, kind kind)
	store   *store // gets go past the replica

	mu     sync.Mutex
	closed bool
	clock  clock
	seq    uint64 // of the last local write
	ctx    *dotContext
	log    *deltaLog
	outbox outbox
	sends  []message
	peers  map[uint64]*peerState
	swept  int // the next shard to sweep
	n      replicaStats
}

type replicaConfig struct {
	origin  uint64
	maxSkew time.Duration
	logSize int
	local   bool
	store   storeConfig

	// wake is called when flush has something to take after it had nothing; it
	// must not block nor call the replica. changed is called for every write that changes
	// a key or, with kindClear, all keys; the same goes for it.
	wake    func()
	changed func(key string, kind kind)
}

// A message is a frame for one node.
type message struct {
	to    uint64 // PeerID
	frame []byte
}

// peerState is what is known of a directly connected node.
type peerState struct {
	origin   uint64
	baseline uint64 // our seq when it connected: what came later, it gets
	covered  uint64 // it has processed everything from the baseline up to here
}

// replicaStats are counters, guarded by replica.mu.
type replicaStats struct {
	sets, deletes               uint64
	recordsIn, recordsOut       uint64
	duplicates                  uint64
	refusedSkew, refusedTooBig  uint64
	malformed, unsupported      uint64
	droppedOutbox, droppedSends uint64
	droppedIntervals            uint64
	droppedOrigins              uint64
}

// errFuture is wrapped by the error about records that weren't applied because of
// their stamps.
var errFuture = errors.New("bcache: stamped too far ahead of this node's clock")

const (
	applyBatch = 64       // records applied without letting others take the lock
	applyBytes = 64 << 10 // of their keys and values, about
	evictBatch = 64       // entries evicted likewise
	maxSends   = 4096     // queued messages
	sweepTurns = 5        // ticks that a sweep of the whole store takes
)

func newReplica(c replicaConfig) *replica {
	return &replica{
		origin:  c.origin,
		maxSkew: (c.maxSkew + time.Millisecond - 1).Milliseconds(),
		local:   c.local,
		wake:    c.wake,
		changed: c.changed,
		store:   newStore(c.store),
		ctx:     newDotContext(c.origin),
		log:     newDeltaLog(c.logSize),
		peers:   map[uint64]*peerState{},
	}
}

// set writes a value; deadline is in Unix milliseconds, 0 = none.
func (r *replica) set(now instant, key, val string, deadline int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := &record{key: key, val: val, deadline: deadline}
	r.makeRoom(now, rec)
	if r.closed {
		return ErrClosed
	}
	r.n.sets++
	r.write(now, rec)
	return nil
}

// delete writes a tombstone, also for a key that isn't held: others may hold it.
func (r *replica) delete(now instant, key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.n.deletes++
	r.write(now, &record{key: key, kind: kindTombstone})
	return nil
}

// fillStamp is the stamp of a fill that begins now: older than every write
// that any node issues from now on, as long as clocks differ by no more than
// maxSkew. The extra millisecond is for the clocks' resolution.
//
// This node's own later writes are newer even if its wall clock is set back
// meanwhile. Where there are no other nodes that is all it takes.
func (r *replica) fillStamp(now instant) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.local {
		return r.clock.tick(now.wall)
	}
	stamp := stampOf(now.wall - r.maxSkew - 1)
	r.clock.observe(stamp)
	return stamp
}

// fill writes what a filler brought unless something newer is known. It says
// whether it did.
func (r *replica) fill(now instant, key, val string, deadline int64, stamp uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := &record{key: key, val: val, deadline: deadline, version: version{stamp, r.origin}}
	r.makeRoom(now, rec)
	if r.closed || stamp == 0 || !r.store.admits(key, rec.version) {
		return false
	}
	r.commit(now, rec)
	return true
}

// write stamps and commits a local write.
func (r *replica) write(now instant, rec *record) {
	rec.version = version{r.clock.tick(now.wall), r.origin}
	r.commit(now, rec)
	r.changed(rec.key, rec.kind)
}

// makeRoom evicts what a large record needs, in steps: with MaxBytes a value may
// take the place of thousands of entries, and others want the lock meanwhile. It
// gives the lock up, so what was looked up before must be looked up again.
func (r *replica) makeRoom(now instant, rec *record) {
	if r.store.maxBytes <= 0 || rec.version != (version{}) && !r.store.admits(rec.key, rec.version) {
		return // it takes no more than one place, or none
	}
	for r.store.evictFor(now, rec, evictBatch) {
		r.mu.Unlock()
		r.mu.Lock()
	}
}

// commit is the critical section of a local write: the context must never
// cover a dot that the store doesn't have yet.
func (r *replica) commit(now instant, rec *record) {
	if r.store.apply(now, rec, true) != outcomeApplied {
		rec.key = strings.Clone(rec.key) // it may be part of a much larger string
	}
	r.seq++
	if r.local {
		return
	}
	r.log.put(r.origin, r.seq, rec)
	self, _ := r.ctx.of(r.origin, now.mono)
	self.add(r.seq)
	if len(r.peers) == 0 {
		r.outbox.take() // nobody would get it
		return
	}
	if r.outbox.empty() && len(r.sends) == 0 {
		defer r.wake()
	}
	r.n.droppedOutbox += r.outbox.put(r.seq, rec)
}

// receive handles a frame that the node with PeerID from sent or relayed. The
// error says why the frame was dropped, if it wraps errMalformed or errUnsupported,
// or why some of its records were, if it wraps errFuture.
func (r *replica) receive(now instant, from uint64, frame []byte) error {
	err := r.dispatch(now, from, frame)
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, errUnsupported):
		r.n.unsupported++
	case errors.Is(err, errMalformed):
		r.n.malformed++
	}
	return err
}

func (r *replica) dispatch(now instant, from uint64, frame []byte) error {
	typ, err := frameType(frame)
	if err != nil {
		return err
	}
	switch typ {
	case frameDelta:
		d, err := openDelta(frame)
		if err != nil {
			return err
		}
		return r.receiveDelta(now, &d)
	case framePing:
		p, err := decodePing(frame)
		if err != nil {
			return err
		}
		r.receivePing(now, from, p)
	case framePong:
		p, err := decodePong(frame)
		if err != nil {
			return err
		}
		r.receivePong(from, p)
	default:
		return fmt.Errorf("%w: frame type %d", errUnsupported, typ)
	}
	return nil
}

// receiveDelta applies the records whose dots are new, a batch per lock so that
// local callers never wait for a whole frame.
func (r *replica) receiveDelta(now instant, d *deltaReader) error {
	ahead, refused := int64(0), 0
	for more := true; more; {
		r.mu.Lock()
		for i, bytes := 0, 0; more && i < applyBatch && bytes < applyBytes; i++ {
			var rec record
			var applied bool
			rec, applied, more = r.receiveRecord(now, d)
			bytes += len(rec.key) + len(rec.val)
			if more && !applied {
				ahead = max(ahead, stampWall(rec.stamp)-now.wall)
				refused++
			}
		}
		r.mu.Unlock()
	}
	if refused > 0 {
		return fmt.Errorf("%w: %d writes, by up to %v", errFuture, refused, time.Duration(ahead)*time.Millisecond)
	}
	return nil
}

// receiveRecord processes the next record of a frame; more is false if there is none.
// applied is false if it comes from the future.
func (r *replica) receiveRecord(now instant, d *deltaReader) (rec record, applied, more bool) {
	seq, ok := d.peekSeq()
	if !ok {
		return rec, false, false
	}
	if d.origin == r.origin || r.dots(d.origin, now).has(seq) {
		r.n.duplicates++
		d.skip()
		return rec, true, true
	}
	d.next(&rec)
	r.makeRoom(now, &rec)
	dots := r.dots(d.origin, now)
	if dots.has(seq) { // it came a second time while the lock was free
		r.n.duplicates++
		return rec, true, true
	}
	r.n.recordsIn++
	if !r.apply(now, &rec) {
		return rec, false, true
	}
	r.log.put(d.origin, seq, &rec)
	if !dots.add(seq) {
		r.n.droppedIntervals++
	}
	return rec, true, true
}

func (r *replica) dots(origin uint64, now instant) *dotSet {
	dots, dropped := r.ctx.of(origin, now.mono)
	if dropped {
		r.n.droppedOrigins++
	}
	return dots
}

// apply merges a record of another node. It returns false for one from the
// future: its dot stays a gap, to be repaired when the clocks have caught up.
// Meanwhile an older value of the key is known to be stale, and is given up.
func (r *replica) apply(now instant, rec *record) bool {
	if rec.stamp > stampOf(now.wall+r.maxSkew)|(1<<stampShift-1) {
		r.n.refusedSkew++
		if rec.kind != kindClear && r.store.drop(rec.key, rec.version) {
			r.changed(rec.key, kindForget)
		}
		return false
	}
	r.clock.observe(rec.stamp)
	switch r.store.apply(now, rec, false) {
	case outcomeKept, outcomeRefused, outcomeCleared:
		return true
	case outcomeTooBig:
		r.n.refusedTooBig++
	}
	r.changed(rec.key, rec.kind)
	return true
}

// tick does the periodic work; it wants to be called about once a second. It
// sweeps a part of the store: expired entries, old tombstones.
func (r *replica) tick(now instant) {
	n := r.store.shards()
	for range (n + sweepTurns - 1) / sweepTurns {
		r.store.sweepShard(now, r.swept)
		r.swept = (r.swept + 1) % n
	}
}

// ahead returns by how much what this node writes is stamped ahead of its wall clock,
// if that is more than others accept; otherwise 0. It happens when that clock was
// wrong and is set back.
func (r *replica) ahead(now instant) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ms := stampWall(r.clock.last) - now.wall; ms > r.maxSkew && !r.local {
		return time.Duration(ms) * time.Millisecond
	}
	return 0
}

// flush takes what is to be sent: frames for everybody, and messages.
func (r *replica) flush() (broadcasts [][]byte, sends []message) {
	r.mu.Lock()
	r.n.recordsOut += uint64(r.outbox.n)
	first, chunks := r.outbox.take()
	sends, r.sends = r.sends, nil
	r.mu.Unlock()
	for _, records := range chunks {
		broadcasts = append(broadcasts, cutDelta(r.origin, first, records)...)
		first += uint64(len(records))
	}
	if len(chunks) > 0 {
		clear(chunks[0])
		r.mu.Lock()
		r.outbox.recycle(chunks[0])
		r.mu.Unlock()
	}
	return broadcasts, sends
}

// cutDelta encodes consecutive records as frames of about maxFrame at most.
func cutDelta(origin, first uint64, records []record) (frames [][]byte) {
	for len(records) > 0 {
		n, size := 0, 0
		for n < len(records) && (n == 0 || size+recordSize(&records[n]) <= maxFrame) {
			size += recordSize(&records[n])
			n++
		}
		frames = append(frames, appendDelta(make([]byte, 0, size+64), origin, first, records[:n]))
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
}

func (r *replica) stats() (n replicaStats, g replicaGauges) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n, replicaGauges{origins: len(r.ctx.origins), logRecords: r.log.records, outbox: r.outbox.n}
}

type replicaGauges struct{ origins, logRecords, outbox int }
