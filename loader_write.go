package bcache

import (
	"math/rand/v2"
	"time"
)

// What a Loader writes without having been asked. Keys are without the Prefix.

// Set writes a value on all nodes, with the times that it would have if a Fill had brought it: Jitter
// shortens its TTL, and RefreshAhead, StaleFor and StaleOnErrorFor apply to it. But it is a write, as
// Bcache.Set is: it beats all fills that began before, and ends an ErrNotFound that is remembered; what
// NegativeTTL and Settle say doesn't concern it. A ttl of 0 is LoaderConfig.TTL, NoExpiry no deadline;
// with a negative one it deletes, as Delete does.
//
// The error is ErrClosed or ErrTooLarge, which key and value, the Prefix included, may be. After
// ErrTooLarge the value isn't stored and the key is deleted on all nodes.
//
// Where a database has the truth, Delete after the commit is better: see "Fills, and the
// fence" in the README.
func (l *Loader) Set(key, val string, ttl time.Duration) error {
	b, full := l.cache, l.cfg.Prefix+key
	if ttl < 0 {
		return b.Delete(full)
	}
	if b.tooLarge(full, val) {
		return b.refuse(full)
	}
	now := b.peer.now()
	rec, _ := l.policy.value(now, full, Loaded{Value: val, TTL: ttl}, rand.Float64())
	return b.peer.replica.setRecord(b.peer.instantOf(now), &rec)
}

// Delete is Bcache.Delete: call it after each commit that changes what a Fill reads.
func (l *Loader) Delete(key string) error { return l.cache.Delete(l.cfg.Prefix + key) }

// DeleteMany is Bcache.DeleteMany.
func (l *Loader) DeleteMany(keys []string) error { return l.cache.deleteMany(l.cfg.Prefix, keys) }
