package meshnet

import (
	"sync"
	"time"
)

const (
	restFor  = 30 * time.Second // for so long a frame that was under way waits for another connection
	restMost = 16               // nodes of which there is one
)

// lineRests are what connections have left: frames that were under way when they ended. Another
// connection with the same life of the node goes on with them.
type lineRests struct {
	mu   sync.Mutex // nothing else is locked under it
	byID map[uint64]lineRest
}

func newLineRests() *lineRests { return &lineRests{byID: make(map[uint64]lineRest)} }

// keep keeps what a connection has left, for a while.
func (r *lineRests) keep(peer uint64, rest lineRest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[peer] = rest
	r.expireLocked(rest.at)
	for len(r.byID) > restMost {
		oldest := peer
		for id, other := range r.byID {
			if other.at.Before(r.byID[oldest].at) {
				oldest = id
			}
		}
		delete(r.byID, oldest)
	}
}

// take returns what an earlier connection with the same life of a node has left.
func (r *lineRests) take(peer, origin uint64) (rest lineRest, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expireLocked(time.Now())
	rest, ok = r.byID[peer]
	delete(r.byID, peer)
	return rest, ok && rest.origin == origin
}

// expire forgets what nobody has taken over in time.
func (r *lineRests) expire(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expireLocked(now)
}

// expireLocked is expire. r.mu is held.
func (r *lineRests) expireLocked(now time.Time) {
	for id, rest := range r.byID {
		if now.Sub(rest.at) >= restFor {
			delete(r.byID, id)
		}
	}
}
