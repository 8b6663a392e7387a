package measure

import (
	"time"

	"github.com/iwanbk/bcache/benchmarks/caches"
)

// A Plan says how much is measured.
type Plan struct {
	Name   string
	Rounds int
	Slot   time.Duration // of one cache in one round

	Keys       int   // of the measures of speed
	Goroutines []int // that read at once

	Entries     int           // of the measures of memory, collector and expiry
	Cycles      int           // of the collector, that are watched under load
	LoadAtMost  time.Duration // if they don't come
	Expire      []string      // the caches that are watched expiring
	ExpireAfter time.Duration // the time to write what expires together

	Universe   int   // keys of the traces
	Capacities []int // of the caches that they are played to
	Trace      int   // draws of a trace that count

	Nodes   []int // of clusters
	Sets    int   // in a burst
	Visible int   // Sets of a round that are watched arriving
	Paced   time.Duration

	Joins      []int // keys that a node joins
	JoinRounds []int // rounds of each
	IdleKeys   []int
	IdleSettle time.Duration
	Idle       time.Duration
}

// Full takes about twelve minutes on two cores.
var Full = Plan{
	Name: "full", Rounds: 10, Slot: 90 * time.Millisecond,
	Keys: 1 << 17, Goroutines: []int{1, 2, 4, 8, 16},
	Entries: 1_000_000, Cycles: 1, LoadAtMost: 3 * time.Second,
	Expire: []string{caches.Bcache, caches.Otter, "theine", "go-cache"}, ExpireAfter: 8 * time.Second,
	Universe: 1 << 17, Capacities: []int{1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16}, Trace: 1 << 20,
	Nodes: []int{2, 3, 4, 5}, Sets: 300_000, Visible: 200, Paced: time.Second,
	Joins: []int{10_000, 100_000, 1_000_000}, JoinRounds: []int{10, 10, 10},
	IdleKeys: []int{0, 10_000, 100_000, 1_000_000}, IdleSettle: 5 * time.Second, Idle: 65 * time.Second,
}

// Short takes less than two minutes.
var Short = Plan{
	Name: "short", Rounds: 3, Slot: 40 * time.Millisecond,
	Keys: 1 << 17, Goroutines: []int{1, 2, 4, 8, 16},
	Entries: 100_000, Cycles: 2, LoadAtMost: time.Second,
	Expire: []string{caches.Bcache, caches.Otter}, ExpireAfter: 1500 * time.Millisecond,
	Universe: 1 << 17, Capacities: []int{1 << 12, 1 << 14, 1 << 16}, Trace: 1 << 18,
	Nodes: []int{2, 3, 4, 5}, Sets: 100_000, Visible: 100, Paced: 300 * time.Millisecond,
	Joins: []int{10_000, 100_000}, JoinRounds: []int{3, 3},
	IdleKeys: []int{0, 10_000, 100_000}, IdleSettle: time.Second, Idle: 8 * time.Second,
}
