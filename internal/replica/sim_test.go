package replica

import (
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/keyhash"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
)

// The simulator runs real replicas in one goroutine, in virtual time, over a network that
// loses, doubles, delays and reorders, with partitions, restarts, late joiners, stuck
// nodes, tiny capacities and logs, and clocks that differ and jump (sim_faults_test.go).
// After every step it checks what must hold whatever happens, and in the end that all
// nodes agree (sim_oracle_test.go). A seed replays exactly; one that fails prints what
// happened in it:
//
//	go test -run 'TestSim$' -v ./internal/replica -seed=N
//	go test -run 'TestSim$' ./internal/replica -seeds=100000
var (
	simSeed  = flag.Uint64("seed", 0, "run this seed of the simulation only, and print its events")
	simSeeds = flag.Uint64("seeds", uint64(testkit.Rounds(300)), "run that many seeds of the simulation")
	simFrom  = flag.Uint64("from", 1, "the first of these seeds")
)

const simShown = 150 // events of a failing seed that are printed

func TestSim(t *testing.T) {
	if *simSeed != 0 {
		simReport(t, *simSeed, 1<<30)
		return
	}
	var next, failed atomic.Uint64
	next.Store(*simFrom - 1)
	failed.Store(^uint64(0))
	var mu sync.Mutex
	var total simCounts
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed < *simFrom+*simSeeds && seed < failed.Load(); seed = next.Add(1) {
				s := newSim(seed)
				s.run()
				if s.failure != "" {
					for old := failed.Load(); seed < old && !failed.CompareAndSwap(old, seed); old = failed.Load() {
					}
				}
				mu.Lock()
				total.add(&s.n)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if seed := failed.Load(); seed != ^uint64(0) {
		simReport(t, seed, simShown)
		return
	}
	t.Logf("%d seeds: %v", *simSeeds, &total)
	if most := 1 + int(*simSeeds/1000); total.resyncs > most {
		t.Errorf("there were %d full syncs too many: late frames explain %d at most", total.resyncs, most)
	}
}

// simReport runs one seed and prints its last events.
func simReport(t *testing.T, seed uint64, shown int) {
	s := newSim(seed)
	s.tracing = true
	s.run()
	if n := len(s.trace) - shown; n > 0 {
		t.Logf("(%d events before)", n)
		s.trace = append(s.trace[:1:1], s.trace[n:]...)
	}
	t.Log(strings.Join(s.trace, "\n"))
	if s.failure != "" {
		t.Fatalf("seed %d: %s", seed, s.failure)
	}
}

// simRegressions are seeds that have found something.
var simRegressions = []uint64{
	783,  // two nodes that nobody vouched for refused each other for ever
	3753, // what a server held without anybody vouching for it was taken for granted
	5556, // a fill was compared with what has overtaken another bucket
	5851, // windows of full syncs were sent again and again
	5887, // an empty answer to a repeated pull said that nothing can be had
}

func TestSimRegressions(t *testing.T) {
	for _, seed := range simRegressions {
		if s := newSim(seed); s.run() != "" {
			t.Errorf("seed %d: %s", seed, s.failure)
		}
	}
}

func TestSimReplays(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		a, b := newSim(seed), newSim(seed)
		a.tracing, b.tracing = true, true
		a.run()
		b.run()
		if strings.Join(a.trace, "\n") != strings.Join(b.trace, "\n") || a.n != b.n {
			t.Fatalf("seed %d: two runs differ", seed)
		}
	}
}

// A simConfig is what a seed draws.
type simConfig struct {
	nodes, keys, steps int
	writers            int   // only so many nodes write, the others fill; 0: all
	span               int64 // ms for the steps
	maxKeys            []int // by node
	maxBytes           int64
	tombstones         int
	deletionDelay      time.Duration
	logSize, origins   int
	groupKeys, chunk   int
	loss, dup          float64
	delay              int64 // ms, the most
	relay              bool  // broadcasts reach nodes that aren't connected
	partitions, oneWay bool
	breaks             bool // connections that break
	restarts           bool
	late               int // nodes that join late
	stuck              bool
	jumps              bool // clocks jump by minutes
	ttl, clears        bool
	seeded             bool // node 0 waits for nobody
	syncTimeout        time.Duration
	loads              int // Gets of Loaders
	policy             fill.Policy
	lease              time.Duration // they fill ClusterWide
	lag                int64         // ms: by so much fills read behind what is committed
	touches            int           // remembered
	heads              bool          // some frames take long, and their beginning comes before
	glitches, lives    int           // sim_weather_test.go
	local              int           // of ten fills so many are for their nodes only
	slow               int64         // ms: by no more are clocks wrong
	selective          int           // Clears of all kinds: sim_clears_test.go
	maxClears          int           // that a node remembers; 0: as many as there are
	tagged             int           // of four records so many have tags
	isolated           int64         // ms: the bound of those that hide what they hold; 0: none does
	hiders             []bool        // by node
	minPeers, suspends int           // sim_isolation_test.go
	fanout             int           // neighbours that a round pings; 0: all
	upToOnly           bool          // offers name no single dots
	stepWork           int           // of replicas, that are interrupted in between; 0: they aren't
}

