package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/histogram"
)

// Peer are figures about a directly connected node.
type Peer struct {
	ID     uint64        // its PeerID
	Lag    time.Duration // age of its newest write here, by this node's clock; -1: there is none
	Silent time.Duration // since something came from it
	Synced bool          // it says that it is
	Behind bool          // it has something that this node lacks
	Late   time.Duration // for how long a write of it is known to be lacking here; 0: none is

	Offset    time.Duration // by how much its clock is ahead of this node's
	RoundTrip time.Duration // of the ping by which that was measured; -1: it isn't known

	// How long frames of its writes took, since it connected, and in the last minute.
	Propagation, PropagationMinute histogram.Counts
}

// Gauges are figures about a replica as it is now.
type Gauges struct {
	Origins, LogRecords, Outbox, Serving int
	Syncing, Synced                      bool
	SyncedFrom                           uint64
	Peers                                []Peer
}

// Counts are the counters of a replica and its parts.
type Counts struct {
	frameCounts
	writeCounts
	fillCounts
	leaseCounts
	deltaCounts
	pingerCounts
	pingCounts
	repairCounts
	answerCounts
	stateCounts
	outgoingCounts
	syncServerCounts
	syncClientCounts
}

// frameCounts count frames that were dropped.
type frameCounts struct{ Malformed, Unsupported uint64 }

// leaseCounts count leases that this node has granted, and that it has missed.
type leaseCounts struct{ LeasesGranted, LeasesMissed uint64 }
