package lease

import (
	"fmt"
	"maps"
	"slices"
)

// What must be true of leases at any time, for tests and for the simulation.

// Holder returns who has the lease of a key.
func (t *Table) Holder(key string) (h Holder, ok bool) {
	l := t.ByKey[key]
	if l == nil || l.current() == nil {
		return Holder{}, false
	}
	return *l.current(), true
}

// Len is how many leases are granted or remembered; waiting, how many turns wait for them.
func (t *Table) Len() (leases, waiting int) { return len(t.ByKey), t.waiting }

// Check says what is wrong: a turn that waits for nobody, a node with too many turns, a wrong count.
func (t *Table) Check() error {
	waiting, idle := 0, 0
	for _, key := range slices.Sorted(maps.Keys(t.ByKey)) {
		l := t.ByKey[key]
		waiting += len(l.queue)
		if l.idle != nil {
			idle++
		}
		if (l.idle != nil) != (len(l.holders) == 0) {
			return fmt.Errorf("the lease of %s has %d holders, idle %v", key, len(l.holders), l.idle != nil)
		}
		for _, w := range l.queue {
			if l.holder(w.after) == nil {
				return fmt.Errorf("node %d waits for nobody's lease of %s", w.Peer, key)
			}
			if n := l.turnsOf(w.Peer); n > maxLeaseTurns {
				return fmt.Errorf("node %d has %d turns for %s", w.Peer, n, key)
			}
		}
	}
	if waiting != t.waiting || idle != t.idle.Len() {
		return fmt.Errorf("%d turns wait and %d leases are idle, counted are %d and %d", waiting, idle, t.waiting, t.idle.Len())
	}
	return nil
}

// AskedOf returns whom an ask has asked.
func (a *Asks) AskedOf(id uint64) (peer uint64, ok bool) {
	if ask := a.byID[id]; ask != nil {
		return ask.peer, true
	}
	return 0, false
}

// Len is how many asks there are.
func (a *Asks) Len() int { return len(a.byID) }

// Check says what is wrong: asks that can be found in one way only.
func (a *Asks) Check() error {
	n := 0
	for _, asks := range a.byKey {
		n += len(asks)
	}
	if n != len(a.byID) {
		return fmt.Errorf("%d asks by key, %d by ID", n, len(a.byID))
	}
	return nil
}
