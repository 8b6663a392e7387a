package replica

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
	"pgregory.net/rapid"
)

// Whatever the order in which frames arrive, doubled ones included: when all have
// arrived, every node holds, of every key, the greatest version of all writes; or
// nothing, if it had to forget.
func TestReplicasConvergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxKeys := rapid.SampledFrom([]int{1, 3, 1000}).Draw(t, "maxKeys")
		maxClears := rapid.IntRange(0, 2).Draw(t, "maxClears")
		g := newRig(t, 3, func(c *Config) { c.Store.MaxKeys, c.Store.MaxClears = maxKeys, maxClears })
		tags := rapid.SampledFrom([]delta.Tags{"", "\x00s", "\x00t", "\x00s\x00t"})
		selectors := rapid.SampledFrom([]delta.Selector{"", delta.SelectPrefix("a"), delta.SelectTag("s"), delta.SelectTag("t")})
		skews := make([]int64, 3)
		keys := []string{"", "a", "b", "c", "d"}
		type begun struct {
			i     int
			key   string
			f     *Fill
			after int // writes issued before it began
		}
		var fills []begun
		var writes []rigWrite // in the order in which they were issued, fills excluded
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, 2).Draw(t, "replica")
			key := rapid.SampledFrom(keys).Draw(t, "key")
			now := delta.Instant{Wall: g.wall + skews[i], Mono: g.now().Mono}
			switch rapid.IntRange(0, 10).Draw(t, "action") {
			case 10:
				g.clear(i, now, selectors.Draw(t, "selector"))
			case 0, 1:
				rec := delta.Record{Key: key, Val: fmt.Sprint(i, g.wall), Tags: tags.Draw(t, "tags")}
				g.write(i, key, func(r *Replica) { _ = r.SetRecord(now, &rec) })
				writes = append(writes, rigWrite{key, g.last(i)})
			case 2:
				g.write(i, key, func(r *Replica) { _ = r.Delete(now, key) })
				writes = append(writes, rigWrite{key, g.last(i)})
			case 3:
				fills = append(fills, begun{i, key, g.replicas[i].Fills.Begin(now, 0, key)[0], len(writes)})
			case 8:
				if len(fills) == 0 {
					break
				}
				n := rapid.IntRange(0, len(fills)-1).Draw(t, "fill")
				f := fills[n]
				fills = slices.Delete(fills, n, n+1)
				now := delta.Instant{Wall: g.wall + skews[f.i], Mono: g.now().Mono}
				g.write(f.i, f.key, func(r *Replica) { r.Fills.End(now, f.f, &delta.Record{Key: f.key, Val: "filled"}, FillForAll) })
				for _, w := range writes[f.after:] {
					if w.key == f.key && !(delta.Version{Stamp: f.f.stamp, Origin: g.replicas[f.i].state.Origin}).Less(w.Version) {
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
				held, ok := r.Store.Peek(key)
				if ok && held.Version != winner {
					t.Fatalf("replica %d holds %q at %v, the winner is %v", i, key, held.Version, winner)
				}
				if !ok && len(g.clears) == 0 && maxKeys == 1000 && r.state.counts.RefusedSkew == 0 && r.Store.Stats().FloorRefusals == 0 {
					t.Fatalf("replica %d doesn't hold %q", i, key)
				}
			}
		}
		for i, r := range g.replicas {
			for j, o := range g.replicas {
				if s := r.state.vector.Origins[o.state.Origin]; o.state.seq > 0 && (s == nil || s.Covered != o.state.seq) {
					t.Fatalf("replica %d doesn't cover %d of replica %d", i, o.state.seq, j)
				}
			}
		}
	})
}

// Merging is commutative, associative and idempotent: the records of a set lead to the
// same state in every order and repetition; and pure: the records aren't changed.
func TestMergeLaws(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) delta.Record {
		r := delta.Record{
			Key:     rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "key"),
			Version: delta.Version{Stamp: rapid.Uint64Range(1, 6).Draw(t, "stamp"), Origin: rapid.Uint64Range(1, 3).Draw(t, "origin")},
		}
		// Equal versions are the same write.
		r.Kind = []delta.Kind{delta.KindValue, delta.KindTombstone, delta.KindNegative}[(r.Stamp+r.Origin)%3]
		if r.Kind == delta.KindValue {
			r.Val = fmt.Sprint(r.Version)
		}
		return r
	})
	state := func(t *rapid.T, recs []delta.Record) (state []delta.Record) {
		s := store.New(store.Config{MaxKeys: 100, DeletionDelay: time.Hour})
		for _, rec := range recs {
			given := rec
			s.Apply(delta.Instant{Wall: 1000}, &rec, false)
			if given != rec {
				t.Fatalf("apply changed %+v to %+v", given, rec)
			}
		}
		for _, key := range []string{"a", "b", ""} {
			rec, _ := s.Peek(key)
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
		clock := store.New(store.Config{MaxKeys: 100, DeletionDelay: time.Hour})
		for _, rec := range recs {
			clock.Apply(delta.Instant{Wall: 5_000_000, Mono: time.Minute}, &rec, true)
		}
		for i, key := range []string{"a", "b", ""} {
			if rec, ok := clock.Peek(key); ok && rec != want[i] {
				t.Fatalf("the clock matters: %v, %v", rec, want[i])
			}
		}
	})
}

