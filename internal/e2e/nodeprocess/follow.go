package nodeprocess

import (
	"time"

	"github.com/iwanbk/bcache"
)

// A follower asks the node of its process for a key all the time, and notes of each value when the last
// Get that served it was called: the process may be stopped before that returns.
type follower struct {
	quit chan struct{}
	last chan map[string]time.Time // "" is a miss
}

func follow(b *bcache.Bcache, key string) *follower {
	f := &follower{quit: make(chan struct{}), last: make(chan map[string]time.Time, 1)}
	go func() {
		last := map[string]time.Time{}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		get := func() {
			called := time.Now()
			val, _ := b.Get(key)
			last[val] = called
		}
		for {
			select {
			case <-f.quit:
				get()
				f.last <- last
				return
			case <-tick.C:
				get()
			}
		}
	}()
	return f
}

func (f *follower) stop() map[string]time.Time {
	close(f.quit)
	return <-f.last
}
