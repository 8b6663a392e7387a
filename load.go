package bcache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxFills is how many Fills of one key run at a time on a node. Those that nobody joins any more count:
// the forgotten ones, those that were given up, and those that hang and ignore their contexts.
const maxFills = 3

// loads are the fills of Loaders that are under way on this node, one per key and layout (as
// singleflight has it). A write that comes meanwhile forgets those of its key, as in flights: who comes
// later gets a fill that began after the write.
//
// It isn't made of singleflight groups, as flights is, because that can't count who waits,
// which it takes to cancel a fill for nobody, and because a call of FillMany is the flight of many
// keys.
type loads struct {
	hash    func(key string) uint64 // one that nobody else knows
	count   atomic.Int64            // of all shards: most writes look at this only
	givenUp atomic.Uint64
	shards  [64]loadShard
}

type loadShard struct {
	running atomic.Int64 // loads that haven't ended, the forgotten ones included

	mu    sync.Mutex
	byKey map[string][]*load // in the order in which they came
}

// A load is the fill of one key. It waits for a place among the maxFills of its key, and then for
// whatever its Loader has it wait for. Until its Fill is called it may be joined, whatever is written:
// what the Fill reads is newer.
type load struct {
	key    string // of the cache
	layout any    // whose loads may be joined: see Loader
	run    *run

	// Guarded by the shard's lock.
	begun     bool // its Fill has been called, or its result is being looked up
	forgotten bool // nobody may join any more: a write has come,
	givenUp   bool // or a caller's deadline

	placed  atomic.Bool
	arrived chan struct{} // something was written to the key, or it may be its turn; a batch has one
	stirred atomic.Bool   // it is about this one

	done   chan struct{} // closed when result is there
	result loadResult

	late atomic.Bool // somebody waited for it until a deadline
}

// A loadResult is what those get who wait for a load.
type loadResult struct {
	Value string
	Stale bool  // the deadline of Value has passed
	Err   error // why there is no value or, if Value is stale, no newer one
}

func newLoads(hash func(key string) uint64) *loads {
	f := &loads{hash: hash}
	for i := range f.shards {
		f.shards[i].byKey = map[string][]*load{}
	}
	return f
}

func (f *loads) of(key string) *loadShard {
	return &f.shards[f.hash(key)%uint64(len(f.shards))]
}

