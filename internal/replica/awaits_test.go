package replica

import (
	"fmt"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"pgregory.net/rapid"
)

// woken counts those who were woken.
func woken(ws []*Await) (n int) {
	for _, w := range ws {
		select {
		case <-w.Woken:
			n++
		default:
		}
	}
	return n
}

// However much comes in, only those are woken whose dots are processed, or can't be told of any more.
func TestAwaitsWakeThoseWhoseDotsHaveCome(t *testing.T) {
	const waiters = 1000
	w := newNetwork(t)
	for id := uint64(1); id <= 3; id++ {
		w.add(id, true)
	}
	w.connect(1, 3)
	w.connect(2, 3)
	w.settle()
	x := NewAwaits(w.nodes[3])
	var ws []*Await
	for i := range waiters {
		ws = append(ws, x.Begin([]delta.Dot{{Origin: 101, Seq: uint64(waiters-i-1)/100 + 1}}))
	}
	tell := func(want int) {
		t.Helper()
		if x.Tell(); woken(ws) != want {
			t.Errorf("%d are woken, want %d", woken(ws), want)
		}
	}
	for i := range 100 { // of another node
		w.set(2, fmt.Sprint(i), "v")
		w.settle()
		tell(0)
	}
	for i := range 3 {
		w.set(1, "k", fmt.Sprint(i))
		w.settle()
		tell(100 * (i + 1))
	}
	for _, one := range ws[waiters/2:] { // whether woken or not
		x.End(one)
	}
	if n := x.count.Load(); n != waiters/2 {
		t.Errorf("%d wait", n)
	}
	w.set(1, "k", "3")
	w.settle()
	tell(300)
	w.nodes[3].state.vector.Forget(101) // as if it were dropped; but it is connected, and so is known
	tell(300)
	w.kill(1)
	tell(300 + waiters/2)
	if n := x.count.Load(); n != 0 || len(x.byOrigin) != 0 {
		t.Errorf("%d wait, for %d origins", n, len(x.byOrigin))
	}
	for _, one := range ws {
		x.End(one)
	}
	if w := x.Begin([]delta.Dot{{Origin: 101, Seq: 9}}); w != nil {
		t.Error("what isn't known is waited for")
	}
}

// Who waits for the writes of one node is woken as well when another one of the Token isn't known any more:
// nobody can tell then whether all is there.
func TestAwaitsWakeWhoseTokenCantBeTold(t *testing.T) {
	w := newNetwork(t)
	for id := uint64(1); id <= 3; id++ {
		w.add(id, true)
	}
	w.connect(1, 3)
	w.connect(2, 3)
	w.settle()
	x := NewAwaits(w.nodes[3])
	one := x.Begin([]delta.Dot{{Origin: 101, Seq: 9}, {Origin: 102, Seq: 9}})
	alone := x.Begin([]delta.Dot{{Origin: 101, Seq: 9}})
	w.kill(2) // of which nothing was heard
	x.Tell()
	if _, unknown := w.nodes[3].Lacks([]delta.Dot{{Origin: 102, Seq: 9}}); unknown != 102 {
		t.Fatal("it is known")
	}
	if woken([]*Await{one}) != 1 {
		t.Error("whose Token can't be told of waits on")
	}
	if woken([]*Await{alone}) != 0 {
		t.Error("whose Token doesn't have it is woken")
	}
	x.End(one)
	x.End(alone)
	if len(x.byOrigin)+len(x.others) != 0 || x.count.Load() != 0 {
		t.Errorf("%d wait, for %d origins, and %d others", x.count.Load(), len(x.byOrigin), len(x.others))
	}
}

// Whoever comes, goes and is told in whatever order: who waits is woken by the first dot that it lacks,
// once it is there, and not before; and nothing is left of those who have gone.
func TestAwaitsLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newNetwork(t)
		r := w.add(9, true)
		for id := uint64(1); id <= 3; id++ {
			w.add(id, true)
			w.connect(id, 9)
		}
		w.settle()
		x := NewAwaits(r)
		var waiting []*Await
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				var dots []delta.Dot
				for origin := uint64(101); origin <= 103; origin++ {
					if seq := rapid.Uint64Range(0, 12).Draw(rt, "seq"); seq > 0 {
						dots = append(dots, delta.Dot{Origin: origin, Seq: seq})
					}
				}
				lacks, _ := r.Lacks(dots)
				one := x.Begin(dots)
				if (one == nil) != (len(lacks) == 0) {
					rt.Fatalf("%v are lacking of %v, and it waits: %v", lacks, dots, one != nil)
				}
				if one != nil {
					waiting = append(waiting, one)
				}
			case 1:
				w.set(rapid.Uint64Range(1, 3).Draw(rt, "writer"), "k", "v")
				w.settle()
				x.Tell()
			case 2:
				if len(waiting) > 0 {
					i := rapid.IntRange(0, len(waiting)-1).Draw(rt, "who goes")
					x.End(waiting[i])
					waiting = append(waiting[:i:i], waiting[i+1:]...)
				}
			case 3:
				x.Tell()
			}
			n := 0
			for _, one := range waiting {
				there := r.state.vector.Get(one.dot.Origin).Covered >= one.dot.Seq
				if is := woken([]*Await{one}) == 1; is != there {
					rt.Fatalf("%v: processed %v, woken %v", one.dot, there, is)
				}
				if !there {
					n++
				}
			}
			if x.count.Load() != int64(n) {
				rt.Fatalf("%d wait, and %d are counted", n, x.count.Load())
			}
		}
	})
}

// What a frame costs that nobody waits for, while a thousand requests wait behind another node.
func BenchmarkAwaitsTell(b *testing.B) {
	for _, waiters := range []int{0, 1000} {
		b.Run(fmt.Sprint(waiters), func(b *testing.B) {
			wake, changed := func() {}, func(string, delta.Kind) {}
			r := New(Config{ID: 2, Origin: 102, Wake: wake, Changed: changed, Store: store.Config{MaxKeys: 100}})
			r.state.vector.Keep(101)
			x := NewAwaits(r)
			for i := range waiters {
				x.Begin([]delta.Dot{{Origin: 101, Seq: uint64(i) + 1}})
			}
			b.ReportAllocs()
			for b.Loop() {
				x.Tell()
			}
		})
	}
}
