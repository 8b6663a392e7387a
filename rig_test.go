package bcache

import (
	"slices"
	"time"
)

// A rig drives replicas directly, without goroutines or a clock: the frames
// that they send wait in it and are delivered in whatever order, and as often
// as, the test says. After every step it checks COVER.
type rig struct {
	t        rigT
	wall     int64
	replicas []*replica
	pending  [][]parcel // by receiver
	dots     map[rigDot]rigWrite
	winners  map[string]version // of all writes, by key
	shown    []map[string]version
	maxKeys  int
}

// rigT is a *testing.T or a *rapid.T.
type rigT interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

type parcel struct {
	from  uint64
	frame []byte
}

type rigDot struct{ origin, seq uint64 }

type rigWrite struct {
	key string
	version
}

func newRig(t rigT, n int, edit func(*replicaConfig)) *rig {
	g := &rig{t: t, wall: 1_700_000_000_000, dots: map[rigDot]rigWrite{}, winners: map[string]version{}}
	for i := range n {
		c := replicaConfig{
			origin: uint64(100 + i), maxSkew: 500 * time.Millisecond, logSize: 1024,
			wake: func() {}, changed: func(string, kind) {},
			store: storeConfig{maxKeys: 1000, deletionDelay: time.Hour, seed: uint64(i),
				hash: keyHash{replay: uint64(i + 1)}},
		}
		if edit != nil {
			edit(&c)
		}
		r := newReplica(c)
		for j := range n {
			if j != i {
				r.joined(g.now(), uint64(j), uint64(100+j))
			}
		}
		g.replicas = append(g.replicas, r)
		g.pending = append(g.pending, nil)
		g.shown = append(g.shown, map[string]version{})
		g.maxKeys = c.store.maxKeys
	}
	return g
}

func (g *rig) now() instant {
	return instant{wall: g.wall, mono: time.Duration(g.wall) * time.Millisecond}
}

// write runs a local write on replica i and notes what it wrote.
func (g *rig) write(i int, key string, write func(r *replica)) {
	r := g.replicas[i]
	seq := r.seq
	write(r)
	if r.seq == seq {
		return
	}
	if held, ok := r.store.peek(key); !ok || held.origin != r.origin {
		g.t.Fatalf("replica %d doesn't hold what it has just written", i)
	}
	slot, ok := r.log.get(r.origin, r.seq)
	if !ok || r.seq != seq+1 || slot.key != key {
		g.t.Fatalf("replica %d: the write of %q is logged as %+v", i, key, slot)
	}
	g.dots[rigDot{r.origin, r.seq}] = rigWrite{key, slot.version}
	if g.winners[key].less(slot.version) {
		g.winners[key] = slot.version
	}
	g.check(i)
}

// last returns the version of replica i's last write.
func (g *rig) last(i int) version {
	slot, _ := g.replicas[i].log.get(g.replicas[i].origin, g.replicas[i].seq)
	return slot.version
}

func (g *rig) flush(i int) {
	broadcasts, sends := g.replicas[i].flush(g.now())
	for _, frame := range broadcasts {
		for j := range g.replicas {
			if j != i {
				g.pending[j] = append(g.pending[j], parcel{uint64(i), frame})
			}
		}
	}
	for _, m := range sends {
		g.pending[m.to] = append(g.pending[m.to], parcel{uint64(i), m.frame})
	}
}

func (g *rig) deliver(i, nth int, keep bool) {
	p := g.pending[i][nth]
	if !keep {
		g.pending[i] = slices.Delete(g.pending[i], nth, nth+1)
	}
	before := slices.Clone(p.frame)
	if err := g.replicas[i].receive(g.now(), p.from, p.frame); err != nil {
		g.t.Fatalf("replica %d: %v", i, err)
	}
	if !slices.Equal(before, p.frame) {
		g.t.Fatal("receive changed the frame")
	}
	g.check(i)
}

// settle delivers everything.
func (g *rig) settle() {
	for again := true; again; {
		again = false
		for i := range g.replicas {
			g.flush(i)
		}
		for i := range g.replicas {
			for len(g.pending[i]) > 0 {
				g.deliver(i, 0, false)
				again = true
			}
		}
	}
}

// check verifies COVER, the bounds, and that no key ever goes back to an older version.
func (g *rig) check(i int) {
	r := g.replicas[i]
	for d, w := range g.dots {
		s := r.vector.origins[d.origin]
		if s == nil || !s.has(d.seq) {
			continue
		}
		if slot, ok := r.log.get(d.origin, d.seq); !ok || slot.version != w.version {
			g.t.Fatalf("replica %d covers %v but has logged %+v", i, d, slot)
		}
		held, ok := r.store.peek(w.key)
		if ok && !held.less(w.version) || r.store.floorOf(bucketOf(w.key)) >= w.stamp || r.store.clearVersion().stamp >= w.stamp {
			continue
		}
		g.t.Fatalf("COVER: replica %d covers %v of %q at %v, and holds %+v", i, d, w.key, w.version, held)
	}
	for key := range g.winners {
		held, ok := r.store.peek(key)
		if !ok {
			continue
		}
		if held.version.less(g.shown[i][key]) {
			g.t.Fatalf("replica %d goes back from %v to %v of %q", i, g.shown[i][key], held.version, key)
		}
		g.shown[i][key] = held.version
	}
	if n := r.store.len(); n > g.maxKeys {
		g.t.Fatalf("replica %d holds %d entries", i, n)
	}
}
