package bcache

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// An EventKind says what an Event is about.
type EventKind uint8

const (
	EventSet    EventKind = iota + 1 // the key has this value now
	EventDelete                      // the key was deleted, or is known to have no value
	EventExpire                      // the entry was removed because its time was over, as stale too: up to some 5 seconds after that
	EventEvict                       // the entry was given up: for room, or because it may not be current any more
	EventClear                       // all keys are gone; there are no events for each
	EventLost                        // N events before this one were lost: anything may have changed
)

var eventNames = [...]string{"?", "set", "delete", "expire", "evict", "clear", "lost"}

func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return fmt.Sprintf("EventKind(%d)", uint8(k))
}

// An Event is a change of what a node holds.
type Event struct {
	Kind  EventKind
	Key   string // "" with EventClear and EventLost
	Value string // with EventSet

	// Origin is the life of a node that wrote what the event is about: a random number drawn in New. With
	// EventExpire and EventEvict it is who wrote the entry. 0 with EventLost.
	Origin uint64
	Local  bool // it was this node

	// Provisional means that the value, or that there is none, was read from the database but is no
	// write: nodes that can't be sure of it don't have it. See "Fills, and the fence" in the README.
	// Any write of the key ends it: if that changes nothing else, an EventEvict tells so. Of a value
	// that a Typed has beside one that it can't decode there are no events. With EventExpire and
	// EventEvict it means that the entry was provisional.
	Provisional bool

	N int // with EventLost
}

// eventQueue is how many events wait for a slow subscriber; what comes then is lost.
const eventQueue = 1024

// Subscribe has fn called for every change of what this node holds, whoever made it: values set,
// filled and received, deletes, entries that expire or are evicted, clears. What came before isn't
// told; nor is what goes with Close.
//
// fn runs on a goroutine of its own, one call at a time. Events of a key come in the order in which
// they happened; so do all before and after a clear. 1,024 of them are queued: if fn is so slow that
// more come, they are dropped, and an EventLost says how many, in their place; whoever derives
// something from the cache then begins anew. fn may call the cache. If it panics that is logged,
// and it goes on with the next event.
//
// cancel ends it: when it returns, fn isn't running and isn't called again. The same goes for
// Close. Both may be called from within fn, of this subscription or another one; then
// they don't wait for it. cancel may be called more than once.
//
// Where nobody subscribes, it costs next to nothing.
func (b *Bcache) Subscribe(fn func(Event)) (cancel func()) {
	if fn == nil {
		return func() {}
	}
	s := &subscription{fn: fn, self: b.peer.replica.origin, log: b.peer.log, more: make(chan struct{}, 1), ended: make(chan struct{})}
	if !b.store.watchers.add(s) {
		return func() {} // closed
	}
	go s.run()
	return func() {
		b.store.watchers.remove(s)
		s.stop()
		s.wait()
	}
}

// watchers are the subscriptions of a store. Whoever has something to tell looks at list only,
// which is nil if nobody listens.
type watchers struct {
	list atomic.Pointer[[]*subscription] // it is replaced, not changed

	mu     sync.Mutex // of who changes it
	closed bool
	ending []*subscription // cancelled, or by close: fn may still run
}

func (w *watchers) none() bool { return w.list.Load() == nil }

func (w *watchers) all() []*subscription {
	if list := w.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (w *watchers) set(list []*subscription) {
	if len(list) == 0 {
		w.list.Store(nil)
	} else {
		w.list.Store(&list)
	}
}

func (w *watchers) add(s *subscription) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.set(append(slices.Clone(w.all()), s))
	return true
}

func (w *watchers) remove(s *subscription) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.all(), s); i >= 0 {
		w.set(slices.Delete(slices.Clone(w.all()), i, i+1))
		w.ending = append(slices.DeleteFunc(w.ending, (*subscription).hasEnded), s)
	}
}

// close ends all subscriptions, and wait waits for that.
func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, s := range w.all() {
		s.stop()
		w.ending = append(w.ending, s)
	}
	w.set(nil)
}

func (w *watchers) wait() {
	w.mu.Lock()
	ending := slices.Clone(w.ending)
	w.mu.Unlock()
	for _, s := range ending {
		s.wait()
	}
}

