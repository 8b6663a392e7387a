package memberlist

import (
	"context"
	"net"
	"runtime/pprof"
	"sync"
	"time"
)

// A life is that of a transport: its goroutines run inside, and Close waits until they have left. It ends in
// two steps. Once it is closing, nothing is begun any more; once it is shut, nobody enters.
type life struct {
	closing, cancel func()
	open            context.Context // until it is closing
	ctx             context.Context // until it is shut

	mu     sync.Mutex // nothing else is locked under it
	shut   bool
	conns  map[net.Conn]struct{} // those that are to be closed at the end
	inside sync.WaitGroup
}

func newLife() *life {
	l := &life{conns: make(map[net.Conn]struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.open, l.closing = context.WithCancel(l.ctx)
	return l
}

// spawn runs f on a goroutine inside, unless the life is shut.
func (l *life) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return false
	}
	l.inside.Go(func() {
		pprof.SetGoroutineLabels(context.Background()) // see labelled: it isn't one of memberlist's
		f()
	})
	return true
}

// hold has a connection be closed at the end, unless it is let go. It reports whether that is yet to come.
func (l *life) hold(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.shut {
		l.conns[c] = struct{}{}
	}
	return !l.shut
}

// letGo closes a connection.
func (l *life) letGo(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// end closes all connections, and waits until everybody has left.
func (l *life) end() {
	l.closing()
	l.mu.Lock()
	l.shut = true
	l.cancel()
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.inside.Wait()
}

// pause waits. It returns false, early, once the life is closing.
func (l *life) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.open.Done():
		return false
	}
}
