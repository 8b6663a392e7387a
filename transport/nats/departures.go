package nats

import (
	"time"

	"github.com/iwanbk/bcache/internal/transport/engine"
)

// departures are the nodes that are gone without a goodbye: they may live, and not hear.
type departures map[uint64]departure

type departure struct {
	at   time.Time
	name string
}

// note notes that a node is gone, and forgets the one that has been for the longest time if there are
// too many.
func (d departures) note(id uint64, gone departure) {
	d[id] = gone
	engine.KeepLast(d, func(o departure) time.Time { return o.at })
}
