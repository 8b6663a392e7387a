package bcache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// KeyErrors is the error of GetMany, and may be that of a FillMany: by key, why there is no value.
// errors.Is and errors.As look at each of them.
type KeyErrors map[string]error

// Error names the first of the keys.
func (e KeyErrors) Error() string {
	const shown = 3
	var lines []string
	for i, key := range slices.Sorted(maps.Keys(e)) {
		if i == shown {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-shown))
			break
		}
		lines = append(lines, fmt.Sprintf("%q: %v", key, e[key]))
	}
	return "bcache: no value of " + strings.Join(lines, "; ")
}

// Unwrap returns the errors by key, sorted.
func (e KeyErrors) Unwrap() (errs []error) {
	for _, key := range slices.Sorted(maps.Keys(e)) {
		errs = append(errs, e[key])
	}
	return errs
}

// GetMany is Get for many keys. All that aren't cached, and that nobody else is filling, are looked up
// by one call of FillMany; without one, by a Fill each, at once.
//
// The map has the values that there are; a key that isn't found is in neither it nor the
// error. The error is nil or a KeyErrors: for each other key, what Get would
// return. If ctx ends first, those keys have its error that had no value by then. A key that is
// given twice counts once.
func (l *Loader) GetMany(ctx context.Context, keys []string) (map[string]string, error) {
	values := make(map[string]string, len(keys))
	errs := KeyErrors{}
	put := func(key string, r Result) {
		switch l.counted(r); {
		case r.Err == nil || r.Stale:
			values[key] = r.Value
		case !errors.Is(r.Err, ErrNotFound):
			errs[key] = r.Err
		}
	}
	var due []string
	waits := map[string]*load{}
	var started []*load
	var r *run
	for _, key := range keys {
		if _, twice := waits[key]; twice {
			continue
		}
		if val, ok := l.fresh(key); ok {
			values[key] = val
			continue
		}
		full := l.cfg.Prefix + key
		res, v, answered := l.held(full)
		switch {
		case answered:
			put(key, res)
			if v.refreshes() {
				due = append(due, full)
			}
			continue
		case ctx.Err() != nil:
			errs[key] = ctx.Err()
			continue
		case r == nil:
			r = newRun(ctx, false)
		}
		ld, isNew := l.cache.loads.join(ctx, full, r, nil)
		if waits[key] = ld; isNew {
			started = append(started, ld)
		}
	}
	if len(due) > 0 {
		l.refresh(ctx, due...)
	}
	l.start(started)
	for key, ld := range waits {
		put(key, ld.wait(ctx))
	}
	if len(errs) > 0 {
		return values, errs
	}
	return values, nil
}

// workMany does the loads of a run that has several.
func (l *Loader) workMany(lds []*load) {
	end := func(lds []*load, result func(*load) Result) {
		for _, ld := range lds {
			l.cache.loads.end(ld, result(ld))
			l.endLease(ld)
		}
	}
	r := lds[0].run
	if l.cfg.ClusterWide {
		if lds = l.turns(lds); len(lds) == 0 {
			return
		}
	}
	if err := l.enter(r); err != nil {
		end(lds, func(*load) Result { return Result{Err: err} })
		return
	}
	defer l.exit()
	var missing []*load
	var keys []string
	for _, ld := range lds {
		if res, ok := l.found(ld); ok {
			end([]*load{ld}, func(*load) Result { return res })
			continue
		}
		missing = append(missing, ld)
		keys = append(keys, ld.key[len(l.cfg.Prefix):])
	}
	if len(missing) == 0 {
		return
	}
	full := make([]string, len(missing))
	fills := map[*load]*fill{}
	for i, ld := range missing {
		full[i] = ld.key
	}
	for i, f := range l.begin(r, full...) {
		fills[missing[i]] = f
	}
	ctx, cancel := r.fillContext(l.cfg.FillTimeout)
	defer cancel()
	values, err := contain(func() (map[string]Loaded, error) { return l.cfg.FillMany(ctx, slices.Clone(keys)) })
	end(missing, func(ld *load) Result {
		v, err := pick(values, err, ld.key[len(l.cfg.Prefix):])
		return l.settle(ld, fills[ld], v, err)
	})
}

// pick says what a FillMany has brought of a key.
func pick(values map[string]Loaded, err error, key string) (Loaded, error) {
	if v, ok := values[key]; ok {
		return v, nil
	}
	var errs KeyErrors
	switch {
	case err == nil:
		return Loaded{}, ErrNotFound
	case !errors.As(err, &errs):
		return Loaded{}, err
	case errs[key] != nil:
		return Loaded{}, errs[key]
	}
	return Loaded{}, ErrNotFound
}
