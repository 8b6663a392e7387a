package bcache

// What is said about leases waits to be sent in a queue of its own: there may be tens of thousands of
// messages at once, for a GetMany, and pings mustn't be lost for them.

const (
	maxLeaseSends     = 1 << 16
	maxLeaseSendBytes = 8 << 20
)

type leaseQueue struct {
	frames []leaseFrame
	bytes  int
}

// A leaseFrame is for one node.
type leaseFrame struct {
	to    uint64 // PeerID
	frame []byte
}

// put appends a frame, unless the queue is full.
func (q *leaseQueue) put(f leaseFrame) bool {
	if len(q.frames) >= maxLeaseSends || q.bytes+len(f.frame) > maxLeaseSendBytes {
		return false
	}
	q.frames = append(q.frames, f)
	q.bytes += len(f.frame)
	return true
}

// take empties the queue.
func (q *leaseQueue) take() []leaseFrame {
	frames := q.frames
	*q = leaseQueue{}
	return frames
}
