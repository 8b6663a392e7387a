package bcache

import (
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/store"
)

// How a Typed shares decoded values: each is kept beside the value that it was decoded from, in the
// store's entry. What a load brought and isn't held is shared by those who wait for the load.

// A sharedValue is an entry and what it is decoded to.
type sharedValue[V any] struct {
	store.Sharing
	v V
}

// value returns what the value of an entry is decoded to.
func (t *Typed[V]) value(e *store.Entry) (V, error) {
	if !t.shares {
		return t.read(e.Val)
	}
	if x, ok := e.Shared(&t.owner); ok {
		return t.lend(x)
	}
	return t.decodeOnce(e.Val, e, nil)
}

// valueOf is value of a reply about a key.
func (t *Typed[V]) valueOf(key string, r reply) (V, error) {
	if !t.shares {
		return t.read(r.Value)
	}
	e := t.loader.cache.store.Sharer.Holder(t.loader.cfg.Prefix+key, r.Value)
	if e != nil {
		if x, ok := e.Shared(&t.owner); ok {
			return t.lend(x)
		}
	}
	if r.load != nil {
		if x, ok := r.load.Shared(&t.owner); ok {
			return t.lend(x)
		}
	}
	return t.decodeOnce(r.Value, e, r.load)
}

// listed is value of what All has found. It keeps nothing: All isn't a use of what it lists.
func (t *Typed[V]) listed(full, held string) (V, error) {
	if x, ok := t.sharedOf(full, held); ok {
		return t.lend(x)
	}
	return t.read(held)
}

// sharedOf returns what is shared of a value of a key, if anything is.
func (t *Typed[V]) sharedOf(full, held string) (x any, ok bool) {
	if !t.shares {
		return nil, false
	}
	e := t.loader.cache.store.Sharer.Holder(full, held)
	if e == nil {
		return nil, false
	}
	return e.Shared(&t.owner)
}

// decodeOnce decodes a value, and shares it with those who come later by the entry that has it, or else
// by the load that brought it; nil is none. If somebody was faster, it returns what that one shares.
func (t *Typed[V]) decodeOnce(held string, e *store.Entry, ld *fill.Load) (V, error) {
	v, err := t.read(held)
	if err != nil {
		return v, err
	}
	size := len(held)
	if t.size != nil {
		size, err = guard("Size", func() (int, error) { return t.size(v), nil })
	}
	if err != nil || size < 0 {
		return v, err
	}
	x, ok := t.keep(e, v, int64(size))
	if !ok && ld != nil {
		shared := v // v itself isn't to be allocated where nothing is shared
		x, ok = ld.Share(&t.owner, &shared)
	}
	if !ok {
		return v, nil
	}
	return t.lend(x)
}

// keep keeps what an entry's value is decoded to. It returns what is shared of that from then on, if
// anything is.
func (t *Typed[V]) keep(e *store.Entry, v V, size int64) (x any, ok bool) {
	sharer := &t.loader.cache.store.Sharer
	if e == nil || !sharer.Wants(e, size) {
		return nil, false
	}
	s := &sharedValue[V]{v: v}
	s.Owner, s.Decoded, s.Size = &t.owner, &s.v, size
	return sharer.Keep(e, &s.Sharing)
}

// lend returns what a caller gets of a shared value, which is a *V.
func (t *Typed[V]) lend(x any) (V, error) {
	v := *x.(*V)
	if t.clone == nil {
		return v, nil
	}
	return guard("Clone", func() (V, error) { return t.clone(v), nil })
}
