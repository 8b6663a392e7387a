package fill

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// A Policy is what a Loader does with what the cache holds, and what it writes: pure
// functions of times.
type Policy struct {
	Ttl, NegativeTTL      time.Duration
	Jitter, RefreshAhead  float64
	StaleForMs, OnErrorMs int64 // StaleFor and StaleOnErrorFor

	// Local: what a fill brings stays on this node, and never takes the place of a record that is live.
	Local bool
}

// A Verdict says what to do about a Get.
type Verdict uint8

const (
	VerdictFill     Verdict = iota // nothing is held that may be served: fill, and wait
	VerdictServe                   // serve what is held
	VerdictRefresh                 // serve it, and fill in the background
	VerdictStale                   // the same, and it is stale
	VerdictFallback                // fill, and wait; serve what is held if that fails
	VerdictMissing                 // there is known to be no value
)

// Refreshes reports whether it goes with a fill in the background, once it can be served.
func (v Verdict) Refreshes() bool {
	return v == VerdictRefresh || v == VerdictStale || v == VerdictFallback
}

// Judge says what to do with what is held of a key. How long a stale value may be served at
// all, the value says; the policy, in which way.
func (p *Policy) Judge(rec *delta.Record, held bool, wall int64) Verdict {
	switch {
	case !held || rec.Kind != delta.KindValue && rec.Kind != delta.KindNegative:
		return VerdictFill
	case rec.Kind == delta.KindNegative:
		if rec.Expired(wall) {
			return VerdictFill
		}
		return VerdictMissing
	case !rec.Expired(wall):
		if rec.RefreshFrom != 0 && wall >= rec.RefreshFrom && (!p.Local || rec.Provisional) {
			return VerdictRefresh
		}
		return VerdictServe
	case wall >= rec.StaleUntil:
		return VerdictFill
	case wall < rec.Deadline+p.StaleForMs:
		return VerdictStale
	case wall < rec.Deadline+p.OnErrorMs:
		return VerdictFallback
	}
	return VerdictFill
}

// Value returns what a fill that ends now writes; a ttl of 0 is the usual one. shorter is the part of
// Jitter that is taken off the TTL, 0 to 1. ok is false if nothing is to be written.
func (p *Policy) Value(
	now time.Time, key, val string, ttl time.Duration, shorter float64,
) (rec delta.Record, ok bool) {
	switch {
	case ttl < 0:
		return delta.Record{}, false
	case ttl == 0:
		ttl = p.Ttl
	}
	rec = delta.Record{Key: key, Val: val}
	ttl = p.shorten(ttl, shorter)
	if rec.Deadline = delta.DeadlineAt(now, ttl); rec.Deadline == 0 {
		return rec, true
	}
	if p.RefreshAhead > 0 {
		rec.RefreshFrom = rec.Deadline - max(int64(p.RefreshAhead*float64(ttl.Milliseconds())), 1)
	}
	if stale := max(p.StaleForMs, p.OnErrorMs); stale > 0 {
		rec.StaleUntil = rec.Deadline + stale
	}
	return rec, true
}

// Missing returns what a fill that ends now writes for a key without a value. If that isn't
// remembered, what is held must go nevertheless.
func (p *Policy) Missing(now time.Time, key string, shorter float64) delta.Record {
	if p.NegativeTTL == 0 {
		return delta.Record{Key: key, Kind: delta.KindTombstone}
	}
	ttl := p.shorten(p.NegativeTTL, shorter)
	return delta.Record{Key: key, Kind: delta.KindNegative, Deadline: delta.DeadlineAt(now, ttl)}
}

func (p *Policy) shorten(ttl time.Duration, by float64) time.Duration {
	if ttl == delta.NoExpiry || p.Jitter == 0 {
		return ttl
	}
	return max(ttl-time.Duration(p.Jitter*by*float64(ttl)), time.Millisecond)
}
