package bcache

import "time"

// A loadPolicy is what a Loader does with what the cache holds, and what it writes: pure
// functions of times.
type loadPolicy struct {
	ttl, negativeTTL      time.Duration
	jitter, refreshAhead  float64
	staleForMs, onErrorMs int64 // StaleFor and StaleOnErrorFor
}

// A verdict says what to do about a Get.
type verdict uint8

const (
	verdictFill     verdict = iota // nothing is held that may be served: fill, and wait
	verdictServe                   // serve what is held
	verdictRefresh                 // serve it, and fill in the background
	verdictStale                   // the same, and it is stale
	verdictFallback                // fill, and wait; serve what is held if that fails
	verdictMissing                 // there is known to be no value
)

// refreshes reports whether it goes with a fill in the background, once it can be served.
func (v verdict) refreshes() bool {
	return v == verdictRefresh || v == verdictStale || v == verdictFallback
}

// judge says what to do with what is held of a key. How long a stale value may be served at
// all, the value says; the policy, in which way.
func (p *loadPolicy) judge(rec *record, held bool, wall int64) verdict {
	switch {
	case !held || rec.kind != kindValue && rec.kind != kindNegative:
		return verdictFill
	case rec.kind == kindNegative:
		if rec.expired(wall) {
			return verdictFill
		}
		return verdictMissing
	case !rec.expired(wall):
		if rec.refreshFrom != 0 && wall >= rec.refreshFrom {
			return verdictRefresh
		}
		return verdictServe
	case wall >= rec.staleUntil:
		return verdictFill
	case wall < rec.deadline+p.staleForMs:
		return verdictStale
	case wall < rec.deadline+p.onErrorMs:
		return verdictFallback
	}
	return verdictFill
}

// value returns what a fill that ends now writes; a ttl of 0 is the usual one. shorter is the part of
// Jitter that is taken off the TTL, 0 to 1. ok is false if nothing is to be written.
func (p *loadPolicy) value(
	now time.Time, key, val string, ttl time.Duration, shorter float64,
) (rec record, ok bool) {
	switch {
	case ttl < 0:
		return record{}, false
	case ttl == 0:
		ttl = p.ttl
	}
	rec = record{key: key, val: val}
	ttl = p.shorten(ttl, shorter)
	if rec.deadline = deadlineAt(now, ttl); rec.deadline == 0 {
		return rec, true
	}
	if p.refreshAhead > 0 {
		rec.refreshFrom = rec.deadline - max(int64(p.refreshAhead*float64(ttl.Milliseconds())), 1)
	}
	if stale := max(p.staleForMs, p.onErrorMs); stale > 0 {
		rec.staleUntil = rec.deadline + stale
	}
	return rec, true
}

// missing returns what a fill that ends now writes for a key without a value. If that isn't
// remembered, what is held must go nevertheless.
func (p *loadPolicy) missing(now time.Time, key string, shorter float64) record {
	if p.negativeTTL == 0 {
		return record{key: key, kind: kindTombstone}
	}
	ttl := p.shorten(p.negativeTTL, shorter)
	return record{key: key, kind: kindNegative, deadline: deadlineAt(now, ttl)}
}

func (p *loadPolicy) shorten(ttl time.Duration, by float64) time.Duration {
	if ttl == noExpiry || p.jitter == 0 {
		return ttl
	}
	return max(ttl-time.Duration(p.jitter*by*float64(ttl)), time.Millisecond)
}