// join has the caller wait for the load of key in a layout. If there is none that it can join it makes
// one, as a part of r, and then the caller has to do the load and call end; arrived gets a token when
// there is something new about the load. join returns nil to a Fill that would wait for itself.
func (f *loads) join(key string, layout any, r *run, arrived chan struct{}) (ld *load, isNew bool) {
	sh := f.of(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if ld := sh.latest(key, layout); ld != nil {
		if ld.run != r && r.within(ld.run) {
			return nil, false
		}
		if ld.run.join() {
			return ld, false
		}
	}
	r.join()
	return f.add(sh, key, layout, r, arrived), true
}

// runs reports whether there is a load of key in a layout that could be joined.
func (f *loads) runs(key string, layout any) bool {
	sh := f.of(key)
	if sh.running.Load() == 0 {
		return false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.joinable(key, layout)
}

// background makes a load of key that nobody waits for, as a part of r. It returns nil if there is one
// already, or no place for one.
func (f *loads) background(key string, layout any, r *run, arrived chan struct{}) *load {
	sh := f.of(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.joinable(key, layout) || !sh.hasPlace(key) {
		return nil
	}
	return f.add(sh, key, layout, r, arrived)
}

// latest returns the load of key in a layout that is the latest, or nil if that can't be joined.
func (sh *loadShard) latest(key string, layout any) *load {
	for _, ld := range slices.Backward(sh.byKey[key]) {
		if ld.layout == layout {
			if ld.forgotten || ld.givenUp {
				return nil
			}
			return ld
		}
	}
	return nil
}

func (sh *loadShard) joinable(key string, layout any) bool {
	ld := sh.latest(key, layout)
	return ld != nil && ld.run.joinable()
}

// hasPlace reports whether one more Fill of key may run.
func (sh *loadShard) hasPlace(key string) bool {
	n := 0
	for _, ld := range sh.byKey[key] {
		if ld.hasPlace() {
			n++
		}
	}
	return n < maxFills
}

func (f *loads) add(sh *loadShard, key string, layout any, r *run, arrived chan struct{}) *load {
	ld := &load{key: key, layout: layout, run: r, arrived: arrived, done: make(chan struct{})}
	ld.placed.Store(sh.hasPlace(key))
	sh.byKey[key] = append(sh.byKey[key], ld)
	sh.running.Add(1)
	f.count.Add(1)
	r.add()
	return ld
}

// hasPlace reports whether the load has its place.
func (ld *load) hasPlace() bool { return ld.placed.Load() }

// place waits for the load's place, as long as somebody waits for the load.
func (ld *load) place() error {
	for !ld.hasPlace() {
		select {
		case <-ld.arrived:
		case <-ld.run.ctx.Done():
			return ld.run.err()
		}
	}
	return nil
}

// begin notes that the load's Fill is about to be called: from now on a write forgets it.
func (f *loads) begin(ld *load) {
	f.setBegun(ld, true)
	ld.run.begin()
}

// lookUp asks look whether the load's result is there, before its Fill is called. Who comes after a
// write that look may not have seen doesn't join, unless there is no result yet.
func (f *loads) lookUp(ld *load, look func() (found bool)) (found bool) {
	f.setBegun(ld, true)
	if found = look(); !found {
		f.setBegun(ld, false)
	}
	return found
}

func (f *loads) setBegun(ld *load, begun bool) {
	sh := f.of(ld.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ld.begun = begun
	ld.forgotten = ld.forgotten && begun
}

// end gives the result to all who wait. The load isn't joined any more, and its place goes to the next
// load of the key that waits for one.
func (f *loads) end(ld *load, result loadResult) {
	sh := f.of(ld.key)
	sh.mu.Lock()
	others := slices.DeleteFunc(sh.byKey[ld.key], func(o *load) bool { return o == ld })
	if sh.byKey[ld.key] = others; len(others) == 0 {
		delete(sh.byKey, ld.key)
	}
	for _, o := range others {
		if result.Err == nil && o.layout == ld.layout {
			o.run.closeGivenUp()
		}
		if !o.hasPlace() && sh.hasPlace(o.key) {
			o.placed.Store(true)
			o.stir()
		}
	}
	sh.running.Add(-1)
	f.count.Add(-1)
	sh.mu.Unlock()
	ld.result = result
	close(ld.done)
	ld.run.done()
}

// written tells the loads of a key that something was written to it.
func (f *loads) written(key string) {
	if f.count.Load() == 0 {
		return
	}
	sh := f.of(key)
	if sh.running.Load() == 0 {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	forget(sh.byKey[key])
}

// writtenAll does so for all keys.
func (f *loads) writtenAll() {
	for i := range f.shards {
		sh := &f.shards[i]
		sh.mu.Lock()
		for _, of := range sh.byKey {
			forget(of)
		}
		sh.mu.Unlock()
	}
}

func forget(of []*load) {
	for _, ld := range of {
		ld.forgotten = ld.begun
		ld.stir()
	}
}

// stir wakes the goroutine that does the load, to look at it.
func (ld *load) stir() {
	ld.stirred.Store(true)
	notify(ld.arrived)
}

// isStirred reports whether the load was stirred since isStirred was called last.
func (ld *load) isStirred() bool { return ld.stirred.Swap(false) }

// isLate reports whether a caller has waited for the load until a deadline since isLate was called last.
func (ld *load) isLate() bool { return ld.late.Swap(false) }

// giveUp notes that a caller has waited for a load until the caller's deadline. If that says something
// about the Fill, nobody joins the load any more; and if it waits for another node's, that one may hang.
func (f *loads) giveUp(ld *load, waited time.Duration) {
	if gaveUp, isFirst := ld.run.giveUp(waited); gaveUp {
		sh := f.of(ld.key)
		sh.mu.Lock()
		ld.givenUp = true
		sh.mu.Unlock()
		if isFirst {
			f.givenUp.Add(1)
		}
	}
	if waited >= giveUpAfter {
		ld.late.Store(true)
		ld.stir()
	}
}

// spare reports whether a load is the oldest of its key, and somebody waits for a younger one: then the
// oldest goes on, as its query may be only slow. Otherwise each would be given up before it brings
// a value.
func (f *loads) spare(ld *load) bool {
	sh := f.of(ld.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	of := sh.byKey[ld.key]
	waited := func(o *load) bool { return o.run.waited() }
	return len(of) > 1 && of[0] == ld && slices.ContainsFunc(of[1:], waited)
}

// unspare ends the loads of a key that were spared, once nobody waits for a younger one.
func (f *loads) unspare(ld *load) {
	sh := f.of(ld.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	of := sh.byKey[ld.key]
	if !slices.ContainsFunc(of, func(o *load) bool { return o.run.waited() }) {
		for _, o := range of {
			o.run.closeGivenUp()
		}
	}
}

// close cancels the fills for which nobody waits; why is the cause that their contexts get.
func (f *loads) close(why error) {
	for i := range f.shards {
		sh := &f.shards[i]
		sh.mu.Lock()
		for _, of := range sh.byKey {
			for _, ld := range of {
				ld.run.close(why)
			}
		}
		sh.mu.Unlock()
	}
}

// wait waits for a load's result, or for the end of ctx, or until the load's Fill is overdue. Each
// caller that has joined has to call it once: the run ends when nobody waits for any of its loads.
func (f *loads) wait(ctx context.Context, ld *load) loadResult {
	came := time.Now()
	select {
	case <-ld.done:
	case <-ctx.Done():
		select {
		case <-ld.done: // at the same time
		default:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				f.giveUp(ld, time.Since(came))
			}
			ld.run.leave(ctx.Err(), f.spare(ld))
			f.unspare(ld)
			return loadResult{Err: ctx.Err()}
		}
	case <-ld.run.ctx.Done(): // it is overdue, or all its loads have ended
		select {
		case <-ld.done:
		default:
			ld.run.leave(errOverdue, false)
			return loadResult{Err: errOverdue}
		}
	}
	ld.run.leave(context.Canceled, false)
	return ld.result
}

// len is the number of loads that haven't ended.
func (f *loads) len() int { return int(f.count.Load()) }
