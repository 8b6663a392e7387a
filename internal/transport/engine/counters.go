// Package engine is what the engines between nodes do alike, whatever carries their frames.
//
// Its law: nothing here knows a network, or holds a lock while it calls the node.
package engine

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/transport"
)

// Counters are what Stats is made of.
type Counters struct {
	FramesIn, FramesOut, BytesIn, BytesOut, Dropped, RefusedSkew, RefusedOther atomic.Uint64
}

// Stats returns them.
func (c *Counters) Stats() transport.Stats {
	return transport.Stats{
		FramesIn: c.FramesIn.Load(), FramesOut: c.FramesOut.Load(),
		BytesIn: c.BytesIn.Load(), BytesOut: c.BytesOut.Load(),
		DroppedFrames: c.Dropped.Load(),
		RefusedSkew:   c.RefusedSkew.Load(), RefusedOther: c.RefusedOther.Load(),
	}
}
