package engines

import "time"

// A Plan says how much is measured.
type Plan struct {
	Name string

	Nodes  []int         // of clusters
	Settle time.Duration // from ready to idle
	Idle   time.Duration
	Sets   int           // that are watched arriving, each with a round trip of a bare connection
	Gap    time.Duration // before each

	Burst       int // Sets in a row
	BurstRounds int // of which the median counts

	Guest time.Duration // how long a third node comes and goes

	LossNodes int // of the cluster that loses one
	Losses    int // of each kind, of which the longest counts
}

// Full takes less than ten minutes on two cores.
var Full = Plan{
	Name:  "full",
	Nodes: []int{3, 20, 50, 100, 200}, Settle: 5 * time.Second, Idle: 10 * time.Second,
	Sets: 300, Gap: 5 * time.Millisecond,
	Burst: 300_000, BurstRounds: 5,
	Guest:     10 * time.Second,
	LossNodes: 9, Losses: 3,
}

// Quick is everything, but as little of it as there can be.
var Quick = Plan{
	Name:  "quick",
	Nodes: []int{3}, Settle: 100 * time.Millisecond, Idle: 200 * time.Millisecond,
	Sets: 20, Gap: time.Millisecond,
	Burst: 20_000, BurstRounds: 1,
	Guest:     time.Second,
	LossNodes: 3, Losses: 1,
}
