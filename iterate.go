package bcache

import "iter"

// All iterates over the values that this node holds and whose deadlines haven't come, in no order. It is
// weakly consistent: what is written or removed meanwhile may show or not, and no key comes twice. It
// copies some thousand references at a time and holds no lock while the loop's body runs, which may use
// the cache, and call whatever it likes. It is no use of an entry, and isn't counted in Stats.
func (b *Bcache) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := range b.store.shards() {
			for _, e := range b.store.live(i, b.wall()) {
				if !e.expired(b.wall) && !yield(e.key, e.val) {
					return
				}
			}
		}
	}
}

// Keys iterates over the keys of All.
func (b *Bcache) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for key := range b.All() {
			if !yield(key) {
				return
			}
		}
	}
}
