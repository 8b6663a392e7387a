package nodeprocess

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/iwanbk/bcache"
)

// LoadWrite is the i-th write of a load: every seventh is a delete. The harness computes
// from it what the keys must hold.
func LoadWrite(node, prefix string, keys, i int) (key, val string, isDelete bool) {
	return prefix + strconv.Itoa(i%keys), fmt.Sprintf("%s#%d", node, i), i%7 == 6
}

// A Load writes in the background, over and over the same keys.
type Load struct {
	quit, done chan struct{}

	mu    sync.Mutex
	count int
	took  []time.Duration // by the writes since the last report
	err   error
}

// A LoadReport says how many writes there were, and how long those took that came since
// the last report.
type LoadReport struct {
	Count    int
	P99, Max time.Duration
}

// StartLoad writes rate values per second, or as many as it can if rate is 0, of about
// size bytes, over keys keys.
func StartLoad(b *bcache.Bcache, node, prefix string, keys, rate, size int) *Load {
	l := &Load{quit: make(chan struct{}), done: make(chan struct{})}
	padding := " " + strings.Repeat("x", size)
	write := func(i int) bool {
		key, val, isDelete := LoadWrite(node, prefix, keys, i)
		val += padding
		start := time.Now()
		var err error
		if isDelete {
			err = b.Delete(key)
		} else {
			err = b.SetWithTTL(key, val, bcache.NoExpiry)
		}
		took := time.Since(start)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err = err; err != nil {
			return false
		}
		l.count, l.took = i+1, append(l.took, took)
		return true
	}
	go func() {
		defer close(l.done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		start := time.Now()
		for i := 0; ; {
			due := i + 100
			if rate > 0 {
				due = int(time.Since(start) * time.Duration(rate) / time.Second)
			}
			for ; i < due; i++ {
				if !write(i) {
					return
				}
			}
			if rate > 0 {
				<-tick.C
			}
			select {
			case <-l.quit:
				return
			default:
			}
		}
	}()
	return l
}

// Stop ends the load.
func (l *Load) Stop() {
	close(l.quit)
	<-l.done
}

// Report tells how it goes; the times are those since the last Report.
func (l *Load) Report() (LoadReport, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := LoadReport{Count: l.count}
	if n := len(l.took); n > 0 {
		slices.Sort(l.took)
		r.P99, r.Max = l.took[n*99/100], l.took[n-1]
	}
	l.took = l.took[:0]
	return r, l.err
}
