package bcache

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Provisional values in bad weather. Each of these has been red.

// edge is a moment for tests that drive a replica by hand, and so many milliseconds later.
func edge(ms int) instant {
	return instant{wall: 1_700_000_000_000 + int64(ms), mono: 10*time.Second + time.Duration(ms)*time.Millisecond}
}

// Who read the clock first may take the lock second: the time of the last touch doesn't go back.
func TestTouchTimesNeverFall(t *testing.T) {
	const settle = 50 * time.Millisecond
	tombstone := record{key: "k", kind: kindTombstone, version: version{5 << stampShift, 9}}
	for name, older := range map[string]func(r *replica){
		"a Delete":   func(r *replica) { must(t, r.delete(edge(0), "k")) },
		"a record":   func(r *replica) { must(t, r.receive(edge(0), 1, appendDelta(nil, 9, 1, []record{tombstone}))) },
		"all keys":   func(r *replica) { r.touchAll(edge(0), dot{}) },
		"only newer": func(r *replica) {},
	} {
		for _, local := range []bool{false, true} {
			r := newRig(t, 2, func(c *replicaConfig) { c.local = local }).replicas[0]
			must(t, r.clear(edge(60)))
			must(t, r.delete(edge(60), "k")) // a replica of the database that is 50 ms behind shows it at 110
			if older(r); local && name == "a record" {
				continue
			}
			f := r.beginFills(edge(65), settle, "k")[0]
			if o := r.endFill(edge(70), f, &record{key: "k", val: "old"}, false); o != fillRefused {
				t.Errorf("%s, local %v: outcome %d", name, local, o)
			}
		}
	}
}

// A write that can't be applied leaves no stamp for the fence to compare. What a fill has read before it
// isn't written either.
func TestFillDuringAWriteThatIsGivenUp(t *testing.T) {
	give := func(r *replica, seq uint64, rec record) {
		_ = r.receive(edge(10), 1, appendDelta(nil, 9, seq, []record{rec}))
	}
	at := func(ms int64) version { return version{stampOf(edge(0).wall + ms), 9} }
	for name, write := range map[string]func(r *replica){
		"at the bound of gaps": func(r *replica) {
			seq := uint64(2)
			for ; r.state.counts.droppedIntervals == 0; seq += 2 {
				give(r, seq, record{key: "x", kind: kindTombstone, version: at(-10_000)})
			}
			give(r, seq+2, record{key: "k", kind: kindTombstone, version: at(0)})
		},
		"from the future": func(r *replica) { give(r, 1, record{key: "k", kind: kindTombstone, version: at(900)}) },
		"a Clear from the future": func(r *replica) {
			give(r, 1, record{kind: kindClear, version: at(900)})
		},
	} {
		r := newRig(t, 2, nil).replicas[0]
		if strings.HasPrefix(name, "a Clear") {
			give(r, 7, record{kind: kindClear, version: at(800)}) // not the first one of that node
		}
		f := r.beginFills(edge(5), 0, "k")[0]
		write(r)
		o := r.endFill(edge(20), f, &record{key: "k", val: "old"}, false)
		if val, ok := r.store.get("k", func() int64 { return edge(20).wall }); ok {
			t.Errorf("%s: outcome %d, %q is served", name, o, val)
		}
	}
}

// On a local node nothing makes up for a clock that is set forward, but that times of touches don't jump.
func TestFillLocalSettleClockIsSetForward(t *testing.T) {
	r := newRig(t, 1, func(c *replicaConfig) { c.local = true }).replicas[0]
	must(t, r.set(edge(0), "k", "old", 0))
	must(t, r.delete(edge(0), "k"))
	now := edge(10)
	now.wall += 1000
	f := r.beginFills(now, 50*time.Millisecond, "k")[0]
	if o := r.endFill(now, f, &record{key: "k", val: "old"}, false); o != fillRefused {
		t.Errorf("outcome %d", o)
	}
}

// full returns a replica whose store is full of small entries.
func full(t *testing.T, maxBytes int64) *replica {
	t.Helper()
	r := newRig(t, 2, func(c *replicaConfig) { c.store.maxKeys, c.store.maxBytes = 100_000, maxBytes }).replicas[0]
	for i := 0; r.store.stats().evictions == 0; i++ {
		must(t, r.set(edge(0), fmt.Sprint("small", i), "v", 0))
	}
	return r
}

