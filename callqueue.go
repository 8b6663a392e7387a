package bcache

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// What is told to the user's code: to subscribers, OnStale and the Logger. Nobody waits for it but who
// ends it, and that has a limit.

// A callQueue calls a function with what is put into it, one call at a time and in order, on a goroutine
// that lasts until nothing is queued any more. Who puts never waits: what doesn't fit is dropped.
type callQueue[T any] struct {
	name      string // of the function, for people
	call      func(T)
	panicked  func(value any, stack []byte) // nil: nobody is told
	most      int                           // that are queued
	mostBytes int                           // of them, as put says
	lost      func(n int) T                 // stands for n that were dropped; nil: nothing does
	group     *callGroup                    // nil: none

	mu      sync.Mutex
	queue   []queued[T]
	bytes   int
	dropped int // after those in the queue, if lost is to tell of them
	closed  bool
	ended   chan struct{} // closed when the goroutine ends; nil: there is none
}

type queued[T any] struct {
	v    T
	size int
}

// put queues v, and reports whether it wasn't dropped. It asks whether v is void when nothing else can
// come in between; nil means that it isn't.
func (q *callQueue[T]) put(v T, size int, void func() bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || void != nil && void() {
		return true
	}
	if q.dropped > 0 && q.fits(2, size) {
		q.addLocked(q.lost(q.dropped), 0)
		q.dropped = 0
	}
	switch {
	case q.dropped > 0 || !q.fits(1, size):
		if q.lost != nil {
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

func (q *callQueue[T]) fits(n, size int) bool {
	return len(q.queue)+n <= q.most && q.bytes+size <= q.mostBytes
}

func (q *callQueue[T]) addLocked(v T, size int) {
	q.queue = append(q.queue, queued[T]{v, size})
	q.bytes += size
}

// startLocked starts the goroutine, unless the group is closed.
func (q *callQueue[T]) startLocked() bool {
	if q.group != nil && !q.group.enter(q) {
		return false
	}
	q.ended = make(chan struct{})
	go q.run()
	return true
}

func (q *callQueue[T]) run() {
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
func (q *callQueue[T]) next() (v T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.queue) > 0:
		first := q.queue[0]
		q.queue[0] = queued[T]{}
		q.bytes -= first.size
		if q.queue = q.queue[1:]; len(q.queue) == 0 {
			q.queue = nil
		}
		return first.v, true
	case q.dropped > 0:
		v = q.lost(q.dropped)
		q.dropped = 0
		return v, true
	}
	if q.group != nil {
		q.group.leave(q)
	}
	close(q.ended)
	q.ended = nil
	return v, false
}

// hand calls the function. calledBack looks for it on the stack.
func (q *callQueue[T]) hand(v T) {
	defer func() {
		if p := recover(); p != nil && q.panicked != nil {
			q.panicked(p, debug.Stack())
		}
	}()
	q.call(v)
}

// close has nothing taken any more. What is queued is still handed over.
func (q *callQueue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// drop has the function not called any more.
func (q *callQueue[T]) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropLocked()
}

func (q *callQueue[T]) dropLocked() {
	q.closed = true
	q.queue, q.bytes, q.dropped = nil, 0, 0
}

// wait waits, after close or drop, until nothing is queued and no call is under way, and reports whether
// it is so; if ctx ends first, it isn't.
func (q *callQueue[T]) wait(ctx context.Context) bool {
	q.mu.Lock()
	ended := q.ended
	q.mu.Unlock()
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

// waiting is how many calls are queued, and how much they take, as put says.
func (q *callQueue[T]) waiting() (n, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue), q.bytes
}

func (q *callQueue[T]) String() string { return q.name }

// A callGroup are the queues, of those that end together, whose goroutines run.
type callGroup struct {
	mu      sync.Mutex
	closed  bool
	running map[endable]struct{}
}

type endable interface {
	fmt.Stringer
	drop()
	wait(context.Context) bool
}

func (g *callGroup) enter(q endable) bool {
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

func (g *callGroup) leave(q endable) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, q)
}

func (g *callGroup) list() (running []endable) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for q := range g.running {
		running = append(running, q)
	}
	return running
}

// len is how many goroutines run.
func (g *callGroup) len() int { return len(g.list()) }

// close has nothing called any more, and wait waits for what is called. If ctx ends first it says what
// that is.
func (g *callGroup) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	for _, q := range g.list() {
		q.drop()
	}
}

func (g *callGroup) wait(ctx context.Context) (left []string) {
	for _, q := range g.list() {
		if !q.wait(ctx) {
			left = append(left, q.String())
		}
	}
	slices.Sort(left)
	return left
}

// calledBack reports whether the caller was called by a callQueue. Such a caller mustn't wait for a
// callback: it would wait for itself, and two that end each other, for each other. It isn't found out
// where another goroutine comes in between, such as that of a Fill that the callback waits for; so every
// wait for a callback has a limit.
func calledBack() bool { return onStack("bcache.(*callQueue[...]).hand") }

// onStack reports whether a function, by the end of its name, has called the caller.
func onStack(suffix string) bool {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for {
			f, more := frames.Next()
			if strings.HasSuffix(f.Function, suffix) {
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
