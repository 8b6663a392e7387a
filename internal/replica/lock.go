package replica

import (
	"sync"
)

// A lock is the replica's. What takes long under it is done in steps, and between two of them others
// get it.
type lock struct {
	sync.Mutex
	stepWork int    // how much a step does: see stepWork
	between  func() // for tests: what others do when they are let
}

// letOthers gives the lock up for a moment: others may want it. Only the one who took it calls this.
func (l *lock) letOthers() {
	l.Unlock()
	if l.between != nil {
		l.between()
	}
	l.Lock()
}
