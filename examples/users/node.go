package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/iwanbk/bcache"
)

// A node is one instance of the service: database, cache and HTTP server.
type node struct {
	store  *store
	cache  *bcache.Bcache
	url    string // of its HTTP server
	server *http.Server
	failed chan error // gets the error of an HTTP server that ended by itself
	log    *slog.Logger
}

// startNode starts a node; its close ends it.
func startNode(ctx context.Context, opts options, log *slog.Logger) (*node, error) {
	st, err := openStore(ctx, opts.db, opts.dsn)
	if err != nil {
		return nil, err
	}
	cfg := bcache.Config{
		ClusterName: "users-example",
		MaxKeys:     2 * userCount,
		Logger:      bcache.NewSlogLogger(log),
	}
	if err := opts.connect(&cfg); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	cache, err := bcache.New(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the cache: %w", err), st.Close())
	}
	users, err := newUsers(cache, st, opts.wide)
	if err != nil {
		return nil, errors.Join(err, cache.Close(), st.Close())
	}
	watched, err := operators(cache)
	if err != nil {
		return nil, errors.Join(err, cache.Close(), st.Close())
	}
	l, err := net.Listen("tcp", opts.http)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the HTTP server: %w", err), cache.Close(), st.Close())
	}

	n := &node{store: st, cache: cache, failed: make(chan error, 1), log: log}
	s := &service{store: st, users: users, cache: cache, operators: watched, log: log}
	n.server, n.url = serve(l, s, n.failed)
	return n, nil
}

// serve answers requests from l until the server is shut down. If it ends by
// itself, the error goes to failed.
func serve(l net.Listener, s *service, failed chan<- error) (server *http.Server, url string) {
	server = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return server, "http://" + l.Addr().String()
}

// close ends the node in the order of use: no request may find the cache closed,
// and no fill the database.
func (n *node) close() error {
	httpErr := shutdown(n.server)
	if err := n.cache.Close(); err != nil {
		// Nothing is lost but time: what a peer didn't confirm, it repairs from
		// the others, or misses.
		n.log.Warn("closing the cache", "err", err)
	}
	return errors.Join(httpErr, n.store.Close())
}

// shutdown lets requests that are being answered end, within reason.
func shutdown(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("stopping the HTTP server: %w", err), server.Close())
	}
	return nil
}

// runNode runs one node until ctx ends.
func runNode(ctx context.Context, opts options, log *slog.Logger) error {
	n, err := startNode(ctx, opts, log)
	if err != nil {
		return err
	}
	log.Info("serving", "http", n.url, "engine", opts.engine, "cache", n.cache.Addr(), "peers", opts.peers)

	select {
	case <-ctx.Done():
		log.Info("stopping")
	case err = <-n.failed:
		err = fmt.Errorf("the HTTP server ended: %w", err)
	}
	err = errors.Join(err, n.close())
	if err == nil {
		log.Info("stopped")
	}
	return err
}
