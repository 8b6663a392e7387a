package transporttest

import (
	"fmt"
	"slices"
	"sync"
)

// A handler notes what a transport tells its node, and what is wrong with that. It is a
// transport.Handler.
type handler struct {
	self  uint64
	lives *lives
	in    string // the name of its cluster

	mu      sync.Mutex
	phase   phase
	calls   int               // under way
	telling map[uint64]int    // Joined and Left of a peer that are under way
	peers   map[uint64]uint64 // the origins of those that have joined and not left
	events  []event           // Joined and Left
	frames  map[gotFrame]int  // that came, how often
	faults  []string          // what is wrong

	// What a check does in the calls, where it may block.
	onReceive func(from uint64, id frameID)
	onJoined  func(peer, origin uint64)
	onLeft    func(peer uint64)
}

type phase int

const (
	unstarted phase = iota
	started
	closed
)

// An event is a Joined, or a Left, whose origin is 0.
type event struct{ peer, origin uint64 }

func (e event) String() string {
	if e.origin == 0 {
		return fmt.Sprintf("-%x", e.peer)
	}
	return fmt.Sprintf("+%x/%x", e.peer, e.origin)
}

type gotFrame struct {
	by uint64
	id frameID
}

const maxFaults = 20 // that are remembered

func (h *handler) faultLocked(format string, v ...any) {
	if len(h.faults) < maxFaults {
		h.faults = append(h.faults, fmt.Sprintf(format, v...))
	}
}

// enter notes that a method is called, and returns what to do in the end.
func (h *handler) enter(what string, peer uint64) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.phase {
	case unstarted:
		h.faultLocked("%s of node %x is called before Start", what, peer)
	case closed:
		h.faultLocked("%s of node %x is called after Close has returned", what, peer)
	}
	if peer == h.self {
		h.faultLocked("%s is called with the node's own PeerID", what)
	}
	h.calls++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.calls--
	}
}

// tells notes a Joined or Left.
func (h *handler) tells(e event) (told func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.telling[e.peer] > 0 {
		h.faultLocked("%v is told while another Joined or Left of that peer is", e)
	}
	h.telling[e.peer]++
	_, is := h.peers[e.peer]
	switch {
	case is && e.origin != 0:
		h.faultLocked("Joined of node %x comes again, without a Left: %v", e.peer, append(h.events, e))
	case !is && e.origin == 0:
		h.faultLocked("Left of node %x comes without a Joined: %v", e.peer, append(h.events, e))
	}
	if e.origin != 0 {
		if why := h.lives.wrong(h.in, e); why != "" {
			h.faultLocked("Joined of node %x with origin %x: %s", e.peer, e.origin, why)
		}
		h.peers[e.peer] = e.origin
	} else {
		delete(h.peers, e.peer)
	}
	h.events = append(h.events, e)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.telling[e.peer]--
	}
}

// Receive implements transport.Handler.
func (h *handler) Receive(from uint64, frame []byte) {
	defer h.enter("Receive", from)()
	id, err := checkFrame(frame, false)
	h.mu.Lock()
	switch {
	case err != nil:
		h.faultLocked("Receive of node %x: %v", from, err)
	case id.from != 0 && id.from != from:
		h.faultLocked("Receive of node %x: %v", from, id)
	case !h.lives.known(h.in, from):
		h.faultLocked("Receive of node %x, which isn't in the cluster", from)
	}
	h.frames[gotFrame{from, id}]++
	on := h.onReceive
	h.mu.Unlock()
	if on != nil {
		on(from, id)
	}
}

// Joined implements transport.Handler.
func (h *handler) Joined(peer, origin uint64) {
	defer h.enter("Joined", peer)()
	if origin == 0 {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.faultLocked("Joined of node %x with origin 0", peer)
		return
	}
	defer h.tells(event{peer, origin})()
	h.mu.Lock()
	on := h.onJoined
	h.mu.Unlock()
	if on != nil {
		on(peer, origin)
	}
}

// Left implements transport.Handler.
func (h *handler) Left(peer uint64) {
	defer h.enter("Left", peer)()
	defer h.tells(event{peer: peer})()
	h.mu.Lock()
	on := h.onLeft
	h.mu.Unlock()
	if on != nil {
		on(peer)
	}
}

// Moved implements transport.Handler.
func (h *handler) Moved(peer uint64, _ bool) { h.enter("Moved", peer)() }

// Arriving implements transport.Handler.
func (h *handler) Arriving(from uint64, head []byte) {
	defer h.enter("Arriving", from)()
	if len(head) < headLen {
		return
	}
	id, err := checkFrame(head, true)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.faultLocked("Arriving of node %x: %v", from, err)
	} else if id.from != 0 && id.from != from {
		h.faultLocked("Arriving of node %x: %v", from, id)
	}
}

// has returns the origin as which a peer is there, or 0.
func (h *handler) has(peer uint64) (origin uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.peers[peer]
}

// told returns the Joined and Left so far of a peer.
func (h *handler) told(peer uint64) []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.events), func(e event) bool { return e.peer != peer })
}

// all returns the Joined and Left so far.
func (h *handler) all() []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// got returns how often a frame has come.
func (h *handler) got(from uint64, id frameID) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.frames[gotFrame{from, id}]
}

// total returns how many frames have come.
func (h *handler) total() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, times := range h.frames {
		n += times
	}
	return n
}

// hook has f run in each Receive from now on.
func (h *handler) hook(f func(from uint64, id frameID)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onReceive = f
}

// set begins a phase.
func (h *handler) set(p phase) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase = p
	if p == closed { // what is told now is noted, and nothing more
		h.onReceive, h.onJoined, h.onLeft = nil, nil, nil
	}
	if p == closed && h.calls > 0 {
		h.faultLocked("Close has returned in the middle of %d calls of the Handler", h.calls)
	}
}

func (h *handler) takeFaults() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	faults := h.faults
	h.faults = nil
	return faults
}
