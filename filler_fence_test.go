package bcache

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
	"github.com/iwanbk/bcache/transport"
)

// A caller that comes after a write must not get the result of a fill begun before
// it; those that came before may.
func TestFillIsForgottenByAWrite(t *testing.T) {
	for _, remote := range []bool{false, true} {
		t.Run(fmt.Sprint("remote ", remote), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, nodes := three(t)
				b, writer := nodes[0], nodes[0]
				if remote {
					writer = nodes[1]
				}
				var db atomic.Value
				db.Store("old")
				filler := func(string) (string, error) {
					val := db.Load().(string)
					testkit.Advance(10 * time.Second)
					return val, nil
				}
				first := make(chan string)
				go func() { val, _ := b.GetWithFiller("k", filler, 60); first <- val }()
				synctest.Wait()
				db.Store("new")
				testkit.Must(t, writer.Delete("k"))
				synctest.Wait()
				val, err := b.GetWithFiller("k", filler, 60)
				if val != "new" || err != nil {
					t.Errorf("after the Delete: %q, %v", val, err)
				}
				if val := <-first; val != "old" && val != "new" {
					t.Errorf("before the Delete: %q", val)
				}
				testkit.Advance(time.Minute)
				for _, n := range nodes {
					if val, ok := n.Get("k"); ok && val == "old" {
						t.Error("the old value is served")
					}
				}
			})
		})
	}
}

// The fence: whatever write comes during a fill, on any node, whatever the clocks
// say within MaxClockSkew, and whichever of the two arrives first, the fill doesn't beat it.
func TestFillNeverBeatsAWrite(t *testing.T) {
	const skew = 500 * time.Millisecond
	for _, clocks := range [][]time.Duration{{0, 0, 0}, {skew, 0, 0}, {0, skew, 0}, {0, skew / 2, skew}, {skew, 0, skew / 2}} {
		for _, del := range []bool{true, false} {
			for _, late := range []uint64{0, 1, 2, 3} { // the node to which frames come late
				for _, gap := range []time.Duration{0, time.Millisecond, time.Second} { // from begin to write
					name := fmt.Sprintf("clocks %v delete %v late %d gap %v", clocks, del, late, gap)
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { fillAgainstWrite(t, clocks, del, late, gap) })
					})
				}
			}
		}
	}
}

func fillAgainstWrite(t *testing.T, clocks []time.Duration, del bool, late uint64, gap time.Duration) {
	net, nodes := three(t, clocks...)
	release := func() {}
	if late != 0 {
		release = net.Hold(late)
	}
	proceed := make(chan struct{})
	began := make(chan struct{})
	filled := make(chan string)
	go func() {
		val, err := nodes[0].GetWithFiller("k", func(string) (string, error) {
			close(began)
			<-proceed
			return "old", nil
		}, 3600)
		if err != nil {
			t.Error(err)
		}
		filled <- val
	}()
	<-began
	testkit.Advance(gap)
	if del {
		testkit.Must(t, nodes[1].Delete("k"))
	} else {
		testkit.Must(t, nodes[1].Set("k", "new", 3600))
	}
	synctest.Wait()
	seen := late != 1 // the write reached the filling node before the fill ended
	close(proceed)
	if val := <-filled; seen && !del && val != "new" {
		t.Errorf("GetWithFiller returned %q though the cache held a newer value", val)
	}
	synctest.Wait()
	release()
	synctest.Wait()
	for i, b := range nodes {
		if del {
			miss(t, b, "k")
		} else if val, ok := b.Get("k"); ok && val != "new" {
			t.Errorf("node %d serves %q", i+1, val)
		}
	}
}

// After a Delete what a fill brings is cached at once, though for MaxClockSkew only provisionally; where
// there is no other node it is a write like any other.
func TestFillAfterADelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fl := func(b *Bcache) {
			val, err := b.GetWithFiller("k", func(string) (string, error) { return "v", nil }, 60)
			if testkit.Must(t, err); val != "v" {
				t.Errorf("returned %q", val)
			}
		}
		_, nodes := three(t)
		b := nodes[0]
		testkit.Must(t, b.Delete("k"))
		fl(b)
		get(t, b, "k", "v")
		if st := b.Stats(); st.FillsRefused != 0 || st.ProvisionalKept != 1 {
			t.Errorf("%d fills refused, %d kept", st.FillsRefused, st.ProvisionalKept)
		}
		testkit.Must(t, b.Delete("k"))
		miss(t, b, "k")
		testkit.Advance(502 * time.Millisecond)
		fl(b)
		get(t, b, "k", "v")
		if st := b.Stats(); st.ProvisionalKept != 1 || st.ProvisionalDropped != 1 {
			t.Errorf("%d kept, %d dropped", st.ProvisionalKept, st.ProvisionalDropped)
		}

		alone := localNode(t)
		testkit.Must(t, alone.Delete("k"))
		fl(alone)
		get(t, alone, "k", "v")
		testkit.Must(t, alone.SetWithTTL("k", "short", time.Millisecond))
		testkit.Advance(time.Millisecond)
		fl(alone)
		get(t, alone, "k", "v")
	})
}

// The fence holds on a local node too.
func TestFillNeverBeatsALocalWrite(t *testing.T) {
	for _, write := range []func(b *Bcache) error{
		func(b *Bcache) error { return b.Set("k", "new", 60) },
		func(b *Bcache) error { return b.Delete("k") },
	} {
		b := localNode(t)
		val, err := b.GetWithFiller("k", func(string) (string, error) { return "old", write(b) }, 60)
		testkit.Must(t, err)
		if got, ok := b.Get("k"); ok && got != "new" {
			t.Errorf("returned %q, serves %q", val, got)
		}
	}
}

// A Clear from another node ends the joining of all flights.
func TestFillIsForgottenByAClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		b := memNode(t, net, 1, 0)
		other := net.Transport(9, 77)
		testkit.Must(t, other.Start(transport.Node{}, make(pongHandler, 1)))
		defer other.Close()
		synctest.Wait()
		fills := 0
		filler := func(string) (string, error) { fills++; testkit.Advance(time.Second); return "v", nil }
		go b.GetWithFiller("k", filler, 60)
		synctest.Wait()
		now := delta.StampOf(time.Now().UnixMilli())
		other.Broadcast(wire.AppendDelta(nil, 77, 1, []delta.Record{{Kind: delta.KindClear, Version: delta.Version{Stamp: now + 1, Origin: 77}}}))
		synctest.Wait()
		b.GetWithFiller("k", filler, 60)
		if fills != 2 {
			t.Errorf("%d fills", fills)
		}
	})
}
