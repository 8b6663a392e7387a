package bcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
)

// A Codec turns values into the strings that the cache holds, and back. Both methods are called
// concurrently. All nodes read what any of them wrote, nodes of an older or newer version of your
// service too. A Codec that panics has failed, with an error that has the panic's text. Gets and fills
// wait for it, so it must return. docs/callbacks.md says what it may call.
type Codec[V any] interface {
	Encode(V) (string, error)
	Decode(string) (V, error)
}

// JSON is the Codec of encoding/json.
type JSON[V any] struct{}

// Encode implements Codec.
func (JSON[V]) Encode(v V) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// Decode implements Codec.
func (JSON[V]) Decode(s string) (v V, err error) {
	err = json.Unmarshal([]byte(s), &v)
	return v, err
}

// Raw is the Codec of bytes as they are.
type Raw[V ~string | ~[]byte] struct{}

// Encode implements Codec.
func (Raw[V]) Encode(v V) (string, error) { return string(v), nil }

// Decode implements Codec. Each call returns bytes of its own.
func (Raw[V]) Decode(s string) (V, error) { return V(s), nil }

var (
	// ErrEncode is wrapped by the error about a value that a [Codec] can't encode. That error names the
	// key, and wraps the Codec's error too.
	ErrEncode = errors.New("bcache: can't encode the value")

	// ErrDecode is wrapped by the error about a string that a [Codec] can't decode. That error names the
	// key, and wraps the Codec's error too.
	ErrDecode = errors.New("bcache: can't decode the value")
)

// TypedLoaded is [Loaded] with a value of a type.
type TypedLoaded[V any] struct {
	Value V

	// TTL is as in [Loaded]: 0 means LoaderConfig.TTL, and [NoExpiry] no deadline. With a negative one the
	// value is returned but not cached.
	TTL time.Duration

	Tags []string // as in [Loaded]
}

// TypedConfig describes a [Typed].
type TypedConfig[V any] struct {
	// Codec encodes values. nil is JSON.
	Codec Codec[V]

	// Fill and FillMany are as in LoaderConfig.
	Fill     func(ctx context.Context, key string) (TypedLoaded[V], error)
	FillMany func(ctx context.Context, keys []string) (map[string]TypedLoaded[V], error)

	// Version marks the values in the cache, 255 bytes at most; "" leaves them unmarked. A value of another
	// Version can't be decoded, even if the Codec could. Change it where the meaning of V changes, as when
	// a field is added that would be read as zero. Keys are the same in all Versions, so a Delete by one
	// ends the values of both. Whoever reads the key without a Typed sees the mark before the value.
	Version string

	// Shared keeps the decoded value beside the encoded one, so that a hit needn't decode it: it costs what
	// a hit of a Loader costs, and allocates nothing. All callers get the same value, and mustn't alter it:
	// neither what it points to, nor elements of its slices or maps, however deep, nor by append to a slice
	// that has spare capacity. Fields of a struct that is returned by value are the caller's own.
	//
	// It is always what Decode made, never what a Fill brought or a Set was given, and never another
	// Typed's. It goes with the value that it was decoded from, however that goes. Of Typeds that read the
	// same key, the one that reads a value first keeps it decoded; the others decode it with each hit. Where
	// a value can't be kept, see Size, callers get values of their own. [Typed.All] keeps none.
	//
	// Not worth it where Decode costs next to nothing, as with Raw strings. Without it, each caller gets a
	// value of its own.
	Shared bool

	// Clone copies a shared value, for callers that alter what they get: each gets a copy of its own. It is
	// called concurrently, mustn't alter its argument, and must return. A panic is an error, as with the
	// Codec; it wraps ErrDecode. nil: callers promise to alter nothing. It needs Shared.
	Clone func(V) V

	// Size says what a decoded value counts for MaxBytes, in bytes, beside the entry's own count. nil is
	// the length of the encoded value. A value that needs more room than there is isn't kept: a Get never
	// evicts. Nor is one whose Size is negative. Without MaxBytes only MaxKeys bounds what they take. It is
	// called concurrently and must return; a panic is an error, as with Clone. It needs Shared.
	Size func(V) int

	// Loader is everything else. Its Fill and FillMany must be nil.
	Loader LoaderConfig
}