// Room is made only for what is kept, only as much as it takes, and in steps.
func TestProvisionalMakesRoom(t *testing.T) {
	big := strings.Repeat("x", 200_000)
	fill := func(r *replica, ms int) fillOutcome {
		f := r.beginFills(edge(ms), 0, "k")[0]
		return r.endFill(edge(ms+1), f, &record{key: "k", val: big}, false)
	}
	evicts := func(r *replica, what string, most uint64, do func()) {
		t.Helper()
		before := r.store.stats().evictions
		do()
		if n := r.store.stats().evictions - before; n > most {
			t.Errorf("%s: %d of %d entries were evicted", what, n, r.store.len())
		}
	}
	r := full(t, 1_000_000)
	must(t, r.delete(edge(0), "k"))
	if o := fill(r, 10); o != fillKept {
		t.Fatal(o)
	}
	must(t, r.set(edge(12), "more", "v", 0))
	evicts(r, "a value in place of one of its length", 1, func() { fill(r, 20) })

	r = full(t, 1_000_000)
	must(t, r.set(edge(0), "k", "live", 0))
	o := offer{origin: 101, to: r.origin, seen: r.touches.echo(), rec: record{key: "k", val: big}}
	evicts(r, "an offer that isn't wanted", 0, func() { r.receiveOffer(edge(1), 1, o) })

	r = full(t, 2_000_000)
	huge := strings.Repeat("x", 900_000)
	must(t, r.set(edge(0), "k", huge, 0))
	r.beginFills(edge(1), 0, "k")
	if !r.store.fills.evictFor(edge(2), &record{key: "k", val: huge}, evictBatch) {
		t.Error("room for a value beside one isn't made in steps")
	}
}

// A mirror that is made of events holds nothing that the cache has given up, and nothing that it can't get.
func TestProvisionalMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		b := nodes[0]
		r := b.peer.replica
		advance(3 * time.Second)
		mirror := map[string]string{}
		var last Event
		var told []string
		defer b.Subscribe(func(e Event) {
			last = e
			told = append(told, fmt.Sprint(e.Kind, e.Key))
			switch e.Kind {
			case EventSet:
				mirror[e.Key] = e.Value
			case EventClear:
				clear(mirror)
			default:
				delete(mirror, e.Key)
			}
		})()
		agree := func(when string) {
			t.Helper()
			synctest.Wait()
			if val, _ := b.Get("k"); val != mirror["k"] {
				t.Errorf("%s: Get %q, mirror %q", when, val, mirror["k"])
			}
		}

		must(t, b.Clear())
		provisional(t, b, "k", "v")
		agree("kept")
		lost := record{kind: kindClear, version: version{b.store.clearVersion().stamp - 1, 9}}
		must(t, r.receive(b.peer.instant(), 2, appendDelta(nil, 9, 1, []record{lost})))
		agree("after a Clear that loses")
		miss(t, b, "k")

		provisional(t, b, "k", "v")
		synctest.Wait()
		told = nil
		must(t, b.Clear())
		advance(6 * time.Second)
		agree("after a Clear")
		if fmt.Sprint(told) != "[clear]" {
			t.Errorf("told %v", told)
		}

		must(t, b.Delete("k"))
		_, err := b.GetWithFiller("k", func(string) (string, error) { return "v", nil }, 1)
		must(t, err)
		advance(10 * time.Second)
		agree("expired")
		if last.Kind != EventExpire || last.Origin != r.origin || !last.Local || !last.Provisional {
			t.Errorf("told %+v", last)
		}

		must(t, b.Set("k", "v1", 3600))
		f := r.beginFills(b.peer.instant(), 0, "k")[0]
		r.endFill(b.peer.instant(), f, &record{key: "k", val: "v2", deadline: b.wall() + 1000}, true)
		agree("with a value beside")
		advance(10 * time.Second)
		agree("when that has expired")
	})
}

// Who is told of a Clear doesn't get what was there before.
func TestProvisionalIsGoneWhenClearIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		b := nodes[0]
		provisional(t, b, "k", "v")
		b.store.applyClear(version{b.store.clearVersion().stamp + 1, 9})
		miss(t, b, "k")
	})
}

// What came from other nodes and wasn't read here stays in probation when another offer takes its place.
func TestProvisionalOfferIsNoUse(t *testing.T) {
	r := newRig(t, 2, nil).replicas[0]
	for i, ms := range []int{0, 10} {
		val := record{key: "k", val: fmt.Sprint(i), deadline: edge(ms + 5).wall}
		r.receiveOffer(edge(ms), 1, offer{origin: 101, to: r.origin, seen: r.touches.echo(), rec: val})
		if r.store.probation() != 1 || r.counts.provisionalAccepted != uint64(i+1) {
			t.Errorf("offer %d: %d in probation, %d accepted", i, r.store.probation(), r.counts.provisionalAccepted)
		}
	}
}
