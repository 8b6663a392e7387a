package lease

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// What must be true of leases at any time, for tests and for the simulation.

// Check says what is wrong with a node's leases; nil if nothing is.
func Check(t *Table, a *Asks) error { return errors.Join(checkTable(t), checkAsks(a)) }

// checkTable says what is wrong: a turn that waits for nobody, a node with too many turns, a wrong
// count.
func checkTable(t *Table) error {
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
				return fmt.Errorf("node %d waits for nobody's lease of %s", w.Peer, key)
			}
			if n := l.turnsOf(w.Peer); n > maxTurns {
				return fmt.Errorf("node %d has %d turns for %s", w.Peer, n, key)
			}
		}
	}
	if waiting != t.waiting || idle != t.idle.Len() {
		return fmt.Errorf("%d turns wait and %d leases are idle, counted are %d and %d",
			waiting, idle, t.waiting, t.idle.Len())
	}
	return nil
}

// checkAsks says what is wrong: asks that can be found in one way only.
func checkAsks(a *Asks) error {
	n := 0
	for _, asks := range a.byKey {
		n += len(asks)
	}
	if n != len(a.byID) {
		return fmt.Errorf("%d asks by key, %d by ID", n, len(a.byID))
	}
	return nil
}
