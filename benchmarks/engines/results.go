package engines

import "time"

// Results are all that was measured. They know nothing of how they are shown.
type Results struct {
	Plan    Plan
	Took    time.Duration
	Engines []*Measured
}

// Measured is what was measured of an engine. What is nil wasn't, or failed: then Failed says so.
type Measured struct {
	Name, URL  string
	Most       int
	Clusters   map[int]*Cluster // by their nodes
	Burst      *Burst
	Guest      *Guest
	Killed     *Loss
	Frozen     *Loss // while others write
	FrozenIdle *Loss
	Failed     []string
}

// A Use is CPU time: of the nodes, and of the engine's server, if there is one.
type Use struct{ Nodes, Server time.Duration }

// All is the sum.
func (u Use) All() time.Duration { return u.Nodes + u.Server }

// A Delay is a distribution of times in ms.
type Delay struct{ P50, P99 float64 }

// A Cluster is so many nodes in one process.
type Cluster struct {
	Connected  time.Duration // from the first New until all nodes are connected with all
	Ready      time.Duration // until all are ready, too
	Connecting Use           // of that time
	Idle       Use           // of the time that they are left alone
	IdleFor    time.Duration
	Goroutines float64 // a node
	Heap       float64 // bytes a node
	Visible    Delay   // from a Set on one node until it shows on all others
	Raw        Delay   // a round trip over a bare connection meanwhile
	Cut        uint64  // connections that a node cut as stuck
}

// A Burst is what one of three nodes writes as fast as it can.
type Burst struct {
	Rate      float64 // Sets a second, until the last one shows everywhere
	PerSet    float64 // us of CPU time of all nodes and the server
	ServerSet float64 // us of the server's
	Dropped   uint64  // writes that had to be repaired, as the queues were full
}

// A Guest comes and goes while one node writes to another.
type Guest struct {
	Delay
	Visits int
}

// A Loss is a node that stops without a goodbye.
type Loss struct {
	Nodes   int
	Noticed time.Duration // until the last of the others has: the longest of all tries
}
