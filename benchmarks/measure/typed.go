package measure

import (
	"context"
	"errors"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// A profile is what has to be decoded, unless it is shared.
type profile struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

// A sharing is a Typed that shares what it has decoded, with all keys of a workload, on a node of its own.
type sharing struct {
	*bcache.Typed[profile]
	node *bcache.Bcache
}

func newSharing(ctx context.Context, w *workload.Workload) (s *sharing, err error) {
	node, err := bcache.New(bcache.Config{MaxKeys: roomy(len(w.Keys))})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, node.Close())
		}
	}()
	t, err := bcache.NewTyped(node, bcache.TypedConfig[profile]{
		Fill: func(context.Context, string) (bcache.TypedLoaded[profile], error) {
			return bcache.TypedLoaded[profile]{}, errAbsent
		},
		Shared: true,
		Loader: bcache.LoaderConfig{TTL: caches.TTL},
	})
	if err != nil {
		return nil, err
	}
	for i, key := range w.Keys {
		if err := t.Set(key, profile{i, w.Val(i)}, 0); err != nil {
			return nil, err
		}
		if _, err := t.Get(ctx, key); err != nil { // the first one decodes it
			return nil, err
		}
	}
	return &sharing{t, node}, nil
}
