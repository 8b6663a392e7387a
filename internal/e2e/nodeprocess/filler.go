package nodeprocess

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache"
)

// A filler is the node's Loader. Its fills bring the node's name.
type filler struct {
	loader *bcache.Loader
	took   atomic.Int64 // ms
	fills  atomic.Int64

	mu      sync.Mutex
	results map[string]*FillResult
}

// A FillResult is what "filled" is answered with.
type FillResult struct {
	Done  bool
	Value string
	Err   string
	Took  time.Duration
}

func newFiller(b *bcache.Bcache, name string) (*filler, error) {
	f := &filler{results: map[string]*FillResult{}}
	var err error
	f.loader, err = bcache.NewLoader(b, bcache.LoaderConfig{
		ClusterWide: true, TTL: time.Hour,
		Fill: func(ctx context.Context, _ string) (bcache.Loaded, error) {
			f.fills.Add(1)
			select {
			case <-time.After(time.Duration(f.took.Load()) * time.Millisecond):
				return bcache.Loaded{Value: name}, nil
			case <-ctx.Done():
				return bcache.Loaded{}, ctx.Err()
			}
		},
	})
	return f, err
}

func (f *filler) begin(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &FillResult{}
	f.results[key] = r
	go func() {
		start := time.Now()
		val, err := f.loader.Get(context.Background(), key)
		f.mu.Lock()
		defer f.mu.Unlock()
		*r = FillResult{Done: true, Value: val, Took: time.Since(start)}
		if err != nil {
			r.Err = err.Error()
		}
	}()
}

func (f *filler) result(key string) FillResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *f.results[key]
}