type simCounts struct {
	writes, fills, clears, frames, lost, restarts, evictions, refusals, futures int
	closes, unheard                                                             int // in order, and in vain
	pulls, repaired, syncs, syncsFailed, skips, cuts, originsDropped            int
	stale, refreshes, negatives                                                 int // answers of Loaders
	leases, alone                                                               int // granted, and fills without one
	kept, offered, accepted, dropped                                            int // provisional values
	local                                                                       int // of those kept, those for one node only
	lives                                                                       int // that departed
	confirmed                                                                   int // answers to those who asked
	isolations                                                                  int
	resyncs                                                                     int   // full syncs too many
	slowest                                                                     int64 // ms until all agreed
	busiest                                                                     int   // frames of a node in a second
}

func (c *simCounts) add(d *simCounts) {
	for i, to := range c.fields() {
		*to += *d.fields()[i]
	}
	c.slowest = max(c.slowest, d.slowest)
	c.busiest = max(c.busiest, d.busiest)
}

func (c *simCounts) fields() []*int {
	return []*int{&c.writes, &c.fills, &c.clears, &c.frames, &c.lost, &c.restarts, &c.evictions, &c.refusals, &c.futures,
		&c.pulls, &c.repaired, &c.syncs, &c.syncsFailed, &c.skips, &c.cuts, &c.originsDropped,
		&c.stale, &c.refreshes, &c.negatives, &c.leases, &c.alone, &c.kept, &c.offered, &c.accepted,
		&c.dropped, &c.lives, &c.local, &c.isolations, &c.confirmed, &c.closes, &c.unheard, &c.resyncs}
}

func (c *simCounts) String() string {
	return fmt.Sprintf("%d writes (%d fills, %d Clears), %d provisional values kept (%d for their nodes only), %d offered, %d accepted, %d dropped; %d stale answers, %d to be refreshed, %d negative, %d leases (%d fills without), %d frames (%d lost), %d restarts, %d closes (%d not by all), %d short lives, %d isolations, %d connections cut, %d evictions, "+
		"%d refused by floors, %d from the future; %d times confirmed; %d pulls repaired %d records, %d full syncs (%d given up, %d too many), %d origins dropped, "+
		"%d seqs skipped; all agreed %.1f s after the faults ended at most, and meanwhile no node sent more than %d frames in a second",
		c.writes, c.fills, c.clears, c.kept, c.local, c.offered, c.accepted, c.dropped, c.stale, c.refreshes, c.negatives, c.leases, c.alone, c.frames, c.lost, c.restarts, c.closes, c.unheard, c.lives, c.isolations, c.cuts, c.evictions, c.refusals, c.futures, c.confirmed,
		c.pulls, c.repaired, c.syncs, c.syncsFailed, c.resyncs, c.originsDropped, c.skips, float64(c.slowest)/1000, c.busiest)
}

type simNode struct {
	id, life int
	r        *Replica
	skew     int64 // of its wall clock, within half the bound
	jump     int64 // a clock that is wrong
	stuck    int64 // until then it does nothing
	flushing bool  // a flush is due
	closing  bool  // it hands over

	suspended, asleep int64 // its machine is suspended until then; its monotonic clock has stood so long
	filling           map[string]bool
	flights           map[string]*simFill // those that may be joined

	second int64 // of the simulation
	sent   int   // frames in it

	oracle simView
}

