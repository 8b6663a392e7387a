package bcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
)

// Loaded is what a Fill brings.
type Loaded struct {
	// Value is cached on all nodes, or with LocalValues on this one, unless it is too large.
	Value string

	// TTL is for how long the value is fresh; it is rounded up to milliseconds. 0 means LoaderConfig.TTL,
	// and [NoExpiry] no deadline. With a negative one the value is returned but not cached.
	TTL time.Duration

	// Tags are the names of what the value was made of, or belongs to: it goes with [Bcache.ClearTag] of
	// any of them. They may be MaxTags at most, of MaxTagLen bytes: a value with others is returned but not
	// cached, and the Logger says so. With an error that is or wraps [ErrNotFound] they are the tags of
	// what is remembered.
	Tags []string
}

// LoaderConfig says how a [Loader] fills the cache. TTL, and Fill or FillMany, have to be set. A
// negative duration is an error, except for FillTimeout and Settle.
//
// A value has a deadline, and two times that are derived from it:
//
//	written      refresh from         deadline      stale until
//	   |---------------|-------------------|---------------|
//	        fresh         fresh, and a hit   stale: see        gone
//	                      starts a fill      StaleFor and StaleOnErrorFor
//
// They are part of the value as it is replicated, so they are the same on all nodes, and don't move.
// Every node should have the same LoaderConfig. docs/loader.md says how to choose the values.
type LoaderConfig struct {
	// Prefix is put before each key of this Loader to make the key of the cache. Fill, FillMany, OnStale
	// and the results of GetMany have keys without it. "" is no prefix. Give each Loader of a cache a
	// prefix of its own, such as "user:".
	Prefix string

	// Fill looks up the value of a key that isn't in the cache, typically in a database. It returns
	// [ErrNotFound], wrapped or not, for a key that has no value.
	//
	// It runs on a goroutine of its own. Its context has the values of the caller that came first. It has
	// the deadline that FillTimeout sets, never that of a caller. It is cancelled when nobody waits for the
	// Fill any more; context.Cause says with which error the last caller left.
	//
	// A Fill must return when its context has ended. Until then it takes one of the three places of its
	// key, and one of MaxConcurrent. If it doesn't return, nobody waits for it for longer than FillTimeout
	// and 100 ms.
	//
	// docs/callbacks.md says what a Fill may call. A Get of its own key would wait for itself. With the
	// Fill's context, or one that is derived from that, it returns [ErrFillCycle]; otherwise it waits until
	// FillTimeout.
	//
	// A query that hangs doesn't make its key fail. If a caller's deadline comes after the caller has
	// waited for 100 ms or more, or after the Fill has run for a second, later callers don't wait for that
	// Fill any more, but for a Fill of their own (Stats.FillsGivenUp). The first of these Fills goes on for
	// as long as somebody waits for the key, as it may only be slow. A caller that is cancelled has no such
	// effect.
	Fill func(ctx context.Context, key string) (Loaded, error)

	// FillMany is Fill for many keys at once, at least one, in no particular order.
	//
	// A key that isn't in the map has no value, as with [ErrNotFound], if the error is nil. If the error
	// is, or wraps, a [KeyErrors], the keys in that have failed. With any other error all keys have failed
	// that aren't in the map.
	//
	// GetMany uses it, except for a single key. Get uses it too if there is no Fill. What is said of Fill's
	// context, places and callers holds for all keys of a call.
	FillMany func(ctx context.Context, keys []string) (map[string]Loaded, error)

	// TTL is how long a value is fresh. It must be positive: 0 is an error. [NoExpiry] means for ever.
	TTL time.Duration

	// Jitter makes each TTL, and NegativeTTL, shorter by a random part: 0.1 means by up to a tenth. So keys
	// that were written together don't expire together. It is 0 to 1; 0 means none.
	Jitter float64

	// RefreshAhead is the last part of the TTL, in which a hit starts a fill in the background. With 0.2
	// and a TTL of a minute, a hit in the last 12 seconds does. So a key that is in use doesn't expire. It
	// is more than 0 and less than 1; 0 means that this isn't done.
	RefreshAhead float64

	// StaleFor is for how long after its deadline a value is returned at once, while one fill runs in the
	// background (stale-while-revalidate of RFC 5861). 0 means not at all.
	StaleFor time.Duration

	// StaleOnErrorFor is for how long after its deadline a value is returned, and no error, if a fill fails
	// (stale-if-error of RFC 5861). Stats, the Logger and OnStale tell of the failure. 0 means not at all.
	// A Fill that returns [ErrNotFound] hasn't failed.
	StaleOnErrorFor time.Duration

	// RetryAfter is for how long after a fill that failed this node doesn't ask for the key again.
	// Meanwhile an old value is returned at once; where there is none, the error is. (An error of more than
	// 2 KiB, with all that it wraps, is remembered as the first KiB of its text.)
	//
	// Then, if there is an old value that was asked for within the last 10 seconds, the next fill runs in
	// the background: nobody waits for a database that is down, or hangs. RetryAfter is also the least time
	// between two background fills of a key that brought nothing. 0 means a second.
	RetryAfter time.Duration

	// NegativeTTL is for how long [ErrNotFound] is remembered, on all nodes (with LocalValues on this one),
	// and returned without asking. A later Set ends that at once. 0 means not at all. What is remembered
	// takes the place of an entry.
	NegativeTTL time.Duration

	// FillTimeout is how long a fill may take, not counting the wait for its turn. Then its context ends,
	// and it has failed. 0 means 30 s. With a negative one there is no limit: a fill lasts as long as
	// somebody waits for it, and a fill in the background that hangs lasts for ever.
	FillTimeout time.Duration

	// Settle is by how much what a Fill reads may lag behind what is committed, as it does if the Fill
	// reads a replica of the database. What was read less than Settle after a write of the key isn't
	// cached. 0 means Config.Settle. A negative one means that the Fill sees what is committed.
	Settle time.Duration

	// AwaitToken is for how long a Get waits until this node has processed what the [Token] of its
	// context covers, see [WithToken], before it looks what is held. If the node isn't so far by then,
	// or if it doesn't know the Token's node ([ErrTokenUnknown]), the Get serves nothing that is held.
	// It asks the database, by a Fill that begins after the Get did, without a lease; what that brings
	// is cached as always. If that Fill fails, so does the Get: StaleOnErrorFor is not for it. A caller
	// with a deadline waits for half of its time at most. A GetMany waits once. When a Get has waited in
	// vain, later ones with the same [WithToken] don't wait.
	//
	// 0 means that Tokens have no effect. So it is, too, for a context without one.
	AwaitToken time.Duration

	// BatchSize is how many keys FillMany is called with at most. GetMany of more keys calls it several
	// times, one call after the other. 0 means 1,000. Without a FillMany it has no effect.
	BatchSize int

	// MaxConcurrent is how many fills of this Loader run at once on this node. Further fills wait for their
	// turn, and background ones aren't started. 0 means no limit. A call of FillMany counts as one.
	//
	// A Fill that hangs counts until it returns, which it does at FillTimeout if it obeys its context. A
	// Fill that calls Get of its Loader, for another key, may need two turns: with a limit, don't.
	MaxConcurrent int

	// ClusterWide lets, as a rule, one node of all fill a key. The others wait for what it writes, each
	// caller as long as its own context allows. The key's hash chooses one of the connected and synced
	// nodes, and that one grants a lease: for FillTimeout, or 10 seconds if there is none, a minute at
	// most.
	//
	// No node waits for a second try. If a try fails or takes longer, or its node goes, then one of the
	// nodes that waited has the lease, and the others fill for themselves. So a Get takes no longer than
	// one try of another node, its own fill, and 150 ms, unless the node that grants fails at the same
	// time. If a caller waits until its deadline, for 100 ms at least, other callers needn't wait for the
	// same try: then up to three nodes fill.
	//
	// If the node that grants doesn't answer within 100 ms, or a key has more than 1,024 bytes, a node
	// fills for itself. So this saves queries and promises nothing: nodes that disagree about who is there
	// may both fill. A value that can't be cached isn't shared: then each node fills. After a Delete a
	// caller may wait for a fill that another node began before it, but doesn't get its result.
	ClusterWide bool

	// LocalValues keeps what a Fill brings, a remembered [ErrNotFound] included, for its whole TTL on the
	// node that called the Fill. It is never sent to other nodes: each fills what it is asked for, and
	// holds that and no more. What nodes share is the end of it: a Set, Delete or Clear of any node ends it
	// on all of them. So does a full sync, on the node that receives it, and an isolation of a node with
	// MissWhenIsolated, on that node, when it begins and when it ends.
	//
	// A Set is a write as ever, for all nodes. What it wrote is served until its deadline, and RefreshAhead
	// doesn't apply to it. If another node's Loader doesn't have LocalValues, what its Fills bring is such
	// a write too, and ends what is kept here.
	//
	// It is for large values, for nodes that have different users, and for data that is too much for each
	// node: see docs/loader.md. It is an error together with ClusterWide.
	LocalValues bool

	// OnStale, if set, is called when a fill failed and an old value is served in its place: once for each
	// failure, with the error as it is remembered, see RetryAfter. Nobody waits for it but Close, for 2
	// seconds at most. It is called one at a time, in order, on a goroutine of its own. 1,024 calls are
	// queued, and 4 MiB; beyond that they are left out (Stats.OnStaleMissed). A panic in it is logged.
	// docs/callbacks.md says what it may call.
	OnStale func(key string, err error)

	// Observer, if set, is told of fills, of stale values that are served, and of waits for leases.
	Observer Observer
}

