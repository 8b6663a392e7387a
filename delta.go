package bcache

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/store"
)

const (
	// MaxRecordSize is how many bytes a key, its value and its tags may have together: 1 MiB. Each tag
	// counts as a byte more than it has.
	MaxRecordSize = delta.MaxRecordSize

	// MaxTags is how many tags an entry may have.
	MaxTags = delta.MaxTags // 16

	// MaxTagLen is how many bytes a tag may have. It has one at least.
	MaxTagLen = delta.MaxTagLen // 256

	// MaxPrefixLen is how many bytes the prefix of a [Bcache.ClearPrefix] may have.
	MaxPrefixLen = delta.MaxPrefixLen // 4,096

	// EntryOverhead is how many bytes an entry counts for MaxBytes beside its key and value. It is about
	// what the bookkeeping takes.
	EntryOverhead = store.EntryOverhead // 200

	// TagOverhead is how many bytes each tag of an entry counts for MaxBytes beside its own.
	TagOverhead = store.TagOverhead // 64

	// NoExpiry is a TTL for [Bcache.SetWithTTL] and for Loaders: the entry has no deadline.
	NoExpiry time.Duration = delta.NoExpiry
)

var (
	// ErrTooLarge is returned by Set and Put if key, value and tags together exceed MaxRecordSize, or
	// exceed MaxBytes together with EntryOverhead and TagOverhead. Delete returns it for a key that is
	// longer than MaxRecordSize, and ClearPrefix for a prefix that is longer than MaxPrefixLen.
	ErrTooLarge = errors.New("bcache: key, value or prefix is too large")

	// ErrTags is wrapped by the errors of Put and ClearTag about tags: there are more than MaxTags, or one
	// is empty, or longer than MaxTagLen.
	ErrTags = errors.New("bcache: invalid tags")
)

// A writer writes for a node, its Loaders included.
type writer struct {
	peer     *peer
	maxBytes int64
	closed   *atomic.Bool
}

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
	return b.writes.put(delta.Record{Key: key, Val: val}, ttl)
}

// Put is [Bcache.SetWithTTL] of a value with tags: names of what it was made of, or belongs to. It goes
// with [Bcache.ClearTag] of any of them. The order of the tags doesn't matter, and one that is given
// twice is one tag. What had been written with other tags is replaced: a key has the tags of its last
// write.
//
// The error is one of those of Set, or wraps [ErrTags]: then the value isn't stored, and the key is
// deleted, as after ErrTooLarge.
func (b *Bcache) Put(key, val string, ttl time.Duration, tags ...string) error {
	packed, wrong := delta.MakeTags(tags)
	if wrong != "" {
		return b.writes.refuseTags(key, wrong)
	}
	return b.writes.put(delta.Record{Key: key, Val: val, Tags: packed}, ttl)
}

// put writes a value that is complete but for its deadline and version.
func (w *writer) put(rec delta.Record, ttl time.Duration) error {
	if ttl <= 0 {
		return w.delete(rec.Key)
	}
	if w.tooLarge(&rec) {
		return w.refuse(rec.Key)
	}
	now := w.peer.now()
	rec.Deadline = delta.DeadlineAt(now, ttl)
	return w.peer.replica.SetRecord(w.peer.instantOf(now), &rec)
}

// Delete deletes key here and on every connected node, whether or not this node holds it. A node that
// can't be reached deletes it when it is reached again. The error is [ErrClosed], or [ErrTooLarge] for a
// key that is longer than MaxRecordSize, which no node can hold.
func (b *Bcache) Delete(key string) error { return b.writes.delete(key) }

func (w *writer) delete(key string) error {
	if len(key) > MaxRecordSize {
		return ErrTooLarge
	}
	return w.peer.replica.Delete(w.peer.instant(), key)
}

// Clear deletes every key, here and on all nodes, also on those that join later. Whatever was written
// before, as far as this node knows of it, is gone. What this node writes after Clear returns isn't
// affected. What another node writes before it knows of the Clear may be.
//
// It takes no longer than a Set. The memory, and what Len counts, goes within seconds. The error is
// [ErrClosed].
func (b *Bcache) Clear() error { return b.writes.clear("") }

// ClearPrefix is [Bcache.Clear] of the keys that begin with prefix; "" is all of them. It takes no
// longer than a Set, however many keys there are: each node removes them when it looks at them next,
// within seconds, and serves none of them meanwhile. The error is [ErrClosed], or [ErrTooLarge] for a
// prefix that is longer than MaxPrefixLen.
//
// A node remembers the last 4,096 ClearPrefixes and ClearTags, or those of 4 MiB of prefixes and tags,
// so that values don't come back that were on their way. Once it has forgotten one, it refuses late
// writes of any key that were stamped before that one: they are misses.
func (b *Bcache) ClearPrefix(prefix string) error {
	if n := len(prefix); n > MaxPrefixLen {
		return fmt.Errorf("%w: a prefix of %d bytes, %d are the most", ErrTooLarge, n, MaxPrefixLen)
	}
	return b.writes.clear(delta.SelectPrefix(prefix))
}

// ClearTag is [Bcache.ClearPrefix] of the values, and of what is remembered as missing, that were
// written with this tag: by [Bcache.Put], or by a Loader (Loaded.Tags). The error is [ErrClosed], or
// wraps [ErrTags].
func (b *Bcache) ClearTag(tag string) error {
	if _, wrong := delta.MakeTags([]string{tag}); wrong != "" {
		return fmt.Errorf("%w: %s", ErrTags, wrong)
	}
	return b.writes.clear(delta.SelectTag(tag))
}

func (w *writer) clear(s delta.Selector) error { return w.peer.replica.Clear(w.peer.instant(), s) }

// refuse deletes a key whose new value is too large: what is held of it is no longer true.
func (w *writer) refuse(key string) error {
	if err := w.delete(key); err != nil {
		return err
	}
	return ErrTooLarge
}

// refuseTags is refuse for tags that can't be.
func (w *writer) refuseTags(key, wrong string) error {
	if err := w.delete(key); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrTags, wrong)
}

// tooLarge tells whether no node, or not this one, could hold the entry.
func (w *writer) tooLarge(rec *delta.Record) bool {
	return rec.Size() > MaxRecordSize || w.maxBytes > 0 && store.CostOf(rec) > w.maxBytes
}

// DeleteMany is [Bcache.Delete] for many keys: a hundred thousand are fine. They are deleted one after
// the other, in the order given, and other writes pass between them. A key that is given twice is
// deleted twice.
//
// The error is [ErrClosed], and then the keys that come after Close aren't deleted. Or it is a
// [KeyErrors] with [ErrTooLarge] for each key that is longer than MaxRecordSize; all other keys are
// deleted.
func (b *Bcache) DeleteMany(keys []string) error { return b.writes.deleteMany("", keys) }

// deleteMany is DeleteMany of keys that a prefix is to be put before.
func (w *writer) deleteMany(prefix string, keys []string) error {
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
		if err := w.peer.replica.DeleteMany(w.peer.instant(), recs, len(keys) > 0); err != nil {
			return err
		}
		runtime.Gosched() // let the flusher take what makes a frame, or frames would gather
	}
	switch {
	case w.closed.Load():
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