type sim struct {
	c       simConfig
	rng     *rand.Rand
	clears  *rand.Rand // for what sim_clears_test.go draws
	unequal *rand.Rand // for when nodes notice a connection; nil: both do at once
	t       int64      // true time, ms
	slept   int64      // ms in which nothing happened at all
	queue   simQueue
	order   uint64
	nodes   []*simNode // nil before a late one joins
	up      [][]int    // by pair: the number of the connection, or 0
	conns   int
	cut     map[[2]int]int // one-way, by the number of partitions
	lossy   bool
	oracle  simOracle
	values  int // drawn so far
	n       simCounts
	tracing bool

	confirms bool // sim_confirm_test.go
	trace    []string
	failure  string
}

const (
	simSkew  = 500 // MaxClockSkew, ms
	simStart = int64(1_700_000_000_000)
	simStorm = 1000          // frames of a node in a second: something goes round in circles
	simCalm  = int64(40_000) // ms within which all must agree once the faults have ended
	simReady = int64(40_000) // and be ready, though there is something from the future
)

func newSim(seed uint64) *sim {
	rng := rand.New(rand.NewPCG(seed, 0))
	chance := func(n int) bool { return rng.IntN(n) == 0 }
	c := simConfig{
		nodes: 5, keys: 32, steps: 500, span: 3000 + rng.Int64N(22_000), maxKeys: make([]int, 5),
		tombstones: 1000, deletionDelay: time.Hour, logSize: 2000, origins: 1000, groupKeys: 1 + rng.IntN(16), chunk: 40 + rng.IntN(2000),
		loss: float64(rng.IntN(4)) / 10, dup: float64(rng.IntN(6)) / 10, delay: 1 + rng.Int64N(400), relay: chance(2),
		partitions: chance(2), oneWay: chance(2), breaks: chance(2), restarts: chance(2), late: rng.IntN(3), stuck: chance(3), jumps: chance(10),
		ttl: chance(2), clears: chance(4), seeded: chance(2), syncTimeout: time.Duration(3+rng.IntN(8)) * time.Second,
	}
	most := 1000
	if chance(2) {
		most = 8 + rng.IntN(25)
	}
	for i := range c.maxKeys {
		c.maxKeys[i] = most
		if chance(8) {
			c.maxKeys[i] = 8 + rng.IntN(5000)
		}
	}
	if chance(4) {
		c.maxBytes = int64(8+rng.IntN(25)) * (store.EntryOverhead + 8)
	}
	if chance(2) {
		c.tombstones, c.deletionDelay = 1+rng.IntN(8), time.Duration(100+rng.IntN(3000))*time.Millisecond
	} else if chance(2) {
		c.tombstones = 1 << 13 // more shards
	}
	if chance(2) {
		c.logSize = 8 + rng.IntN(120)
	}
	if chance(4) {
		c.origins = 5 + rng.IntN(4)
		c.restarts = true
	}
	if chance(8) { // a calm cluster with a late joiner, in which everything is known
		c.loss, c.partitions, c.breaks, c.restarts, c.stuck, c.jumps = 0, false, false, false, false, false
		c.logSize, c.origins, c.late, c.seeded = 2000, 1000, 1, true
	}
	if chance(3) { // few keys, that are in much use
		c.keys, c.steps, c.span, c.writers = 1+rng.IntN(4), 1500, c.span/2, 1+rng.IntN(5)
	}
	if chance(4) {
		c.lag = 1 + rng.Int64N(900)
	}
	if chance(2) {
		c.touches = 1 + rng.IntN(100)
	}
	c.heads = chance(3)
	s := &sim{c: c, rng: rng, cut: map[[2]int]int{}, lossy: true, nodes: make([]*simNode, c.nodes)}
	s.drawLoads(seed)
	s.drawWeather(seed)
	s.drawIsolation(seed)
	s.drawLocal(seed)
	s.drawConfirms(seed)
	s.drawClears(seed)
	s.drawUnequal(seed)
	s.drawFanout(seed)
	s.drawUpToOnly(seed)
	s.drawCloses(seed)
	s.oracle.init()
	for range c.nodes {
		s.up = append(s.up, make([]int, c.nodes))
	}
	for i := range c.nodes - c.late {
		s.start(i)
	}
	return s
}

// start begins a life of a node.
func (s *sim) start(id int) *simNode {
	life := 0
	if old := s.nodes[id]; old != nil {
		life = old.life + 1
	}
	n := s.newNode(id, life)
	s.nodes[id] = n
	s.oracle.lives = append(s.oracle.lives, simLife{n: n, from: s.t})
	s.logf("n%d starts as %x", id, n.r.state.Origin)
	s.after(s.rng.Int64N(1000), func() { s.tick(n) })
	return n
}

