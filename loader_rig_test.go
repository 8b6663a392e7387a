package bcache

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

// What tests of fills have in common: nodes, Loaders, and databases that count what they are asked.

func localNode(t testing.TB) *Bcache {
	t.Helper()
	b, err := New(Config{MaxKeys: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// newLoader makes a Loader; fill may be nil if edit sets one.
func newLoader(
	t testing.TB, b *Bcache, fl func(context.Context, string) (Loaded, error), edit ...func(*LoaderConfig),
) *Loader {
	t.Helper()
	cfg := LoaderConfig{Fill: fl, TTL: time.Minute}
	for _, e := range edit {
		e(&cfg)
	}
	l, err := NewLoader(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A testDB is what Fills look into.
type testDB struct {
	mu      sync.Mutex
	took    time.Duration
	rows    map[string]string
	err     error
	queries []string
	times   []time.Time // of the Fills
}

func (db *testDB) set(key, val string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.rows == nil {
		db.rows = map[string]string{}
	}
	db.rows[key] = val
}

func (db *testDB) fail(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.err = err
}

func (db *testDB) asked() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.queries)
}

// fill reads first, and returns when the query has taken its time.
func (db *testDB) fill(ctx context.Context, key string) (Loaded, error) {
	db.mu.Lock()
	db.queries, db.times = append(db.queries, key), append(db.times, time.Now())
	val, ok := db.rows[key]
	err, took := db.err, db.took
	db.mu.Unlock()
	if took > 0 {
		select {
		case <-ctx.Done():
			return Loaded{}, ctx.Err()
		case <-time.After(took):
		}
	}
	switch {
	case err != nil:
		return Loaded{}, err
	case !ok:
		return Loaded{}, fmt.Errorf("row %q: %w", key, ErrNotFound)
	}
	return Loaded{Value: val}, nil
}

// fillMany is testDB.fill for many keys: one query.
func (db *testDB) fillMany(ctx context.Context, keys []string) (map[string]Loaded, error) {
	slices.Sort(keys) // it may do what it likes with them
	found := map[string]Loaded{}
	db.mu.Lock()
	db.queries = append(db.queries, strings.Join(keys, " "))
	for _, key := range keys {
		if val, ok := db.rows[key]; ok {
			found[key] = Loaded{Value: val}
		}
	}
	err, took := db.err, db.took
	db.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(took):
	}
	return found, err
}

// hangingDB hangs in its first queries, whatever their contexts, or until these end.
type hangingDB struct {
	testDB
	hangs   int           // how many queries do
	release chan struct{} // nil: they obey their contexts
}

func (db *hangingDB) fill(ctx context.Context, key string) (Loaded, error) {
	db.mu.Lock()
	db.queries = append(db.queries, key)
	hangs := db.hangs > 0
	db.hangs--
	db.mu.Unlock()
	if hangs {
		select {
		case <-db.release:
		case <-ctx.Done():
			if db.release != nil {
				<-db.release
			}
		}
		return Loaded{}, ctx.Err()
	}
	return Loaded{Value: "v"}, nil
}

func loaded(t *testing.T, l *Loader, key, want string) {
	t.Helper()
	if val, err := l.Get(t.Context(), key); val != want || err != nil {
		t.Fatalf("Get(%q) = %q, %v, want %q", key, val, err, want)
	}
}

func stale(t *testing.T, l *Loader, key, want string, err error) {
	t.Helper()
	start := time.Now()
	if r := l.GetResult(t.Context(), key); r != (Result{want, true, err}) {
		t.Fatalf("GetResult(%q) = %+v, want %q, stale, %v", key, r, want, err)
	}
	if took := time.Since(start); took > 0 {
		t.Fatalf("GetResult(%q) waited for %v", key, took)
	}
}

// getFor is Get by a caller with a deadline.
func getFor(l *Loader, d time.Duration, key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return l.Get(ctx, key)
}

func many(t *testing.T, db *testDB, edit ...func(*LoaderConfig)) (*Bcache, *Loader) {
	t.Helper()
	b := localNode(t)
	for _, key := range strings.Fields("a b c d") {
		db.set(key, "value of "+key)
	}
	return b, newLoader(t, b, nil, append([]func(*LoaderConfig){func(c *LoaderConfig) {
		c.FillMany, c.Prefix = db.fillMany, "p:"
	}}, edit...)...)
}

func wantMany(t *testing.T, l *Loader, keys string, want string) {
	t.Helper()
	got, err := l.GetMany(t.Context(), strings.Fields(keys))
	if err != nil {
		t.Fatal(err)
	}
	if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != want {
		t.Fatalf("GetMany(%s) has %s", keys, names)
	}
	for key, val := range got {
		if val != "value of "+key {
			t.Fatalf("%s is %q", key, val)
		}
	}
}

// loaders makes a Loader for each node, all with the same database and configuration.
func loaders(t *testing.T, nodes []*Bcache, db *testDB, edit func(*LoaderConfig)) (ls []*Loader) {
	t.Helper()
	for _, b := range nodes {
		ls = append(ls, newLoader(t, b, db.fill, edit))
	}
	return ls
}

// leased is a cluster of nodes that are synced, with a Loader each that fills ClusterWide.
func leased(t *testing.T, n int, db *testDB, edits ...func(*LoaderConfig)) (*memnet.Net, []*Bcache, []*Loader) {
	t.Helper()
	net := memnet.New()
	var nodes []*Bcache
	for i := range n {
		nodes = append(nodes, memNode(t, net, uint64(i+1), 0))
	}
	testkit.Advance(3 * time.Second) // they have told each other that they are synced
	synctest.Wait()
	return net, nodes, loaders(t, nodes, db, func(c *LoaderConfig) {
		c.ClusterWide = true
		for _, e := range edits {
			e(c)
		}
	})
}

// getters calls Get once on every node, and returns how often the database was asked, and how
// long the slowest took.
func getAll(t *testing.T, ls []*Loader, db *testDB, key, want string) (queries int, took time.Duration) {
	t.Helper()
	before, start := db.asked(), time.Now()
	var wg sync.WaitGroup
	var slowest atomic.Int64
	for i, l := range ls {
		wg.Go(func() {
			if val, err := l.Get(t.Context(), key); val != want || err != nil {
				t.Errorf("node %d: Get(%q) = %q, %v", i, key, val, err)
			}
			if d := int64(time.Since(start)); d > slowest.Load() {
				slowest.Store(d)
			}
		})
	}
	wg.Wait()
	synctest.Wait()
	return db.asked() - before, time.Duration(slowest.Load())
}
