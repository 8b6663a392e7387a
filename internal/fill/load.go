package fill

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/signal"
)

// MaxFills is how many Fills of one key run at a time on a node. Those that nobody joins any more count:
// the forgotten ones, those that were given up, and those that hang and ignore their contexts.
const MaxFills = 3

// Loads are the fills of Loaders that are under way on this node, one per key and layout (as
// singleflight has it). A write that comes meanwhile forgets those of its key: who comes later gets a
// fill that began after the write. So does a Clear, but for one of a tag: see Clears.
//
// It isn't made of singleflight groups, as the fills of GetWithFiller are, because that can't count
// who waits, which it takes to cancel a fill for nobody, and because a call of FillMany is the flight of
// many keys.
type Loads struct {
	hash    func(key string) uint64 // one that nobody else knows
	clears  Clears
	count   atomic.Int64 // of all shards: most writes look at this only
	GivenUp atomic.Uint64
	shards  [64]shard
}

type shard struct {
	running atomic.Int64 // loads that haven't ended, the forgotten ones included

	mu    sync.Mutex
	byKey map[string][]*Load // in the order in which they came
}

// A Load is the fill of one key. It waits for a place among the MaxFills of its key, and then for
// whatever its Loader has it wait for. Until its Fill is called it may be joined, whatever is written:
// what the Fill reads is newer.
type Load struct {
	Key    string // of the cache
	layout any    // whose loads may be joined: see Loader
	Run    *Run

	// Guarded by the shard's lock.
	begun     bool // its Fill has been called, or its result is being looked up
	forgotten bool // nobody may join any more: a write has come,
	givenUp   bool // or a caller's deadline

	clears uint64 // the number of the last Clear when it began: see setBegun

	placed  atomic.Bool
	Arrived chan struct{} // something was written to the key, or it may be its turn; a batch has one
	stirred atomic.Bool   // it is about this one

	done   chan struct{} // closed when result is there
	result Result

	tags    delta.Tags // of the result
	tagged  bool       // they are known
	cleared uint64     // the number of the first Clear after clears that is about it; 0: none

	late atomic.Bool // somebody waited for it until a deadline

	shared atomic.Pointer[shared] // nil: nothing yet
}

// A Result is what those get who wait for a load.
type Result struct {
	Value string
	Stale bool  // the deadline of Value has passed
	Err   error // why there is no value or, if Value is stale, no newer one
}

// NewLoads returns the loads of a node that has processed these Clears.
func NewLoads(hash func(key string) uint64, clears Clears) *Loads {
	f := &Loads{hash: hash, clears: clears}
	for i := range f.shards {
		f.shards[i].byKey = map[string][]*Load{}
	}
	return f
}

func (f *Loads) of(key string) *shard {
	return &f.shards[f.hash(key)%uint64(len(f.shards))]
}