// tell queues an event for every subscriber, unless a Clear, of which they were told before, stands
// for what it says is held at that stamp. It waits for none of them.
func (s *store) tell(e Event, stamp uint64) {
	for _, sub := range s.watchers.all() {
		if !sub.put(e, func() bool { return stamp <= s.clearStamp.Load() }) {
			s.eventsLost.Add(1)
		}
	}
}

// always is a stamp that no Clear has.
const always = math.MaxUint64

// tellGone tells what becomes of an entry.
func (s *store) tellGone(e *entry, kind EventKind) {
	if s.watchers.none() || e == nil || e.kind != kindValue || e.isProvisional() && e.ofProvisional().beside {
		return
	}
	s.tell(Event{Kind: kind, Key: e.key, Origin: e.origin, Provisional: e.isProvisional()}, always)
}

// tellHeld tells of what is held now.
func (s *store) tellHeld(rec *record) { s.tellOf(rec, rec.stamp, false) }

// tellClear tells of a Clear.
func (s *store) tellClear(v version) { s.tellOf(&record{version: v, kind: kindClear}, always, false) }

// tellProvisional tells of a provisional value. Only a Clear that comes later ends it.
func (s *store) tellProvisional(rec *record) { s.tellOf(rec, always, true) }

func (s *store) tellOf(rec *record, stamp uint64, provisional bool) {
	if s.watchers.none() {
		return
	}
	e := Event{Kind: EventDelete, Key: rec.key, Origin: rec.origin, Provisional: provisional}
	switch rec.kind {
	case kindValue:
		e.Kind, e.Value = EventSet, rec.val
	case kindClear:
		e.Kind = EventClear
	}
	s.tell(e, stamp)
}

// A subscription is a queue of events, and a goroutine that hands them to fn.
type subscription struct {
	fn    func(Event)
	self  uint64 // this node's origin
	log   *lineLog
	more  chan struct{}
	ended chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	queue  []Event
	lost   int // events that came after those in the queue
	closed bool
}

// put queues an event, or counts it as lost. It asks whether the event is void when no other one
// can come in between.
func (s *subscription) put(e Event, void func() bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || void() {
		return true
	}
	free := eventQueue - len(s.queue)
	if s.lost > 0 && free > 1 {
		s.queue = append(s.queue, Event{Kind: EventLost, N: s.lost})
		s.lost = 0
		free--
	}
	if s.lost > 0 || free == 0 {
		s.lost++
		return false
	}
	e.Local = e.Origin == s.self
	s.queue = append(s.queue, e)
	notify(s.more)
	return true
}

// next waits for an event; ok is false if there won't be any more.
func (s *subscription) next() (e Event, ok bool) {
	for {
		s.mu.Lock()
		switch {
		case s.closed:
			s.mu.Unlock()
			return e, false
		case len(s.queue) > 0:
			e = s.queue[0]
			s.queue[0] = Event{}
			if s.queue = s.queue[1:]; len(s.queue) == 0 {
				s.queue = nil
			}
			s.mu.Unlock()
			return e, true
		case s.lost > 0:
			e = Event{Kind: EventLost, N: s.lost}
			s.lost = 0
			s.mu.Unlock()
			return e, true
		}
		s.mu.Unlock()
		<-s.more
	}
}

func (s *subscription) run() {
	goexit := true
	defer func() {
		if goexit { // fn has ended the goroutine
			go s.run()
		} else {
			close(s.ended)
		}
	}()
	for {
		e, ok := s.next()
		if !ok {
			break
		}
		s.deliver(e)
	}
	goexit = false
}

// deliver calls fn. wait looks for it on the stack.
func (s *subscription) deliver(e Event) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Errorf(0, "a subscriber panicked: %v\n\n%s", p, debug.Stack())
		}
	}()
	s.fn(e)
}

// stop has fn not called any more.
func (s *subscription) stop() {
	s.mu.Lock()
	s.closed = true
	s.queue, s.lost = nil, 0
	s.mu.Unlock()
	notify(s.more)
}

func (s *subscription) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// wait waits until it doesn't run either, unless it is called by one.
func (s *subscription) wait() {
	if !delivering() {
		<-s.ended
	}
}

// delivering reports whether the caller was called by a subscriber's fn. Two of them that end each
// other would otherwise wait for ever.
func delivering() bool {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for {
			f, more := frames.Next()
			if strings.HasSuffix(f.Function, "bcache.(*subscription).deliver") {
				return true
			}
			if !more {
				break
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
