package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/iwanbk/bcache"
)

const (
	nodeCount   = 3
	joinTimeout = 10 * time.Second
)

var errStale = errors.New("a node served an outdated user, see above")

// A demo is three nodes in one process and clients that talk HTTP to them.
type demo struct {
	opts     options
	nodes    []*node
	client   client
	progress *progress
	log      *slog.Logger
}

// runDemo runs the demo and writes its report to stdout. The error is errStale if
// a node wasn't up to date.
func runDemo(ctx context.Context, opts options, stdout, stderr io.Writer) (err error) {
	d := &demo{
		opts:     opts,
		client:   newClient(opts.clients),
		progress: newProgress(stderr),
		log:      slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if opts.dsn == "" {
		dir, err := os.MkdirTemp("", "bcache-users-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		d.opts.db = filepath.Join(dir, "users.db")
	}
	defer func() {
		d.progress.clear()
		err = errors.Join(err, d.close())
	}()

	rep, err := d.run(ctx)
	if err != nil {
		return err
	}
	d.progress.clear()
	rep.write(stdout)
	if !rep.ok() {
		return errStale
	}
	return nil
}

// run starts the cluster and measures it.
func (d *demo) run(ctx context.Context) (*report, error) {
	d.progress.step(time.Now(), "filling a database with %s users, starting %d nodes", count(userCount), nodeCount)
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	rep := &report{clients: d.opts.clients, updates: d.opts.updates, database: "SQLite"}
	if d.opts.dsn != "" {
		rep.database = "PostgreSQL"
	}

	// Without the cache first: its updates delete no keys, so no cache may hold
	// anything yet.
	var err error
	if rep.off, err = d.measureUncached(ctx); err != nil {
		return nil, err
	}
	if rep.on, rep.seen, err = d.measureCached(ctx); err != nil {
		return nil, err
	}
	rep.mismatches, err = d.check(ctx, rep.on.changed)
	return rep, err
}

// start starts the nodes and waits until each sees all others.
func (d *demo) start(ctx context.Context) error {
	var peers []string
	for i := range nodeCount {
		opts := d.opts
		opts.listen, opts.http = "127.0.0.1:0", "127.0.0.1:0"
		opts.peers = peers
		n, err := startNode(ctx, opts, d.log.With("node", i+1))
		if err != nil {
			return fmt.Errorf("node %d: %w", i+1, err)
		}
		d.nodes = append(d.nodes, n)
		peers = append(peers, n.cache.Addr())
	}

	ctx, cancel := context.WithTimeoutCause(ctx, joinTimeout,
		fmt.Errorf("the nodes didn't find each other within %v", joinTimeout))
	defer cancel()
	for i, n := range d.nodes {
		for len(n.cache.Members()) < nodeCount-1 {
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return fmt.Errorf("node %d sees %d of %d others: %w", i+1, len(n.cache.Members()), nodeCount-1, err)
			}
		}
	}
	return nil
}

func (d *demo) close() error {
	d.client.http.CloseIdleConnections()
	var errs []error
	for _, n := range d.nodes {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// measureUncached runs the load against servers that ask the database every time.
func (d *demo) measureUncached(ctx context.Context) (p phase, err error) {
	var urls []string
	failed := make(chan error, nodeCount) // the clients notice too, and say more
	for _, n := range d.nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return p, err
		}
		server, url := serve(l, &service{store: n.store, users: uncached{n.store}, cache: noCache{}, log: n.log}, failed)
		defer func() {
			d.client.http.CloseIdleConnections()
			err = errors.Join(err, shutdown(server))
		}()
		urls = append(urls, url)
	}
	return d.measure(ctx, load{
		what: "without the cache", client: d.client, urls: urls,
		clients: d.opts.clients, duration: d.opts.duration * 2 / 5, updates: d.opts.updates,
	})
}

// measureCached runs the load against the nodes, and watches meanwhile how soon
// a change on one shows on the others.
func (d *demo) measureCached(ctx context.Context) (phase, *visibility, error) {
	var urls []string
	for _, n := range d.nodes {
		urls = append(urls, n.url)
	}
	seen := &visibility{}
	p, err := d.measure(ctx, load{
		what: "with the cache", client: d.client, urls: urls,
		clients: d.opts.clients, duration: d.opts.duration, updates: d.opts.updates, seen: seen,
	})
	return p, seen, err
}

// measure runs a load and counts the database's work for it.
func (d *demo) measure(ctx context.Context, l load) (phase, error) {
	var p phase
	for i, n := range d.nodes {
		p.queries[i] = n.store.Queries()
	}
	start := time.Now()
	t, err := l.run(ctx, d.progress)
	p.elapsed, p.tally = time.Since(start), t
	for i, n := range d.nodes {
		p.queries[i] = n.store.Queries() - p.queries[i]
	}
	return p, err
}

// noCache holds nothing: it shows what the service does without a cache.
type noCache struct{}

func (noCache) Ready() error             { return nil }
func (noCache) Members() []bcache.Member { return nil }
func (noCache) Stats() bcache.Stats      { return bcache.Stats{} }

// pause waits for d, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
