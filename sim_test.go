package bcache

import (
	"container/heap"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// The simulator runs real replicas in one goroutine, in virtual time, over a
// network that loses, doubles, delays and reorders, with partitions, restarts,
// tiny capacities and clocks that differ and jump. After every step it checks what
// must hold whatever happens. A seed replays exactly:
//
//	go test -run TestSim -sim.seed=N -v .
var (
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed of the simulation only, and print its events")
	simSeeds = flag.Uint64("sim.seeds", simDefaultSeeds, "run that many seeds of the simulation")
)

func TestSim(t *testing.T) {
	first, last := uint64(1), *simSeeds
	if *simSeed != 0 {
		first, last = *simSeed, *simSeed
	}
	var total simCounts
	for seed := first; seed <= last; seed++ {
		s := newSim(seed)
		s.run()
		if *simSeed != 0 || s.failure != "" {
			for _, e := range s.trace {
				t.Log(e)
			}
		}
		if s.failure != "" {
			t.Fatalf("seed %d: %s", seed, s.failure)
		}
		total.add(s.n)
	}
	t.Logf("%d seeds: %+v", last-first+1, total)
}

func TestSimReplays(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := newSim(seed), newSim(seed)
		a.run()
		b.run()
		if strings.Join(a.trace, "\n") != strings.Join(b.trace, "\n") || a.n != b.n {
			t.Fatalf("seed %d: two runs differ", seed)
		}
	}
}

type simConfig struct {
	nodes, keys, steps int
	maxKeys            int
	maxBytes           int64
	tombstones         int
	deletionDelay      time.Duration
	loss, dup          float64
	delay              int64 // ms, the most
	partitions         bool
	oneWay             bool
	restarts           bool
	jumps              bool // clocks jump by minutes
}

type simCounts struct{ writes, fills, frames, lost, restarts, evictions, refusals, futures int }

func (c *simCounts) add(d simCounts) {
	c.writes += d.writes
	c.fills += d.fills
	c.frames += d.frames
	c.lost += d.lost
	c.restarts += d.restarts
	c.evictions += d.evictions
	c.refusals += d.refusals
	c.futures += d.futures
}

// A simWrite is what the oracle knows of a write.
type simWrite struct {
	rec  record
	fill bool
	at   int64 // true time when it was issued, or the fill began
}

type simNode struct {
	id, life int
	r        *replica
	skew     int64              // of its wall clock, within half the bound
	jump     int64              // a clock that is wrong
	best     map[string]version // of all dots that its context covers, by key
	shown    map[string]version // by get
}

type sim struct {
	c       simConfig
	rng     *rand.Rand
	t       int64 // true time, ms
	queue   simQueue
	order   uint64
	nodes   []*simNode
	cut     map[[2]int]bool
	dots    map[rigDot]record
	writes  map[rigWrite]simWrite // by key and version
	history map[string][]simWrite // by key, in the order in which they were issued
	honest  bool                  // no clock has jumped so far
	n       simCounts
	trace   []string
	failure string
}

const (
	simSkew  = 500 // MaxClockSkew, ms
	simStart = int64(1_700_000_000_000)
)

func newSim(seed uint64) *sim {
	rng := rand.New(rand.NewPCG(seed, 0))
	chance := func(n int) bool { return rng.IntN(n) == 0 }
	c := simConfig{
		nodes: 5, keys: 32, steps: 500, maxKeys: 1000, tombstones: 1000, deletionDelay: time.Hour,
		loss: float64(rng.IntN(4)) / 10, dup: float64(rng.IntN(6)) / 10, delay: 1 + rng.Int64N(400),
		partitions: chance(2), oneWay: chance(2), restarts: chance(2), jumps: chance(10),
	}
	if chance(2) {
		c.maxKeys = 8 + rng.IntN(25)
	}
	if chance(4) {
		c.maxBytes = int64(8+rng.IntN(25)) * (EntryOverhead + 8)
	}
	if chance(2) {
		c.tombstones, c.deletionDelay = 1+rng.IntN(8), time.Duration(100+rng.IntN(3000))*time.Millisecond
	}
	s := &sim{c: c, rng: rng, cut: map[[2]int]bool{}, dots: map[rigDot]record{}, honest: true,
		writes: map[rigWrite]simWrite{}, history: map[string][]simWrite{}}
	for i := range c.nodes {
		s.nodes = append(s.nodes, s.newNode(i, 0))
	}
	for i := range s.nodes {
		for j := range s.nodes {
			if i != j {
				s.nodes[i].r.joined(uint64(j), s.nodes[j].r.origin)
			}
		}
	}
	return s
}

func (s *sim) newNode(id, life int) *simNode {
	return &simNode{id: id, life: life, skew: s.rng.Int64N(simSkew/2+1) - simSkew/4,
		best: map[string]version{}, shown: map[string]version{},
		r: newReplica(replicaConfig{
			origin: s.rng.Uint64() | 1, maxSkew: simSkew * time.Millisecond, logSize: 256,
			wake: func() {}, changed: func(string, kind) {},
			store: storeConfig{maxKeys: s.c.maxKeys, maxBytes: s.c.maxBytes, maxTombstones: s.c.tombstones,
				deletionDelay: s.c.deletionDelay, seed: uint64(id)},
		})}
}

