//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

const restarted = 5 // nodes

// Five nodes are restarted one after the other, each as soon as the one before is ready.
// At no time is a key without expiry missing on all nodes that are ready.
func TestNetnsRollingRestart(t *testing.T) {
	r := newRolling(newNetnsCluster(t, ipv4, restarted, func(*bcache.Config) {}))
	r.restart(func(int) {})
	r.end()
}

// Three nodes are restarted one after the other, and again: what was written last is on others in time, so
// that none of it goes with them.
func TestNetnsRollingRestarts(t *testing.T) {
	r := newRolling(newNetnsCluster(t, ipv4, 3, func(*bcache.Config) {}))
	for range 3 {
		r.restart(func(int) {})
	}
	r.end()
}

// A cluster moves from mesh to another engine as docs/engines.md says, under load: nothing is lost, and
// nothing comes back. A node is restarted as soon as the one before is ready.
func TestNetnsMove(t *testing.T) {
	t.Parallel()
	if *engine == mesh {
		t.Skip("from mesh to mesh is no move: -engine memberlist or nats")
	}
	c := newNetnsCluster(t, ipv4, 3, func(*bcache.Config) {})
	c.place(mesh)
	r := newRolling(c)
	c.sets(c.nodes[0], "moved-", 0, 1000, "mesh")
	r.restart(func(i int) { c.placeNode(i, mesh, *engine) })
	allConnected(t, c.nodes)
	c.sets(c.nodes[1], "moved-", 0, 300, "both")
	c.deletes(c.nodes[2], "moved-", 300, 600)
	r.restart(func(i int) { c.placeNode(i, *engine) })
	allConnected(t, c.nodes)
	c.sets(c.nodes[1], "moved-", 0, 100, *engine)
	c.deletes(c.nodes[2], "moved-", 600, 700)
	r.end()
}

// A rolling restarts the nodes of a cluster one after the other. All write meanwhile, and ask for keys
// that nobody writes.
type rolling struct {
	c      *netnsCluster
	probed [][]nodeprocess.ProbeRun // by node
	ready  []string                 // seconds after each restart
	took   time.Duration
}

const rollingKeys, rollingLoad = 1000, 200

func newRolling(c *netnsCluster) *rolling {
	c.t.Helper()
	r := &rolling{c: c, probed: make([][]nodeprocess.ProbeRun, len(c.nodes))}
	c.start()
	c.sets(c.nodes[0], "key-", 0, rollingKeys, "v")
	_, err := c.agree(time.Now(), mostAgree)
	testkit.Ok(c.t, err)
	for i := range c.nodes {
		r.begin(i)
	}
	r.steady()
	return r
}

func (r *rolling) begin(i int) {
	p := r.c.nodes[i]
	p.must(nil, "probe", "key-", rollingKeys)
	p.must(nil, "load", "load-"+p.name+"-", rollingLoad, 100, 10)
}

func (r *rolling) stop(i int) {
	p := r.c.nodes[i]
	r.c.stopLoad(p, "load-"+p.name+"-", rollingLoad)
	var runs []nodeprocess.ProbeRun
	p.must(&runs, "probed", "key-")
	if len(runs) == 0 {
		r.c.t.Errorf("%s didn't probe", p.name)
	}
	r.probed[i] = append(r.probed[i], runs...)
}

// steady gives the probes some rounds before the first node goes, and after the last one is back.
func (r *rolling) steady() {
	r.c.t.Helper()
	testkit.Ok(r.c.t, throughout(time.Second, func() error { return r.c.nodes[0].ask(nil, "ready") }))
}

// restart restarts each node once the one before is ready, with the setup that edit has given it.
func (r *rolling) restart(edit func(i int)) {
	r.c.t.Helper()
	start := time.Now()
	for i, p := range r.c.nodes {
		r.stop(i)
		testkit.Ok(r.c.t, p.close())
		edit(i)
		testkit.Ok(r.c.t, p.start())
		listening := time.Now()
		r.begin(i)
		testkit.Within(r.c.t, mostReady, func() error { return p.ask(nil, "ready") })
		r.ready = append(r.ready, fmt.Sprintf("%.2f", time.Since(listening).Seconds()))
	}
	r.took += time.Since(start)
	for _, p := range r.c.nodes {
		testkit.Within(r.c.t, mostReady, func() error { return p.ask(nil, "ready") })
	}
}

// end checks what was seen, and that the nodes agree.
func (r *rolling) end() {
	r.c.t.Helper()
	r.steady()
	for i := range r.c.nodes {
		r.stop(i)
	}
	s := summarise(r.probed, rollingKeys)
	t := r.c.t
	t.Logf("%d nodes restarted under load in %.1f s, ready after %s s: %d rounds of probes, %d of them "+
		"incomplete, %d misses of single ready nodes, %d keys missed by all ready nodes in one round, "+
		"%d rounds without a ready node", len(r.c.nodes), r.took.Seconds(), strings.Join(r.ready, ", "),
		s.rounds, s.unsure, s.missed, len(s.lost), s.alone)
	if len(s.lost) > 0 {
		t.Errorf("all ready nodes missed a key at the same time: %d of %d keys, key-%d among them",
			len(s.lost), rollingKeys, s.lost[0])
	}
	if s.unsure > s.rounds/3 {
		t.Errorf("too few probes: %d of %d rounds are incomplete", s.unsure, s.rounds)
	}
	if s.alone > 0 {
		t.Errorf("for %d rounds no node was ready", s.alone)
	}
	t.Logf("afterwards: %s", r.c.agreed(time.Now()))
}
