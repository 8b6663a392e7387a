package bcache

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// Provisional values in bad weather. Each of these has been red.

// A mirror that is made of events holds nothing that the cache has given up, and nothing that it can't get.
func TestProvisionalMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		b := nodes[0]
		r := b.peer.replica
		testkit.Advance(3 * time.Second)
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

		testkit.Must(t, b.Clear())
		provisional(t, b, "k", "v")
		agree("kept")
		lost := delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: b.store.Clears.All().Stamp - 1, Origin: 9}}
		testkit.Must(t, r.Receive(b.peer.instant(), 2, wire.AppendDelta(nil, 9, 1, []delta.Record{lost})))
		agree("after a Clear that loses")
		miss(t, b, "k")

		provisional(t, b, "k", "v")
		synctest.Wait()
		told = nil
		testkit.Must(t, b.Clear())
		testkit.Advance(6 * time.Second)
		agree("after a Clear")
		if fmt.Sprint(told) != "[clear]" {
			t.Errorf("told %v", told)
		}

		testkit.Must(t, b.Delete("k"))
		_, err := b.GetWithFiller("k", func(string) (string, error) { return "v", nil }, 1)
		testkit.Must(t, err)
		testkit.Advance(10 * time.Second)
		agree("expired")
		if last.Kind != EventExpire || last.Origin != r.Origin() || !last.Local || !last.Provisional {
			t.Errorf("told %+v", last)
		}

		testkit.Must(t, b.Set("k", "v1", 3600))
		f := r.Fills.Begin(b.peer.instant(), 0, "k")[0]
		r.Fills.End(b.peer.instant(), f, &delta.Record{Key: "k", Val: "v2", Deadline: b.wall() + 1000}, replica.FillBeside)
		agree("with a value beside")
		testkit.Advance(10 * time.Second)
		agree("when that has expired")
	})
}

// Who is told of a Clear doesn't get what was there before.
func TestProvisionalIsGoneWhenClearIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		b := nodes[0]
		provisional(t, b, "k", "v")
		b.store.ApplyClear(store.Clear{Version: delta.Version{Stamp: b.store.Clears.All().Stamp + 1, Origin: 9}})
		miss(t, b, "k")
	})
}
