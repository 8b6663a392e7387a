package nats

import (
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/internal/transport/lanes"
	"github.com/iwanbk/bcache/transport"
)

// counters are what Stats is made of.
type counters struct{ engine.Counters }

// sent counts a piece that was published for so many nodes.
func (c *counters) sent(p lanes.Piece, nodes int) {
	n := uint64(nodes)
	c.BytesOut.Add(n * uint64(len(p.Bytes)))
	if p.Last {
		c.FramesOut.Add(n)
	}
}

// received counts a frame.
func (c *counters) received(frame []byte) {
	c.FramesIn.Add(1)
	c.BytesIn.Add(uint64(len(frame)))
}

// stats are the counters, and how many frames were dropped that they don't count yet.
func (c *counters) stats(dropped uint64) transport.Stats {
	s := c.Stats()
	s.DroppedFrames += dropped
	return s
}
