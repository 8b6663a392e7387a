package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The third demo: three processes under a steady load. One is killed and comes back, then all are
// restarted, one after the other, as when a new version is deployed. Do clients notice?

var errDeploy = errors.New("requests failed, or a node served an outdated user, see above")

// A deploy is a service of three processes, and clients that talk HTTP to it.
type deploy struct {
	opts      options
	processes []*process
	nodes     *balancer
	client    client
	figures   figures
	events    []event
	began     time.Time // the load
}

// runDeploy runs the demo and writes its report to stdout. The error is errDeploy if clients
// noticed anything.
func runDeploy(ctx context.Context, opts options, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "bcache-users-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if opts.dsn == "" {
		opts.db = filepath.Join(dir, "users.db")
	}
	pr := newProgress(stderr)
	defer pr.clear()

	// A process that ends by itself ends the demo.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d, err := newDeploy(opts, cancel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()

	pr.step(time.Now(), "filling a database with %s users, starting %d processes",
		count(userCount), nodeCount)
	if err := d.start(ctx); err != nil {
		return err
	}
	rep, err := d.run(ctx, pr)
	if err != nil {
		return err
	}
	pr.clear()
	rep.write(stdout)
	if !rep.ok() {
		return errDeploy
	}
	return nil
}

// newDeploy describes the processes. failed is told of one that ends by itself.
func newDeploy(opts options, failed func(error)) (*deploy, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2 * nodeCount)
	if err != nil {
		return nil, err
	}
	d := &deploy{opts: opts, client: newClient(opts.clients), figures: make(figures)}
	listen, urls := ports[:nodeCount], []string(nil)
	for i, http := range ports[nodeCount:] {
		opts.listen, opts.peers = listen[i], listen
		command := append([]string{self, "-node", "-http", http}, opts.engineArgs()...)
		if opts.dsn != "" {
			command = append(command, "-dsn", opts.dsn)
		} else {
			command = append(command, "-db", opts.db)
		}
		command = append(command, fmt.Sprintf("-wide=%v", opts.wide))
		p := &process{name: fmt.Sprint("node ", i+1), command: command, url: "http://" + http, failed: failed}
		d.processes = append(d.processes, p)
		urls = append(urls, p.url)
	}
	d.nodes = newBalancer(urls)
	return d, nil
}

// start fills the database, starts the processes and waits until each is ready and sees all others.
func (d *deploy) start(ctx context.Context) error {
	st, err := openStore(ctx, d.opts.db, d.opts.dsn)
	if err != nil {
		return err
	}
	if err := st.Close(); err != nil {
		return err
	}
	for _, p := range d.processes {
		if err := p.start(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout,
		fmt.Errorf("the nodes didn't find each other within %v", readyTimeout))
	defer cancel()
	for _, p := range d.processes {
		if err := p.ready(ctx, d.client); err != nil {
			return err
		}
		for {
			var health struct{ Peers int }
			if err := d.client.read(ctx, p.url+"/healthz", &health); err != nil {
				return err
			}
			if health.Peers == nodeCount-1 {
				break
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// run has the clients send their requests while the processes are killed and restarted, and for
// as long as asked for at least.
func (d *deploy) run(ctx context.Context, pr *progress) (*deployReport, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for i := range d.nodes.up {
		d.nodes.up[i].Store(true)
	}
	watchCtx, endWatch := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); d.nodes.watch(watchCtx, d.client) }()
	defer func() { endWatch(); <-watched }()

	users := newLedger(d.opts.users, fmt.Sprintf("run %08x", rand.Uint32()))
	load := &deployLoad{opts: d.opts, client: d.client, nodes: d.nodes, users: users}
	stop, done := make(chan struct{}), make(chan *deployTally, 1)
	d.began = time.Now()
	go func() { done <- load.run(ctx, stop) }()
	go func() {
		defer close(stop)
		if err := d.restarts(ctx, users); err != nil {
			cancel(err)
		}
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case t := <-done:
			<-stop
			rep := &deployReport{opts: d.opts, elapsed: time.Since(d.began), tally: t, events: d.events}
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			for _, p := range d.processes {
				if err := d.figures.read(ctx, d.client, p.url); err != nil {
					return nil, err
				}
			}
			rep.figures = d.figures
			return rep, nil
		case now := <-tick.C:
			pr.step(now, "%4.1f of %.1f s, %s requests", now.Sub(d.began).Seconds(), d.opts.duration.Seconds(),
				count(load.requests.Load()))
		}
	}
}

// close ends all processes.
func (d *deploy) close() error {
	d.client.http.CloseIdleConnections()
	var errs []error
	for _, p := range d.processes {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}

// freePorts returns addresses on loopback that nobody listens on. A process that is restarted
// needs its port again, so none is taken from the range of those that connections get.
func freePorts(n int) (addrs []string, err error) {
	const first, last = 20_000, 32_000
	for tries := 0; len(addrs) < n; tries++ {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", first+rand.IntN(last-first))); err != nil {
			if tries > 100 {
				return nil, err
			}
			continue
		}
		defer l.Close() // at the end: no port is given twice
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