// A Typed is a [Loader] of values of a type. [NewTyped] makes one. All methods are safe for concurrent
// use. The cache holds a value as its Codec has encoded it. Each hit decodes it, and gets a value of its
// own, unless TypedConfig.Shared is set.
type Typed[V any] struct {
	loader  *Loader
	codec   Codec[V]
	version string

	shares bool
	owner  store.Owner // of what is shared
	clone  func(V) V   // nil: it is lent as it is
	size   func(V) int // nil: the length of what is held
}

// NewTyped returns a [Typed] for a cache. The error wraps [ErrConfig], as that of [NewLoader] does.
func NewTyped[V any](cache *Bcache, cfg TypedConfig[V]) (*Typed[V], error) {
	if cfg.Loader.Fill != nil || cfg.Loader.FillMany != nil {
		return nil, fmt.Errorf("%w: typed: Loader has a Fill or a FillMany: set that of TypedConfig",
			ErrConfig)
	}
	if n := len(cfg.Version); n > maxVersion {
		return nil, fmt.Errorf("%w: typed: Version has %d bytes: must have at most %d",
			ErrConfig, n, maxVersion)
	}
	if !cfg.Shared && (cfg.Clone != nil || cfg.Size != nil) {
		return nil, fmt.Errorf("%w: typed: there is a Clone or a Size, which are for shared values: set Shared",
			ErrConfig)
	}
	t := &Typed[V]{
		codec: cfg.Codec, version: strings.Clone(cfg.Version),
		shares: cfg.Shared, clone: cfg.Clone, size: cfg.Size,
	}
	if t.codec == nil {
		t.codec = JSON[V]{}
	}
	if fillOne := cfg.Fill; fillOne != nil {
		cfg.Loader.Fill = func(ctx context.Context, key string) (Loaded, error) {
			v, err := fillOne(ctx, key)
			if err != nil {
				return Loaded{Tags: v.Tags}, err
			}
			return t.loaded(key, v)
		}
	}
	if fillMany := cfg.FillMany; fillMany != nil {
		cfg.Loader.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
			values, err := fillMany(ctx, keys)
			return t.loadedMany(values, err)
		}
	}
	var err error
	t.loader, err = newLoaderOf(cache, cfg.Loader, t.layout(), t.decodes)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// loaded encodes what a Fill brought. What can't be decoded again is an error: everybody would ask for
// it again and again.
func (t *Typed[V]) loaded(key string, v TypedLoaded[V]) (Loaded, error) {
	s, err := t.encode(key, v.Value)
	if err == nil {
		_, err = t.read(s)
		err = decodeError(key, err)
	}
	return Loaded{Value: s, TTL: v.TTL, Tags: v.Tags}, err
}

func (t *Typed[V]) loadedMany(values map[string]TypedLoaded[V], err error) (map[string]Loaded, error) {
	encoded := make(map[string]Loaded, len(values))
	failed := KeyErrors{}
	var errs KeyErrors
	errors.As(err, &errs)
	for key, v := range values {
		if errors.Is(errs[key], ErrNotFound) {
			encoded[key] = Loaded{Tags: v.Tags}
			continue
		}
		l, err := t.loaded(key, v)
		if err != nil {
			failed[key] = err
			continue
		}
		encoded[key] = l
	}
	switch {
	case len(failed) == 0:
		return encoded, err
	case err == nil:
		return encoded, failed
	case errs != nil:
		for key, err := range errs {
			failed[key] = err
		}
		return encoded, failed
	}
	return encoded, err
}

// encode returns what the cache is to hold for a value.
func (t *Typed[V]) encode(key string, v V) (string, error) {
	s, err := guard("the Codec", func() (string, error) { return t.codec.Encode(v) })
	if err != nil {
		return "", fmt.Errorf("%w of %q: %w", ErrEncode, key, err)
	}
	return markVersion(t.version, s), nil
}

// decode returns the value of a reply.
func (t *Typed[V]) decode(key string, r reply) (V, error) {
	v, err := t.valueOf(key, r)
	if err != nil {
		var none V
		return none, decodeError(key, err)
	}
	return v, nil
}

// decodeError says of which key a value can't be decoded. It isn't made where nobody reads it.
func decodeError(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w of %q: %w", ErrDecode, key, err)
}

