package bcacheprom

import (
	"time"

	"github.com/iwanbk/bcache"
)

// A node is what a Collector reads.
type node interface {
	Stats() bcache.Stats
	Members() []bcache.Member
	Ready() error
	Loaders() []bcache.LoaderStats
	Propagation(*bcache.Stats) bcache.Histogram
	Peer(*bcache.PeerStats) peerStats
}

// liveNode is that of a cache.
type liveNode struct{ *bcache.Bcache }

func (liveNode) Loaders() []bcache.LoaderStats { return nil }

func (liveNode) Propagation(*bcache.Stats) bcache.Histogram { return bcache.Histogram{} }

func (liveNode) Peer(p *bcache.PeerStats) peerStats {
	return peerStats{PeerStats: p, RoundTrip: -1, PropagationP50: -1, PropagationP99: -1}
}

type peerStats struct {
	*bcache.PeerStats
	ClockOffset, RoundTrip         time.Duration
	Propagation                    bcache.Histogram
	PropagationP50, PropagationP99 time.Duration
}
