package meshnet

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/transport"
)

// meshCounters are what Stats is made of.
type meshCounters struct {
	framesIn, framesOut, bytesIn, bytesOut, dropped, refusedSkew, refusedOther atomic.Uint64
}

func (c *meshCounters) stats() transport.Stats {
	return transport.Stats{
		FramesIn: c.framesIn.Load(), FramesOut: c.framesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		DroppedFrames: c.dropped.Load(),
		RefusedSkew:   c.refusedSkew.Load(), RefusedOther: c.refusedOther.Load(),
	}
}
