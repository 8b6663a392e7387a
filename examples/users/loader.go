package main

import (
	"context"
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

// newUsers says how users are read, and what becomes of the database.
func newUsers(cache *bcache.Bcache, st *store, wide bool) (*bcache.Typed[User], error) {
	return newTypedUsers(cache, bcache.LoaderConfig{
		Prefix:          userPrefix,
		TTL:             userTTL,
		Jitter:          0.1,             // users that were read together aren't read again together
		RefreshAhead:    0.1,             // nobody waits for one that is in use
		StaleOnErrorFor: time.Hour,       // rather an old user than none
		NegativeTTL:     5 * time.Second, // whoever tries out numbers
		FillTimeout:     dbTimeout,
		MaxConcurrent:   maxQueries,
		ClusterWide:     wide, // one fill of a user at a time in all nodes together
	}, func(ctx context.Context, key string) (User, error) { return loadUser(ctx, st, key) })
}

// newTypedUsers is for users as JSON, which is the Codec if none is set.
func newTypedUsers(
	cache *bcache.Bcache, cfg bcache.LoaderConfig, load func(ctx context.Context, key string) (User, error),
) (*bcache.Typed[User], error) {
	return bcache.NewTyped(cache, bcache.TypedConfig[User]{
		Fill: func(ctx context.Context, key string) (bcache.TypedLoaded[User], error) {
			u, err := load(ctx, key)
			return bcache.TypedLoaded[User]{Value: u}, err // for the TTL of the LoaderConfig
		},
		Loader: cfg,
	})
}

// loadUser reads one user from the database. ctx is the fill's, not a request's: other requests may be
// waiting for the same fill, and the one that began it may go away. But it has the values of that one.
func loadUser(ctx context.Context, st *store, key string) (User, error) {
	if asked, ok := ctx.Value(askedKey{}).(*atomic.Bool); ok {
		asked.Store(true)
	}
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return User{}, err
	}
	u, err := st.User(ctx, id)
	if errors.Is(err, errNoUser) {
		return User{}, bcache.ErrNotFound
	}
	return u, err
}

// askedKey is the key of a context's value: whether the database was asked for this request. One that
// waited for another's query wasn't.
type askedKey struct{}

func withAsked(ctx context.Context) (context.Context, *atomic.Bool) {
	asked := new(atomic.Bool)
	return context.WithValue(ctx, askedKey{}, asked), asked
}

// uncached reads users without a cache, so that there is nothing to delete.
type uncached struct{ store *store }

func (u uncached) Delete(string) error { return nil }

func (u uncached) Get(ctx context.Context, key string) (User, error) {
	ctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	return loadUser(ctx, u.store, key)
}
