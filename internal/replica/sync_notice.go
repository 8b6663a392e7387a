package replica

import (
	"time"
)

// What an operator reads when a node is synced.

// A SyncNotice says how it came to that: by a full sync, or on the node's own authority.
type SyncNotice struct {
	From   uint64        // PeerID of who sent the full sync; 0: nobody
	Keys   int           // held after it
	Others int           // nodes that were connected
	Took   time.Duration // it, or the wait for another node
}
