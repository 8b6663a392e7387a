package bcache

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
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
			store: storeConfig{maxKeys: 1000, deletionDelay: time.Hour, seed: uint64(i)},
		}
		if edit != nil {
			edit(&c)
		}
		r := newReplica(c)
		for j := range n {
			if j != i {
				r.joined(uint64(j), uint64(100+j))
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

func (g *rig) flush(i int) {
	broadcasts, sends := g.replicas[i].flush()
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
		s := r.ctx.origins[d.origin]
		if s == nil || !s.has(d.seq) {
			continue
		}
		held, ok := r.store.peek(w.key)
		if ok && !held.less(w.version) || r.store.floorOf(r.store.bucketOf(w.key)) >= w.stamp || r.store.clearVersion().stamp >= w.stamp {
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

// Whatever the order in which frames arrive, doubled ones included: when all have
// arrived, every node holds, of every key, the greatest version of all writes; or
// nothing, if it had to forget.
func TestReplicasConvergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxKeys := rapid.SampledFrom([]int{1, 3, 1000}).Draw(t, "maxKeys")
		g := newRig(t, 3, func(c *replicaConfig) { c.store.maxKeys = maxKeys })
		skews := []int64{0, rapid.Int64Range(-250, 250).Draw(t, "skew 1"), rapid.Int64Range(-250, 250).Draw(t, "skew 2")}
		keys := []string{"", "a", "b", "c", "d"}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, 2).Draw(t, "replica")
			key := rapid.SampledFrom(keys).Draw(t, "key")
			now := instant{wall: g.wall + skews[i], mono: g.now().mono}
			switch rapid.IntRange(0, 7).Draw(t, "action") {
			case 0, 1:
				g.write(i, key, func(r *replica) { _ = r.set(now, key, fmt.Sprint(i, g.wall), 0) })
			case 2:
				g.write(i, key, func(r *replica) { _ = r.delete(now, key) })
			case 3:
				stamp := g.replicas[i].fillStamp(now)
				g.write(i, key, func(r *replica) { r.fill(now, key, "filled", 0, stamp) })
			case 4:
				g.flush(i)
			case 5, 6:
				if n := len(g.pending[i]); n > 0 {
					g.deliver(i, rapid.IntRange(0, n-1).Draw(t, "nth"), rapid.Bool().Draw(t, "again"))
				}
			case 7:
				g.wall += rapid.Int64Range(0, 300).Draw(t, "pause")
			}
		}
		g.settle()
		for key, winner := range g.winners {
			for i, r := range g.replicas {
				held, ok := r.store.peek(key)
				if ok && held.version != winner {
					t.Fatalf("replica %d holds %q at %v, the winner is %v", i, key, held.version, winner)
				}
				if !ok && maxKeys == 1000 && r.n.refusedSkew == 0 && r.store.stats().floorRefusals == 0 {
					t.Fatalf("replica %d doesn't hold %q", i, key)
				}
			}
		}
		for i, r := range g.replicas {
			for j, o := range g.replicas {
				if s := r.ctx.origins[o.origin]; o.seq > 0 && (s == nil || s.covered != o.seq) {
					t.Fatalf("replica %d doesn't cover %d of replica %d", i, o.seq, j)
				}
			}
		}
	})
}

// Merging is commutative, associative and idempotent: the records of a set lead to the
// same state in every order and repetition; and pure: the records aren't changed.
func TestMergeLaws(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) record {
		r := record{
			key:     rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "key"),
			version: version{rapid.Uint64Range(1, 6).Draw(t, "stamp"), rapid.Uint64Range(1, 3).Draw(t, "origin")},
		}
		// Equal versions are the same write.
		r.kind = []kind{kindValue, kindTombstone, kindNegative}[(r.stamp+r.origin)%3]
		if r.kind == kindValue {
			r.val = fmt.Sprint(r.version)
		}
		return r
	})
	state := func(t *rapid.T, recs []record) (state []record) {
		s := newStore(storeConfig{maxKeys: 100, deletionDelay: time.Hour})
		for _, rec := range recs {
			given := rec
			s.apply(instant{wall: 1000}, &rec, false)
			if given != rec {
				t.Fatalf("apply changed %+v to %+v", given, rec)
			}
		}
		for _, key := range []string{"a", "b", ""} {
			rec, _ := s.peek(key)
			state = append(state, rec)
		}
		return state
	}
	rapid.Check(t, func(t *rapid.T) {
		recs := rapid.SliceOfN(gen, 0, 12).Draw(t, "records")
		want := state(t, recs)
		if got := state(t, rapid.Permutation(recs).Draw(t, "permutation")); !slices.Equal(got, want) {
			t.Fatalf("not commutative or associative: %v, %v", got, want)
		}
		if got := state(t, append(slices.Clone(recs), recs...)); !slices.Equal(got, want) {
			t.Fatalf("not idempotent: %v, %v", got, want)
		}
		clock := newStore(storeConfig{maxKeys: 100, deletionDelay: time.Hour})
		for _, rec := range recs {
			clock.apply(instant{wall: 5_000_000, mono: time.Minute}, &rec, true)
		}
		for i, key := range []string{"a", "b", ""} {
			if rec, ok := clock.peek(key); ok && rec != want[i] {
				t.Fatalf("the clock matters: %v, %v", rec, want[i])
			}
		}
	})
}

