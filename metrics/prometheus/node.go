package bcacheprom

import "github.com/iwanbk/bcache"

// A node is what a Collector reads.
type node interface {
	Stats() bcache.Stats
	Members() []bcache.Member
	Ready() error
	Loaders() []bcache.LoaderStats
}

// liveNode is that of a cache.
type liveNode struct{ *bcache.Bcache }

func (liveNode) Loaders() []bcache.LoaderStats { return nil }
