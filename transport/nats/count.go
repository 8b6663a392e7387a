package nats

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/transport/lanes"
	"github.com/iwanbk/bcache/transport"
)

// counters are what Stats is made of.
type counters struct {
	framesIn, framesOut, bytesIn, bytesOut, dropped, refused atomic.Uint64
}

// sent counts a piece that was published for so many nodes.
func (c *counters) sent(p lanes.Piece, nodes int) {
	n := uint64(nodes)
	c.bytesOut.Add(n * uint64(len(p.Bytes)))
	if p.Last {
		c.framesOut.Add(n)
	}
}

// received counts a frame.
func (c *counters) received(frame []byte) {
	c.framesIn.Add(1)
	c.bytesIn.Add(uint64(len(frame)))
}

// stats are the counters, and how many frames were dropped from queues that are in use.
func (c *counters) stats(dropped uint64) transport.Stats {
	return transport.Stats{
		FramesIn: c.framesIn.Load(), FramesOut: c.framesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		DroppedFrames: c.dropped.Load() + dropped, RefusedOther: c.refused.Load(),
	}
}
