// Package callqueue is calls of the user's code that nobody waits for, one at a time: subscribers,
// OnStale and the Logger are told something, and asked nothing.
//
// Its law: who puts a call never waits, and what doesn't fit is dropped, as Put reports. The user's code
// runs under no lock, on a goroutine that exists only while something is queued, and its panics end
// there. Only who ends a queue waits for it, within a limit, and never from within a callback.
package callqueue

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/iwanbk/bcache/internal/stack"
)

// What is told to the user's code: to subscribers, OnStale and the Logger. Nobody waits for it but who
// ends it, and that has a limit.

// A Queue calls a function with what is put into it, one call at a time and in order, on a goroutine
// that lasts until nothing is queued any more. Who puts never waits: what doesn't fit is dropped.
type Queue[T any] struct {
	Name      string // of the function, for people
	Call      func(T)
	Panicked  func(value any, stack []byte) // nil: nobody is told
	Most      int                           // that are queued
	MostBytes int                           // of them, as Put says
	Lost      func(n int) T                 // stands for n that were dropped; nil: nothing does
	Group     *Group                        // nil: none

	Mu      sync.Mutex
	queue   []queued[T]
	Bytes   int
	dropped int // after those in the queue, if Lost is to tell of them
	closed  bool
	ended   chan struct{} // closed when the goroutine ends; nil: there is none
}

type queued[T any] struct {
	v    T
	size int
}

// Put queues v, and reports whether it wasn't dropped. It asks whether v is void when nothing else can
// come in between; nil means that it isn't.
func (q *Queue[T]) Put(v T, size int, void func() bool) bool {
	q.Mu.Lock()
	defer q.Mu.Unlock()
	if q.closed || void != nil && void() {
		return true
	}
	if q.dropped > 0 && q.fits(2, size) {
		q.addLocked(q.Lost(q.dropped), 0)
		q.dropped = 0
	}
	switch {
	case q.dropped > 0 || !q.fits(1, size):
		if q.Lost != nil {
			q.dropped++
		}
		return false
	case q.ended == nil && !q.startLocked():
		q.dropLocked()
		return true
	}
	q.addLocked(v, size)
	return true
}

func (q *Queue[T]) fits(n, size int) bool {
	return len(q.queue)+n <= q.Most && q.Bytes+size <= q.MostBytes
}

func (q *Queue[T]) addLocked(v T, size int) {
	q.queue = append(q.queue, queued[T]{v, size})
	q.Bytes += size
}

// startLocked starts the goroutine, unless the group is closed.
func (q *Queue[T]) startLocked() bool {
	if q.Group != nil && !q.Group.enter(q) {
		return false
	}
	q.ended = make(chan struct{})
	go q.run()
	return true
}

func (q *Queue[T]) run() {
	goexit := true
	defer func() {
		if goexit { // the function has ended the goroutine
			go q.run()
		}
	}()
	for v, ok := q.next(); ok; v, ok = q.next() {
		q.hand(v)
	}
	goexit = false
}

// next takes what is first. If there is nothing the goroutine has ended.
func (q *Queue[T]) next() (v T, ok bool) {
	q.Mu.Lock()
	defer q.Mu.Unlock()
	switch {
	case len(q.queue) > 0:
		first := q.queue[0]
		q.queue[0] = queued[T]{}
		q.Bytes -= first.size
		if q.queue = q.queue[1:]; len(q.queue) == 0 {
			q.queue = nil
		}
		return first.v, true
	case q.dropped > 0:
		v = q.Lost(q.dropped)
		q.dropped = 0
		return v, true
	}
	if q.Group != nil {
		q.Group.leave(q)
	}
	close(q.ended)
	q.ended = nil
	return v, false
}

// hand calls the function. CalledBack looks for it on the stack.
func (q *Queue[T]) hand(v T) {
	defer func() {
		if p := recover(); p != nil && q.Panicked != nil {
			q.Panicked(p, debug.Stack())
		}
	}()
	q.Call(v)
}

// Close has nothing taken any more. What is queued is still handed over.
func (q *Queue[T]) Close() {
	q.Mu.Lock()
	defer q.Mu.Unlock()
	q.closed = true
}

// Drop has the function not called any more.
func (q *Queue[T]) Drop() {
	q.Mu.Lock()
	defer q.Mu.Unlock()
	q.dropLocked()
}

func (q *Queue[T]) dropLocked() {
	q.closed = true
	q.queue, q.Bytes, q.dropped = nil, 0, 0
}

// Wait waits, after Close or Drop, until nothing is queued and no call is under way, and reports whether
// it is so; if ctx ends first, it isn't.
func (q *Queue[T]) Wait(ctx context.Context) bool {
	q.Mu.Lock()
	ended := q.ended
	q.Mu.Unlock()
	if ended == nil {
		return true
	}
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// Waiting is how many calls are queued, and how much they take, as Put says.
func (q *Queue[T]) Waiting() (n, bytes int) {
	q.Mu.Lock()
	defer q.Mu.Unlock()
	return len(q.queue), q.Bytes
}

func (q *Queue[T]) String() string { return q.Name }

// A Group are the queues, of those that end together, whose goroutines run.
type Group struct {
	mu      sync.Mutex
	closed  bool
	running map[endable]struct{}
}

type endable interface {
	fmt.Stringer
	Drop()
	Wait(context.Context) bool
}

func (g *Group) enter(q endable) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	if g.running == nil {
		g.running = map[endable]struct{}{}
	}
	g.running[q] = struct{}{}
	return true
}

func (g *Group) leave(q endable) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, q)
}

func (g *Group) list() (running []endable) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for q := range g.running {
		running = append(running, q)
	}
	return running
}

// Len is how many goroutines run.
func (g *Group) Len() int { return len(g.list()) }

// Close has nothing called any more, and Wait waits for what is called. If ctx ends first it says what
// that is.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	for _, q := range g.list() {
		q.Drop()
	}
}

func (g *Group) Wait(ctx context.Context) (left []string) {
	for _, q := range g.list() {
		if !q.Wait(ctx) {
			left = append(left, q.String())
		}
	}
	slices.Sort(left)
	return left
}

// CalledBack reports whether the caller was called by a Queue. Such a caller mustn't wait for a
// callback: it would wait for itself, and two that end each other, for each other. It isn't found out
// where another goroutine comes in between, such as that of a Fill that the callback waits for; so every
// wait for a callback has a limit.
func CalledBack() bool { return stack.Contains("callqueue.(*Queue[...]).hand") }
