package bcache

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/callqueue"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/store"
)

// An EventKind says what an Event is about.
type EventKind uint8

const (
	EventSet    EventKind = iota + 1 // the key has this value now
	EventDelete                      // the key was deleted, or is known to have no value
	// the entry was removed because its time was over, as stale too: up to some 5 seconds after that
	EventExpire
	// the entry was given up: for room, or because it may not be current any more
	EventEvict
	EventClear // what Prefix or Tag say is gone, or all keys; there are no events for each
	EventLost  // N events before this one were lost: anything may have changed
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

	// With EventClear: the keys that begin with Prefix are gone, or the entries that have Tag. If both are
	// "", all keys are.
	Prefix, Tag string

	// Origin is the life of the node that wrote what the event is about: a random number drawn in New. With
	// EventExpire and EventEvict it is the one that wrote the entry. It is 0 with EventLost.
	Origin uint64
	Local  bool // it was this node

	// Provisional means that the value, or that there is none, was read from the database but isn't a
	// write: nodes that can't be sure of it don't have it, and with LocalValues no other node does; see
	// docs/fills.md. Any write of the key ends it. If that write changes nothing else, an EventEvict tells
	// of the end; within 5 seconds, if a full sync has ended more than 1,024 of them. With EventExpire and
	// EventEvict, Provisional means that the entry was provisional. A [Typed] may hold a value beside one
	// that it can't decode: of that there are no events.
	Provisional bool

	N int // with EventLost
}

// eventQueue is how many events wait for a slow subscriber, and eventQueueBytes what they may take,
// eventOverhead each with their keys and values; what comes then is lost.
const (
	eventQueue      = 1024
	eventQueueBytes = 16 << 20
	eventOverhead   = 100
)

// Subscribe has fn called for every change of what this node holds, whoever made it: values that are
// set, filled and received, deletes, entries that expire or are evicted, clears. fn isn't told of what
// came before, nor of what goes with Close.
//
// fn runs on a goroutine of its own, one call at a time. The events of a key come in the order in which
// they happened, and so do all events before and after a clear. 1,024 events are queued, and 16 MiB. If
// fn is so slow that more come, they are dropped, and an [EventLost] says in their place how many; then
// begin anew with whatever you derive from the cache. docs/callbacks.md says what fn may call. A panic
// in fn is logged, and the next event comes.
//
// cancel ends it. fn isn't called again; and when cancel returns, fn isn't running either, unless it
// runs for 2 seconds more. The same goes for Close. Both may be called from within fn, of this
// subscription or another one, and then don't wait for it. cancel may be called more than once.
//
// Where nobody subscribes, it costs next to nothing.
func (b *Bcache) Subscribe(fn func(Event)) (cancel func()) {
	if fn == nil {
		return func() {}
	}
	s := newSubscription(b, fn)
	if !b.watchers.add(s) {
		return func() {} // closed
	}
	return func() {
		b.watchers.remove(s)
		s.calls.Drop()
		if !callqueue.CalledBack() {
			ctx, stop := context.WithTimeout(context.Background(), callLimit)
			defer stop()
			s.calls.Wait(ctx)
		}
	}
}

// watchers are the subscriptions of a node. They watch its store while there are any.
type watchers struct {
	store *store.Store
	list  atomic.Pointer[[]*subscription] // it is replaced, not changed; nil if nobody listens
	lost  atomic.Uint64                   // events

	mu     sync.Mutex // of who changes it
	closed bool
}

func (w *watchers) all() []*subscription {
	if list := w.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (w *watchers) set(list []*subscription) {
	if len(list) == 0 {
		w.store.Watch.Set(nil)
		w.list.Store(nil)
	} else {
		w.list.Store(&list)
		w.store.Watch.Set(w.tell)
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
	}
}

// close has nobody told any more.
func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.set(nil)
}

// changeEvents are the kinds of the events that tell of changes.
var changeEvents = [...]EventKind{
	store.ChangeSet: EventSet, store.ChangeDelete: EventDelete,
	store.ChangeExpire: EventExpire, store.ChangeEvict: EventEvict,
	store.ChangeClear: EventClear,
}

// tell queues an event for every subscriber, unless a Clear, of which they were told before, stands
// for what it says is held. It waits for none of them.
func (w *watchers) tell(c store.Change) {
	e := Event{
		Kind: changeEvents[c.Kind], Key: c.Key, Value: c.Val, Origin: c.Origin, Provisional: c.Provisional,
	}
	e.Prefix, _ = c.Selector.Prefix()
	e.Tag, _ = c.Selector.Tag()
	for _, sub := range w.all() {
		void := func() bool {
			rec := delta.Record{Key: c.Key, Tags: c.Tags, Version: delta.Version{Stamp: c.Stamp}}
			return w.store.Clears.Covers(&rec)
		}
		if !sub.put(e, void) {
			w.lost.Add(1)
		}
	}
}

// A subscription is a queue of events.
type subscription struct {
	self  uint64 // this node's origin
	calls callqueue.Queue[Event]
}

func newSubscription(b *Bcache, fn func(Event)) *subscription {
	log := b.peer.log
	return &subscription{self: b.peer.replica.Origin(), calls: callqueue.Queue[Event]{
		Name: "a subscriber", Call: fn, Most: eventQueue, MostBytes: eventQueueBytes, Group: &b.calls,
		Lost: func(n int) Event { return Event{Kind: EventLost, N: n} },
		Panicked: func(value any, stack []byte) {
			log.Errorf(0, "a subscriber panicked: %v\n\n%s", linelog.Field("err", value), stack)
		},
	}}
}

// put queues an event, or counts it as lost. It asks whether the event is void when no other one
// can come in between.
func (s *subscription) put(e Event, void func() bool) bool {
	e.Local = e.Origin == s.self
	return s.calls.Put(e, eventOverhead+len(e.Key)+len(e.Value), void)
}
