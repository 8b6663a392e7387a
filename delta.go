package bcache

import (
	"errors"
	"runtime"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/store"
)

const (
	// MaxRecordSize is how many bytes a key and its value may have together: 1 MiB.
	MaxRecordSize = delta.MaxRecordSize

	// EntryOverhead is how many bytes an entry counts for MaxBytes beside its key and value. It is about
	// what the bookkeeping takes.
	EntryOverhead = store.EntryOverhead // 200

	// NoExpiry is a TTL for [Bcache.SetWithTTL] and for Loaders: the entry has no deadline.
	NoExpiry time.Duration = delta.NoExpiry
)

// ErrTooLarge is returned by Set if key and value together exceed MaxRecordSize, or exceed MaxBytes
// together with EntryOverhead. Delete returns it for a key that is longer than MaxRecordSize.
var ErrTooLarge = errors.New("bcache: key and value are too large")

// Set writes a value that lives for ttl seconds. With a ttl <= 0 it deletes key, as [Bcache.Delete]
// does. The value is visible here when Set returns, and reaches every connected node on its own. A node
// that can't be reached is no error: it catches up when it is reached. The deadline is absolute, and the
// same on all nodes.
//
// The error is [ErrClosed] or [ErrTooLarge]. After ErrTooLarge the value isn't stored, and the key is
// deleted on all nodes, because what they hold is no longer true.
//
// To Set what was read from a database goes wrong with two writers: docs/fills.md says how.
func (b *Bcache) Set(key, val string, ttl int) error {
	if ttl <= 0 {
		return b.Delete(key)
	}
	return b.SetWithTTL(key, val, seconds(ttl))
}

// SetWithTTL is [Bcache.Set] with a ttl as fine as a millisecond; it is rounded up. [NoExpiry] means no
// deadline. With a ttl <= 0 it deletes key.
func (b *Bcache) SetWithTTL(key, val string, ttl time.Duration) error {
	if ttl <= 0 {
		return b.Delete(key)
	}
	if b.tooLarge(key, val) {
		return b.refuse(key)
	}
	now := b.peer.now()
	return b.peer.replica.Set(b.peer.instantOf(now), key, val, delta.DeadlineAt(now, ttl))
}

// Delete deletes key here and on every connected node, whether or not this node holds it. A node that
// can't be reached deletes it when it is reached again. The error is [ErrClosed], or [ErrTooLarge] for a
// key that is longer than MaxRecordSize, which no node can hold.
func (b *Bcache) Delete(key string) error {
	if len(key) > MaxRecordSize {
		return ErrTooLarge
	}
	return b.peer.replica.Delete(b.peer.instant(), key)
}

// Clear deletes every key, here and on all nodes, also on those that join later. Whatever was written
// before, as far as this node knows of it, is gone. What this node writes after Clear returns isn't
// affected. What another node writes before it knows of the Clear may be.
//
// It takes no longer than a Set. The memory, and what Len counts, goes within seconds. The error is
// [ErrClosed].
func (b *Bcache) Clear() error { return b.peer.replica.Clear(b.peer.instant()) }

// refuse deletes a key whose new value is too large: what is held of it is no longer true.
func (b *Bcache) refuse(key string) error {
	if err := b.Delete(key); err != nil {
		return err
	}
	return ErrTooLarge
}

// tooLarge tells whether no node, or not this one, could hold the entry.
func (b *Bcache) tooLarge(key, val string) bool {
	size := len(key) + len(val)
	return size > MaxRecordSize || b.maxBytes > 0 && int64(size)+EntryOverhead > b.maxBytes
}

// DeleteMany is [Bcache.Delete] for many keys: a hundred thousand are fine. They are deleted one after
// the other, in the order given, and other writes pass between them. A key that is given twice is
// deleted twice.
//
// The error is [ErrClosed], and then the keys that come after Close aren't deleted. Or it is a
// [KeyErrors] with [ErrTooLarge] for each key that is longer than MaxRecordSize; all other keys are
// deleted.
func (b *Bcache) DeleteMany(keys []string) error { return b.deleteMany("", keys) }

// deleteMany is DeleteMany of keys that a prefix is to be put before.
func (b *Bcache) deleteMany(prefix string, keys []string) error {
	tooLarge := KeyErrors{}
	recs := make([]delta.Record, 0, min(len(keys), replica.ApplyBatch))
	for len(keys) > 0 {
		recs = recs[:0]
		room := func(bytes int) bool { return len(recs) < replica.ApplyBatch && bytes < replica.ApplyBytes }
		for bytes := 0; len(keys) > 0 && room(bytes); keys = keys[1:] {
			key := keys[0]
			if len(prefix)+len(key) > MaxRecordSize {
				tooLarge[key] = ErrTooLarge
				continue
			}
			bytes += len(key)
			recs = append(recs, delta.Record{Key: prefix + key, Kind: delta.KindTombstone})
		}
		if err := b.peer.replica.DeleteMany(b.peer.instant(), recs); err != nil {
			return err
		}
		runtime.Gosched() // let the flusher take what there is, or it would gather
	}
	switch {
	case b.closed.Load():
		return ErrClosed // also if there was nothing to delete
	case len(tooLarge) > 0:
		return tooLarge
	}
	return nil
}

// seconds is a ttl of the original surface; what a Duration can't hold lasts for ever.
func seconds(ttl int) time.Duration {
	if int64(ttl) > int64(NoExpiry/time.Second) {
		return NoExpiry
	}
	return time.Duration(ttl) * time.Second
}
