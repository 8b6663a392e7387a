package bcache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// loads are the fills of Loaders that are under way on this node, one per key (as singleflight
// has it). A write that comes meanwhile forgets the one of its key, as in flights: who comes
// later gets a fill that began after the write.
//
// It isn't made of singleflight groups, as flights is, because that can't count who waits,
// which it takes to cancel a fill for nobody, and because a call of FillMany is the flight of many
// keys.
type loads struct {
	running atomic.Int64 // of all shards: most writes look at this only
	shards  [64]loadShard
}

type loadShard struct {
	running atomic.Int64 // loads that haven't ended, the forgotten ones included

	mu    sync.Mutex
	byKey map[string][]*load // the last one is the latest
}

// A load is the fill of one key.
type load struct {
	key       string // of the cache
	run       *run
	forgotten bool          // nobody may join any more; guarded by the shard's lock
	arrived   chan struct{} // something was written to the key
	done      chan struct{} // closed when result is there
	result    Result

	bad *string // a value that doesn't count as one

	lease   *leaseAsk   // nil: it takes none
	late    atomic.Bool // somebody waited for it until a deadline
	outcome leaseMsg    // what is said of it in the end
}

func newLoads() *loads {
	f := &loads{}
	for i := range f.shards {
		f.shards[i].byKey = map[string][]*load{}
	}
	return f
}

func (f *loads) of(key string) *loadShard {
	return &f.shards[xxhash.Sum64String(key)%uint64(len(f.shards))]
}

// join has the caller wait for the load of key. If there is none that it can join it makes one,
// as a part of r, which has to be ended; bad is a value of the key that can't be used.
func (f *loads) join(ctx context.Context, key string, r *run, bad *string) (ld *load, isNew bool) {
	sh := f.of(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if ld := sh.latest(key); ld != nil && ld.run.join(ctx) {
		return ld, false
	}
	r.join(ctx)
	ld = f.add(sh, key, r)
	ld.bad = bad
	return ld, true
}

// runs reports whether there is a load of key that isn't forgotten.
func (f *loads) runs(key string) bool {
	sh := f.of(key)
	if sh.running.Load() == 0 {
		return false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ld := sh.latest(key)
	return ld != nil && ld.run.alive()
}

// background makes a load of key for nobody, as a part of r, unless there is one.
func (f *loads) background(key string, r *run) *load {
	sh := f.of(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if ld := sh.latest(key); ld != nil && ld.run.alive() {
		return nil
	}
	return f.add(sh, key, r)
}

// latest returns the load of key that may be joined, or nil.
func (sh *loadShard) latest(key string) *load {
	if of := sh.byKey[key]; len(of) > 0 && !of[len(of)-1].forgotten {
		return of[len(of)-1]
	}
	return nil
}

func (f *loads) add(sh *loadShard, key string, r *run) *load {
	ld := &load{key: key, run: r, arrived: make(chan struct{}, 1), done: make(chan struct{}), outcome: leaseMsg{op: opDeclined}}
	sh.byKey[key] = append(sh.byKey[key], ld)
	sh.running.Add(1)
	f.running.Add(1)
	r.add()
	return ld
}

// end tells all who wait, and later callers don't join any more.
func (f *loads) end(ld *load, result Result) {
	sh := f.of(ld.key)
	sh.mu.Lock()
	others := slices.DeleteFunc(sh.byKey[ld.key], func(o *load) bool { return o == ld })
	if sh.byKey[ld.key] = others; len(others) == 0 {
		delete(sh.byKey, ld.key)
	}
	sh.running.Add(-1)
	f.running.Add(-1)
	sh.mu.Unlock()
	ld.result = result
	close(ld.done)
	ld.run.done()
}

// written tells the loads of a key that something was written to it.
func (f *loads) written(key string) {
	if f.running.Load() == 0 {
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
		ld.forgotten = true
		notify(ld.arrived)
	}
}

// close cancels the fills for which nobody waits.
func (f *loads) close() {
	for i := range f.shards {
		sh := &f.shards[i]
		sh.mu.Lock()
		for _, of := range sh.byKey {
			for _, ld := range of {
				ld.run.close()
			}
		}
		sh.mu.Unlock()
	}
}

// wait waits for the result, or for the end of ctx. Whoever joined has to call it: the run ends when
// nobody waits for any of its loads.
func (ld *load) wait(ctx context.Context) Result {
	select {
	case <-ld.done:
	case <-ctx.Done():
		select {
		case <-ld.done: // at the same time
		default:
			ld.run.leave(ctx.Err())
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				ld.late.Store(true)
				notify(ld.arrived)
			}
			return Result{Err: ctx.Err()}
		}
	}
	ld.run.leave(context.Canceled)
	return ld.result
}
