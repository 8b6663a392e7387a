package bcache

// How the replica tells of touches, see touches.go.

// touch notes a write of a key, or a Clear, that has been processed; it has no dot if the context
// doesn't cover it. In the store it was noted with the write itself.
func (r *state) touch(now instant, rec *record, bucket int, d dot) {
	if rec.kind == kindClear {
		r.touchAll(now, d)
		return
	}
	if r.local {
		r.touches.note(bucket, now.mono)
	} else {
		r.touches.add(&r.touches.heads[bucket], d, now.mono)
	}
	r.changed(rec.key, rec.kind)
}

// touchAll is touch for what may be a write of any key: a Clear, or a context that is adopted.
func (r *state) touchAll(now instant, d dot) {
	r.touches.all = max(r.touches.all, now.mono)
	if !r.local {
		r.touches.add(&r.touches.clears, d, now.mono)
	}
	r.changed("", kindClear)
}
