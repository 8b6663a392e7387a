package replica

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// How a cluster's costs grow with its nodes, for docs/scale.md: replicas in virtual time, each connected
// with each, without a transport. It takes minutes and some GB:
//
//	go test -run MeasureScale -v -timeout 60m ./internal/replica -measure
var measure = flag.Bool("measure", false, "run the measurements")

// A scaleRig is many replicas. A frame takes a millisecond, and so does a step of the rig. Their seconds
// begin at different times.
type scaleRig struct {
	rng    *rand.Rand
	at     int64 // ms
	nodes  []*Replica
	phase  []int64             // of the seconds
	linked [][]bool            // by pair
	want   func(i, j int) bool // who can be
	redial []scaleRedial
	wants  []bool // Flush has something
	queue  []scaleFlight
	frozen int // a node that does nothing; -1: none
	lost   func(from, to int) bool
	writes int // a second, of random nodes; negative: each node, once

	sent      map[byte]int // bytes, by type of frame
	cuts      map[int]int64
	exchanges int // pings
}

type scaleRedial struct {
	at   int64
	i, j int
}

type scaleFlight struct {
	at       int64
	from, to int
	frame    []byte
}

func newScaleRig(n, fanout int, seed uint64) *scaleRig {
	g := &scaleRig{
		rng: rand.New(rand.NewPCG(seed, uint64(n))), at: 3_600_000, frozen: -1,
		wants: make([]bool, n), sent: map[byte]int{}, cuts: map[int]int64{},
		lost: func(int, int) bool { return false },
	}
	for i := range n {
		g.nodes = append(g.nodes, New(Config{
			ID: uint64(i), Origin: g.rng.Uint64() | 1, MaxSkew: 500 * time.Millisecond, LogSize: 1 << 16,
			First: true, fanout: fanout,
			Wake: func() { g.wants[i] = true }, Changed: func(string, delta.Kind) {},
			Store: store.Config{MaxKeys: 1000, DeletionDelay: time.Hour, Seed: uint64(i)},
		}))
		g.phase = append(g.phase, g.rng.Int64N(1000))
		g.linked = append(g.linked, make([]bool, n))
	}
	g.link(func(int, int) bool { return true })
	g.until(g.at+30_000, func() bool { return false }) // until nobody asks any more who lacks what
	return g
}

// now is the time by a node's clock.
func (g *scaleRig) now() delta.Instant {
	return delta.Instant{Wall: testkit.Wall + g.at, Mono: time.Duration(g.at) * time.Millisecond}
}

// link connects each two nodes that are to be connected, and cuts the others.
func (g *scaleRig) link(want func(i, j int) bool) {
	g.want = want
	for i, a := range g.nodes {
		for j := range i {
			b := g.nodes[j]
			if g.linked[i][j] && !want(i, j) {
				a.Left(g.now(), b.ID)
				b.Left(g.now(), a.ID)
				g.linked[i][j], g.linked[j][i] = false, false
			}
			g.connect(i, j)
		}
	}
}

// connect connects two nodes, if they can be.
func (g *scaleRig) connect(i, j int) {
	if g.linked[i][j] || !g.want(i, j) || i == g.frozen || j == g.frozen {
		return
	}
	a, b := g.nodes[i], g.nodes[j]
	g.linked[i][j], g.linked[j][i] = true, true
	a.Joined(g.now(), b.ID, b.Origin())
	b.Joined(g.now(), a.ID, a.Origin())
}

// until lets time pass, to some moment at most, until something is so, and returns how long that took.
func (g *scaleRig) until(end int64, is func() bool) (took time.Duration) {
	begin := g.at
	for ; g.at < end && !is(); g.at++ {
		for len(g.queue) > 0 && g.queue[0].at <= g.at {
			f := g.queue[0]
			if g.queue = g.queue[1:]; f.to != g.frozen && g.linked[f.from][f.to] {
				_ = g.nodes[f.to].Receive(g.now(), uint64(f.from), f.frame)
			}
		}
		for ; len(g.redial) > 0 && g.redial[0].at <= g.at; g.redial = g.redial[1:] {
			g.connect(g.redial[0].i, g.redial[0].j)
		}
		for i, r := range g.nodes {
			if g.at%1000 == g.phase[i] && i != g.frozen {
				if r.Tick(g.now()); g.writes < 0 {
					g.write(i)
				}
			}
		}
		if g.writes > 0 && g.at%(1000/int64(g.writes)) == 0 {
			g.write(g.rng.IntN(len(g.nodes)))
		}
		for i := range g.nodes {
			if g.wants[i] && i != g.frozen {
				g.wants[i] = false
				g.flush(i)
			}
		}
	}
	return time.Duration(g.at-begin) * time.Millisecond
}