func (s *sim) newNode(id, life int) *simNode {
	n := &simNode{id: id, life: life, filling: map[string]bool{}, flights: map[string]*simFill{}}
	n.skew = s.rng.Int64N(simSkew+1) - simSkew/2
	first := s.c.seeded && id == 0 && n.life == 0
	n.oracle.init()
	origin := s.rng.Uint64() | 1
	c := Config{
		ID: uint64(id), Origin: origin, MaxSkew: simSkew * time.Millisecond, LogSize: s.c.logSize, maxOrigins: s.c.origins,
		First: first, SyncTimeout: s.c.syncTimeout, chunkBytes: s.c.chunk, pullBytes: s.c.chunk,
		touchLog: s.c.touches, fanout: s.c.fanout,
		Wake: func() { s.wake(n) }, Changed: n.forget,
		Store: store.Config{MaxKeys: s.c.maxKeys[id], MaxBytes: s.c.maxBytes, MaxTombstones: s.c.tombstones,
			DeletionDelay: s.c.deletionDelay, MaxClears: s.c.maxClears, GroupKeys: s.c.groupKeys, Seed: uint64(id),
			Hash: keyhash.Hash{Replay: origin}, Shards: 1 << (id % 3), StepShards: 1, // a sync takes several steps
			LRU: origin&2 != 0},
	}
	s.hiding(id, &c)
	n.r = New(c)
	n.r.standing.ready.aloneSince, n.r.standing.ready.unsyncedSince = s.mono(), s.mono()
	if s.c.stepWork > 0 {
		n.r.mu.stepWork, n.r.mu.between = s.c.stepWork, func() { s.between(n) }
	}
	return n
}

// settle is what fills are told about the lag of what they read.
func (s *sim) settle() time.Duration {
	if s.c.lag == 0 {
		return 0
	}
	return time.Duration(s.c.lag+1) * time.Millisecond
}

func (s *sim) mono() time.Duration { return time.Duration(s.t+s.slept) * time.Millisecond }

func (s *sim) now(n *simNode) delta.Instant {
	mono := s.mono() - time.Duration(n.asleep-max(n.suspended-s.t, 0))*time.Millisecond
	return delta.Instant{Wall: simStart + s.t + s.slept + n.skew + n.jump, Mono: mono}
}

func (s *sim) alive(n *simNode) bool { return s.nodes[n.id] == n }

func (s *sim) after(d int64, run func()) {
	s.order++
	heap.Push(&s.queue, simEvent{s.t + d, s.order, run})
}

func (s *sim) logf(format string, v ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf("%6d ", s.t)+fmt.Sprintf(format, v...))
	}
}

func (s *sim) fail(format string, v ...any) {
	if s.failure == "" {
		s.failure = fmt.Sprintf(format, v...)
		s.logf("FAILED: %s", s.failure)
	}
}

// run runs the simulation and returns how it failed, or "".
func (s *sim) run() string {
	s.logf("%+v", s.c)
	for range s.c.steps {
		s.after(s.rng.Int64N(s.c.span), s.step)
	}
	for range s.c.loads {
		s.after(s.rng.Int64N(s.c.span), s.load)
	}
	for range s.c.selective {
		s.after(s.clears.Int64N(s.c.span), s.clear)
	}
	s.after(0, s.dial)
	s.plan()
	s.until(s.c.span)
	s.calm()
	s.clearWeather()
	if s.agree(); s.failure == "" && !s.c.jumps && s.c.glitches == 0 {
		s.n.slowest = s.t - s.c.span
	}
	s.until(s.t + 15_000) // what comes late must not matter
	s.agree()
	s.checkAllConfirm()
	s.checkLeasesEnded()
	s.checkFillsEnded()
	for _, n := range s.nodes {
		s.count(n)
	}
	return s.failure
}

// agree goes on until all nodes agree.
func (s *sim) agree() {
	patience := simCalm
	if s.c.jumps || s.c.glitches > 0 {
		patience += 400_000 // writes from the future are taken when their time has come, and somebody asks
	}
	for end := s.t + patience; s.failure == ""; s.until(s.t + 500) {
		disagreement := s.disagreement()
		if disagreement == "" {
			return
		}
		if s.t > end {
			s.fail("%d s after the faults ended: %s", patience/1000, disagreement)
		}
	}
}