// The same calls lead to the same bytes: nothing depends on the order of a map, or
// on a clock.
func TestReplicaIsDeterministic(t *testing.T) {
	run := func() (trace [][]byte) {
		g := newRig(t, 3, func(c *replicaConfig) { c.store.maxKeys = 2000; c.logSize = 100 })
		rng := uint64(1)
		next := func(n int) int {
			rng = rng*6364136223846793005 + 1442695040888963407
			return int(rng >> 33 % uint64(n))
		}
		for range 20_000 {
			i := next(3)
			key := fmt.Sprint(next(5000))
			switch next(4) {
			case 0, 1:
				must(t, g.replicas[i].set(g.now(), key, "v", g.wall+int64(next(100_000))))
			case 2:
				must(t, g.replicas[i].delete(g.now(), key))
			case 3:
				broadcasts, _ := g.replicas[i].flush()
				trace = append(trace, broadcasts...)
				for j, r := range g.replicas {
					for _, frame := range broadcasts {
						if j != i {
							must(t, r.receive(g.now(), uint64(i), frame))
						}
					}
				}
			}
			g.wall += int64(next(50))
			g.replicas[i].tick(g.now())
		}
		for _, r := range g.replicas {
			for k := range 5000 {
				if rec, ok := r.store.peek(fmt.Sprint(k)); ok {
					trace = append(trace, fmt.Append(nil, rec))
				}
			}
		}
		return trace
	}
	if a, b := run(), run(); !slices.EqualFunc(a, b, slices.Equal) {
		t.Error("two runs differ")
	}
}

func TestReplicaRefusesAFrameInItsOwnName(t *testing.T) {
	g := newRig(t, 2, nil)
	forged := appendDelta(nil, 100, 1, []record{{key: "k", val: "forged", version: version{stampOf(g.wall), 100}}})
	must(t, g.replicas[0].receive(g.now(), 1, forged))
	if _, ok := g.replicas[0].store.peek("k"); ok {
		t.Error("applied")
	}
	must(t, g.replicas[0].set(g.now(), "k", "v", 0))
	if s := g.replicas[0].ctx.origins[100]; s.covered != 1 {
		t.Errorf("covered %d", s.covered)
	}
}

// A record of a kind that this version doesn't know is a forget: nothing is
// served that it may have replaced, and its dot is covered.
func TestReplicaUnknownKind(t *testing.T) {
	g := newRig(t, 2, nil)
	r := g.replicas[0]
	must(t, r.set(g.now(), "k", "old", 0))
	future := appendDelta(nil, 101, 1, []record{{key: "k", version: version{stampOf(g.wall + 1), 101}, kind: kindForget}})
	frame := wireSetKind(t, future, 99)
	must(t, r.receive(g.now(), 1, frame))
	if rec, ok := r.store.peek("k"); ok {
		t.Errorf("still holds %+v", rec)
	}
	if s := r.ctx.origins[101]; s == nil || s.covered != 1 {
		t.Error("the dot isn't covered")
	}
}

// wireSetKind replaces the kind of the only record of a frame.
func wireSetKind(t *testing.T, frame []byte, k byte) []byte {
	t.Helper()
	old := []byte{recordKind, byte(kindForget)}
	for i := range frame {
		if i+2 <= len(frame) && slices.Equal(frame[i:i+2], old) {
			frame = slices.Clone(frame)
			frame[i+1] = k
			return frame
		}
	}
	t.Fatal("no kind found")
	return nil
}

// At the outbox's bound the oldest go, and what is left is still consecutive.
func TestOutboxIsBounded(t *testing.T) {
	var o outbox
	val := string(make([]byte, 1<<20))
	total := uint64(0)
	for seq := uint64(1); seq <= 200; seq++ {
		total += o.put(seq, &record{key: "k", val: val, version: version{seq, 1}})
		if o.bytes > maxOutbox {
			t.Fatalf("%d bytes", o.bytes)
		}
	}
	if n := o.len(); uint64(n)+total != 200 {
		t.Errorf("len %d after %d dropped", n, total)
	}
	first, chunks := o.take()
	recs := slices.Concat(chunks...)
	if total == 0 || first != total+1 || uint64(len(recs))+total != 200 {
		t.Fatalf("first %d, %d records, %d dropped", first, len(recs), total)
	}
	for i, rec := range recs {
		if rec.stamp != first+uint64(i) {
			t.Fatalf("record %d has stamp %d", i, rec.stamp)
		}
	}
	if o.put(201, &record{version: version{201, 1}}) != 0 || o.first != 201 {
		t.Error("not usable after take")
	}
}