// read decodes what is held.
func (t *Typed[V]) read(held string) (v V, err error) {
	s, err := unmarkVersion(t.version, held)
	if err != nil {
		return v, err
	}
	return guard("the Codec", func() (V, error) { return t.codec.Decode(s) })
}

// decodes reports whether a value of a key of the cache can be decoded.
func (t *Typed[V]) decodes(full, held string) bool {
	if _, ok := t.sharedOf(full, held); ok {
		return true
	}
	_, err := t.read(held)
	return err == nil
}

// Get is [Loader.Get]. A cached value that can't be decoded counts as a miss. What the Fill brings then
// stands beside that value on this node, until anything is written to the key. So nodes, and Typeds, of
// two layouts leave each other's values alone.
//
// If a Fill brings a value that the Codec can't decode, the error wraps [ErrDecode]. That counts as a
// failure of the Fill, and isn't cached.
func (t *Typed[V]) Get(ctx context.Context, key string) (V, error) {
	anew := t.loader.anew(ctx)
	if !anew {
		e, shared := t.fresh(key)
		if shared != nil {
			return *shared, nil
		}
		if v, ok := t.fromFresh(e); ok {
			return v, nil
		}
	}
	r := t.get(ctx, key, anew)
	if r.Stale {
		return r.Value, nil
	}
	return r.Value, r.Err
}

// A TypedResult is what [Typed.GetResult] returns: a [Result] with a value of a type.
type TypedResult[V any] struct {
	Value V
	Stale bool  // as in Result
	Err   error // as in Result
}

// GetResult is [Typed.Get] for a caller that wants to know whether the value is stale, and why.
func (t *Typed[V]) GetResult(ctx context.Context, key string) TypedResult[V] {
	anew := t.loader.anew(ctx)
	if !anew {
		e, shared := t.fresh(key)
		if shared != nil {
			return TypedResult[V]{Value: *shared}
		}
		if v, ok := t.fromFresh(e); ok {
			return TypedResult[V]{Value: v}
		}
	}
	return t.get(ctx, key, anew)
}

// fresh is fresh of the Loader's view. If what its value is decoded to is shared as it is, fresh returns a
// pointer to that too, and counts the hit. To copy a struct from call to call costs a fifth of a hit.
func (t *Typed[V]) fresh(key string) (e *store.Entry, shared *V) {
	e = t.loader.view.Fresh(key)
	if e == nil || !t.shares || t.clone != nil {
		return e, nil
	}
	if x, ok := e.Shared(&t.owner); ok {
		t.loader.figures.Count(true)
		shared = x.(*V)
	}
	return e, shared
}

// fromFresh returns the value of what fresh has returned, nil included, and counts the hit.
func (t *Typed[V]) fromFresh(e *store.Entry) (v V, ok bool) {
	if e == nil {
		return v, false
	}
	v, err := t.value(e)
	if err != nil {
		return v, false
	}
	t.loader.figures.Count(true)
	return v, true
}

// get is Loader.get.
func (t *Typed[V]) get(ctx context.Context, key string, anew bool) TypedResult[V] {
	r := t.loader.get(ctx, key, anew)
	if r.Err != nil && !r.Stale {
		return TypedResult[V]{Err: r.Err}
	}
	v, err := t.decode(key, r)
	if err != nil {
		return TypedResult[V]{Err: err}
	}
	return TypedResult[V]{Value: v, Stale: r.Stale, Err: r.Err}
}

// GetMany is [Loader.GetMany]. Values that can't be decoded are filled again, together with those that
// are missing.
func (t *Typed[V]) GetMany(ctx context.Context, keys []string) (map[string]V, error) {
	return getMany(ctx, t.loader, keys, t.value, t.decode)
}

// Set is [Loader.Set]: a ttl of 0 is LoaderConfig.TTL, and a negative one deletes. The errors are the
// same, and [ErrEncode]: then nothing changes.
func (t *Typed[V]) Set(key string, v V, ttl time.Duration) error { return t.Put(key, v, ttl) }

