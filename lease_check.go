package bcache

import (
	"fmt"
	"maps"
	"slices"
)

// What must be true of leases at any time, for tests and for the simulation.

// holder returns who has the lease of a key.
func (t *leaseTable) holder(key string) (h leaseHolder, ok bool) {
	l := t.byKey[key]
	if l == nil || l.current() == nil {
		return leaseHolder{}, false
	}
	return *l.current(), true
}

// len is how many leases are granted or remembered; waiting, how many turns wait for them.
func (t *leaseTable) len() (leases, waiting int) { return len(t.byKey), t.waiting }

// check says what is wrong: a turn that waits for nobody, a node with too many turns, a wrong count.
func (t *leaseTable) check() error {
	waiting, idle := 0, 0
	for _, key := range slices.Sorted(maps.Keys(t.byKey)) {
		l := t.byKey[key]
		waiting += len(l.queue)
		if l.idle != nil {
			idle++
		}
		if (l.idle != nil) != (len(l.holders) == 0) {
			return fmt.Errorf("the lease of %s has %d holders, idle %v", key, len(l.holders), l.idle != nil)
		}
		for _, w := range l.queue {
			if l.holder(w.after) == nil {
				return fmt.Errorf("node %d waits for nobody's lease of %s", w.peer, key)
			}
			if n := l.turnsOf(w.peer); n > maxLeaseTurns {
				return fmt.Errorf("node %d has %d turns for %s", w.peer, n, key)
			}
		}
	}
	if waiting != t.waiting || idle != t.idle.Len() {
		return fmt.Errorf("%d turns wait and %d leases are idle, counted are %d and %d", waiting, idle, t.waiting, t.idle.Len())
	}
	return nil
}

// askedOf returns whom an ask has asked.
func (a *leaseAsks) askedOf(id uint64) (peer uint64, ok bool) {
	if ask := a.byID[id]; ask != nil {
		return ask.peer, true
	}
	return 0, false
}

// len is how many asks there are.
func (a *leaseAsks) len() int { return len(a.byID) }

// check says what is wrong: asks that can be found in one way only.
func (a *leaseAsks) check() error {
	n := 0
	for _, asks := range a.byKey {
		n += len(asks)
	}
	if n != len(a.byID) {
		return fmt.Errorf("%d asks by key, %d by ID", n, len(a.byID))
	}
	return nil
}
