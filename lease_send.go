package bcache

// What is said about leases waits to be sent in a queue of its own: there may be tens of thousands of
// messages at once, for a GetMany, and pings mustn't be lost for them.

const (
	maxLeaseSends     = 1 << 16
	maxLeaseSendBytes = 8 << 20
)

type leaseQueue struct {
	messages []message
	bytes    int
}

// put appends a message, unless the queue is full.
func (q *leaseQueue) put(m message) bool {
	if len(q.messages) >= maxLeaseSends || q.bytes+len(m.frame) > maxLeaseSendBytes {
		return false
	}
	q.messages = append(q.messages, m)
	q.bytes += len(m.frame)
	return true
}

// take empties the queue.
func (q *leaseQueue) take() []message {
	messages := q.messages
	*q = leaseQueue{}
	return messages
}

// sendLease queues a message about a lease, or says that there is no room.
func (r *replica) sendLease(m message) bool {
	if !r.leaseSends.put(m) {
		r.out.counts.droppedSends++
		return false
	}
	if len(r.leaseSends.messages) == 1 {
		r.out.wake()
	}
	return true
}
