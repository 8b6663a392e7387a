package bcache

import "sync/atomic"

// meshCounters are what transportStats is made of.
type meshCounters struct {
	framesIn, framesOut, bytesIn, bytesOut, dropped, refusedSkew, refusedOther atomic.Uint64
}

func (c *meshCounters) stats() transportStats {
	return transportStats{
		framesIn: c.framesIn.Load(), framesOut: c.framesOut.Load(),
		bytesIn: c.bytesIn.Load(), bytesOut: c.bytesOut.Load(),
		droppedFrames: c.dropped.Load(),
		refusedSkew:   c.refusedSkew.Load(), refusedOther: c.refusedOther.Load(),
	}
}
