package bcache

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the order in which frames arrive, doubled ones included: when all have
// arrived, every node holds, of every key, the greatest version of all writes; or
// nothing, if it had to forget.
func TestReplicasConvergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxKeys := rapid.SampledFrom([]int{1, 3, 1000}).Draw(t, "maxKeys")
		g := newRig(t, 3, func(c *replicaConfig) { c.store.maxKeys = maxKeys })
		skews := make([]int64, 3)
		keys := []string{"", "a", "b", "c", "d"}
		type begun struct {
			i     int
			key   string
			f     *fill
			after int // writes issued before it began
		}
		var fills []begun
		var writes []rigWrite // in the order in which they were issued, fills excluded
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, 2).Draw(t, "replica")
			key := rapid.SampledFrom(keys).Draw(t, "key")
			now := instant{wall: g.wall + skews[i], mono: g.now().mono}
			switch rapid.IntRange(0, 9).Draw(t, "action") {
			case 0, 1:
				g.write(i, key, func(r *replica) { _ = r.set(now, key, fmt.Sprint(i, g.wall), 0) })
				writes = append(writes, rigWrite{key, g.last(i)})
			case 2:
				g.write(i, key, func(r *replica) { _ = r.delete(now, key) })
				writes = append(writes, rigWrite{key, g.last(i)})
			case 3:
				fills = append(fills, begun{i, key, g.replicas[i].beginFills(now, 0, key)[0], len(writes)})
			case 8:
				if len(fills) == 0 {
					break
				}
				n := rapid.IntRange(0, len(fills)-1).Draw(t, "fill")
				f := fills[n]
				fills = slices.Delete(fills, n, n+1)
				now := instant{wall: g.wall + skews[f.i], mono: g.now().mono}
				g.write(f.i, f.key, func(r *replica) { r.endFill(now, f.f, &record{key: f.key, val: "filled"}, false) })
				for _, w := range writes[f.after:] {
					if w.key == f.key && !(version{f.f.stamp, g.replicas[f.i].origin}).less(w.version) {
						t.Fatalf("the fill %v beats %v, issued after it began", f, w)
					}
				}
			case 9: // clocks may step, within the bound
				skews[i] = rapid.Int64Range(-250, 250).Draw(t, "skew")
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
				if !ok && maxKeys == 1000 && r.state.counts.refusedSkew == 0 && r.store.stats().floorRefusals == 0 {
					t.Fatalf("replica %d doesn't hold %q", i, key)
				}
			}
		}
		for i, r := range g.replicas {
			for j, o := range g.replicas {
				if s := r.vector.origins[o.origin]; o.seq > 0 && (s == nil || s.covered != o.seq) {
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
				broadcasts, _ := g.replicas[i].flush(g.now())
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
	if s := g.replicas[0].vector.origins[100]; s.covered != 1 {
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
	if s := r.vector.origins[101]; s == nil || s.covered != 1 {
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
	o := outbox{most: defaultMaxPending}
	val := string(make([]byte, 1<<20))
	total := uint64(0)
	for seq := uint64(1); seq <= 200; seq++ {
		dropped := o.put(seq, &record{key: "k", val: val, version: version{seq, 1}})
		if total += dropped; dropped > 1 {
			t.Fatalf("dropped %d records for one", dropped)
		}
		if o.bytes > o.most || o.empty() {
			t.Fatalf("%d bytes, %d records", o.bytes, o.n)
		}
	}
	if n := o.n; uint64(n)+total != 200 {
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

// What comes from the future isn't applied, covered or logged, and the older value
// isn't served meanwhile; once the clocks have caught up it is applied.
func TestReplicaFuture(t *testing.T) {
	g := newRig(t, 2, nil)
	changed := 0
	r := g.replicas[0]
	r.changed = func(string, kind) { changed++ }
	must(t, r.set(g.now(), "k", "old", 0))
	before, _ := r.store.peek("k")
	changed = 0
	rec := record{key: "k", val: "new", version: version{stampOf(g.wall + 10_000), 101}}
	frame := appendDelta(nil, 101, 1, []record{rec})
	if err := r.receive(g.now(), 1, frame); !errors.Is(err, errFuture) || !strings.Contains(err.Error(), "10s") {
		t.Errorf("receive = %v", err)
	}
	if _, ok := r.log.get(101, 1); ok || r.vector.get(101).has(1) {
		t.Error("the dot is logged or covered")
	}
	if held, ok := r.store.peek("k"); ok || changed != 1 {
		t.Errorf("holds %+v, %d changes", held, changed)
	}
	if floor := r.store.floorOf(bucketOf("k")); floor != before.stamp {
		t.Errorf("the floor is %d, the value given up had %d", floor, before.stamp)
	}
	if r.state.counts.refusedSkew != 1 || r.counts.malformed != 0 {
		t.Errorf("%+v", r.counts)
	}
	g.wall += 10_000
	must(t, r.receive(g.now(), 1, frame))
	if held, _ := r.store.peek("k"); held.val != "new" {
		t.Errorf("holds %+v", held)
	}
}

// A node whose clock is set back goes on in its own time, and is told that others
// won't follow.
func TestReplicaAhead(t *testing.T) {
	g := newRig(t, 2, nil)
	r := g.replicas[0]
	g.wall += 3_600_000
	f := r.beginFills(g.now(), 0, "k")[0]
	if r.endFill(g.now(), f, &record{key: "k", val: "filled"}, false) != fillWritten || r.ahead(g.now()) != 0 {
		t.Error("not filled, or ahead")
	}
	g.wall -= 3_600_000
	must(t, r.set(g.now(), "k", "set", 0))
	if held, _ := r.store.peek("k"); held.val != "set" {
		t.Errorf("the Set lost: %+v", held)
	}
	must(t, r.delete(g.now(), "k"))
	if held, _ := r.store.peek("k"); held.kind != kindTombstone {
		t.Errorf("the Delete lost: %+v", held)
	}
	if d := r.ahead(g.now()); d < time.Hour-time.Second || d > time.Hour {
		t.Errorf("ahead = %v", d)
	}
}

// With no neighbour nothing is kept to be sent, and messages are bounded.
func TestReplicaQueuesAreBounded(t *testing.T) {
	g := newRig(t, 2, nil)
	r := g.replicas[0]
	r.out.pings = nil
	for range maxSends + 10 {
		must(t, r.receive(g.now(), 1, appendPing(nil, ping{origin: 101})))
	}
	if len(r.out.messages) != maxSends || r.out.counts.droppedSends != 10 {
		t.Errorf("%d messages, %d dropped", len(r.out.messages), r.out.counts.droppedSends)
	}
	must(t, r.set(g.now(), "k", "v", 0))
	r.left(g.now(), 1)
	must(t, r.set(g.now(), "k", "v", 0))
	if !r.out.outbox.empty() {
		t.Errorf("%d writes wait for nobody", r.out.outbox.n)
	}
}

// A pong of a former life of a node confirms nothing.
func TestReplicaStalePong(t *testing.T) {
	g := newRig(t, 2, nil)
	r := g.replicas[0]
	must(t, r.set(g.now(), "k", "v", 0))
	for _, p := range []pong{{origin: 999, to: 1}, {origin: 101, from: 1, to: 2}, {origin: 101}} {
		must(t, r.receive(g.now(), 1, appendPong(nil, p)))
		if len(r.unconfirmed()) != 1 {
			t.Errorf("%+v confirms", p)
		}
	}
	must(t, r.receive(g.now(), 1, appendPong(nil, pong{origin: 101, to: 1})))
	if len(r.unconfirmed()) != 0 {
		t.Error("not confirmed")
	}
}

// A large value takes the place of thousands, in steps that let others in.
func TestReplicaMakesRoomInSteps(t *testing.T) {
	const maxBytes = 1 << 20
	g := newRig(t, 2, func(c *replicaConfig) { c.store.maxKeys = 10_000; c.store.maxBytes = maxBytes })
	r := g.replicas[0]
	for i := range 10_000 {
		must(t, r.set(g.now(), fmt.Sprint(i), "v", 0))
	}
	rec := record{key: "big", val: string(make([]byte, maxBytes-1000)), version: version{stampOf(g.wall) + 1<<20, 101}}
	if steps := maxBytes / (entryOverhead + 5) / evictBatch / 2; true {
		s, n := r.store, 0
		for ; s.evictFor(g.now(), &rec, evictBatch); n++ {
		}
		if n < steps {
			t.Errorf("%d steps", n)
		}
	}
	must(t, r.receive(g.now(), 1, appendDelta(nil, 101, 1, []record{rec})))
	if held, ok := r.store.peek("big"); !ok || held.val != rec.val || r.store.bytes() > maxBytes {
		t.Errorf("held %v, %d bytes", ok, r.store.bytes())
	}
}
