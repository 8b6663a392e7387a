package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache"
)

// The second demo: one user that everybody asks for, whose TTL is short. What does each
// way to fill the cache cost the database, and what do clients feel when that is stopped?

const (
	hotNodes   = 5
	hotClients = 50                     // on each node
	hotEvery   = 10 * time.Millisecond  // each client asks
	hotTTL     = 500 * time.Millisecond // short, so that there is something to see
	hotLatency = 20 * time.Millisecond  // of a query: the database is elsewhere
	hotDown    = 3 * time.Second        // it is stopped
	hotUser    = "7"
)

var errStopped = errors.New("the database is stopped")

// A hotMode is a way to read users.
type hotMode struct {
	name string
	edit func(*bcache.LoaderConfig) // nil: without a cache
}

var hotModes = []hotMode{
	{"no cache", nil},
	{"one fill per node", func(*bcache.LoaderConfig) {}},
	{"ClusterWide", func(c *bcache.LoaderConfig) { c.ClusterWide = true }},
	{"StaleFor", func(c *bcache.LoaderConfig) { c.StaleFor = time.Minute }},
	{"ClusterWide, StaleFor", func(c *bcache.LoaderConfig) { c.ClusterWide, c.StaleFor = true, time.Minute }},
}

// A hotPhase is what the clients saw, and the database.
type hotPhase struct {
	took    histogram // GETs
	failed  uint64
	queries uint64
}

// A hotRow is a mode and its two phases: the database works, and is stopped.
type hotRow struct {
	mode     string
	up, down hotPhase
}

// A hotDatabase is a store that is elsewhere, and can be stopped.
type hotDatabase struct {
	store   *store
	stopped atomic.Bool
	queries atomic.Uint64
}

func (db *hotDatabase) Get(ctx context.Context, key string) (User, error) {
	db.queries.Add(1)
	if err := pause(ctx, hotLatency); err != nil {
		return User{}, err
	}
	if db.stopped.Load() {
		return User{}, errStopped
	}
	return loadUser(ctx, db.store, key)
}

// runHot runs the demo and writes its table to stdout.
func runHot(ctx context.Context, opts options, stdout, stderr io.Writer) (err error) {
	pr := newProgress(stderr)
	defer pr.clear()
	if opts.dsn == "" {
		dir, err := os.MkdirTemp("", "bcache-users-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		opts.db = filepath.Join(dir, "users.db")
	}
	pr.step(time.Now(), "filling a database with %s users, starting %d nodes", count(userCount), hotNodes)
	st, err := openStore(ctx, opts.db, opts.dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	caches, closeAll, err := startHot(ctx, opts, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError + 1})))
	defer closeAll()
	if err != nil {
		return err
	}
	var rows []hotRow
	for i, mode := range hotModes {
		db := &hotDatabase{store: st}
		row := hotRow{mode: mode.name}
		var readers []reader
		for _, cache := range caches {
			r, err := mode.reader(cache, db, fmt.Sprint("mode", i, ":"))
			if err != nil {
				return err
			}
			readers = append(readers, r)
		}
		ask(ctx, readers, db, 2*hotLatency) // the cache isn't empty when it begins
		pr.step(time.Now(), "%s: the database works", mode.name)
		row.up = ask(ctx, readers, db, opts.duration*3/5)
		pr.step(time.Now(), "%s: the database is stopped", mode.name)
		db.stopped.Store(true)
		row.down = ask(ctx, readers, db, hotDown)
		if err := context.Cause(ctx); err != nil {
			return err
		}
		rows = append(rows, row)
	}
	pr.clear()
	writeHot(stdout, opts.duration*3/5, rows)
	return nil
}

// startHot starts caches that know each other.
func startHot(ctx context.Context, opts options, log *slog.Logger) (caches []*bcache.Bcache, closeAll func(), err error) {
	closeAll = func() {
		for _, c := range caches {
			c.Close()
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 3*joinTimeout, fmt.Errorf("the nodes weren't ready within %v", 3*joinTimeout))
	defer cancel()
	opts.listen, opts.peers = "127.0.0.1:0", nil
	for range hotNodes {
		cfg := bcache.Config{ClusterName: "users-example-hot", MaxKeys: 1000, Logger: bcache.NewSlogLogger(log)}
		if err := opts.connect(&cfg); err != nil {
			return caches, closeAll, err
		}
		c, err := bcache.New(cfg)
		if err != nil {
			return caches, closeAll, err
		}
		caches = append(caches, c)
		opts.peers = append(opts.peers, c.Addr())
	}
	for _, c := range caches {
		if err := c.WaitSynced(ctx); err != nil {
			return caches, closeAll, err
		}
		for len(c.Members()) < hotNodes-1 {
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return caches, closeAll, err
			}
		}
	}
	return caches, closeAll, pause(ctx, 200*time.Millisecond) // they tell each other that they are synced
}

func (m hotMode) reader(cache *bcache.Bcache, db *hotDatabase, prefix string) (reader, error) {
	if m.edit == nil {
		return db, nil
	}
	cfg := bcache.LoaderConfig{Prefix: prefix, TTL: hotTTL, FillTimeout: dbTimeout}
	m.edit(&cfg)
	return newTypedUsers(cache, cfg, db.Get)
}

// ask has all clients of all nodes ask for the hot user for a while.
func ask(ctx context.Context, readers []reader, db *hotDatabase, lasts time.Duration) hotPhase {
	before, end := db.queries.Load(), time.Now().Add(lasts)
	var mu sync.Mutex
	var sum hotPhase
	var wg sync.WaitGroup
	for _, r := range readers {
		for range hotClients {
			wg.Go(func() {
				var mine hotPhase
				_ = pause(ctx, rand.N(hotEvery))
				for time.Now().Before(end) && ctx.Err() == nil {
					start := time.Now()
					if _, err := r.Get(ctx, hotUser); err != nil {
						mine.failed++
					}
					mine.took.add(time.Since(start))
					_ = pause(ctx, hotEvery)
				}
				mu.Lock()
				defer mu.Unlock()
				sum.took.merge(&mine.took)
				sum.failed += mine.failed
			})
		}
	}
	wg.Wait()
	sum.queries = db.queries.Load() - before
	return sum
}

func writeHot(w io.Writer, lasts time.Duration, rows []hotRow) {
	fmt.Fprintf(w, "\n%d nodes, %d clients on each, all ask for one user; TTL %v, a query takes %v\n\n",
		hotNodes, hotClients, hotTTL, hotLatency)
	fmt.Fprintf(w, "  %-22s %32s   %34s\n", "", fmt.Sprintf("database works, %v", lasts), fmt.Sprintf("database stopped, %v", hotDown))
	const row = "  %-22s %10s %10s %10s   %10s %12s %10s\n"
	fmt.Fprintf(w, row, "", "GETs", "queries", "p99", "queries", "GETs failed", "p99")
	for _, r := range rows {
		fmt.Fprintf(w, row, r.mode, count(r.up.took.count), count(r.up.queries), millis(r.up.took.quantile(0.99)),
			count(r.down.queries), strconv.FormatFloat(100*float64(r.down.failed)/float64(max(r.down.took.count, 1)), 'f', 1, 64)+" %",
			millis(r.down.took.quantile(0.99)))
	}
}
