//go:build linux

package e2e_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
)

// loadWrite is the i-th write of a load: every seventh is a delete. The harness computes
// from it what the keys must hold.
func loadWrite(node, prefix string, keys, i int) (key, val string, isDelete bool) {
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

// A loadReport says how many writes there were, and how long those took that came since
// the last report.
type loadReport struct {
	Count    int
	P99, Max time.Duration
}

// startLoad writes rate values per second, or as many as it can if rate is 0, of about
// size bytes, over keys keys.
func startLoad(b *bcache.Bcache, node, prefix string, keys, rate, size int) *Load {
	l := &Load{quit: make(chan struct{}), done: make(chan struct{})}
	padding := " " + strings.Repeat("x", size)
	write := func(i int) bool {
		key, val, isDelete := loadWrite(node, prefix, keys, i)
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

func (l *Load) stop() {
	close(l.quit)
	<-l.done
}

func (l *Load) report() (loadReport, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := loadReport{Count: l.count}
	if n := len(l.took); n > 0 {
		slices.Sort(l.took)
		r.P99, r.Max = l.took[n*99/100], l.took[n-1]
	}
	l.took = l.took[:0]
	return r, l.err
}

// What a load writes at last is what the harness computes from the count.
func TestLoad(t *testing.T) {
	b, err := bcache.New(bcache.Config{MaxKeys: 1000})
	testkit.Ok(t, err)
	defer b.Close()
	for _, rate := range []int{0, 5000} {
		prefix := fmt.Sprint("r", rate, "-")
		l := startLoad(b, "node", prefix, 50, rate, 100)
		testkit.Within(t, 10*time.Second, func() error {
			if r, err := l.report(); err != nil || r.Count < 200 {
				return fmt.Errorf("%+v, %v", r, err)
			}
			return nil
		})
		l.stop()
		r, err := l.report()
		testkit.Ok(t, err)
		o := newOracle()
		o.load("node", prefix, 50, r.Count)
		held := map[string]string{}
		eachKey(prefix, 0, 50, func(key string) error {
			if v, found := b.Get(key); found {
				held[key], _, _ = strings.Cut(v, " ")
			}
			return nil
		})
		testkit.Ok(t, o.check([]map[string]string{held}, true))
	}
}