// Put is [Loader.Put]; its further error is [ErrEncode], as that of Set.
func (t *Typed[V]) Put(key string, v V, ttl time.Duration, tags ...string) error {
	if ttl < 0 {
		return t.Delete(key)
	}
	s, err := t.encode(key, v)
	if err != nil {
		return err
	}
	return t.loader.Put(key, s, ttl, tags...)
}

// Delete is [Loader.Delete].
func (t *Typed[V]) Delete(key string) error { return t.loader.Delete(key) }

// DeleteMany is [Loader.DeleteMany].
func (t *Typed[V]) DeleteMany(keys []string) error { return t.loader.DeleteMany(keys) }

// Clear is [Loader.Clear].
func (t *Typed[V]) Clear() error { return t.loader.Clear() }

// Stats is [Loader.Stats].
func (t *Typed[V]) Stats() LoaderStats { return t.loader.Stats() }

// All is [Bcache.All] for the keys that have the Prefix, without the Prefix. If a value can't be
// decoded, All has the one that stands beside it on this node. If that can't be decoded either, or there
// is none, the key is left out, and counted.
func (t *Typed[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for full, s := range t.loader.cache.All() {
			key, ok := strings.CutPrefix(full, t.loader.cfg.Prefix)
			if !ok {
				continue
			}
			v, err := t.listed(full, s)
			if err != nil {
				v, err = t.beside(full)
			}
			if err != nil {
				t.loader.figures.Undecodable.Add(1)
			} else if !yield(key, v) {
				return
			}
		}
	}
}

// beside returns the live value that stands beside what is held of a key.
func (t *Typed[V]) beside(full string) (v V, err error) {
	b := t.loader.cache
	rec, ok := b.store.Beside(full, b.wall())
	if !ok || rec.Kind != delta.KindValue || rec.Expired(b.wall()) {
		return v, ErrNotFound
	}
	return t.listed(full, rec.Val)
}

// Keys iterates over the keys that have the Prefix, without the Prefix, whether or not their values can
// be decoded.
func (t *Typed[V]) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for full := range t.loader.cache.Keys() {
			if key, ok := strings.CutPrefix(full, t.loader.cfg.Prefix); ok && !yield(key) {
				return
			}
		}
	}
}

// How a Typed writes values: whose values it can share with others, and how they are marked.

// A layout is the same for those Typeds that read each other's values.
type layout struct {
	typ     reflect.Type
	codec   any // the Codec, or the Typed itself if that can't be compared
	version string
}

func (t *Typed[V]) layout() layout {
	l := layout{reflect.TypeFor[V](), t.codec, t.version}
	if !reflect.ValueOf(t.codec).Comparable() {
		l.codec = t
	}
	return l
}

// A value of a Version begins with versionMark, which no text does, the length of the Version in a
// byte, and the Version. One without a Version begins with what was encoded; but if that begins with
// versionMark itself, it is marked with the empty Version.
const (
	versionMark = "\xff\x00bcache\xfe"
	maxVersion  = 255
)

var errMark = errors.New("the mark of its Version is broken")

func markVersion(version, s string) string {
	if version == "" && !strings.HasPrefix(s, versionMark) {
		return s
	}
	return versionMark + string([]byte{byte(len(version))}) + version + s
}

// unmarkVersion returns what was encoded, of a value of this Version.
func unmarkVersion(version, held string) (string, error) {
	s, marked := strings.CutPrefix(held, versionMark)
	is := ""
	if marked {
		if s == "" || len(s) < 1+int(s[0]) {
			return "", errMark
		}
		end := 1 + int(s[0])
		is, s = s[1:end], s[end:]
	}
	if is != version {
		return "", &versionError{is, version}
	}
	return s, nil
}

// A versionError is made for each look at a value of another Version, and seldom read.
type versionError struct{ is, want string }

func (e *versionError) Error() string { return fmt.Sprintf("its Version is %q, not %q", e.is, e.want) }

// guard calls a Codec, or another function of the user's, and makes an error of a panic.
func guard[T any](what string, call func() (T, error)) (v T, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		switch p := recover().(type) {
		case nil: // runtime.Goexit
		case error:
			err = fmt.Errorf("%s panicked: %w", what, p)
		default:
			err = fmt.Errorf("%s panicked: %v", what, p)
		}
	}()
	v, err = call()
	returned = true
	return v, err
}
