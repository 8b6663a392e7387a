package dots

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// A LogSlot is what is known of one dot.
type LogSlot struct {
	Key string
	delta.Version
	Kind delta.Kind
}

// logSlots are the slots of a page, of one origin, field by field: so they take no more than the fields do,
// 25 bytes each.
type logSlots struct {
	origin uint64
	keys   []string
	stamps []uint64
	kinds  []delta.Kind

	// The origins of the versions, or nil: as a rule a dot and the version that it wrote have the same one.
	origins []uint64
}

// newLogSlots makes n slots, or clears old ones, if there are any: their memory will do.
func newLogSlots(origin uint64, n uint64, old *logSlots) logSlots {
	if old == nil {
		old = &logSlots{keys: make([]string, n), stamps: make([]uint64, n), kinds: make([]delta.Kind, n)}
	}
	clear(old.keys)
	return logSlots{origin: origin, keys: old.keys, stamps: old.stamps, kinds: old.kinds}
}

// get returns slot i, in which something was put.
func (s *logSlots) get(i uint64) LogSlot {
	v := delta.Version{Stamp: s.stamps[i], Origin: s.origin}
	if s.origins != nil {
		v.Origin = s.origins[i]
	}
	return LogSlot{s.keys[i], v, s.kinds[i]}
}

func (s *logSlots) put(i uint64, rec *delta.Record) {
	s.keys[i], s.stamps[i], s.kinds[i] = rec.Key, rec.Stamp, rec.Kind
	if s.origins == nil && rec.Origin != s.origin {
		s.origins = make([]uint64, len(s.keys))
		for i := range s.origins {
			s.origins[i] = s.origin
		}
	}
	if s.origins != nil {
		s.origins[i] = rec.Origin
	}
}
