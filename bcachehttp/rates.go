package bcachehttp

import "time"

// A rate is what a node did between two samples, per second.
type rate struct {
	at             time.Time // of the second one
	hitRatio       float64   // 0 to 1; 0 if there were no Gets
	gets, sets     float64
	deletes, fills float64
	in, out        float64 // bytes
	keys           int     // that it held then
}

// rates are those between samples, the oldest first.
func rates(list []*sample) []rate {
	all := make([]rate, 0, len(list))
	for i := 1; i < len(list); i++ {
		all = append(all, between(list[i-1], list[i]))
	}
	return all
}

func between(from, to *sample) rate {
	took := max(to.at.Sub(from.at), time.Millisecond).Seconds()
	a, b := &from.stats, &to.stats
	per := func(from, to uint64) float64 { return float64(gain(from, to)) / took }
	r := rate{
		at: to.at, gets: per(a.Hits+a.Misses, b.Hits+b.Misses), sets: per(a.Sets, b.Sets),
		deletes: per(a.Deletes, b.Deletes), fills: per(a.Fills, b.Fills),
		in: per(a.BytesIn, b.BytesIn), out: per(a.BytesOut, b.BytesOut), keys: b.Keys,
	}
	r.hitRatio = ratio(gain(a.Hits, b.Hits), gain(a.Misses, b.Misses))
	return r
}

// ratio is the part of the hits in all Gets, 0 to 1; 0 if there were none.
func ratio(hits, misses uint64) float64 {
	if hits == 0 {
		return 0
	}
	return float64(hits) / float64(hits+misses)
}

// gain is by how much a counter has grown. Counters that are read while they are counted up may be a
// little behind those that were read before.
func gain(from, to uint64) uint64 { return max(to, from) - from }
