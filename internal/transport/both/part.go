package both

// A part is one of the two transports, as it calls the node.
type part struct {
	*Transport
	i int
}

// Receive implements transport.Handler.
func (p part) Receive(from uint64, frame []byte) { p.h.Receive(from, frame) }

// Moved implements transport.Handler.
func (p part) Moved(id uint64, bulk bool) { p.h.Moved(id, bulk) }

// Arriving implements transport.Handler.
func (p part) Arriving(from uint64, head []byte) { p.h.Arriving(from, head) }

// Joined implements transport.Handler. If the other one has told of another life, that one is over: it
// notices this later, or this one is late and soon tells so.
func (p part) Joined(id, origin uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.peers[id] == nil {
		p.peers[id] = &peer{}
	}
	x := p.peers[id]
	x.lives[p.i] = origin
	p.tellLocked(id, x, origin)
}

// Left implements transport.Handler.
func (p part) Left(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.peers[id]
	if x == nil {
		return
	}
	x.lives[p.i] = 0
	if x.lives[1-p.i] == 0 {
		delete(p.peers, id)
	}
	p.tellLocked(id, x, x.lives[1-p.i])
}

// tellLocked tells the handler as which life a node is there from now on; 0 is none.
func (t *Transport) tellLocked(id uint64, x *peer, origin uint64) {
	if x.told == origin {
		return
	}
	if x.told != 0 {
		t.h.Left(id)
	}
	if x.told = origin; origin != 0 {
		t.h.Joined(id, origin)
	}
}