// The same calls lead to the same bytes: nothing depends on the order of a map, or
// on a clock.
func TestReplicaIsDeterministic(t *testing.T) {
	run := func() (trace [][]byte) {
		g := newRig(t, 3, func(c *Config) { c.Store.MaxKeys = 2000; c.LogSize = 100 })
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
				testkit.Must(t, g.replicas[i].Set(g.now(), key, "v", g.wall+int64(next(100_000))))
			case 2:
				testkit.Must(t, g.replicas[i].Delete(g.now(), key))
			case 3:
				broadcasts, _ := g.replicas[i].Flush(g.now())
				trace = append(trace, broadcasts...)
				for j, r := range g.replicas {
					for _, frame := range broadcasts {
						if j != i {
							testkit.Must(t, r.Receive(g.now(), uint64(i), frame))
						}
					}
				}
			}
			g.wall += int64(next(50))
			g.replicas[i].Tick(g.now())
		}
		for _, r := range g.replicas {
			for k := range 5000 {
				if rec, ok := r.Store.Peek(fmt.Sprint(k)); ok {
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
	forged := wire.AppendDelta(nil, 100, 1, []delta.Record{{Key: "k", Val: "forged", Version: delta.Version{Stamp: delta.StampOf(g.wall), Origin: 100}}})
	testkit.Must(t, g.replicas[0].Receive(g.now(), 1, forged))
	if _, ok := g.replicas[0].Store.Peek("k"); ok {
		t.Error("applied")
	}
	testkit.Must(t, g.replicas[0].Set(g.now(), "k", "v", 0))
	if s := g.replicas[0].state.vector.Origins[100]; s.Covered != 1 {
		t.Errorf("covered %d", s.Covered)
	}
}

// A record of a kind that this version doesn't know is a forget: nothing is
// served that it may have replaced, and its dot is covered.
func TestReplicaUnknownKind(t *testing.T) {
	g := newRig(t, 2, nil)
	r := g.replicas[0]
	testkit.Must(t, r.Set(g.now(), "k", "old", 0))
	future := wire.AppendDelta(nil, 101, 1, []delta.Record{{Key: "k", Version: delta.Version{Stamp: delta.StampOf(g.wall + 1), Origin: 101}, Kind: delta.KindForget}})
	frame := wireSetKind(t, future, 99)
	testkit.Must(t, r.Receive(g.now(), 1, frame))
	if rec, ok := r.Store.Peek("k"); ok {
		t.Errorf("still holds %+v", rec)
	}
	if s := r.state.vector.Origins[101]; s == nil || s.Covered != 1 {
		t.Error("the dot isn't covered")
	}
}

// wireSetKind replaces the kind of the only record of a frame.
func wireSetKind(t *testing.T, frame []byte, k byte) []byte {
	t.Helper()
	old := []byte{wire.RecordKind, byte(delta.KindForget)}
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
	o := outbox{most: DefaultMaxPending}
	val := string(make([]byte, 1<<20))
	total := uint64(0)
	for seq := uint64(1); seq <= 200; seq++ {
		dropped := o.put(seq, &delta.Record{Key: "k", Val: val, Version: delta.Version{Stamp: seq, Origin: 1}})
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
		if rec.Stamp != first+uint64(i) {
			t.Fatalf("record %d has stamp %d", i, rec.Stamp)
		}
	}
	if o.put(201, &delta.Record{Version: delta.Version{Stamp: 201, Origin: 1}}) != 0 || o.first != 201 {
		t.Error("not usable after take")
	}
}

// What comes from the future isn't applied, covered or logged, and the older value
// isn't served meanwhile; once the clocks have caught up it is applied.
func TestReplicaFuture(t *testing.T) {
	g := newRig(t, 2, nil)
	changed := 0
	r := g.replicas[0]
	r.state.changed = func(string, delta.Kind) { changed++ }
	testkit.Must(t, r.Set(g.now(), "k", "old", 0))
	before, _ := r.Store.Peek("k")
	changed = 0
	rec := delta.Record{Key: "k", Val: "new", Version: delta.Version{Stamp: delta.StampOf(g.wall + 10_000), Origin: 101}}
	frame := wire.AppendDelta(nil, 101, 1, []delta.Record{rec})
	if err := r.Receive(g.now(), 1, frame); !errors.Is(err, ErrFuture) || !strings.Contains(err.Error(), "10s") {
		t.Errorf("receive = %v", err)
	}
	if _, ok := r.state.log.Get(101, 1); ok || r.state.vector.Get(101).Has(1) {
		t.Error("the dot is logged or covered")
	}
	if held, ok := r.Store.Peek("k"); ok || changed != 1 {
		t.Errorf("holds %+v, %d changes", held, changed)
	}
	if floor := r.Store.FloorOf(delta.BucketOf("k")); floor != before.Stamp {
		t.Errorf("the floor is %d, the value given up had %d", floor, before.Stamp)
	}
	if r.state.counts.RefusedSkew != 1 || r.counts.Malformed != 0 {
		t.Errorf("%+v", r.counts)
	}
	g.wall += 10_000
	testkit.Must(t, r.Receive(g.now(), 1, frame))
	if held, _ := r.Store.Peek("k"); held.Val != "new" {
		t.Errorf("holds %+v", held)
	}
}

// A node whose clock is set back goes on in its own time, and is told that others
// won't follow.
func TestReplicaAhead(t *testing.T) {
	g := newRig(t, 2, nil)
	r := g.replicas[0]
	g.wall += 3_600_000
	f := r.Fills.Begin(g.now(), 0, "k")[0]
	if r.Fills.End(g.now(), f, &delta.Record{Key: "k", Val: "filled"}, FillForAll) != FillWritten || r.Ahead(g.now()) != 0 {
		t.Error("not filled, or ahead")
	}
	g.wall -= 3_600_000
	testkit.Must(t, r.Set(g.now(), "k", "set", 0))
	if held, _ := r.Store.Peek("k"); held.Val != "set" {
		t.Errorf("the Set lost: %+v", held)
	}
	testkit.Must(t, r.Delete(g.now(), "k"))
	if held, _ := r.Store.Peek("k"); held.Kind != delta.KindTombstone {
		t.Errorf("the Delete lost: %+v", held)
	}
	if d := r.Ahead(g.now()); d < time.Hour-time.Second || d > time.Hour {
		t.Errorf("ahead = %v", d)
	}
}

// With no neighbour nothing is kept to be sent, and messages are bounded.
func TestReplicaQueuesAreBounded(t *testing.T) {
	g := newRig(t, 2, nil)
	r := g.replicas[0]
	r.out.pings = nil
	for range maxSends + 10 {
		testkit.Must(t, r.Receive(g.now(), 1, wire.AppendPing(nil, wire.Ping{Origin: 101})))
	}
	if len(r.out.messages) != maxSends || r.out.counts.DroppedSends != 10 {
		t.Errorf("%d messages, %d dropped", len(r.out.messages), r.out.counts.DroppedSends)
	}
	testkit.Must(t, r.Set(g.now(), "k", "v", 0))
	r.Left(g.now(), 1)
	testkit.Must(t, r.Set(g.now(), "k", "v", 0))
	if !r.out.outbox.empty() {
		t.Errorf("%d writes wait for nobody", r.out.outbox.n)
	}
}

// A large value takes the place of thousands, in steps that let others in.
func TestReplicaMakesRoomInSteps(t *testing.T) {
	const maxBytes = 1 << 20
	g := newRig(t, 2, func(c *Config) { c.Store.MaxKeys = 10_000; c.Store.MaxBytes = maxBytes })
	r := g.replicas[0]
	for i := range 10_000 {
		testkit.Must(t, r.Set(g.now(), fmt.Sprint(i), "v", 0))
	}
	rec := delta.Record{Key: "big", Val: string(make([]byte, maxBytes-1000)), Version: delta.Version{Stamp: delta.StampOf(g.wall) + 1<<20, Origin: 101}}
	if steps := maxBytes / (store.EntryOverhead + 5) / evictBatch / 2; true {
		s, n := r.Store, 0
		for ; s.EvictFor(g.now(), &rec, evictBatch); n++ {
		}
		if n < steps {
			t.Errorf("%d steps", n)
		}
	}
	testkit.Must(t, r.Receive(g.now(), 1, wire.AppendDelta(nil, 101, 1, []delta.Record{rec})))
	if held, ok := r.Store.Peek("big"); !ok || held.Val != rec.Val || r.Store.Bytes() > maxBytes {
		t.Errorf("held %v, %d bytes", ok, r.Store.Bytes())
	}
}
