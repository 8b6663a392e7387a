//go:build linux

package e2e_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// What only this version has, in a cluster in which some nodes, or all, have it: tags, and Clears that
// select, confirmations and tokens. The others may miss more, and show nothing old.

// versions are the nodes that run this version, and the others.
func (m *mixed) versions() (later, older []*process) {
	for _, p := range m.nodes {
		if p.program == m.program(now) {
			later = append(later, p)
		} else {
			older = append(older, p)
		}
	}
	return later, older
}

// onlyLater looks at all of that. A node without these operations has no part in it.
func (m *mixed) onlyLater() {
	m.t.Helper()
	later, older := m.versions()
	if len(later) == 0 {
		return
	}
	m.load("clears", m.nodes...)
	for _, p := range m.nodes {
		m.stopLoad(p)
	}
	m.current(len(older) > 0)
	writes := later[m.stage%len(later)]
	m.tags(writes, later, older)
	m.prefixes(writes, later, older)
	m.taggedFills(writes, later, older)
	m.confirms(writes, later)
	testkit.Ok(m.t, m.none(m.gone))
}

// confirms: what is confirmed every node has, and what a token is awaited for the node that awaits it.
func (m *mixed) confirms(writes *process, later []*process) {
	m.t.Helper()
	for _, key := range m.keys("confirmed", 10) {
		writes.must(nil, "set", key, "old")
		m.show(m.nodes, key, got{"old", true})
		writes.must(nil, "set", key, "new")
		writes.must(nil, "confirm")
		m.has(m.nodes, key, "new")
		var token string
		writes.must(nil, "set", key, "newer")
		writes.must(&token, "token")
		for _, p := range later {
			p.must(nil, "await", token)
		}
		m.has(later, key, "newer")
	}
}

// has sees that nodes have a value now.
func (m *mixed) has(nodes []*process, key, value string) {
	m.t.Helper()
	for _, p := range nodes {
		var g got
		p.must(&g, "get", key)
		if g != (got{value, true}) {
			m.t.Errorf("%s: %s is %+v, want %q", p.name, key, g, value)
		}
	}
}

// current waits until no node has anything that is old; some may have less than there is.
func (m *mixed) current(less bool) {
	m.t.Helper()
	testkit.Within(m.t, 10*time.Second, func() error {
		return errors.Join(m.have("dump", own(), less), m.have("loads", shared(), false))
	})
	testkit.Ok(m.t, errors.Join(m.have("dump", own(), less), m.have("loads", shared(), false)))
}

// tags: a value with tags takes the place of an older one everywhere, and is served where tags are
// known. By one of its tags it is cleared.
func (m *mixed) tags(writes *process, later, older []*process) {
	m.t.Helper()
	before := m.nodes[m.stage%len(m.nodes)] // of either version
	red, blue := m.keys("red", 5), m.keys("blue", 5)
	for _, keys := range [][]string{red, blue} {
		for _, key := range keys {
			before.must(nil, "set", key, "old")
			m.show(m.nodes, key, got{"old", true})
			writes.must(nil, "put", key, "new", keys[0], "all")
			m.show(later, key, got{"new", true})
			m.show(older, key, got{})
		}
	}
	writes.must(nil, "cleartag", red[0])
	for _, key := range red {
		m.show(m.nodes, key, got{})
	}
	for _, key := range blue {
		m.show(later, key, got{"new", true})
	}
	m.gone = append(m.gone, red...)
}

// prefixes: a Clear by a prefix ends the keys that have it; to older nodes it is a Clear of everything.
func (m *mixed) prefixes(writes *process, later, older []*process) {
	m.t.Helper()
	before := m.nodes[(m.stage+1)%len(m.nodes)]
	hit, spared := m.keys("hit", 5), m.keys("spared", 5)
	for _, key := range append(hit, spared...) {
		before.must(nil, "set", key, "old")
		m.show(m.nodes, key, got{"old", true})
	}
	writes.must(nil, "clearprefix", fmt.Sprint("hit-", m.stage))
	for _, key := range hit {
		m.show(m.nodes, key, got{})
	}
	for _, key := range spared {
		m.show(later, key, got{"old", true})
		m.show(older, key, got{})
	}
	before.must(nil, "set", spared[0], "after")
	m.show(m.nodes, spared[0], got{"after", true})
	m.gone = append(m.gone, hit...)
}

// taggedFills: what a node fills with a tag the others that know tags have too. After a commit and a
// Clear by the tag no node has it, and no node fills what was before the commit.
func (m *mixed) taggedFills(writes *process, later, older []*process) {
	m.t.Helper()
	keys := m.keys("t", 10)
	for _, key := range keys {
		value := m.db.commit(key, false)
		writes.must(nil, "load", key)
		m.show(later, key, got{value, true})
		m.show(older, key, got{})
		m.db.commit(key, false)
	}
	writes.must(nil, "cleartag", "filled")
	for _, key := range keys {
		m.show(m.nodes, key, got{})
	}
	testkit.Ok(m.t, m.have("loads", keys, false))
}

// show waits until nodes show a value, or none.
func (m *mixed) show(nodes []*process, key string, want got) {
	m.t.Helper()
	for _, p := range nodes {
		m.shows(p, key, want)
	}
}

// none says which nodes show keys that no node may show any more.
func (m *mixed) none(keys []string) error {
	var errs []error
	for _, p := range m.nodes {
		var held map[string]string
		if err := p.ask(&held, "dump", words(keys)); err != nil || len(held) > 0 {
			errs = append(errs, fmt.Errorf("%s shows %v, %w", p.name, held, err))
		}
	}
	return errors.Join(errs...)
}
