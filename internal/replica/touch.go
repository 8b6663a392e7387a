package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// How the replica tells of touches, see touches.go.

// touch notes a write of a key, or a Clear, that has been processed; it has no dot if the context
// doesn't cover it. In the store it was noted with the write itself.
func (r *state) touch(now delta.Instant, rec *delta.Record, bucket int, d delta.Dot) {
	if rec.Kind == delta.KindClear {
		r.touchAll(now, d)
		return
	}
	if r.local {
		r.touches.Note(bucket, now.Mono)
	} else {
		r.touches.Add(&r.touches.Heads[bucket], d, now.Mono)
	}
	r.changed(rec.Key, rec.Kind)
}

// touchAll is touch for what may be a write of any key: a Clear, or a context that is adopted.
func (r *state) touchAll(now delta.Instant, d delta.Dot) {
	r.touches.All = max(r.touches.All, now.Mono)
	if !r.local {
		r.touches.Add(&r.touches.Clears, d, now.Mono)
	}
	r.changed("", delta.KindClear)
}
