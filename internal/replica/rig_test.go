package replica

import (
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/keyhash"
	"github.com/iwanbk/bcache/internal/store"
)

// A rig drives replicas directly, without goroutines or a clock: the frames
// that they send wait in it and are delivered in whatever order, and as often
// as, the test says. After every step it checks COVER.
type rig struct {
	t        rigT
	wall     int64
	replicas []*Replica
	pending  [][]parcel // by receiver
	dots     map[rigDot]rigWrite
	clears   map[rigDot]delta.Record
	winners  map[string]delta.Version // of all writes, by key
	shown    []map[string]delta.Version
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
	delta.Version
}

func newRig(t rigT, n int, edit func(*Config)) *rig {
	g := &rig{t: t, wall: 1_700_000_000_000, dots: map[rigDot]rigWrite{}, clears: map[rigDot]delta.Record{}, winners: map[string]delta.Version{}}
	for i := range n {
		c := Config{
			Origin: uint64(100 + i), MaxSkew: 500 * time.Millisecond, LogSize: 1024,
			Wake: func() {}, Changed: func(string, delta.Kind) {},
			Store: store.Config{MaxKeys: 1000, DeletionDelay: time.Hour, Seed: uint64(i),
				Hash: keyhash.Hash{Replay: uint64(i + 1)}},
		}
		if edit != nil {
			edit(&c)
		}
		r := New(c)
		for j := range n {
			if j != i {
				r.Joined(g.now(), uint64(j), uint64(100+j))
			}
		}
		g.replicas = append(g.replicas, r)
		g.pending = append(g.pending, nil)
		g.shown = append(g.shown, map[string]delta.Version{})
		g.maxKeys = c.Store.MaxKeys
	}
	return g
}

func (g *rig) now() delta.Instant {
	return delta.Instant{Wall: g.wall, Mono: time.Duration(g.wall) * time.Millisecond}
}

// write runs a local write on replica i and notes what it wrote.
func (g *rig) write(i int, key string, write func(r *Replica)) {
	r := g.replicas[i]
	seq := r.state.seq
	write(r)
	if r.state.seq == seq {
		return
	}
	if held, ok := r.Store.Peek(key); !ok || held.Origin != r.state.Origin {
		g.t.Fatalf("replica %d doesn't hold what it has just written", i)
	}
	slot, ok := r.state.log.Get(r.state.Origin, r.state.seq)
	if !ok || r.state.seq != seq+1 || slot.Key != key {
		g.t.Fatalf("replica %d: the write of %q is logged as %+v", i, key, slot)
	}
	g.dots[rigDot{r.state.Origin, r.state.seq}] = rigWrite{key, slot.Version}
	if g.winners[key].Less(slot.Version) {
		g.winners[key] = slot.Version
	}
	g.check(i)
}

// clear clears on replica i, and notes that.
func (g *rig) clear(i int, now delta.Instant, by delta.Selector) {
	r := g.replicas[i]
	_ = r.Clear(now, by)
	g.clears[rigDot{r.state.Origin, r.state.seq}] = delta.Record{Key: string(by), Version: g.last(i), Kind: delta.KindClear}
	g.check(i)
}

// last returns the version of replica i's last write.
func (g *rig) last(i int) delta.Version {
	slot, _ := g.replicas[i].state.log.Get(g.replicas[i].state.Origin, g.replicas[i].state.seq)
	return slot.Version
}

func (g *rig) flush(i int) {
	broadcasts, sends := g.replicas[i].Flush(g.now())
	for _, frame := range broadcasts {
		for j := range g.replicas {
			if j != i {
				g.pending[j] = append(g.pending[j], parcel{uint64(i), frame})
			}
		}
	}
	for _, m := range sends {
		g.pending[m.To] = append(g.pending[m.To], parcel{uint64(i), m.Frame})
	}
}

func (g *rig) deliver(i, nth int, keep bool) {
	p := g.pending[i][nth]
	if !keep {
		g.pending[i] = slices.Delete(g.pending[i], nth, nth+1)
	}
	before := slices.Clone(p.frame)
	if err := g.replicas[i].Receive(g.now(), p.from, p.frame); err != nil {
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
		s := r.state.vector.Origins[d.origin]
		if s == nil || !s.Has(d.seq) {
			continue
		}
		if slot, ok := r.state.log.Get(d.origin, d.seq); !ok || slot.Version != w.Version {
			g.t.Fatalf("replica %d covers %v but has logged %+v", i, d, slot)
		}
		held, ok := r.Store.Peek(w.key)
		if ok && !held.Less(w.Version) || r.Store.FloorOf(delta.BucketOf(w.key)) >= w.Stamp || r.Store.Clears.All().Stamp >= w.Stamp {
			continue
		}
		g.t.Fatalf("COVER: replica %d covers %v of %q at %v, and holds %+v", i, d, w.key, w.Version, held)
	}
	for key := range g.winners {
		held, ok := r.Store.Peek(key)
		if !ok {
			continue
		}
		for d, c := range g.clears {
			if held.Kind == delta.KindTombstone || held.Stamp > c.Stamp || !c.Selector().Selects(key, held.Tags) {
				continue
			}
			if s := r.state.vector.Origins[d.origin]; s != nil && s.Has(d.seq) {
				g.t.Fatalf("COVER: replica %d covers %v, a Clear by %q at %v, and holds %+v", i, d, c.Key, c.Version, held)
			}
		}
		if held.Version.Less(g.shown[i][key]) {
			g.t.Fatalf("replica %d goes back from %v to %v of %q", i, g.shown[i][key], held.Version, key)
		}
		g.shown[i][key] = held.Version
	}
	if n := r.Store.Len(); n > g.maxKeys {
		g.t.Fatalf("replica %d holds %d entries", i, n)
	}
}
