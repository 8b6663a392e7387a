package bcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Loaded is what a Fill brought.
type Loaded struct {
	// Value is cached on all nodes, unless it is too large.
	Value string

	// TTL is for how long; it is rounded up to milliseconds. 0 means LoaderConfig.TTL, NoExpiry no
	// deadline. A negative one means that the value is returned but not cached.
	TTL time.Duration
}

// LoaderConfig says how a Loader fills the cache. Fill or FillMany, and TTL, have to be set.
// A negative duration is an error, but for FillTimeout and Settle.
//
// A value has a deadline, and two times that are derived from it:
//
//	written      refresh from         deadline      stale until
//	   |---------------|-------------------|---------------|
//	        fresh         fresh, and a hit   stale: see        gone
//	                      starts a fill      StaleFor and StaleOnErrorFor
//
// They are part of the value as it is replicated, so they are the same on all nodes and don't
// move. Every node should have the same LoaderConfig.
type LoaderConfig struct {
	// Prefix is put before each key of this Loader to make the key of the cache. Fill, FillMany,
	// OnStale and the results of GetMany have keys without it. "" is no prefix. Give each Loader
	// of a cache a prefix of its own, such as "user:".
	Prefix string

	// Fill looks up the value of a key that isn't in the cache, typically in a database.
	// It returns ErrNotFound, wrapped or not, for a key that has no value.
	//
	// It runs on a goroutine of its own. Its context has the values of the caller that came first and
	// the deadline that FillTimeout sets, never a caller's, and is cancelled when nobody waits for it
	// any more; context.Cause says with which error the last one left. A Fill must return when its
	// context has ended: until then it takes one of the places of its key, of which there are three, and
	// one of MaxConcurrent. If it doesn't, nobody waits for it for longer than FillTimeout and 100 ms.
	//
	// What it may call: see "What callbacks may call" in docs/loader.md. A Get of the same key would
	// wait for itself: it returns ErrFillCycle if it is called with the Fill's context, or one that is
	// derived from that; otherwise it waits until FillTimeout.
	//
	// Where a caller's deadline comes after it has waited for 100 ms or more, or after the Fill has run
	// for a second, later callers don't wait for it any more, but for a Fill of their own
	// (Stats.FillsGivenUp): so one query that hangs doesn't make its key fail. The first of them goes
	// on, for as long as somebody waits for the key: it may only be slow. A caller that is cancelled
	// has no such effect.
	Fill func(ctx context.Context, key string) (Loaded, error)

	// FillMany is Fill for many keys at once, at least one, in no particular order. What isn't in the
	// map has no value, as with ErrNotFound; or it failed, if there is an error: if that is or wraps
	// a KeyErrors, those keys failed that are in it, otherwise all that aren't in the map. GetMany
	// uses it, but for a single key; so does Get if there is no Fill. What is said of Fill's context,
	// places and callers holds for all keys of a call.
	FillMany func(ctx context.Context, keys []string) (map[string]Loaded, error)

	// TTL is for how long a value is fresh. It must be positive, so 0 is an error; NoExpiry means for
	// ever.
	TTL time.Duration

	// Jitter makes each TTL, and NegativeTTL, shorter by a random part: 0.1 is by up to a tenth. So keys
	// that were written together don't expire together. 0 to 1; 0 means none.
	Jitter float64

	// RefreshAhead is the last part of the TTL in which a hit starts a fill in the background:
	// with 0.2 and a TTL of a minute, those of the last 12 seconds do. So a key that is in use doesn't
	// expire. 0 to 1, both excluded; 0 means that it isn't done.
	RefreshAhead float64

	// StaleFor is for how long after its deadline a value is returned at once, while one fill
	// runs in the background (stale-while-revalidate of RFC 5861). 0 means not at all.
	StaleFor time.Duration

	// StaleOnErrorFor is for how long after its deadline a value is returned, and no error, where a
	// fill fails (stale-if-error of RFC 5861). The failure goes to Stats, the Logger and
	// OnStale. 0 means not at all. A Fill that returns ErrNotFound hasn't failed.
	StaleOnErrorFor time.Duration

	// RetryAfter is for how long after a fill that failed the key isn't asked for again on this node:
	// meanwhile an old value is returned at once, and where there is none, the error. (An error of more
	// than 2 KiB, with all that it wraps, is remembered as the first KiB of its text.) Then the next
	// fill runs in the background, if there is an old value that was asked for within the last 10
	// seconds, so that nobody waits for a database that is down, or hangs. It is also the least time
	// between two background fills of a key that brought nothing. 0 means a second.
	RetryAfter time.Duration

	// NegativeTTL is for how long ErrNotFound is remembered, on all nodes, and returned without
	// asking. A later Set ends it at once. 0 means not at all. What is remembered takes the place of
	// an entry.
	NegativeTTL time.Duration

	// FillTimeout is how long a fill may take, not counting the wait for its turn: then its context
	// ends, and it has failed. 0 means 30 s. A negative one is none: then a fill lasts as long as
	// somebody waits for it, and for ever in the background, if it hangs.
	FillTimeout time.Duration

	// Settle is by how much what a Fill reads may lag behind what is committed, as it does if it reads
	// a replica of the database: what was read less than Settle after a write of the key isn't cached. 0
	// means Config.Settle; a negative one, that the Fill sees what is committed.
	Settle time.Duration

	// BatchSize is how many keys FillMany is called with at most; GetMany of more calls it several
	// times, one after the other. 0 means 1,000. Without a FillMany it has no effect.
	BatchSize int

	// MaxConcurrent is how many fills of this Loader run at once on this node; others wait for their
	// turn, and background ones aren't started. 0 means no limit. A call of FillMany is one. A Fill that
	// hangs counts until it returns: when FillTimeout has come, if it obeys its context. A Fill that
	// calls Get of its Loader, for another key, may need two: with a limit, don't.
	MaxConcurrent int

	// ClusterWide lets, as a rule, one node of all fill a key while the others wait for what it
	// writes, each caller as long as its own context allows. The node that the key's hash chooses
	// among those that are connected and synced grants a lease, for FillTimeout, or 10 seconds if
	// there is none, a minute at most. Nobody waits for a second try: after one that fails, takes
	// longer or whose node goes, one of those that waited has the lease, and the others fill for
	// themselves. So a Get takes no longer than one try of another node, its own fill, and 150 ms,
	// unless the choosing node fails at the same time. If a caller waits until its deadline, for 100
	// ms at least, others needn't wait for the same: three nodes may fill then.
	//
	// Where the choosing node doesn't answer within 100 ms, or a key has more than 1,024 bytes, a
	// node fills for itself. So this saves queries and promises nothing: nodes that disagree about
	// who is there may both fill. A value that can't be cached isn't shared: then each node fills.
	// After a Delete a caller may wait for a fill begun before that on another node, but doesn't get
	// its result.
	ClusterWide bool

	// OnStale, if set, is called when a fill failed and an old value is served in its place: once for
	// each failure, with the error as it is remembered, see RetryAfter. Nobody waits for it but Close,
	// for 2 seconds at most. It is called one at a time, in order, on a goroutine of its own; 1,024
	// calls are queued, and 4 MiB, and beyond that they are left out (Stats.OnStaleMissed). A panic in
	// it is logged. What it may call: see "What callbacks may call" in docs/loader.md.
	OnStale func(key string, err error)
}

// ErrNotFound is what a Fill returns for a key that has no value, and then what Get returns.
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
		{"NegativeTTL", c.NegativeTTL},
		{"FillTimeout", max(c.FillTimeout, 0)}, {"Settle", max(c.Settle, 0)},
	} {
		if d.d < 0 || d.d > maxLoaderTime {
			wrong("%s is %v: must be 0 to %v", d.name, d.d, maxLoaderTime)
		}
	}
	if c.BatchSize < 0 {
		wrong("BatchSize is %d: must be 1 or more, or 0 for %d", c.BatchSize, defaultBatchSize)
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
func newLoadPolicy(c *LoaderConfig) loadPolicy {
	return loadPolicy{
		ttl: c.TTL, negativeTTL: c.NegativeTTL, jitter: c.Jitter, refreshAhead: c.RefreshAhead,
		staleForMs: ceilMs(c.StaleFor), onErrorMs: ceilMs(c.StaleOnErrorFor),
	}
}
