//go:build linux

package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

// What TestMixed looks at where no load runs.

// keys are n keys of this stage.
func (m *mixed) keys(prefix string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("%s-%d-%d", prefix, m.stage, i))
	}
	return keys
}

// own are the keys of the loads that have one writer each, shared those that all change.
func own() (keys []string) {
	for _, name := range []string{"a-", "b-", "c-"} {
		nodeprocess.EachKey(name, 0, 20, func(key string) error { keys = append(keys, key); return nil })
	}
	return keys
}

func shared() (keys []string) {
	nodeprocess.EachKey("d-", 0, 40, func(key string) error { keys = append(keys, key); return nil })
	return keys
}

func words(keys []string) string { return strings.Join(keys, " ") }

// have says which nodes answer otherwise than the database would. If less is right, they may lack some.
func (m *mixed) have(command string, keys []string, less bool) error {
	want := m.db.all(keys)
	var errs []error
	for _, p := range m.nodes {
		var held map[string]string
		if err := p.ask(&held, command, words(keys)); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, key := range keys {
			if held[key] != want[key] && !(less && held[key] == "") {
				errs = append(errs, fmt.Errorf("%s: %s %s is %q, want %q", p.name, command, key, held[key],
					want[key]))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// leases: of all nodes that ask for a key at once, one asks the database.
func (m *mixed) leases() {
	m.t.Helper()
	const keys, tries = 20, 3
	var queries int
	for try := range tries { // a node that gets no answer for 100 ms fills without a lease
		some := m.keys(fmt.Sprint("l", try), keys)
		for _, key := range some {
			m.db.commit(key, false)
		}
		queries = m.db.count(300*time.Millisecond, func() {
			var all sync.WaitGroup
			for _, p := range m.nodes {
				all.Go(func() {
					var values map[string]string
					err := p.ask(&values, "loads", words(some))
					if err != nil || !maps.Equal(values, m.db.all(some)) {
						m.t.Errorf("%s: %v, %v", p.name, values, err)
					}
				})
			}
			all.Wait()
		})
		if queries <= keys*3/2 {
			return
		}
	}
	m.t.Errorf("%d queries of %d keys by %d nodes", queries, keys, len(m.nodes))
}

// provisional: what a node fills right after another one's Delete, the third one has too.
func (m *mixed) provisional() {
	m.t.Helper()
	n := len(m.nodes)
	deletes, fills, gets := m.nodes[m.stage%n], m.nodes[(m.stage+1)%n], m.nodes[(m.stage+2)%n]
	offered := func() (accepted, either uint64) {
		var s bcache.Stats
		gets.must(&s, "stats")
		return s.ProvisionalAccepted, s.ProvisionalAccepted + s.ProvisionalRefused
	}
	keys, taken := m.keys("p", 10), 0
	first, counted := offered()
	for _, key := range keys {
		m.db.commit(key, false)
		for _, p := range m.nodes {
			p.must(nil, "load", key)
		}
		fresh := got{m.db.commit(key, false), true}
		deletes.must(nil, "delete", key)
		for _, p := range []*process{fills, gets} {
			m.shows(p, key, got{})
		}
		var g, other got
		fills.must(&g, "load", key)
		testkit.Within(m.t, 5*time.Second, func() error { // half a second after the Delete it is a write
			gets.must(&other, "get", key)
			if _, n := offered(); n <= counted && !other.Found {
				return fmt.Errorf("%s was offered nothing by %s", gets.name, fills.name)
			}
			return nil
		})
		gets.must(&other, "get", key)
		if g != fresh || other.Found && other != fresh {
			m.t.Errorf("%s is %+v on %s, and %+v on %s, want %+v", key, g, fills.name, other, gets.name,
				fresh)
		}
		if other.Found {
			taken++
		}
		_, counted = offered()
	}
	if last, _ := offered(); taken < len(keys)/2 || last == first {
		m.t.Errorf("%s has %d of %d values that %s filled, %d of them provisional", gets.name, taken,
			len(keys), fills.name, last-first)
	}
}

// shows waits until a node shows a value, or none.
func (m *mixed) shows(p *process, key string, want got) {
	m.t.Helper()
	testkit.Within(m.t, 5*time.Second, func() error {
		var g got
		if err := p.ask(&g, "get", key); err != nil || g != want {
			return fmt.Errorf("%s: %s is %+v, want %+v, %v", p.name, key, g, want, err)
		}
		return nil
	})
}

// repairs: a node of one version is frozen for so long that it isn't sent all that one of the other
// version writes. It asks for that.
func (m *mixed) repairs() {
	m.t.Helper()
	later, older := m.versions()
	if len(later) == 0 || len(older) == 0 {
		return
	}
	frozen, writes := later[0], older[0]
	if m.stage%2 == 0 {
		frozen, writes = writes, frozen
	}
	keys, value := m.keys("r", 100), strings.Repeat("x", 4<<10)
	var was, is bcache.Stats
	frozen.must(&was, "stats")
	dropped := func() uint64 {
		var s bcache.Stats
		writes.must(&s, "stats")
		return s.DroppedFrames
	}
	first := dropped()
	frozen.signal(syscall.SIGSTOP)
	testkit.Within(m.t, 10*time.Second, func() error {
		for _, key := range keys {
			writes.must(nil, "set", key, value)
		}
		if n := dropped(); n == first {
			return fmt.Errorf("nothing that %s writes is dropped", writes.name)
		}
		return nil
	})
	frozen.signal(syscall.SIGCONT)
	want := map[string]string{}
	for _, key := range keys {
		want[key] = value
	}
	testkit.Within(m.t, 20*time.Second, func() error {
		var held map[string]string
		if err := frozen.ask(&held, "dump", words(keys)); err != nil || !maps.Equal(held, want) {
			return fmt.Errorf("%s has %d of %d keys, %v", frozen.name, len(held), len(want), err)
		}
		return nil
	})
	frozen.must(&is, "stats")
	if is.RecordsRepaired == was.RecordsRepaired {
		m.t.Errorf("%s has repaired nothing of what %s wrote", frozen.name, writes.name)
	}
}

// clears: a Clear on a node empties all, and what is written then stays.
func (m *mixed) clears() {
	m.t.Helper()
	n := len(m.nodes)
	clears, writes := m.nodes[m.stage%n], m.nodes[(m.stage+1)%n]
	keys := append(own(), shared()...)
	for _, key := range shared() {
		m.db.commit(key, false)
	}
	clears.must(nil, "clear")
	for _, p := range m.nodes {
		testkit.Within(m.t, 5*time.Second, func() error {
			var held map[string]string
			if err := p.ask(&held, "dump", words(keys)); err != nil || len(held) > 0 {
				return fmt.Errorf("%s holds %v, %v", p.name, held, err)
			}
			return nil
		})
	}
	testkit.Ok(m.t, m.have("loads", shared(), false))
	writes.must(nil, "set", m.marker(), "after")
	for _, p := range m.nodes {
		m.shows(p, m.marker(), got{"after", true})
	}
}

func (m *mixed) marker() string { return fmt.Sprint("marker-", m.stage) }

// why: each node tells each other one what it knows of a key.
func (m *mixed) why() {
	m.t.Helper()
	for _, p := range m.nodes {
		testkit.Within(m.t, 5*time.Second, func() error {
			var reports []struct {
				Node             uint64
				Err, Kind, Value string
			}
			if err := p.ask(&reports, "why", m.marker()); err != nil || len(reports) != len(m.nodes) {
				return fmt.Errorf("%s: %+v, %v", p.name, reports, err)
			}
			for _, r := range reports {
				if r.Err != "" || r.Kind != string(bcache.KeyValue) || r.Value != "after" {
					return fmt.Errorf("%s: %+v", p.name, r)
				}
			}
			return nil
		})
	}
}
