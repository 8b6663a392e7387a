package fill

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

const (
	// maxAccounts is how many prefixes have an account of their own.
	maxAccounts = 1024

	// MaxAccountName is how many bytes of a prefix tell accounts apart.
	MaxAccountName = 256
)

// A Ledger has the figures of all Loaders of a node, by their prefixes. What a Loader that is gone has
// counted stays, so that no sum goes back. It is safe for concurrent use.
type Ledger struct {
	mu       sync.Mutex
	accounts map[string]*account
	others   account // of all prefixes that came when there were too many
}

// An account has the figures of one prefix.
type account struct {
	open   map[*Figures]struct{} // of Loaders that there are
	closed Sums                  // of those that are gone
}

// A NamedSums has the figures of one prefix.
type NamedSums struct {
	Name   string // the first MaxAccountName bytes of the prefix
	Others bool   // it stands for several prefixes, which have no account of their own
	Sums
}

// Enter returns new figures of a prefix, and what is to be called when nobody counts with them any more.
func (l *Ledger) Enter(prefix string) (f *Figures, left func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.need(prefix)
	f = &Figures{}
	if a.open == nil {
		a.open = map[*Figures]struct{}{}
	}
	a.open[f] = struct{}{}
	return f, func() { l.close(a, f) }
}

func (l *Ledger) need(prefix string) *account {
	name := prefix[:min(len(prefix), MaxAccountName)]
	a := l.accounts[name]
	switch {
	case a != nil:
		return a
	case len(l.accounts) == maxAccounts:
		return &l.others
	case l.accounts == nil:
		l.accounts = map[string]*account{}
	}
	a = &account{}
	l.accounts[strings.Clone(name)] = a
	return a
}

// close keeps the sums of figures that nobody counts with any more.
func (l *Ledger) close(a *account, f *Figures) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := a.open[f]; open {
		delete(a.open, f)
		last := f.Sums()
		a.closed.Merge(&last)
	}
}

func (a *account) sums() Sums {
	s := a.closed
	for f := range a.open {
		now := f.Sums()
		s.Merge(&now)
	}
	return s
}

// All returns the figures by prefix, in the order of those; the others come last.
func (l *Ledger) All() (all []NamedSums) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(l.accounts)) {
		all = append(all, NamedSums{Name: name, Sums: l.accounts[name].sums()})
	}
	if l.others.open != nil {
		all = append(all, NamedSums{Others: true, Sums: l.others.sums()})
	}
	return all
}

// Open is how many figures somebody may still count with.
func (l *Ledger) Open() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		n += len(a.open)
	}
	return n + len(l.others.open)
}

// Total returns the figures of all Loaders together.
func (l *Ledger) Total() (s Sums) {
	for _, of := range l.All() {
		s.Merge(&of.Sums)
	}
	return s
}
