package bcacheprom

import "github.com/iwanbk/bcache"

// A node is what a Collector reads.
type node interface {
	Stats() bcache.Stats
	Members() []bcache.Member
	Ready() error
	Loaders() []bcache.LoaderStats
	Node() bcache.NodeInfo
}

// liveNode is that of a cache.
type liveNode struct{ *bcache.Bcache }

func (n liveNode) Loaders() []bcache.LoaderStats { return n.Inspect().Loaders() }

func (n liveNode) Node() bcache.NodeInfo { return n.Inspect().Node() }
