package memberlist

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/transport"
)

// counters are what Stats is made of. Those of frames that links have dropped come to it.
type counters struct {
	framesIn, framesOut, bytesIn, bytesOut, dropped, refusedSkew, refusedOther atomic.Uint64
}

func (c *counters) stats() transport.Stats {
	return transport.Stats{
		FramesIn: c.framesIn.Load(), FramesOut: c.framesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		DroppedFrames: c.dropped.Load(),
		RefusedSkew:   c.refusedSkew.Load(), RefusedOther: c.refusedOther.Load(),
	}
}