// Join has the caller wait for the load of key in a layout. If there is none that it can join it makes
// one, as a part of r, and then the caller has to do the load and call End; arrived gets a token when
// there is something new about the load. Join returns nil to a Fill that would wait for itself.
//
// Who asks anew joins a load only before its Fill is called, and only one whose callers all do: the
// others may be served what is held.
func (f *Loads) Join(key string, layout any, r *Run, arrived chan struct{}) (ld *Load, isNew bool) {
	sh := f.of(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if ld := sh.latest(key, layout, r.Anew); ld != nil {
		if ld.Run != r && r.within(ld.Run) {
			return nil, false
		}
		if !(r.Anew && ld.begun) && ld.Run.join() {
			return ld, false
		}
	}
	r.join()
	return f.add(sh, key, layout, r, arrived), true
}

// Runs reports whether there is a load of key in a layout that could be joined.
func (f *Loads) Runs(key string, layout any) bool {
	sh := f.of(key)
	if sh.running.Load() == 0 {
		return false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.joinable(key, layout)
}

// Background makes a load of key that nobody waits for, as a part of r. It returns nil if there is one
// already, or no place for one.
func (f *Loads) Background(key string, layout any, r *Run, arrived chan struct{}) *Load {
	sh := f.of(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.joinable(key, layout) || !sh.hasPlace(key) {
		return nil
	}
	return f.add(sh, key, layout, r, arrived)
}

// latest returns the load of key in a layout, for callers of one kind, that is the latest, or nil if
// that can't be joined.
func (sh *shard) latest(key string, layout any, anew bool) *Load {
	for _, ld := range slices.Backward(sh.byKey[key]) {
		if ld.layout == layout && ld.Run.Anew == anew {
			if ld.forgotten || ld.givenUp {
				return nil
			}
			return ld
		}
	}
	return nil
}

func (sh *shard) joinable(key string, layout any) bool {
	ld := sh.latest(key, layout, false)
	return ld != nil && ld.Run.joinable()
}

// hasPlace reports whether one more Fill of key may run.
func (sh *shard) hasPlace(key string) bool {
	n := 0
	for _, ld := range sh.byKey[key] {
		if ld.HasPlace() {
			n++
		}
	}
	return n < MaxFills
}

func (f *Loads) add(sh *shard, key string, layout any, r *Run, arrived chan struct{}) *Load {
	ld := &Load{
		Key: key, layout: layout, Run: r, Arrived: arrived, done: make(chan struct{}),
		clears: f.clears.Number(),
	}
	ld.placed.Store(sh.hasPlace(key))
	sh.byKey[key] = append(sh.byKey[key], ld)
	sh.running.Add(1)
	f.count.Add(1)
	r.add()
	return ld
}

// HasPlace reports whether the load has its place.
func (ld *Load) HasPlace() bool { return ld.placed.Load() }

// Place waits for the load's place, as long as somebody waits for the load.
func (ld *Load) Place() error {
	for !ld.HasPlace() {
		select {
		case <-ld.Arrived:
		case <-ld.Run.Ctx.Done():
			return ld.Run.Err()
		}
	}
	return nil
}

// Begin notes that the load's Fill is about to be called: from now on a write forgets it.
func (f *Loads) Begin(ld *Load) {
	f.setBegun(ld, true)
	ld.Run.begin()
}

// Brings notes which tags the result of a load has, before it ends. Of one that ends without this, any
// Clear may be about the result.
func (ld *Load) Brings(tags delta.Tags) { ld.tags, ld.tagged = tags, true }

// LookUp asks look whether the load's result is there, before its Fill is called. Who comes after a
// write that look may not have seen doesn't join, unless there is no result yet.
func (f *Loads) LookUp(ld *Load, look func() (found bool)) (found bool) {
	f.setBegun(ld, true)
	if found = look(); !found {
		f.setBegun(ld, false)
	}
	return found
}

func (f *Loads) setBegun(ld *Load, begun bool) {
	sh := f.of(ld.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ld.begun = begun
	ld.forgotten = ld.forgotten && begun
	if begun {
		ld.clears = f.clears.Number()
	}
}

// End gives the result to all who wait. The load isn't joined any more, and its place goes to the next
// load of the key that waits for one.
func (f *Loads) End(ld *Load, result Result) {
	sh := f.of(ld.Key)
	sh.mu.Lock()
	others := slices.DeleteFunc(sh.byKey[ld.Key], func(o *Load) bool { return o == ld })
	if sh.byKey[ld.Key] = others; len(others) == 0 {
		delete(sh.byKey, ld.Key)
	}
	for _, o := range others {
		if result.Err == nil && o.layout == ld.layout {
			o.Run.closeGivenUp()
		}
		if !o.HasPlace() && sh.hasPlace(o.Key) {
			o.placed.Store(true)
			o.Stir()
		}
	}
	sh.running.Add(-1)
	f.count.Add(-1)
	sh.mu.Unlock()
	ld.result = result
	f.judge(ld) // now: who isn't among those who wait can't join any more
	close(ld.done)
	ld.Run.done()
}

// Written tells the loads of a key that something was written to it.
func (f *Loads) Written(key string) {
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

// WrittenAll does so for all keys with a prefix.
func (f *Loads) WrittenAll(prefix string) {
	for i := range f.shards {
		sh := &f.shards[i]
		sh.mu.Lock()
		for key, of := range sh.byKey {
			if strings.HasPrefix(key, prefix) {
				forget(of)
			}
		}
		sh.mu.Unlock()
	}
}

func forget(of []*Load) {
	for _, ld := range of {
		ld.forgotten = ld.begun
		ld.Stir()
	}
}

// Stir wakes the goroutine that does the load, to look at it.
func (ld *Load) Stir() {
	ld.stirred.Store(true)
	signal.Notify(ld.Arrived)
}

// IsStirred reports whether the load was stirred since IsStirred was called last.
func (ld *Load) IsStirred() bool { return ld.stirred.Swap(false) }

// IsLate reports whether a caller has waited for the load until a deadline since IsLate was called last.
func (ld *Load) IsLate() bool { return ld.late.Swap(false) }

// giveUp notes that a caller has waited for a load until the caller's deadline. If that says something
// about the Fill, nobody joins the load any more; and if it waits for another node's, that one may hang.
func (f *Loads) giveUp(ld *Load, waited time.Duration) {
	if gaveUp, isFirst := ld.Run.giveUp(waited); gaveUp {
		sh := f.of(ld.Key)
		sh.mu.Lock()
		ld.givenUp = true
		sh.mu.Unlock()
		if isFirst {
			f.GivenUp.Add(1)
		}
	}
	if waited >= GiveUpAfter {
		ld.late.Store(true)
		ld.Stir()
	}
}

// spare reports whether a load is the oldest of its key, and somebody waits for a younger one: then the
// oldest goes on, as its query may be only slow. Otherwise each would be given up before it brings
// a value.
func (f *Loads) spare(ld *Load) bool {
	sh := f.of(ld.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	of := sh.byKey[ld.Key]
	waited := func(o *Load) bool { return o.Run.waited() }
	return len(of) > 1 && of[0] == ld && slices.ContainsFunc(of[1:], waited)
}

// unspare ends the loads of a key that were spared, once nobody waits for a younger one.
func (f *Loads) unspare(ld *Load) {
	sh := f.of(ld.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	of := sh.byKey[ld.Key]
	if !slices.ContainsFunc(of, func(o *Load) bool { return o.Run.waited() }) {
		for _, o := range of {
			o.Run.closeGivenUp()
		}
	}
}

// Close cancels the fills for which nobody waits; why is the cause that their contexts get.
func (f *Loads) Close(why error) {
	for i := range f.shards {
		sh := &f.shards[i]
		sh.mu.Lock()
		for _, of := range sh.byKey {
			for _, ld := range of {
				ld.Run.Close(why)
			}
		}
		sh.mu.Unlock()
	}
}

// Wait waits for a load's result, or for the end of ctx, or until the load's Fill is overdue. Each
// caller that has joined has to call it once: the run ends when nobody waits for any of its loads. The
// result isn't ok for a caller that came after a Clear of what the load brings: it has to ask again.
func (f *Loads) Wait(ctx context.Context, ld *Load, who Caller) (res Result, ok bool) {
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
			ld.Run.leave(ctx.Err(), f.spare(ld))
			f.unspare(ld)
			return Result{Err: ctx.Err()}, true
		}
	case <-ld.Run.Ctx.Done(): // it is overdue, or all its loads have ended
		select {
		case <-ld.done:
		default:
			ld.Run.leave(ErrOverdue, false)
			return Result{Err: ErrOverdue}, true
		}
	}
	ld.Run.leave(context.Canceled, false)
	return ld.result, ld.cleared == 0 || who.came < ld.cleared
}

// Len is the number of loads that haven't ended.
func (f *Loads) Len() int { return int(f.count.Load()) }
