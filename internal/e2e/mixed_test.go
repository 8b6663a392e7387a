//go:build linux

package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
)

var mixedDir = flag.String("mixed", "",
	"run TestMixed with the nodes that scripts/mixed.sh has built in this `directory`")

// Nodes of this version and of the release before work in one cluster: while it is upgraded node by
// node, and rolled back, under load. See docs/upgrade.md.
func TestMixed(t *testing.T) {
	if *mixedDir == "" {
		t.Skip("takes two versions of bcache, see scripts/mixed.sh: .ci/run mixed")
	}
	m := newMixed(t)
	m.check("all of the release before")
	m.roll(0, now)
	m.check("one is upgraded")
	m.roll(1, now)
	m.check("two are upgraded")
	m.roll(2, now)
	m.check("all are upgraded")
	m.roll(1, before)
	m.check("one is rolled back")
	m.roll(2, before)
	m.check("two are rolled back")
	m.roll(0, before)
	m.check("all are rolled back")
	m.stop()
}

const (
	now    = "now"
	before = "before"
)

// A mixed is a cluster whose nodes, a, b and c, run one version or the other.
type mixed struct {
	t     *testing.T
	db    *database
	nodes []*process
	stage int        // checks so far
	all   loadResult // of all loads that have ended
	gone  []string   // keys that were cleared by what they are, and not written again
}

// A loadResult says what a load of a node has done, and what was wrong.
type loadResult struct {
	Reads, Hits, Writes int
	Wrong               []string
}

// newMixed starts three nodes of the release before, with a load on each.
func newMixed(t *testing.T) *mixed {
	m := &mixed{t: t, db: newDatabase(t)}
	addrs := []string{testkit.FreeAddr(t), testkit.FreeAddr(t), testkit.FreeAddr(t)}
	for i, addr := range addrs {
		p := newProcess(t, string(rune('a'+i)), bcache.Config{
			PeerID: uint64(i + 1), ListenAddr: addr, Peers: addrs, MaxKeys: 10_000, ClusterName: "mixed",
			Secret: "a secret of both versions",
		})
		p.db = m.db.url
		m.nodes = append(m.nodes, p)
		m.start(p, before)
	}
	allConnected(t, m.nodes)
	for _, p := range m.nodes {
		m.ready(p)
	}
	m.load("plainly", m.nodes...)
	return m
}

func (m *mixed) start(p *process, version string) {
	m.t.Helper()
	p.program = m.program(version)
	testkit.Ok(m.t, p.start())
}

func (m *mixed) program(version string) string { return filepath.Join(*mixedDir, version) }

func (m *mixed) ready(p *process) {
	m.t.Helper()
	testkit.Within(m.t, 20*time.Second, func() error { return p.ask(nil, "ready") })
}

// load begins a load on nodes, "plainly" or with "clears", and waits until each has done something.
func (m *mixed) load(how string, nodes ...*process) {
	m.t.Helper()
	for _, p := range nodes {
		p.must(nil, "run", p.name, how)
	}
	m.goesOn(nodes...)
}

// goesOn waits until the load of each node has done much since it was called.
func (m *mixed) goesOn(nodes ...*process) {
	m.t.Helper()
	was := make([]loadResult, len(nodes))
	for i, p := range nodes {
		p.must(&was[i], "progress")
	}
	for i, p := range nodes {
		testkit.Within(m.t, 20*time.Second, func() error {
			var is loadResult
			if err := p.ask(&is, "progress"); err != nil || is.Writes < was[i].Writes+200 {
				return fmt.Errorf("%s: %d writes, and then %d, %v", p.name, was[i].Writes, is.Writes, err)
			}
			return nil
		})
	}
}