func (s *sim) now(n *simNode) instant {
	return instant{wall: simStart + s.t + n.skew + n.jump, mono: time.Duration(s.t) * time.Millisecond}
}

func (s *sim) after(d int64, run func()) {
	s.order++
	heap.Push(&s.queue, simEvent{s.t + d, s.order, run})
}

func (s *sim) logf(format string, v ...any) {
	if s.trace = append(s.trace, fmt.Sprintf("%6d ", s.t)+fmt.Sprintf(format, v...)); len(s.trace) > 400 && *simSeed == 0 {
		s.trace = s.trace[200:]
	}
}

func (s *sim) fail(format string, v ...any) {
	if s.failure == "" {
		s.failure = fmt.Sprintf(format, v...)
		s.logf("FAILED: %s", s.failure)
	}
}

func (s *sim) run() {
	s.logf("%+v", s.c)
	span := int64(2000 + s.rng.IntN(10_000))
	for range s.c.steps {
		s.after(s.rng.Int64N(span), s.step)
	}
	for i := range s.c.nodes {
		for at := int64(0); at < span; at += 200 {
			s.after(at+s.rng.Int64N(200), func() { s.tick(i) })
		}
	}
	for range 3 {
		if s.c.partitions {
			s.after(s.rng.Int64N(span), s.partition)
		}
		if s.c.restarts {
			s.after(s.rng.Int64N(span), s.restart)
		}
	}
	if s.c.jumps {
		s.after(s.rng.Int64N(span), s.jump)
	}
	for len(s.queue) > 0 && s.failure == "" {
		e := heap.Pop(&s.queue).(simEvent)
		s.t = e.at
		e.run()
	}
	s.agree()
	for _, n := range s.nodes {
		st := n.r.store.stats()
		s.n.evictions += int(st.evictions)
		s.n.refusals += int(st.floorRefusals)
		s.n.futures += int(n.r.n.refusedSkew)
	}
}

// step is one call of a user.
func (s *sim) step() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	key := fmt.Sprintf("k%02d", s.rng.IntN(s.c.keys))
	now := s.now(n)
	val := fmt.Sprint(len(s.writes))
	deadline := int64(0)
	if s.rng.IntN(3) == 0 {
		deadline = now.wall + 1 + s.rng.Int64N(1500)
	}
	switch x := s.rng.IntN(100); {
	case x < 40:
		s.commit(n, key, simWrite{at: s.t}, func() { _ = n.r.set(now, key, val, deadline) })
	case x < 60:
		s.commit(n, key, simWrite{at: s.t}, func() { _ = n.r.delete(now, key) })
	case x < 80:
		stamp, begun, life := n.r.fillStamp(now), s.t, n.life
		s.logf("n%d begins a fill of %s @%x", n.id, key, stamp)
		s.after(1+s.rng.Int64N(400), func() {
			if s.nodes[n.id].life != life {
				return
			}
			now := s.now(n)
			if deadline != 0 {
				deadline = now.wall + 1 + s.rng.Int64N(1500)
			}
			s.commit(n, key, simWrite{fill: true, at: begun}, func() { n.r.fill(now, key, val, deadline, stamp) })
		})
	default:
		s.get(n, key)
	}
}

// commit runs a local write and tells the oracle of it.
func (s *sim) commit(n *simNode, key string, w simWrite, write func()) {
	seq := n.r.seq
	write()
	if n.r.seq == seq {
		return // a fill that was refused
	}
	slot, _ := n.r.log.get(n.r.origin, n.r.seq)
	held, ok := n.r.store.peek(key)
	if ok && held.version == slot.version {
		w.rec = held
	} else if w.fill || slot.kind != kindTombstone && s.c.maxBytes == 0 {
		s.fail("n%d doesn't hold what it has just written of %s", n.id, key)
	} else {
		w.rec = record{key: key, version: slot.version, kind: slot.kind}
	}
	s.n.writes++
	if w.fill {
		s.n.fills++
	}
	s.logf("n%d writes %s %+v fill %v", n.id, key, w.rec.version, w.fill)
	for _, o := range s.history[key] {
		// The fence: a fill never beats what was issued after it began.
		early, late := o, w
		if w.fill {
			early, late = w, o
		}
		if early.fill && !late.fill && late.at >= early.at && s.honest && !early.rec.version.less(late.rec.version) {
			s.fail("a fill begun at %d (%v) beats a write issued at %d (%v)", early.at, early.rec.version, late.at, late.rec.version)
		}
	}
	s.history[key] = append(s.history[key], w)
	s.writes[rigWrite{key, slot.version}] = w
	d := rigDot{n.r.origin, n.r.seq}
	s.dots[d] = w.rec
	s.cover(n, d)
	s.check(n)
	s.after(s.rng.Int64N(20), func() {
		if s.nodes[n.id] == n {
			s.flush(n)
		}
	})
}

