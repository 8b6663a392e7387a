package meshnet

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	askFor   = 2 * time.Second        // how long a node may take to show that it lives
	askEvery = 250 * time.Millisecond // questions may be lost
)

// A asker asks other nodes whether they live, and which life they have.
type asker struct {
	scope  *scope
	sender *sender

	mu    sync.Mutex             // nothing else is locked under it
	pings map[uint64]chan uint64 // by nonce; gets the origin that answers
}

func newMeshAsker(scope *scope, sender *sender) *asker {
	return &asker{scope: scope, sender: sender, pings: make(map[uint64]chan uint64)}
}

// ask asks a PeerID which life has it now: over the given connection, or, if
// that is nil, over other nodes. It gives up when the way there is gone.
func (a *asker) ask(peer uint64, over *meshConn) (origin uint64, ok bool) {
	nonce, answer := rand.Uint64(), make(chan uint64, 1)
	a.mu.Lock()
	a.pings[nonce] = answer
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.pings, nonce)
		a.mu.Unlock()
	}()

	var gone <-chan struct{}
	if over != nil {
		gone = over.done
	}
	timeout, again := time.NewTimer(askFor), time.NewTicker(askEvery)
	defer timeout.Stop()
	defer again.Stop()
	for {
		it := lineItem{kind: itemMember, bytes: encodeMeshPing(nonce)}
		if over != nil {
			_ = over.line.push(it, laneFirst)
		} else if a.sender.send(peer, it, laneFirst) != nil {
			return 0, false
		}
		select {
		case origin = <-answer:
			return origin, true
		case <-again.C:
		case <-gone:
			return 0, false
		case <-timeout.C:
			return 0, false
		case <-a.scope.Open.Done():
			return 0, false
		}
	}
}

// answered notes the origin that answers a ping.
func (a *asker) answered(nonce, origin uint64) {
	a.mu.Lock()
	answer := a.pings[nonce]
	a.mu.Unlock()
	select {
	case answer <- origin:
	default:
	}
}
