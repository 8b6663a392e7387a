package replica

import (
	"time"
)

// Peer are figures about a directly connected node.
type Peer struct {
	ID     uint64        // its PeerID
	Lag    time.Duration // age of the newest write of it that this node has, by this node's clock; -1 if there is none
	Silent time.Duration // since something came from it
	Synced bool          // it says that it is
	Behind bool          // it has something that this node lacks
	Late   time.Duration // for how long a write of it has been lacking here, as far as is known; 0 if none has
}