func (s *sim) until(t int64) {
	for len(s.queue) > 0 && s.queue[0].at <= t && s.failure == "" {
		e := heap.Pop(&s.queue).(simEvent)
		s.t = e.at
		e.run()
	}
	s.t = t
}

// count adds up what a life of a node did.
func (s *sim) count(n *simNode) {
	if n == nil {
		return
	}
	st, m := n.r.Store.Stats(), n.r.allCounts()
	s.n.evictions += int(st.Evictions)
	s.n.refusals += int(st.FloorRefusals)
	s.n.futures += int(m.RefusedSkew)
	s.n.pulls += int(m.RepairsAsked)
	s.n.repaired += int(m.RecordsRepaired)
	s.n.syncs += int(m.SyncsReceived)
	s.n.syncsFailed += int(m.SyncsFailed)
	s.n.originsDropped += int(m.DroppedOrigins)
	s.n.skips += int(m.skipped)
	s.n.offered += int(m.ProvisionalOffered)
	s.n.accepted += int(m.ProvisionalAccepted)
	s.n.dropped += int(st.ProvisionalsDropped)
	_, isolations, _ := n.r.Isolation().Stats(s.now(n))
	s.n.isolations += int(isolations)
}

// step is one call of a user.
func (s *sim) step() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	key := s.oracle.keys[s.rng.IntN(s.c.keys)]
	if n == nil || s.t < n.stuck || n.closing {
		return
	}
	val := s.value()
	deadline := func(now delta.Instant) int64 {
		if !s.c.ttl || s.rng.IntN(3) > 0 {
			return 0
		}
		return now.Wall + 1 + s.rng.Int64N(4000)
	}
	x := s.rng.IntN(100)
	if x < 60 && s.c.writers > 0 {
		if n = s.nodes[s.rng.IntN(s.c.writers)]; n == nil || s.t < n.stuck || n.closing {
			return
		}
	}
	now := s.now(n)
	if x < 60 { // the database has just changed
		s.change(key)
	}
	switch {
	case x < 38:
		d := deadline(now)
		s.commit(n, key, simWrite{at: s.t}, func() { s.set(n, now, key, val, d) })
	case x < 56:
		s.commit(n, key, simWrite{at: s.t}, func() { _ = n.r.Delete(now, key) })
	case x < 58 && s.c.clears:
		s.clearBy(n, "", now)
	case x < 60: // equal stamps
		for _, n := range s.nodes {
			if n != nil && s.t >= n.stuck && !n.closing {
				now := s.now(n)
				s.commit(n, key, simWrite{at: s.t}, func() { s.set(n, now, key, val, 0) })
				val += "'"
			}
		}
	case x < 80:
		s.fill(n, key, 1+s.rng.Int64N(400), func(f *simFill) {
			s.endFill(f, &delta.Record{Key: key, Val: val, Deadline: deadline(s.now(n))})
		})
	default:
		s.get(n, key)
	}
}

// set is a Set, or a Put.
func (s *sim) set(n *simNode, now delta.Instant, key, val string, deadline int64) {
	_ = n.r.SetRecord(now, &delta.Record{Key: key, Val: val, Deadline: deadline, Tags: s.tags()})
}

// value returns one that wasn't written before.
func (s *sim) value() string {
	s.values++
	return fmt.Sprint(s.values)
}

// commit runs a local write and tells the oracle of it.
func (s *sim) commit(n *simNode, key string, w simWrite, write func()) {
	seq := n.r.state.seq
	if !w.fill {
		w.follows = s.follows(key)
	}
	write()
	if n.r.state.seq == seq {
		return // a fill that was refused
	}
	slot, _ := n.r.state.log.Get(n.r.state.Origin, n.r.state.seq)
	held, ok := n.r.Store.Peek(key)
	switch {
	case slot.Kind != delta.KindClear && ok && held.Version == slot.Version:
		w.rec = held
	case w.fill && n.r.Store.FloorOf(delta.BucketOf(key)) >= slot.Stamp:
		w.rec = *w.filled // what made room for it was younger, and of its bucket
	case w.fill || slot.Kind == delta.KindValue && s.c.maxBytes == 0:
		s.fail("n%d doesn't hold what it has just written of %s", n.id, key)
	default:
		w.rec = delta.Record{Key: key, Version: slot.Version, Kind: slot.Kind}
	}
	s.n.writes++
	if w.fill {
		s.n.fills++
	}
	s.logf("n%d writes %q %x.%x %v fill %v as %d", n.id, key, w.rec.Stamp, w.rec.Origin, w.rec.Kind, w.fill, n.r.state.seq)
	s.wrote(n, w)
}