// ErrNotFound is what a Fill returns for a key that has no value. Then Get of the Loader returns it too.
var ErrNotFound = errors.New("bcache: not found")

// defaultRetryAfter lets a database that is down get a try per key and second, which a
// recovering one can take, and the users notice that it is back within a second.
const defaultRetryAfter = time.Second

// defaultFillTimeout is longer than a query may sensibly take, and short enough for one that hangs not
// to be missed as a connection for long.
const defaultFillTimeout = 30 * time.Second

// defaultBatchSize is what databases take as the parameters of one query.
const defaultBatchSize = 1000

// maxLoaderTime is beyond sense, and sums of times stay within range.
const maxLoaderTime = 100 * 365 * 24 * time.Hour

// validate returns everything that is wrong with c, joined; nil if nothing is.
func (c *LoaderConfig) validate() error {
	var errs []error
	wrong := func(format string, v ...any) {
		errs = append(errs, fmt.Errorf("%w: loader: %s", ErrConfig, fmt.Sprintf(format, v...)))
	}
	if c.Fill == nil && c.FillMany == nil {
		wrong("Fill and FillMany are nil: one of them must be set")
	}
	if len(c.Prefix) >= MaxRecordSize {
		wrong("Prefix has %d bytes: must have less than %d", len(c.Prefix), MaxRecordSize)
	}
	if c.TTL <= 0 || c.TTL > maxLoaderTime && c.TTL != NoExpiry {
		wrong("TTL is %v: must be positive and at most %v, or NoExpiry", c.TTL, maxLoaderTime)
	}
	if !(c.Jitter >= 0 && c.Jitter <= 1) {
		wrong("Jitter is %v: must be a part of the TTL, 0 to 1", c.Jitter)
	}
	if !(c.RefreshAhead >= 0 && c.RefreshAhead < 1) {
		wrong("RefreshAhead is %v: must be a part of the TTL, from 0 to less than 1", c.RefreshAhead)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"StaleFor", c.StaleFor}, {"StaleOnErrorFor", c.StaleOnErrorFor}, {"RetryAfter", c.RetryAfter},
		{"NegativeTTL", c.NegativeTTL}, {"AwaitToken", c.AwaitToken},
		{"FillTimeout", max(c.FillTimeout, 0)}, {"Settle", max(c.Settle, 0)},
	} {
		if d.d < 0 || d.d > maxLoaderTime {
			wrong("%s is %v: must be 0 to %v", d.name, d.d, maxLoaderTime)
		}
	}
	if c.BatchSize < 0 {
		wrong("BatchSize is %d: must be 1 or more, or 0 for %d", c.BatchSize, defaultBatchSize)
	}
	if c.LocalValues && c.ClusterWide {
		wrong("LocalValues and ClusterWide are set: with ClusterWide one node fills for all: set one of them")
	}
	if c.MaxConcurrent < 0 {
		wrong("MaxConcurrent is %d: must be 1 or more, or 0 for no limit", c.MaxConcurrent)
	}
	return errors.Join(errs...)
}

// withDefaults returns a copy of c, which is valid, with every zero that stands for
// something else replaced.
func (c LoaderConfig) withDefaults() LoaderConfig {
	c.Prefix = strings.Clone(c.Prefix)
	c.RetryAfter = cmp.Or(c.RetryAfter, defaultRetryAfter)
	c.FillTimeout = cmp.Or(c.FillTimeout, defaultFillTimeout)
	c.BatchSize = cmp.Or(c.BatchSize, defaultBatchSize)
	return c
}

// newLoadPolicy returns what a Loader with this configuration does with what the cache holds.
func newLoadPolicy(c *LoaderConfig) fill.Policy {
	return fill.Policy{
		Ttl: c.TTL, NegativeTTL: c.NegativeTTL, Jitter: c.Jitter, RefreshAhead: c.RefreshAhead,
		StaleForMs: delta.CeilMs(c.StaleFor), OnErrorMs: delta.CeilMs(c.StaleOnErrorFor),
		Local: c.LocalValues,
	}
}