// write has a node write a key of 10 bytes, and a value of 50.
func (g *scaleRig) write(i int) {
	_ = g.nodes[i].Set(g.now(), fmt.Sprintf("key%07d", g.rng.IntN(1000)), strings.Repeat("v", 50), 0)
}

func (g *scaleRig) flush(i int) {
	broadcasts, sends := g.nodes[i].Flush(g.now())
	for _, frame := range broadcasts {
		for j := range g.nodes {
			g.send(i, j, frame)
		}
	}
	for _, m := range sends {
		g.send(i, int(m.To), m.Frame)
	}
	for _, c := range g.nodes[i].TakeCuts() {
		j := int(c.Peer)
		g.cuts[i] = g.at
		g.linked[i][j], g.linked[j][i] = false, false
		g.nodes[i].Left(g.now(), c.Peer)
		if j != g.frozen {
			g.nodes[j].Left(g.now(), uint64(i))
		}
		g.redial = append(g.redial, scaleRedial{g.at + 1000, i, j})
	}
}

func (g *scaleRig) send(from, to int, frame []byte) {
	if from == to || !g.linked[from][to] {
		return
	}
	typ, _ := wire.FrameType(frame)
	g.sent[typ] += len(frame)
	if typ == wire.FramePing {
		g.exchanges++
	}
	if !g.lost(from, to) {
		g.queue = append(g.queue, scaleFlight{g.at + 1, from, to, frame})
	}
}

// agree reports whether all have processed the same. It looks every 50 ms.
func (g *scaleRig) agree() bool {
	if g.at%50 != 0 {
		return false
	}
	first, settled := g.nodes[0].Processed()
	for _, r := range g.nodes {
		if sum, ok := r.Processed(); !ok || !settled || sum != first {
			return false
		}
	}
	return true
}

// counted lets time pass, and returns how many bytes a node has sent in a second of it: writes, and all
// else.
func (g *scaleRig) counted(d time.Duration) (writes, rest float64) {
	clear(g.sent)
	g.until(g.at+d.Milliseconds(), func() bool { return false })
	per := float64(len(g.nodes)) * d.Seconds()
	for typ, n := range g.sent {
		if typ == wire.FrameDelta {
			writes += float64(n) / per
		} else {
			rest += float64(n) / per
		}
	}
	return writes, rest
}

const scalePatience = 3_600_000 // ms

// A scaleCase is a size of the cluster, and how many neighbours a round pings.
type scaleCase struct{ nodes, fanout int }

var scaleCases = []scaleCase{{5, Fanout}, {50, Fanout}, {500, Fanout}, {50, 1000}}

func (c scaleCase) String() string {
	if c.fanout >= c.nodes {
		return fmt.Sprintf("%5d  all", c.nodes)
	}
	return fmt.Sprintf("%5d  %3d", c.nodes, c.fanout)
}

// scaled runs a measurement for each case, with three different seeds unless the case takes long, and logs
// the median and the greatest of each of its figures.
func scaled(t *testing.T, what, columns string, run func(g *scaleRig) []float64) {
	if !*measure {
		t.Skip("it takes minutes; run it with -measure")
	}
	t.Logf("%s:\nnodes, pinged in a round, %s", what, columns)
	for _, c := range scaleCases {
		var all [][]float64
		for seed := range uint64(min(3, 1000/c.nodes/2)) {
			for i, x := range run(newScaleRig(c.nodes, c.fanout, seed)) {
				if i == len(all) {
					all = append(all, nil)
				}
				all[i] = append(all[i], x)
			}
		}
		row := c.String()
		for _, xs := range all {
			row += "  " + medianAndMost(xs)
		}
		t.Log(row)
	}
}

