package bcache

import (
	"iter"

	"github.com/iwanbk/bcache/internal/delta"
)

// Get returns the value of key and true. If there is no value, or none that is known to be current, it
// returns "" and false. It never waits for the network, and allocates nothing.
func (b *Bcache) Get(key string) (string, bool) { return b.store.Get(key, b.wall) }

// peek is Get without being counted as one.
func peek(b *Bcache, key string) (string, bool) {
	is := func(rec delta.Record, ok bool) bool {
		return ok && rec.Kind == delta.KindValue && !rec.Expired(b.wall())
	}
	if rec, ok := b.store.Peek(key); is(rec, ok) && !b.store.Clears.Hidden() {
		return rec.Val, true
	}
	rec, ok := b.store.Beside(key, b.wall())
	return rec.Val, is(rec, ok)
}

// Len returns how many entries are held. That includes entries that have expired or were cleared within
// the last seconds and wait to be removed, and entries that a Loader may still serve as stale. It never
// exceeds MaxKeys.
func (b *Bcache) Len() int { return b.store.Len() }

// All iterates over the values that this node holds and whose deadlines haven't come, in no order. It is
// weakly consistent: what is written or removed during the loop may show or not. No key comes twice.
//
// It copies some thousand references at a time, and holds no lock while the loop's body runs. So the
// body may use the cache, and call whatever it likes. All isn't a use of an entry, and isn't counted in
// Stats.
func (b *Bcache) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := range b.store.Shards() {
			for _, e := range b.store.Live(i, b.wall()) {
				if !e.Expired(b.wall) && !yield(e.Key, e.Val) {
					return
				}
			}
		}
	}
}

// Keys iterates over the keys of [Bcache.All].
func (b *Bcache) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for key := range b.All() {
			if !yield(key) {
				return
			}
		}
	}
}
