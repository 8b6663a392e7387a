//go:build linux

package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A database is that of TestMixed, which its nodes ask by HTTP. What it holds of a key is the key, "#",
// and a version, which rises with each commit, also with one that removes the key.
type database struct {
	url string

	mu      sync.Mutex
	rows    map[string]row
	queries int
	slow    time.Duration // how long a query takes
}

type row struct {
	version int
	removed bool
}

func newDatabase(t *testing.T) *database {
	db := &database{rows: map[string]row{}}
	server := httptest.NewServer(db)
	t.Cleanup(func() {
		server.CloseClientConnections() // of nodes that were killed
		server.Close()
	})
	db.url = server.URL
	return db
}

// ServeHTTP reads a key, commits it, or removes it.
func (db *database) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	if r.Method != http.MethodGet {
		io.WriteString(w, db.commit(key, r.Method == http.MethodDelete))
		return
	}
	db.mu.Lock()
	db.queries++
	slow := time.NewTimer(db.slow)
	db.mu.Unlock()
	defer slow.Stop()
	select {
	case <-slow.C:
	case <-r.Context().Done():
		return
	}
	if value, found := db.read(key); found {
		io.WriteString(w, value)
	} else {
		http.NotFound(w, r)
	}
}

func (db *database) commit(key string, removes bool) string {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.rows[key] = row{db.rows[key].version + 1, removes}
	return fmt.Sprint(key, "#", db.rows[key].version)
}

func (db *database) read(key string) (value string, found bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	r, found := db.rows[key]
	return fmt.Sprint(key, "#", r.version), found && !r.removed
}

// all are the values of some keys.
func (db *database) all(keys []string) map[string]string {
	values := map[string]string{}
	for _, key := range keys {
		if value, found := db.read(key); found {
			values[key] = value
		}
	}
	return values
}

// count has queries take so long from now on while f runs, and returns how many there were.
func (db *database) count(slow time.Duration, f func()) int {
	set := func(d time.Duration) int {
		db.mu.Lock()
		defer db.mu.Unlock()
		db.slow = d
		return db.queries
	}
	before := set(slow)
	f()
	return set(0) - before
}
