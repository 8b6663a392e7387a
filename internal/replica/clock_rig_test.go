package replica

import (
	"errors"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
)

// A clockRig is a number of replicas, all connected, in virtual time: each has a clock of its own, which
// can be set, and frames take a while.
type clockRig struct {
	t      *testing.T
	at     time.Duration // true time, since the start
	tick   time.Duration // the next one
	nodes  []*Replica
	ahead  []time.Duration                                // what the clock of each is off
	delay  func(from, to int, frame []byte) time.Duration // negative: the frame is lost
	flying []flight
}

type flight struct {
	at       time.Duration
	from, to int
	frame    []byte
}

// newClockRig makes nodes whose clocks are off by so much. Frames take delay.
func newClockRig(t *testing.T, delay time.Duration, ahead ...time.Duration) *clockRig {
	w := &clockRig{t: t, ahead: ahead, at: time.Hour, tick: time.Hour + TickEvery,
		delay: func(int, int, []byte) time.Duration { return delay }}
	for i := range ahead {
		w.nodes = append(w.nodes, New(Config{
			ID: uint64(i), Origin: uint64(100 + i), MaxSkew: 500 * time.Millisecond, LogSize: 1024, First: true,
			Wake: func() {}, Changed: func(string, delta.Kind) {},
			Store: store.Config{MaxKeys: 1000, DeletionDelay: time.Hour, Seed: uint64(i)},
		}))
	}
	for i := range ahead {
		for j := range i {
			w.connect(i, j)
		}
	}
	w.run(time.Second)
	return w
}

func (w *clockRig) connect(i, j int) {
	w.nodes[i].Joined(w.now(i), uint64(j), w.nodes[j].Origin())
	w.nodes[j].Joined(w.now(j), uint64(i), w.nodes[i].Origin())
	w.flush()
}

// now is the time by a node's clock. Monotonic clocks have begun at different times.
func (w *clockRig) now(i int) delta.Instant {
	wall := time.UnixMilli(testkit.Wall).Add(w.at + w.ahead[i])
	return delta.Instant{
		Wall: wall.UnixMilli(), Micros: uint16(wall.Nanosecond() / 1000 % 1000),
		Mono: w.at + time.Duration(i)*time.Minute,
	}
}

func (w *clockRig) flush() {
	for i, r := range w.nodes {
		broadcasts, sends := r.Flush(w.now(i))
		for _, to := range r.neighbours.ids {
			for _, frame := range broadcasts {
				w.send(i, int(to), frame)
			}
		}
		for _, m := range sends {
			w.send(i, int(m.To), m.Frame)
		}
	}
}

func (w *clockRig) send(from, to int, frame []byte) {
	if d := w.delay(from, to, frame); d >= 0 {
		w.flying = append(w.flying, flight{w.at + d, from, to, frame})
	}
}

// run lets time pass: what is due happens, and what is to be sent is.
func (w *clockRig) run(d time.Duration) {
	w.flush()
	for end := w.at + d; ; w.flush() {
		next := -1
		for i := range w.flying {
			if next < 0 || w.flying[i].at < w.flying[next].at {
				next = i
			}
		}
		switch {
		case next >= 0 && w.flying[next].at <= min(end, w.tick):
			f := w.flying[next]
			w.flying = append(w.flying[:next:next], w.flying[next+1:]...)
			w.at = max(w.at, f.at)
			err := w.nodes[f.to].Receive(w.now(f.to), uint64(f.from), f.frame)
			if err != nil && !errors.Is(err, ErrFuture) {
				w.t.Errorf("node %d: %v", f.to, err)
			}
		case w.tick <= end:
			w.at = w.tick
			w.tick += TickEvery
			for i, r := range w.nodes {
				r.Tick(w.now(i))
			}
		default:
			w.at = end
			return
		}
	}
}

// write has node i write n times, every 10 ms.
func (w *clockRig) write(i, n int) {
	for range n {
		testkit.Must(w.t, w.nodes[i].Set(w.now(i), "k", "v", 0))
		w.run(10 * time.Millisecond)
	}
}

// of are node i's figures about node j.
func (w *clockRig) of(i, j int) Peer {
	w.t.Helper()
	_, g := w.nodes[i].Stats(w.now(i))
	for _, p := range g.Peers {
		if p.ID == uint64(j) {
			return p
		}
	}
	w.t.Fatalf("node %d isn't connected to node %d", i, j)
	return Peer{}
}

// counted are the frames that node i has measured, of all neighbours.
func (w *clockRig) counted(i int) uint64 {
	n, _ := w.nodes[i].Stats(w.now(i))
	return n.Propagation.Total()
}