// roll ends a node and starts it with another version, while the others go on. What they hold it gets by
// a full sync.
func (m *mixed) roll(i int, version string) {
	m.t.Helper()
	m.load("plainly", m.nodes...)
	p, writer := m.nodes[i], m.nodes[(i+1)%len(m.nodes)]
	keys := m.keys("k", 200)
	for _, key := range keys {
		writer.must(nil, "set", key, "v-"+key)
	}
	for _, key := range m.keys("short", 50) { // of these only floors are left, which a full sync has too
		writer.must(nil, "short", key, "v-"+key)
		for _, other := range m.nodes {
			m.shows(other, key, got{})
		}
	}
	m.stopLoad(p)
	m.figures(p)
	testkit.Ok(m.t, p.close())
	start := time.Now()
	m.start(p, version)
	m.ready(p)
	took := time.Since(start).Round(time.Millisecond)
	m.t.Logf("%s runs version %q: ready after %v", p.name, version, took)
	allConnected(m.t, m.nodes)
	testkit.Within(m.t, 5*time.Second, func() error {
		var held map[string]string
		if err := p.ask(&held, "dump", words(keys)); err != nil || len(held) != len(keys) {
			return fmt.Errorf("%s holds %d of %d keys, %v", p.name, len(held), len(keys), err)
		}
		return nil
	})
	var s bcache.Stats
	p.must(&s, "stats")
	if s.SyncedFrom == 0 || s.SyncsReceived == 0 || s.SyncRecords < uint64(len(keys)) {
		m.t.Errorf("%s had no full sync: from %x, %d syncs of %d records", p.name, s.SyncedFrom,
			s.SyncsReceived, s.SyncRecords)
	}
	if err := m.none(m.gone); err != nil {
		m.t.Error(err)
	}
	m.load("plainly", p)
	m.goesOn(m.nodes...)
}

// check ends the load, and looks at what it has left, and at what both versions must agree about.
func (m *mixed) check(stage string) {
	m.t.Helper()
	m.t.Log(stage)
	m.stage++
	for _, p := range m.nodes {
		m.stopLoad(p)
	}
	m.current(false)
	m.leases()
	m.provisional()
	m.repairs()
	m.onlyLater()
	m.clears()
	m.why()
	if m.t.Failed() {
		m.t.FailNow()
	}
}

// stop ends the cluster.
func (m *mixed) stop() {
	m.t.Helper()
	for _, p := range m.nodes {
		m.figures(p)
	}
	for _, p := range m.nodes {
		testkit.Ok(m.t, p.close())
		text, err := os.ReadFile(p.log.Name())
		testkit.Ok(m.t, err)
		for _, line := range badLine.FindAllString(string(text), -1) {
			m.t.Errorf("the log of %s: %s", p.name, line)
		}
	}
	m.t.Logf("in all %d reads, %d hits, %d writes", m.all.Reads, m.all.Hits, m.all.Writes)
}

// badLine is what no log of a mixed cluster may have.
var badLine = regexp.MustCompile("(?m)^.*(" + strings.Join([]string{
	"dropped a frame", "refused writes", "is refused", "refuses this node", "is cut",
	"synced: no other node",
}, "|") + ").*$")

// stopLoad ends a node's load, in which nothing may have been wrong.
func (m *mixed) stopLoad(p *process) {
	m.t.Helper()
	var r loadResult
	p.must(&r, "stop")
	if len(r.Wrong) > 0 || r.Hits == 0 || r.Hits == r.Reads || r.Writes == 0 {
		m.t.Errorf("%s: %d reads, %d hits, %d writes; wrong: %s", p.life(), r.Reads, r.Hits, r.Writes,
			strings.Join(r.Wrong, "; "))
	}
	m.all.Reads += r.Reads
	m.all.Hits += r.Hits
	m.all.Writes += r.Writes
}

// figures looks at those that are 0 unless nodes misunderstand each other.
func (m *mixed) figures(p *process) {
	m.t.Helper()
	var s bcache.Stats
	p.must(&s, "stats")
	bad := s.Malformed + s.Unsupported + s.HandshakesRefused + s.HandshakesSkew + s.RefusedFuture
	if bad+s.SyncsFailed > 0 || s.LeasesGranted == 0 || s.FramesIn == 0 {
		m.t.Errorf("%s: %d malformed, %d unsupported, %d and %d handshakes refused, %d from the future, "+
			"%d syncs failed; %d leases granted, %d frames", p.life(),
			s.Malformed, s.Unsupported, s.HandshakesRefused, s.HandshakesSkew, s.RefusedFuture,
			s.SyncsFailed, s.LeasesGranted, s.FramesIn)
	}
}
