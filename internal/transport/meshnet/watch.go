package meshnet

import (
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/internal/transport/engine"
)

const (
	maxAloneAddrs = 16              // that are named
	alone         = 5 * time.Second // without any other node, after which this one says so
)

// A watcher tells the handler who joins and leaves, and has peers told of each other.
type watcher struct {
	scope     *scope
	router    *router
	peers     *peerTable
	book      *book
	rests     *lineRests
	upcalls   *engine.Upcalls
	discovery *discovery
	targets   *dialTargets

	wake      chan struct{} // look who is there
	saidAlone atomic.Bool   // that no other node is reached
}

// poke wakes the watcher. It doesn't wait for it: mesh's own goroutines mustn't.
func (w *watcher) poke() { signal.Notify(w.wake) }

func (w *watcher) loop() {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	alone := time.NewTicker(alone)
	defer alone.Stop()
	for {
		select {
		case <-w.wake:
			w.reconcile()
		case <-tick.C:
			w.discovery.tellSome()
			w.rests.expire(time.Now())
		case <-alone.C:
			w.sayAlone()
		case <-w.scope.Open.Done():
			return
		}
	}
}

// sayAlone tells people that no other node is reached, and why, once until that changes. It is
// called every 5 seconds.
func (w *watcher) sayAlone() {
	alone := len(w.targets.configured) > 0 && len(w.peers.joined()) == 0
	if said := w.saidAlone.Swap(alone); !alone || said {
		return
	}
	why := "all of Peers is this node itself, or hasn't been tried yet"
	if fs := w.targets.unreached(time.Now()); len(fs) > 0 {
		why = linelog.List(fs, maxAloneAddrs, "%d more")
	}
	w.scope.log.Printf(0, "no other node is reached: %s", linelog.Field("reason", why))
}

// reconcile compares who is there with what the handler knows.
func (w *watcher) reconcile() {
	var newcomers []uint64
	events := w.peers.compare(w.router.run.Load().relayed())
	w.book.touch(w.peers.joined(), time.Now())
	for _, e := range events {
		if e.joined {
			// Another life of a node is another line: none is held back as a repetition.
			w.scope.log.With(linelog.Field("origin", e.origin)).Printf(e.peer^e.origin, "node %x (%s) joined",
				linelog.Field("peer", e.peer), linelog.Field("addr", e.addr))
			w.upcalls.Joined(e.peer, e.origin)
			w.peers.told(e.peer)
			newcomers = append(newcomers, e.peer)
			continue
		}
		w.scope.log.With(linelog.Field("origin", e.origin)).Printf(e.peer, "node %x (%s) left: %s",
			e.peer, linelog.Field("addr", e.addr), linelog.Field("reason", e.why))
		w.upcalls.Left(e.peer)
	}
	w.discovery.introduce(newcomers)
}
