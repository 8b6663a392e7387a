package main

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

// newTestStore opens a fresh SQLite database.
func newTestStore(t *testing.T) *store {
	t.Helper()
	return openTestStore(t, filepath.Join(t.TempDir(), "users.db"))
}

func openTestStore(t *testing.T, file string) *store {
	t.Helper()
	st, err := openStore(t.Context(), file, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// newTestService returns a service with a fresh database and a cache without a
// network.
func newTestService(t *testing.T) *service {
	t.Helper()
	st := newTestStore(t)
	cache, err := bcache.New(bcache.Config{MaxKeys: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	})
	users, err := newUsers(cache, st, true)
	if err != nil {
		t.Fatal(err)
	}
	watched, err := operators(cache)
	if err != nil {
		t.Fatal(err)
	}
	return &service{
		store: st, users: users, cache: cache, operators: watched, log: slog.New(slog.DiscardHandler),
	}
}

// waitFor polls until cond holds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !cond() {
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}

// A syncBuffer collects what several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
