package bcache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/store"
)

// KeyErrors is the error of GetMany and DeleteMany, and may be that of a FillMany. For each key it says
// why there is no value, or why the key isn't deleted. errors.Is and errors.As look at each of its
// errors.
type KeyErrors map[string]error

// Error names the first of the keys. It cuts a key that is long.
func (e KeyErrors) Error() string {
	const (
		shown  = 3
		maxKey = 64 // bytes
	)
	var lines []string
	for i, key := range slices.Sorted(maps.Keys(e)) {
		if i == shown {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-shown))
			break
		}
		name := fmt.Sprintf("%q", key)
		if len(key) > maxKey {
			name = fmt.Sprintf("%q... (%d bytes)", key[:maxKey], len(key))
		}
		lines = append(lines, fmt.Sprintf("%s: %v", name, e[key]))
	}
	return "bcache: it failed for " + strings.Join(lines, "; ")
}

// Unwrap returns the errors by key, sorted.
func (e KeyErrors) Unwrap() (errs []error) {
	for _, key := range slices.Sorted(maps.Keys(e)) {
		errs = append(errs, e[key])
	}
	return errs
}

// maxFillsOfMany is how many Fills of one GetMany run at a time.
const maxFillsOfMany = 16

// GetMany is [Loader.Get] for many keys. All keys that aren't cached, and that nobody else is filling,
// are looked up by FillMany, at most BatchSize at a time and one call after the other. Without a
// FillMany they are looked up by a Fill each, at most 16 at a time.
//
// The map has the values that there are. A key that isn't found is neither in the map nor in the error.
// The error is nil or a [KeyErrors]: for each other key it has what Get would return. If ctx ends first,
// the keys that had no value by then have its error. A key that is given twice counts once.
func (l *Loader) GetMany(ctx context.Context, keys []string) (map[string]string, error) {
	return getMany(ctx, l, keys,
		func(e *store.Entry) (string, error) { return e.Val, nil },
		func(_ string, r reply) (string, error) { return r.Value, nil })
}

// getMany is GetMany of a Loader whose values are decoded: those that are fresh, and all others.
func getMany[V any](
	ctx context.Context, l *Loader, keys []string,
	decodeFresh func(*store.Entry) (V, error), decode func(key string, r reply) (V, error),
) (map[string]V, error) {
	values := make(map[string]V, len(keys))
	errs := KeyErrors{}
	put := func(key string, r reply) {
		l.counted(ctx, r.Result)
		if r.Err == nil || r.Stale {
			v, err := decode(key, r)
			if err == nil {
				values[key] = v
				return
			}
			r.Err = err
		}
		if !errors.Is(r.Err, ErrNotFound) {
			errs[key] = r.Err
		}
	}
	anew := l.anew(ctx)
	who := l.cache.loads.Caller(anew)
	var due, missing []string
	others := map[string]struct{}{} // that weren't fresh
	for _, key := range keys {
		if _, twice := values[key]; twice {
			continue
		}
		if _, twice := others[key]; twice {
			continue
		}
		if !anew {
			if e := l.view.Fresh(key); e != nil {
				if v, err := decodeFresh(e); err == nil {
					l.figures.Count(true)
					values[key] = v
					continue
				}
			}
		}
		others[key] = struct{}{}
		full := l.cfg.Prefix + key
		switch res, v, answered := l.held(full, anew); {
		case !answered:
			missing = append(missing, full)
		case v.Refreshes():
			due = append(due, full)
			fallthrough
		default:
			put(key, reply{Result: res})
		}
	}
	if len(due) > 0 {
		l.refreshes.start(ctx, due...)
	}
	l.waitMany(ctx, missing, who, func(full string, r reply) { put(l.unprefixed(full), r) })
	if len(errs) > 0 {
		return values, errs
	}
	return values, nil
}

// waitMany waits for the fills of many keys, all different, and begins those that are needed.
func (l *Loader) waitMany(
	ctx context.Context, full []string, who fill.Caller, put func(full string, r reply),
) {
	for len(full) > 0 {
		var again []string
		end := func(key string, r reply, ok bool) {
			if ok {
				put(key, r)
			} else {
				again = append(again, key)
			}
		}
		if l.cfg.FillMany == nil {
			l.waitEach(ctx, full, who, end)
		} else {
			l.waitBatches(ctx, full, who, end)
		}
		full = again
	}
}

// waitBatches waits for them, and says how each has ended, or that it isn't ok, see outcome. A key's
// load begins with its batch, so that who asks for that key alone needn't wait for those before it.
func (l *Loader) waitBatches(
	ctx context.Context, full []string, who fill.Caller, end func(full string, r reply, ok bool),
) {
	// that others fill, or that wait for a place: the next batch needn't wait for them
	var rest []*fill.Load
	wait := func(ld *fill.Load) {
		r, ok := l.outcome(ctx, ld, who)
		end(ld.Key, r, ok)
	}
	for batch := range slices.Chunk(full, l.cfg.BatchSize) {
		if err := ctx.Err(); err != nil {
			for _, key := range batch {
				end(key, failed(err), true)
			}
			continue
		}
		b := newLoadBatch(ctx, l, false)
		b.run.Anew = who.Anew
		var own []*fill.Load
		for _, key := range batch {
			switch ld := b.join(key); {
			case ld == nil:
				end(key, failed(ErrFillCycle), true)
			case ld.Run == b.run && ld.HasPlace():
				own = append(own, ld)
			default:
				rest = append(rest, ld)
			}
		}
		b.start()
		for _, ld := range own {
			wait(ld)
		}
	}
	for _, ld := range rest {
		wait(ld)
	}
}

// waitEach is waitBatches where there is a Fill for each key. end is left to the caller's goroutine, as
// it calls functions of the user's.
func (l *Loader) waitEach(
	ctx context.Context, full []string, who fill.Caller, end func(full string, r reply, ok bool),
) {
	type answer struct {
		key string
		reply
		ok bool
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var answers []answer
	var rest []*fill.Load
	tell := func(key string, r reply, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		answers = append(answers, answer{key, r, ok})
	}
	next := cursor{keys: full}
	for range min(maxFillsOfMany, len(full)) {
		wg.Go(func() {
			for keys := next.take(1); len(keys) > 0; keys = next.take(1) {
				if err := ctx.Err(); err != nil {
					tell(keys[0], failed(err), true)
					continue
				}
				ld, isNew := l.join(ctx, keys[0], who)
				if ld != nil && !isNew {
					mu.Lock()
					rest = append(rest, ld)
					mu.Unlock()
					continue
				}
				r, ok := l.outcome(ctx, ld, who)
				tell(keys[0], r, ok)
			}
		})
	}
	wg.Wait()
	for _, a := range answers {
		end(a.key, a.reply, a.ok)
	}
	for _, ld := range rest {
		r, ok := l.outcome(ctx, ld, who)
		end(ld.Key, r, ok)
	}
}

// pick says what a FillMany has brought of a key.
func pick(values map[string]Loaded, err error, key string) (Loaded, error) {
	v, ok := values[key]
	if ok && err == nil { // as a rule
		return v, nil
	}
	var errs KeyErrors
	is := errors.As(err, &errs)
	switch {
	case ok && !errors.Is(errs[key], ErrNotFound):
		return v, nil
	case err == nil:
		return Loaded{}, ErrNotFound
	case !is:
		return Loaded{}, err
	case errs[key] != nil: // that it has no value may have tags
		return Loaded{Tags: v.Tags}, errs[key]
	}
	return Loaded{}, ErrNotFound
}