// wake has a node flush soon.
func (s *sim) wake(n *simNode) {
	if n.flushing {
		return
	}
	n.flushing = true
	s.after(s.rng.Int64N(20), func() { s.flush(n) })
}

func (s *sim) flush(n *simNode) {
	switch {
	case !s.alive(n):
		return
	case s.t < n.stuck:
		s.after(n.stuck-s.t, func() { s.flush(n) })
		return
	}
	n.flushing = false
	broadcasts, sends := n.r.Flush(s.now(n))
	for _, frame := range broadcasts {
		for _, to := range s.nodes {
			if to != nil && to != n {
				s.broadcast(n, to, frame)
			}
		}
	}
	for _, m := range sends {
		to := s.nodes[m.To]
		if conn := s.up[n.id][m.To]; to != nil && conn == 0 && s.confirms {
			s.broadcast(n, to, m.Frame)
		} else if to != nil {
			s.send(n, to, conn, s.withoutDots(m.Frame), 0)
		}
	}
	for _, c := range n.r.TakeCuts() {
		s.logf("n%d cuts n%d: %s", n.id, c.Peer, c.Reason)
		s.n.cuts++
		s.disconnect(n.id, int(c.Peer))
	}
}

// broadcast sends a frame to a node, by others if need be.
func (s *sim) broadcast(n, to *simNode, frame []byte) {
	conn, delay := s.up[n.id][to.id], int64(0)
	if conn == 0 {
		if !s.c.relay {
			return
		}
		for _, via := range s.nodes {
			if via != nil && s.up[n.id][via.id] != 0 && s.up[via.id][to.id] != 0 && s.t >= via.stuck {
				conn, delay = s.up[via.id][to.id], s.rng.Int64N(s.c.delay)
			}
		}
	}
	s.send(n, to, conn, frame, delay)
}

// send sends a frame over a connection; 0 is none.
func (s *sim) send(n, to *simNode, conn int, frame []byte, delay int64) {
	if conn == 0 {
		return
	}
	copies := 1
	if s.lossy && s.rng.Float64() < s.c.dup {
		copies = 2
	}
	if s.c.heads && s.lossy && s.rng.IntN(4) == 0 {
		s.after(1, func() {
			if s.alive(to) && s.connected(conn, to.id) {
				to.r.Arriving(s.now(to), uint64(n.id), frame)
			}
		})
		delay += s.rng.Int64N(3000)
	}
	for range copies {
		s.n.frames++
		if n.second != s.t/1000 {
			n.second, n.sent = s.t/1000, 0
		}
		if n.sent++; n.sent > simStorm && !s.lossy {
			s.fail("n%d has sent %d frames within a second", n.id, n.sent)
		}
		if !s.lossy {
			s.n.busiest = max(s.n.busiest, n.sent)
		}
		if s.cut[[2]int{n.id, to.id}] > 0 || s.lossy && s.rng.Float64() < s.c.loss {
			s.n.lost++
			continue
		}
		if s.lossy {
			delay += s.rng.Int64N(s.c.delay)
		}
		s.after(1+delay, func() { s.deliver(n, to, conn, frame) })
	}
}

func (s *sim) deliver(from, to *simNode, conn int, frame []byte) {
	if !s.alive(to) || !s.connected(conn, to.id) { // what was pending dies with a connection
		s.n.lost++
		return
	}
	if s.t < to.stuck {
		s.after(to.stuck-s.t+s.rng.Int64N(10), func() { s.deliver(from, to, conn, frame) })
		return
	}
	s.receive(from, to, frame)
}

func (s *sim) connected(conn, id int) bool {
	for _, c := range s.up[id] {
		if c == conn {
			return true
		}
	}
	return false
}

// tick is a node's ticker.
func (s *sim) tick(n *simNode) {
	if !s.alive(n) {
		return
	}
	if s.t >= n.stuck {
		s.watch(n)
		n.r.Tick(s.now(n))
		s.checkNode(n)
		s.checkServed(n)
		s.checkLeases(n)
	}
	s.after(950+s.rng.Int64N(100), func() { s.tick(n) })
}
