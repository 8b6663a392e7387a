package meshnet

import (
	"sync"
	"time"
)

const (
	acceptEvery   = 2 * time.Millisecond  // between connections that are accepted, on average
	acceptCrowded = 50 * time.Millisecond // and while too many say nothing
	acceptCrowd   = 256                   // handshakes under way that are too many
	acceptBurst   = time.Second           // that much of acceptEvery is saved up at most
)

// A accepts slows down strangers: each connection costs a descriptor and goroutines,
// for up to a minute if it says nothing, before anybody knows whose it is. mesh has a limit
// of its own, of 20 a second, which a start of many nodes exceeds, and which goes by the
// wall clock; guts switches it off.
type accepts struct {
	mu       sync.Mutex
	greeting map[string]struct{} // whose handshakes are under way, by address
	next     time.Time
}

func newMeshAccepts() *accepts { return &accepts{greeting: make(map[string]struct{})} }

// begin notes a connection that was accepted, and returns for how long nothing else should be.
// now has a monotonic reading: setting the clock changes nothing.
func (a *accepts) begin(remote string, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	every := acceptEvery
	if a.greeting[remote] = struct{}{}; len(a.greeting) > acceptCrowd {
		every = acceptCrowded
	}
	if least := now.Add(-acceptBurst); a.next.Before(least) {
		a.next = least
	}
	a.next = a.next.Add(every)
	return max(a.next.Sub(now), 0)
}

// end notes that a handshake is over, however it ended.
func (a *accepts) end(remote string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.greeting, remote)
}