func medianAndMost(xs []float64) string {
	slices.Sort(xs)
	if len(xs) == 1 {
		return fmt.Sprintf("%10.1f", xs[0])
	}
	return fmt.Sprintf("%8.1f (%.1f)", xs[len(xs)/2], xs[len(xs)-1])
}

// pass lets so many milliseconds pass.
func (g *scaleRig) pass(ms int64) { g.until(g.at+ms, func() bool { return false }) }

// Half of the nodes don't hear the other half for some time, in which each half writes ten times. Either
// nobody notices but by what is missing, or their connections break, and are back at the same moment.
func TestMeasureScalePartition(t *testing.T) {
	const columns = "s until all agree, pings of a node for that; the same where connections break"
	scaled(t, "half and half", columns, func(g *scaleRig) (figures []float64) {
		half := len(g.nodes) / 2
		apart := func(i, j int) bool { return (i < half) != (j < half) }
		for _, breaks := range []bool{false, true} {
			g.pass(60_000)
			g.lost = apart
			if breaks {
				g.link(func(i, j int) bool { return !apart(i, j) })
			}
			for range 10 {
				g.write(g.rng.IntN(half))
				g.write(len(g.nodes) - 1 - g.rng.IntN(half))
				g.pass(300)
			}
			g.lost = func(int, int) bool { return false }
			g.exchanges = 0
			g.link(func(int, int) bool { return true })
			took := g.until(g.at+scalePatience, g.agree)
			figures = append(figures, took.Seconds(), float64(g.exchanges)/float64(len(g.nodes)))
		}
		return figures
	})
}

// What one node writes reaches nobody, while nobody else writes, or others do: the rounds have to find it.
func TestMeasureScaleRumour(t *testing.T) {
	const columns = "s until all have it, idle otherwise; the same while others write"
	scaled(t, "a write that was lost to all others", columns, func(g *scaleRig) (figures []float64) {
		for _, writes := range []int{0, 1} {
			g.pass(60_000)
			g.writes = writes
			g.pass(10_000)
			i := g.rng.IntN(len(g.nodes))
			g.write(i)
			dot := g.nodes[i].Written()
			g.lost = func(from, to int) bool { return from == i }
			g.pass(3)
			g.lost = func(int, int) bool { return false }
			took := g.until(g.at+scalePatience, func() bool {
				return !slices.ContainsFunc(g.nodes, func(r *Replica) bool {
					return r.state.vector.Get(dot.Origin).Covered < dot.Seq
				})
			})
			figures = append(figures, took.Seconds())
		}
		return figures
	})
}

// What a node sends in a second, when nothing happens and when each node writes once a second.
func TestMeasureScaleBytes(t *testing.T) {
	const columns = "idle; each writes once a second: writes, all else"
	scaled(t, "bytes that a node sends in a second", columns, func(g *scaleRig) []float64 {
		g.pass(120_000)
		_, idle := g.counted(60 * time.Second)
		g.writes = -1
		g.counted(6 * time.Second)
		writes, rest := g.counted(4 * time.Second)
		return []float64{idle, writes, rest}
	})
}

// A node freezes: how long it takes until the first of the others has noticed, half of them, and the last.
func TestMeasureScaleFreeze(t *testing.T) {
	const columns = "s until one has noticed, until half have, until all have, while others write; the same, idle"
	scaled(t, "a node freezes", columns, func(g *scaleRig) (figures []float64) {
		for _, writes := range []int{1, 0} {
			g.writes = writes
			g.pass(60_000)
			clear(g.cuts)
			g.frozen = g.rng.IntN(len(g.nodes))
			total := time.Duration(0)
			for _, most := range []int{1, len(g.nodes) / 2, len(g.nodes) - 1} {
				total += g.until(g.at+scalePatience, func() bool { return len(g.cuts) >= most })
				figures = append(figures, total.Seconds())
			}
			g.thaw()
		}
		return figures
	})
}

// thaw has the node that was frozen go on, without a connection.
func (g *scaleRig) thaw() {
	i := g.frozen
	g.frozen = -1
	for j := range g.nodes {
		if j != i {
			g.nodes[i].Left(g.now(), uint64(j))
		}
	}
	g.link(func(int, int) bool { return true })
}
