package measure

import (
	"time"

	"github.com/iwanbk/bcache/benchmarks/caches"
)

// Speeds that are measured of every cache.
const (
	GetHit  = "Get hit, parallel"
	GetOne  = "Get hit, one goroutine"
	GetHot  = "Get of one hot key, parallel"
	GetMiss = "Get miss, parallel"
	SetOne  = "Set overwrite, one goroutine"
	SetAll  = "Set overwrite, parallel"
	SetNew  = "Set of a new key that evicts, one goroutine"
	Mixed   = "90 % Get and 10 % Set, parallel"
)

// Subjects of the measures that aren't about caches alone.
const (
	Get           = "Get"
	GetWithFiller = "GetWithFiller"
	TypedShared   = "bcache, a Typed with Shared"

	Paced     = "bcache, two peers, paced"
	Saturated = "bcache, two peers, saturated"
	Local     = "bcache, local, paced"
	OtterSet  = "otter, local, paced"

	RawTCP     = "raw TCP round trip"
	RawTCP99   = "raw TCP round trip, p99"
	Visible    = "Set until visible"
	Visible99  = "Set until visible, p99"
	ExactLRU   = caches.GolangLRU
	SyncItself = "the sync itself"
	JoinWhole  = "from New until ready"
)

// LoaderOf is the subject of Gets of a cache that was told how to look up what it lacks.
func LoaderOf(cache string) string { return cache + ", with a loader" }

// Results are all figures of a run.
type Results struct {
	Plan  Plan
	Kinds []caches.Kind // that took part
	Redis string        // version of the server, "" if there was none
	Began time.Time
	Took  time.Duration

	Speeds     map[string]*Speed
	Filler     *Speed          // hits of bcache's Get and GetWithFiller, and of caches with loaders
	Goroutines map[int]*Series // Get hit, ns by cache, for each number of goroutines

	Overhead    Series // bytes per entry beyond key and value
	AfterChurn  Series // the same when every entry was replaced by one of another key
	SmallCache  Series // the same of SmallEntries in a cache for no more
	GCShare     Series // of all CPU time, under the mixed load
	GCPerOp     Series // CPU ns of the collector per operation
	LoadNs      Series // ns per operation of the mixed load
	LongestStep Series // ms, of sixteen operations in a row
	Expiry      map[string]*Expiry

	HitRatio map[int]*Series // share by cache, for each capacity

	Bursts   map[int]*Burst // by number of nodes
	Wire     []Wire
	Peers    Series // ns per Set
	Dropped  uint64 // of the saturated Sets: not sent at once, but repaired later
	Latency  Series // us
	Samples  map[string][]float64
	Join     map[int]*Series // seconds, by number of keys
	IdleUsed map[int]float64 // bytes per minute, by number of keys
}

// Speed is how fast operations are.
type Speed struct {
	Ns     Series // wall time per operation, over all goroutines together
	Allocs Series // allocations per operation
	Missed Series // share of Gets that missed
}

// Expiry is what was seen when all entries expired within a second.
type Expiry struct {
	Longest float64 // ms, of a Get meanwhile
	P999    float64 // us
	Gone    float64 // seconds after the last deadline until all but a thousandth was removed; +Inf if not in time
}

// A Burst is one node's Sets, as fast as they go, until every node has all of them.
type Burst struct {
	Rate  Series // Sets per second
	CPU   Series // us of CPU per Set, over all nodes
	Bytes Series // by Stats, per Set and peer
}

// Wire is what Sets cost on the wire to one peer.
type Wire struct {
	AtOnce int     // Sets in a row
	Bytes  float64 // per Set, both ways
}
