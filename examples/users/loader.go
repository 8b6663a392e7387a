package main

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache"
)

const (
	// userTTL is for how long a user is cached. Deletes keep the cache right; the
	// TTL bounds the harm of a process that dies between the commit and its Delete.
	userTTL = 5 * time.Minute

	userPrefix = "user:"
)

// newUserLoader says how users are read, and what becomes of the database.
func newUserLoader(cache *bcache.Bcache, st *store, wide bool) (*bcache.Loader, error) {
	return bcache.NewLoader(cache, bcache.LoaderConfig{
		Prefix: userPrefix,
		Fill: func(ctx context.Context, key string) (bcache.Loaded, error) {
			body, err := loadUser(ctx, st, key)
			return bcache.Loaded{Value: body}, err
		},
		TTL:             userTTL,
		Jitter:          0.1,             // users that were read together aren't read again together
		RefreshAhead:    0.1,             // nobody waits for one that is in use
		StaleOnErrorFor: time.Hour,       // rather an old user than none
		NegativeTTL:     5 * time.Second, // whoever tries out numbers
		FillTimeout:     dbTimeout,
		MaxConcurrent:   maxQueries,
		ClusterWide:     wide, // one fill at a time in all nodes together
	})
}

// loadUser reads one user from the database: what the cache holds is the answer as
// it is sent. ctx is the fill's, not a request's: other requests may be waiting for the same fill,
// and the one that began it may go away. But it has the values of that one.
func loadUser(ctx context.Context, st *store, key string) (string, error) {
	if asked, ok := ctx.Value(askedKey{}).(*atomic.Bool); ok {
		asked.Store(true)
	}
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return "", err
	}
	u, err := st.User(ctx, id)
	switch {
	case errors.Is(err, errNoUser):
		return "", bcache.ErrNotFound
	case err != nil:
		return "", err
	}
	body, err := json.Marshal(u)
	return string(body) + "\n", err
}

// askedKey is the key of a context's value: whether the database was asked for this request. One that
// waited for another's query wasn't.
type askedKey struct{}

func withAsked(ctx context.Context) (context.Context, *atomic.Bool) {
	asked := new(atomic.Bool)
	return context.WithValue(ctx, askedKey{}, asked), asked
}

// uncached reads users without a cache.
type uncached struct{ store *store }

func (u uncached) Get(ctx context.Context, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	return loadUser(ctx, u.store, key)
}
