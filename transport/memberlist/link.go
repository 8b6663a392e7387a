package memberlist

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/lanes"
)

const (
	askLimit  = 2 * time.Second // for a neighbour to say that it is there
	movedMost = 100 * time.Millisecond

	// maxControls is how many bytes of messages beside frames wait for a neighbour.
	maxControls = 256 << 10

	// sendBuffer is how much of what leaves the system holds. What is in there can't be overtaken.
	sendBuffer = 256 << 10
)

var (
	errReplaced   = errors.New("another connection has taken its place")
	errDisconnect = errors.New("this node has given it up")
	errClosing    = errors.New("this node closes")
	errBye        = errors.New("it closes")
	errHungUp     = errors.New("it has hung up")
	errKeyGone    = errors.New("it hasn't proved itself with a key that this node still has")
)

// A link is the connection with a neighbour. Its reader is a goroutine that lasts, its writer one that
// lasts while there is something to write.
type link struct {
	*session
	hub   *hub
	since time.Time
	queue *lanes.Queue
	prev  *link         // of the same node; its Left comes before this Joined
	done  chan struct{} // Left was called
	told  atomic.Bool   // Joined was called, and Left wasn't

	read  reading
	write writing

	mu    sync.Mutex // nothing else is locked under it
	why   error      // it has ended
	asked []chan struct{}
	said  bool // the other side closes
}

// newLink makes a link of a session. Nothing leaves before it is started.
func newLink(s *session, h *hub) *link {
	l := &link{session: s, hub: h, since: time.Now(), done: make(chan struct{})}
	l.queue = lanes.New(h.node.MaxPending, l.wake)
	l.write.state.Store(writerHeld)
	if tcp, ok := s.raw.(interface{ SetWriteBuffer(int) error }); ok {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	return l
}

// start begins to read and to write.
func (l *link) start() {
	l.free()
	if !l.hub.life.spawn(l.run) {
		l.end(errClosing)
		close(l.done)
	}
	l.write.state.Store(writerIdle)
	l.wake()
}

// run is the life of a link, as the handler sees it.
func (l *link) run() {
	h, id := l.hub, l.peer.id
	if l.prev != nil {
		<-l.prev.done
		l.prev = nil
	}
	at := linelog.Field("addr", l.peer.addr)
	h.up.Joined(id, l.peer.origin)
	l.told.Store(true)
	if h.life.open.Err() == nil {
		h.node.Log.Printf(id^l.peer.origin, "node %x (%s) joined", linelog.Field("peer", id), at)
	}
	l.end(l.receive())
	l.told.Store(false)
	h.up.Left(id)
	if h.life.open.Err() == nil {
		h.node.Log.Printf(id, "node %x (%s) left: %v", linelog.Field("peer", id), at,
			linelog.Field("reason", l.ended()))
	}
	h.roster.drop(l)
	close(l.done)
	h.over(l)
}

// end closes the connection, whatever it is doing. What waits is lost.
func (l *link) end(why error) {
	l.mu.Lock()
	first := l.why == nil
	if first {
		l.why = why
	}
	l.hearLocked()
	l.mu.Unlock()
	if first {
		l.queue.Close()
		l.hub.life.letGo(l.raw) // not conn, whose Close may wait
	}
}

func (l *link) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// ask reports whether the other side is there: whether anything comes from it in time.
func (l *link) ask() bool {
	heard := make(chan struct{})
	l.mu.Lock()
	if l.why != nil {
		l.mu.Unlock()
		return false
	}
	l.asked = append(l.asked, heard)
	l.mu.Unlock()
	l.control(msgAsk, nil)
	timer := time.NewTimer(askLimit)
	defer timer.Stop()
	select {
	case <-heard:
		return l.ended() == nil
	case <-timer.C:
	case <-l.hub.life.open.Done():
	}
	return false
}

// heard notes that something has come from the other side, and reports whether the link hasn't ended.
func (l *link) heard() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hearLocked()
	return l.why == nil
}

func (l *link) hearLocked() {
	for _, c := range l.asked {
		close(c)
	}
	l.asked = nil
}

// closes reports whether the other side has said that it closes.
func (l *link) closes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said
}

// provedBy notes the key that the other side has proved itself with, if there is one. RemoveKey may look at
// the link before: so the key must still be there afterwards.
func (l *link) provedBy(proof []byte) error {
	keys := l.hub.keys
	key := keys.check(l.channel, nil, proof)
	if key == nil {
		l.hub.node.Log.Errorf(l.peer.id, "node %x (%s) proves itself with a key that this node doesn't have",
			linelog.Field("peer", l.peer.id), linelog.Field("addr", l.peer.addr))
		return nil
	}
	l.mu.Lock()
	l.key = key
	l.mu.Unlock()
	if !keys.has(key) {
		return errKeyGone
	}
	return nil
}

// proved reports whether a key is the one that the other side has proved itself with last.
func (l *link) proved(key []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Equal(l.key, key)
}
