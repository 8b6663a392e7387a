package meshnet

import (
	"time"

	"github.com/iwanbk/bcache/internal/transport/engine"
)

// lingers is for how long a node that has said that it closes may still be reached through others, as
// they see it: they pass on that it is gone.
const lingers = 5 * time.Second

// departures are the nodes that were there, and are gone. One that hasn't said that it closes may live
// on. They are under peerTable.mu.
type departures map[uint64]departure

type departure struct {
	at   time.Time // by time.Now
	addr string
	said bool // it has said that it closes
}

// note notes that a node is gone. Of one that was reached through others, others have said so: if it has
// just said itself that it closes, it has.
func (d departures) note(id uint64, gone departure, far bool) {
	if last, ok := d[id]; ok && far && last.said && gone.at.Sub(last.at) < lingers {
		return
	}
	d[id] = gone
	engine.KeepLast(d, func(o departure) time.Time { return o.at })
}

// back forgets a node that is there again. If it is said to be reached through others, and has just
// closed, that it has said so is remembered.
func (d departures) back(id uint64, now time.Time, far bool) {
	if last := d[id]; !far || !last.said || now.Sub(last.at) >= lingers {
		delete(d, id)
	}
}
