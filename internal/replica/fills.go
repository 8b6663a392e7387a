package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// Fills are those of this node, and the provisional values that other nodes offer. Callers don't hold
// the lock.
type Fills struct {
	mu         *lock
	state      *state
	neighbours *neighbours
	writes     *localWrites
	leases     *Leases
	out        *outgoing
	isolation  *Isolation
	counts     fillCounts
}

type fillCounts struct {
	ProvisionalKept, ProvisionalOffered     uint64
	ProvisionalAccepted, ProvisionalRefused uint64
}

// Begin is called right before the database is asked for some keys. settle is by how much the
// answer may lag behind what is committed.
func (x *Fills) Begin(now delta.Instant, settle time.Duration, keys ...string) []*Fill {
	fills := make([]*Fill, len(keys))
	start := &fillStart{settle: settle, began: x.isolation.look(now)}
	for i, key := range keys {
		open := x.state.Store.Fills.Open(key, now)
		fills[i] = &Fill{fillStart: start, OpenFill: open, bucket: delta.BucketOf(key)}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	start.stamp, start.epoch = x.state.fillStamp(now, settle), x.state.Store.Epochs.Now()
	start.clears = x.state.Store.Clears.Number()
	start.echoes = x.neighbours.echoes(now, settle)
	for i, f := range fills {
		if i > 0 && i%ApplyBatch == 0 { // others want the lock; what comes now precedes the reading
			x.mu.Unlock()
			x.mu.Lock()
		}
		x.state.Store.Fills.Begin(&f.OpenFill)
	}
	return fills
}

// Lag has the node prepare for fills whose reads lag behind what is committed.
func (x *Fills) Lag() {
	if x.state.local {
		x.state.touches.Track()
	}
}

// Drop ends a fill that brought nothing.
func (x *Fills) Drop(f *Fill) { x.state.Store.Fills.End(&f.OpenFill) }

// End ends a fill that brought a record, which is complete but for its version. If the fence lets it
// pass, that is written. Otherwise it may be kept as a provisional value, if no write of its key, no
// Clear and no vector that was adopted can be newer than what was read: no clock of another node
// decides that. What is brought for this node only is never written.
func (x *Fills) End(now delta.Instant, f *Fill, rec *delta.Record, scope FillScope) (o FillOutcome) {
	rec.Version = delta.Version{Stamp: f.stamp, Origin: x.state.Origin}
	at := x.state.Store.Approach(rec)
	defer x.state.Store.Fills.End(&f.OpenFill)
	x.mu.Lock()
	defer x.mu.Unlock()
	defer func() {
		if o == FillRefused {
			x.state.Store.Fills.Refuse(now, f.Key, store.DecisionFillRefused, f.stamp)
		}
	}()
	for scope == FillForAll && x.state.makeRoom(now, rec) {
		x.mu.Unlock()
		x.mu.Lock()
	}
	if x.isolation.Is() {
		if scope = FillBeside; !x.isolation.cut(now, f, rec) {
			return FillRefused
		}
	}
	switch {
	case x.writes.closed:
		return FillRefused
	case scope == FillForAll && x.state.passes(f, rec):
		x.writes.commit(now, rec, at)
		return FillWritten
	case !x.state.untouched(f) || x.state.clearedSince(f, rec):
		return FillRefused
	case rec.Kind == delta.KindTombstone: // there is nothing to keep, nor is what was there any more
		if x.state.Store.Fills.Unkeep(now, &f.OpenFill, scope == FillBeside) {
			return FillKept
		}
		return FillRefused
	}
	for x.state.makeRoomToKeep(now, rec, &f.OpenFill, scope == FillBeside) {
		x.mu.Unlock()
		x.mu.Lock()
	}
	if x.writes.closed || !x.state.untouched(f) || x.state.clearedSince(f, rec) {
		return FillRefused
	}
	return x.keep(now, f, rec, scope)
}

// keep makes a value, or a negative, a provisional one, and offers it if it is for all.
func (x *Fills) keep(now delta.Instant, f *Fill, rec *delta.Record, scope FillScope) FillOutcome {
	_, isNew := x.state.Store.Fills.Keep(now, f.epoch, rec, &f.OpenFill, scope == FillBeside)
	if !isNew {
		return FillRefused
	}
	x.counts.ProvisionalKept++
	if scope == FillForAll && x.share(f, rec) {
		return FillOffered
	}
	return FillKept
}

// upToMore is for how long before its echo a neighbour may have lacked what this node had processed.
const upToMore = 10 * time.Second

// share offers what a fill brought to all neighbours that have said how far they are, and know what tags
// are if it has some. It reports whether there are some, and there was room.
func (x *Fills) share(f *Fill, rec *delta.Record) bool {
	var to []peerEcho
	since := f.Begin // the one that was heard longest ago has touched more since than others
	for _, e := range f.echoes {
		p := x.neighbours.byID[e.peer]
		if p != nil && p.origin == e.origin && (p.tags || rec.Tags == "") {
			to = append(to, e)
			since = min(since, e.at)
		}
	}
	if len(to) == 0 {
		return false
	}
	// What was touched here since the fill began isn't this key, nor is it a Clear: so the dots are of
	// writes that were issued before it, or of other keys.
	known := x.state.touches.AppendDots(nil, x.state.touches.Clears)
	known = x.state.touches.AppendDots(known, x.state.touches.Heads[f.bucket])
	offer := wire.Offer{
		Origin: x.state.Origin, Rec: *rec,
		Dots: known, Clears: x.state.Store.Clears.Dots(rec),
	}
	if rec.Size() <= delta.MaxUpToRecord {
		offer.UpTo = x.state.upTo(f.bucket, since-upToMore, offer.Clears)
	}
	if !x.out.offer(offered{offer, to}) {
		return false
	}
	x.counts.ProvisionalOffered += uint64(len(to))
	return true
}

// receiveOffer keeps another node's provisional value, if every write that this node has processed in
// its bucket, and every Clear, was known to the fill when it began: this node had told the other one
// that it had processed it, or the other one had processed it itself.
func (x *Fills) receiveOffer(now delta.Instant, from uint64, o wire.Offer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.neighbours.hear(now, from, o.Origin, o.Echo) == nil || x.writes.closed {
		return
	}
	accepts := func() bool {
		return !x.writes.closed && !x.isolation.Is() && o.To == x.state.Origin && x.state.sees(&o)
	}
	for accepts() && x.state.makeRoomToKeep(now, &o.Rec, nil, false) {
		x.mu.Unlock()
		x.mu.Lock()
	}
	epoch := x.state.Store.Epochs.Now()
	if !accepts() {
		x.refuse(now, &o)
		return
	}
	o.Rec.Origin = o.Origin
	held, isNew := x.state.Store.Fills.Keep(now, epoch, &o.Rec, nil, false)
	if isNew {
		x.counts.ProvisionalAccepted++
	}
	if held { // it, or one like it
		x.state.changed(o.Rec.Key, o.Rec.Kind)
	} else {
		x.refuse(now, &o)
	}
}

// refuse has who waits for a value that can't be accepted ask for another one.
func (x *Fills) refuse(now delta.Instant, o *wire.Offer) {
	x.counts.ProvisionalRefused++
	x.state.Store.Fills.Refuse(now, o.Rec.Key, store.DecisionOfferRefused, 0)
	x.leases.asks.OfferRefused(now, o.Rec.Key)
}