func (s *sim) flush(n *simNode) {
	frames, _ := n.r.flush()
	for _, frame := range frames {
		for _, to := range s.nodes {
			if to != n {
				s.send(n.id, to.id, frame)
			}
		}
	}
}

func (s *sim) send(from, to int, frame []byte) {
	copies := 1
	if s.rng.Float64() < s.c.dup {
		copies = 2
	}
	for range copies {
		s.n.frames++
		if s.cut[[2]int{from, to}] || s.rng.Float64() < s.c.loss {
			s.n.lost++
			continue
		}
		s.after(1+s.rng.Int64N(s.c.delay), func() { s.deliver(from, to, frame) })
	}
}

func (s *sim) deliver(from, to int, frame []byte) {
	n := s.nodes[to]
	d, err := openDelta(frame)
	if err != nil {
		s.fail("a frame of n%d: %v", from, err)
		return
	}
	has := func(seq uint64) bool { dots := n.r.ctx.origins[d.origin]; return dots != nil && dots.has(seq) }
	var future []uint64 // dots that must not be processed now
	for seq := d.first; seq < d.first+d.count; seq++ {
		if stampWall(s.dots[rigDot{d.origin, seq}].stamp) > s.now(n).wall+simSkew && !has(seq) {
			future = append(future, seq)
		}
	}
	sum := fmt.Sprintf("%x", frame)
	_ = n.r.receive(s.now(n), uint64(from), frame)
	if fmt.Sprintf("%x", frame) != sum {
		s.fail("n%d changed a frame that it shares", to)
	}
	for seq := d.first; seq < d.first+d.count; seq++ {
		if slices.Contains(future, seq) && has(seq) {
			s.fail("n%d has processed dot %d of n%d, which is from the future", to, seq, from)
		}
		s.cover(n, rigDot{d.origin, seq})
	}
	s.logf("n%d has received %d records of n%d from seq %d", to, d.count, from, d.first)
	s.check(n)
}

// cover notes what a dot demands, if the node's context covers it.
func (s *sim) cover(n *simNode, d rigDot) {
	rec, known := s.dots[d]
	if dots := n.r.ctx.origins[d.origin]; !known || dots == nil || !dots.has(d.seq) {
		return
	}
	if n.best[rec.key].less(rec.version) {
		n.best[rec.key] = rec.version
	}
}

// check verifies the invariants of a node.
func (s *sim) check(n *simNode) {
	for k := range s.c.keys {
		key := fmt.Sprintf("k%02d", k)
		best := n.best[key]
		held, ok := n.r.store.peek(key)
		switch {
		case ok && held.version.less(best):
			s.fail("n%d holds %s at %v and has processed %v", n.id, key, held.version, best)
		case !ok && best.stamp > n.r.store.floorOf(n.r.store.bucketOf(key)):
			s.fail("COVER: n%d has processed %s at %v, holds nothing, and the floor is lower", n.id, key, best)
		case ok:
			w, known := s.writes[rigWrite{key, held.version}]
			if !known || held.val != w.rec.val || held.kind != w.rec.kind || held.deadline != w.rec.deadline {
				s.fail("n%d holds %+v, written was %+v", n.id, held, w.rec)
			}
		}
	}
	st := n.r.store
	if st.len() > s.c.maxKeys || s.c.maxBytes > 0 && st.bytes() > s.c.maxBytes || st.tombstones() > s.c.tombstones {
		s.fail("n%d: %d entries, %d bytes, %d tombstones", n.id, st.len(), st.bytes(), st.tombstones())
	}
}

// get is a Get, and checks what it returns.
func (s *sim) get(n *simNode, key string) {
	held, ok := n.r.store.peek(key)
	now := s.now(n)
	val, hit := n.r.store.get(key, func() int64 { return now.wall })
	if !hit {
		return
	}
	switch {
	case !ok || held.kind != kindValue || val != held.val:
		s.fail("n%d serves %q of %s and holds %+v", n.id, val, key, held)
	case held.expired(now.wall):
		s.fail("n%d serves %s after its deadline", n.id, key)
	case held.version.less(n.shown[key]):
		s.fail("n%d serves %s at %v after %v", n.id, key, held.version, n.shown[key])
	}
	n.shown[key] = held.version
}

func (s *sim) tick(id int) {
	n := s.nodes[id]
	for range sweepTurns {
		n.r.tick(s.now(n))
	}
	s.check(n)
}

// agree verifies the end: where nothing was lost, any two nodes that hold a key
// hold the same version of it, the greatest of all.
func (s *sim) agree() {
	if s.failure != "" || s.n.lost > 0 || s.n.restarts > 0 || !s.honest {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(s.history)) {
		var winner version
		for _, w := range s.history[key] {
			if winner.less(w.rec.version) {
				winner = w.rec.version
			}
		}
		for _, n := range s.nodes {
			if held, ok := n.r.store.peek(key); ok && held.version != winner {
				s.fail("in the end n%d holds %s at %v, the winner is %v", n.id, key, held.version, winner)
			}
		}
	}
}
