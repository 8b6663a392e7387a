package store

import (
	"iter"
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/delta"
)

// dueClears are Clears by which a shard wasn't cleared yet, sorted for that. Nothing of it changes.
type dueClears struct {
	from, to uint64 // their numbers
	each     []clearEvent
	prefixes duePrefixes
}

// sortedClears are the last many that were sorted. After thousands of Clears that takes long, and shards
// are mostly behind by the same ones.
type sortedClears struct{ last atomic.Pointer[dueClears] }

// of sorts some of the events.
func (x *sortedClears) of(due []clearEvent) dueClears {
	if len(due) <= fewClears {
		return sortClears(due)
	}
	from, to := due[0].number, due[len(due)-1].number
	if d := x.last.Load(); d != nil && d.from == from && d.to == to {
		return *d
	}
	d := sortClears(due)
	x.last.Store(&d)
	return d
}

// forget is called when some of them are forgotten.
func (x *sortedClears) forget() { x.last.Store(nil) }

func sortClears(due []clearEvent) dueClears {
	each := oneOfEach(due)
	return dueClears{due[0].number, due[len(due)-1].number, each, prefixesOf(each)}
}

// fewClears is how many cost less one by one than it takes to see which are about the same.
const fewClears = 2 * numRecent

// oneOfEach returns, of many Clears, one for each selector: the last one, with the greatest version.
func oneOfEach(events []clearEvent) []clearEvent {
	if len(events) <= fewClears {
		return events
	}
	at := make(map[delta.Selector]int, len(events))
	var each []clearEvent
	for _, e := range events {
		i, ok := at[e.Selector]
		if !ok {
			at[e.Selector] = len(each)
			each = append(each, e)
			continue
		}
		if e.Version.Less(each[i].Version) {
			e.Version = each[i].Version
		}
		each[i] = e
	}
	return each
}

// duePrefixes are those of the Clears by which a shard wasn't cleared yet.
type duePrefixes struct {
	clears  map[string][]*clearEvent // by prefix; nil if there are none
	lengths map[int]bool
}

func isOfPrefix(e clearEvent) bool { return isPrefix(e.Selector) }

func prefixesOf(due []clearEvent) (p duePrefixes) {
	for i := range due {
		prefix, ok := due[i].Prefix()
		if !ok {
			continue
		}
		if p.clears == nil {
			p.clears, p.lengths = map[string][]*clearEvent{}, map[int]bool{}
		}
		p.clears[prefix], p.lengths[len(prefix)] = append(p.clears[prefix], &due[i]), true
	}
	return p
}

// of yields the Clears whose prefixes a key has.
func (p *duePrefixes) of(key string) iter.Seq[*clearEvent] {
	return func(yield func(*clearEvent) bool) {
		for n := range p.lengths {
			if n > len(key) {
				continue
			}
			for _, x := range p.clears[key[:n]] {
				if !yield(x) {
					return
				}
			}
		}
	}
}

// clear returns a Clear by which an entry goes, or nil.
func (p *duePrefixes) clear(e *Entry) *clearEvent {
	for x := range p.of(e.Key) {
		if x.clears(e) {
			return x
		}
	}
	return nil
}

// above reports whether one of the Clears isn't below a stamp of a key.
func (p *duePrefixes) above(key string, stamp uint64) bool {
	for x := range p.of(key) {
		if stamp <= x.Stamp {
			return true
		}
	}
	return false
}
