package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
)

// A versionedDB is a database with one row, whose queries take a while and bring what was
// committed when they began.
type versionedDB struct {
	took    time.Duration
	version atomic.Int64
	queries atomic.Int64
}

func (db *versionedDB) fill(ctx context.Context, _ string) (bcache.Loaded, error) {
	db.queries.Add(1)
	version := db.version.Load()
	select {
	case <-ctx.Done():
		return bcache.Loaded{}, ctx.Err()
	case <-time.After(db.took):
		return bcache.Loaded{Value: strconv.FormatInt(version, 10)}, nil
	}
}

// A hotKey is one key that is asked for every 5 ms on each of some nodes, whatever the answers
// take, and updated every 400 ms for 20 s: a commit, then a Delete or Clear on one node after the
// other.
type hotKey struct {
	nodes   []*bcache.Bcache
	loaders []*bcache.Loader
	db      *versionedDB
	end     func(b *bcache.Bcache) error // a Delete or Clear
	ended   atomic.Int64                 // the version whose end was issued last
}

const (
	hotEvery   = 5 * time.Millisecond
	hotUpdate  = 400 * time.Millisecond
	hotUpdates = 50
	hotAskers  = 8 // per node: one that waits doesn't keep the others from asking
)

// run returns how many queries there were for each update, which part of the Gets were hits, and
// how long the slowest one took.
func (h *hotKey) run(t *testing.T) (queries, hits float64, worst time.Duration) {
	t.Helper()
	stop := make(chan struct{})
	took := make(chan time.Duration, hotAskers*len(h.nodes))
	for _, l := range h.loaders {
		for i := range hotAskers {
			go func() {
				<-time.After(time.Duration(i) * hotEvery)
				took <- h.ask(t, l, stop)
			}()
		}
	}
	<-time.After(2 * hotUpdate) // the key is cached everywhere
	queried, before := h.db.queries.Load(), h.stats()
	tick := time.NewTicker(hotUpdate)
	defer tick.Stop()
	for i := range hotUpdates {
		version := h.db.version.Add(1)
		if err := h.end(h.nodes[i%len(h.nodes)]); err != nil {
			t.Error(err)
		}
		h.ended.Store(version)
		<-tick.C
	}
	after := h.stats()
	queried = h.db.queries.Load() - queried
	close(stop)
	for range cap(took) {
		worst = max(worst, <-took)
	}
	gets := float64(after.Hits - before.Hits + after.Misses - before.Misses)
	return float64(queried) / hotUpdates, float64(after.Hits-before.Hits) / gets, worst
}

// ask asks for the key until stop is closed, and returns how long the slowest Get took.
func (h *hotKey) ask(t *testing.T, l *bcache.Loader, stop <-chan struct{}) (worst time.Duration) {
	tick := time.NewTicker(hotAskers * hotEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return worst
		case <-tick.C:
		}
		oldest := h.ended.Load() - 4 // more than a second ago
		start := time.Now()
		val, err := l.Get(t.Context(), "hot")
		worst = max(worst, time.Since(start))
		version, notNumber := strconv.ParseInt(val, 10, 64)
		if err := errors.Join(err, notNumber); err != nil || version < oldest {
			t.Errorf("Get = %q, %v, after version %d was ended", val, err, oldest)
			return worst
		}
	}
}

func (h *hotKey) stats() (sum bcache.Stats) {
	for _, b := range h.nodes {
		st := b.Stats()
		sum.Hits += st.Hits
		sum.Misses += st.Misses
	}
	return sum
}

