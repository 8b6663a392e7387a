package bcache

// Closing without losing what was written last takes a confirmation: the node
// pings its neighbours with its last seq, and each answers with the run of
// dots around it that it has processed, and pulls what it lacks. (Pings and frames travel
// unordered, so the question is asked again until the answer is right.)

// askUnconfirmed queues a ping for every neighbour that hasn't yet said that it has
// processed all that was written here since it connected, and returns their
// PeerIDs, ascending.
func (r *replica) askUnconfirmed(now instant) []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := r.neighbours.unconfirmed(r.seq)
	for _, id := range missing {
		q := ping{origin: r.origin, seq: r.seq, wall: now.wall, flags: pingClosing, echo: r.touches.echo()}
		r.send(message{to: id, frame: appendPing(nil, q)})
	}
	return missing
}

// unconfirmed returns those neighbours, ascending.
func (r *replica) unconfirmed() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.neighbours.unconfirmed(r.seq)
}

// send queues a message.
func (r *replica) send(m message) {
	if r.roomToSend() {
		r.sends = append(r.sends, m)
	}
}

// A pingTo is a ping that waits for flush, which makes its frame: a context is large, and who wants
// the lock mustn't wait for that.
type pingTo struct {
	to uint64 // PeerID
	*ping
}

func (r *replica) sendPing(q pingTo) {
	if r.roomToSend() {
		r.pings = append(r.pings, q)
	}
}

// roomToSend reports whether another message may be queued, which it then is.
func (r *replica) roomToSend() bool {
	if len(r.sends)+len(r.pings) >= maxSends {
		r.counts.droppedSends++
		return false
	}
	if r.idle() {
		r.wake()
	}
	return true
}
