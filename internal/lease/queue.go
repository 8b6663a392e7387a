package lease

// What is said about leases waits to be sent in a queue of its own: there may be tens of thousands of
// messages at once, for a GetMany, and pings mustn't be lost for them.

const (
	MaxSends     = 1 << 16
	MaxSendBytes = 8 << 20
)

type Queue struct {
	Frames []Frame
	Bytes  int
}

// A Frame is for one node.
type Frame struct {
	To    uint64 // PeerID
	Frame []byte
}

// Put appends a frame, unless the queue is full.
func (q *Queue) Put(f Frame) bool {
	if len(q.Frames) >= MaxSends || q.Bytes+len(f.Frame) > MaxSendBytes {
		return false
	}
	q.Frames = append(q.Frames, f)
	q.Bytes += len(f.Frame)
	return true
}

// Take empties the queue.
func (q *Queue) Take() []Frame {
	frames := q.Frames
	*q = Queue{}
	return frames
}