// What an update of a hot key costs the database: a query takes 20 ms. The bounds are wide, as
// figures are for a quiet machine: one query in all with ClusterWide, one per node without.
func TestMeasureFillHotKey(t *testing.T) {
	measuring(t)
	var table []string
	for _, n := range []int{3, 5, 10} {
		nodes := live.Cluster(t, n)
		for _, b := range nodes {
			testkit.Within(t, 30*time.Second, b.Ready)
		}
		<-time.After(3 * time.Second) // they tell each other that they are synced
		for _, cleared := range []bool{false, true} {
			for _, wide := range []bool{false, true} {
				h := &hotKey{nodes: nodes, db: &versionedDB{took: 20 * time.Millisecond}}
				prefix, update := fmt.Sprint(cleared, wide, ":"), "Delete"
				h.end = func(b *bcache.Bcache) error { return b.Delete(prefix + "hot") }
				if cleared {
					update, h.end = "Clear", (*bcache.Bcache).Clear
				}
				for _, b := range nodes {
					l, err := bcache.NewLoader(b, bcache.LoaderConfig{
						Prefix: prefix, Fill: h.db.fill, TTL: time.Minute, FillTimeout: 10 * time.Second, ClusterWide: wide,
					})
					testkit.Ok(t, err)
					h.loaders = append(h.loaders, l)
				}
				queries, hits, worst := h.run(t)
				most := 1.5 * float64(n)
				if wide {
					most = 2
				}
				if queries > most {
					t.Errorf("%d nodes, ClusterWide %v: %.1f queries per %s, more than %v",
						n, wide, queries, update, most)
				}
				row := fmt.Sprintf("%5d  %11v  %-6s  %15.1f  %9.1f %%  %9v", n, wide, update, queries, 100*hits,
					worst.Round(time.Millisecond))
				t.Log(row)
				table = append(table, row)
			}
		}
		for _, b := range nodes {
			b.Close()
		}
	}
	t.Logf("a hot key, asked for every %v on each node, updated every %v, a query takes 20ms",
		hotEvery, hotUpdate)
	t.Logf("%5s  %11s  %-6s  %15s  %11s  %9s",
		"nodes", "ClusterWide", "update", "queries for one", "hit ratio", "worst Get")
	for _, row := range table {
		t.Log(row)
	}
}

// newKeys writes that many new keys a second until stop is closed, and returns how many it wrote.
func newKeys(t *testing.T, b *bcache.Bcache, rate int, stop <-chan struct{}) (written int) {
	begin := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return written
		case <-tick.C:
		}
		for due := int(time.Since(begin).Seconds() * float64(rate)); written < due; written++ {
			if err := b.Set(fmt.Sprint("new", written), "v", 600); err != nil {
				t.Error(err)
				return written
			}
		}
	}
}

// A full cache, in which another node puts 10,000 new keys a second: what is filled is there when
// it is asked for again.
func TestMeasureFillFullCache(t *testing.T) {
	measuring(t)
	const maxKeys, rate, fills, used = 10_000, 10_000, 300, 7_000
	for _, took := range []time.Duration{20 * time.Millisecond, time.Second} {
		t.Run(took.String(), func(t *testing.T) {
			nodes := live.Cluster(t, 2, func(c *bcache.Config) { c.MaxKeys = maxKeys })
			for _, b := range nodes {
				testkit.Within(t, 30*time.Second, b.Ready)
			}
			fillUp(t, nodes[1], maxKeys)
			stop := make(chan struct{})
			var background sync.WaitGroup
			begin, written := time.Now(), 0
			background.Go(func() { written = newKeys(t, nodes[0], rate, stop) })
			background.Go(func() { // the node uses what it holds
				for {
					for i := range used {
						nodes[1].Get(fmt.Sprintf(measureKey, i))
					}
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Millisecond):
					}
				}
			})
			<-time.After(2 * time.Second)

			db := &versionedDB{took: took}
			l, err := bcache.NewLoader(nodes[1], bcache.LoaderConfig{
				Prefix: "filled:", Fill: db.fill, TTL: time.Minute, FillTimeout: 10 * time.Second,
			})
			testkit.Ok(t, err)
			var asked sync.WaitGroup
			for i := range fills {
				asked.Go(func() {
					for range 2 {
						if _, err := l.Get(t.Context(), strconv.Itoa(i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			asked.Wait()
			lasted := time.Since(begin).Seconds()
			close(stop)
			background.Wait()
			again := db.queries.Load() - fills
			served := 100 * float64(fills-again) / fills
			t.Logf("%.0f new keys/s of another node in a full cache; of %d fills of %v, "+
				"%.0f %% were served when asked for again at once", float64(written)/lasted, fills, took, served)
			if served < 90 {
				t.Errorf("%d of %d cost another query", again, fills)
			}
		})
	}
}
