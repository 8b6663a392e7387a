package bcache

import "time"

// What an operator reads when a node is synced.

// A syncNotice says how it came to that: by a full sync, or on the node's own authority.
type syncNotice struct {
	from   uint64        // PeerID of who sent the full sync; 0: nobody
	keys   int           // held after it
	others int           // nodes that were connected
	took   time.Duration // it, or the wait for another node
}

// takeNotices returns what is to be logged.
func (r *replica) takeNotices() (ns []syncNotice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ns, r.out.notices = r.out.notices, nil
	return ns
}
