package dots

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/iwanbk/bcache/internal/delta"
)

// A Log remembers for recent dots which key and version they had, values
// excluded: from it a node answers a peer that missed some of them. Every
// processed dot is logged, whether it won, lost or was refused, so that an
// answer never skips one. What it doesn't hold it doesn't claim to know.
//
// Dots are kept in pages of consecutive seqs, the oldest page makes room for a
// new one. Beside each page stands which of its dots are known, so what is known of an
// interval takes a binary search, however many dots there may be. The log isn't locked.
type Log struct {
	pageSize uint64
	maxPages int
	origins  map[uint64]*logPages
	latest   *logPages // of the origin below, which was put last, and mostly is again; nil if there is none
	latestOf uint64
	order    []pageRef // a ring of maxPages, in order of creation
	head     int       // the oldest
	Records  int
	keyBytes int64
}

// maxLogKeyBytes bounds the keys that the log may keep alive. Keys of ordinary
// length never reach it.
const maxLogKeyBytes = 64 << 20

// maxPageSize is how many dots a mask has.
const maxPageSize = 64

type pageRef struct{ origin, page uint64 }

// logPages are the pages of an origin, ascending.
type logPages []logPage

// A logPage has the dots whose seq / pageSize is its number. At least one is known.
type logPage struct {
	number   uint64
	known    uint64 // a bit for each of its dots
	slots    logSlots
	keyBytes int64
}

// NewLog makes a log of at most size records.
func NewLog(size int) *Log {
	pageSize := min(max(size/16, 1), maxPageSize)
	return &Log{
		pageSize: uint64(pageSize),
		maxPages: max(size/pageSize, 1),
		origins:  map[uint64]*logPages{},
	}
}

// search returns the index of the first page whose number is at least this one, and whether it is
// this one.
func (ps logPages) search(number uint64) (i int, found bool) {
	if n := len(ps); n > 0 && ps[n-1].number <= number { // most often it is the last one
		if ps[n-1].number == number {
			return n - 1, true
		}
		return n, false
	}
	compare := func(p logPage, n uint64) int { return cmp.Compare(p.number, n) }
	return slices.BinarySearchFunc(ps, number, compare)
}

func (l *Log) pagesOf(origin uint64) logPages {
	if ps := l.origins[origin]; ps != nil {
		return *ps
	}
	return nil
}

// Put remembers the dot (origin, seq).
func (l *Log) Put(origin, seq uint64, rec *delta.Record) {
	p := l.page(origin, seq/l.pageSize)
	i := seq % l.pageSize
	bit := uint64(1) << i
	if p.known&bit == 0 {
		p.known |= bit
		l.Records++
	}
	grown := int64(len(rec.Key) - len(p.slots.keys[i]))
	p.keyBytes += grown
	l.keyBytes += grown
	p.slots.put(i, rec)
	for l.keyBytes > maxLogKeyBytes && len(l.origins) > 0 {
		l.dropOldest()
	}
}

// Get returns what is known of the dot (origin, seq).
func (l *Log) Get(origin, seq uint64) (slot LogSlot, ok bool) {
	ps := l.pagesOf(origin)
	if i, found := ps.search(seq / l.pageSize); found && ps[i].known>>(seq%l.pageSize)&1 != 0 {
		return ps[i].slots.get(seq % l.pageSize), true
	}
	return slot, false
}

// Next returns the first dot of origin within seq to to, both included, that is known.
func (l *Log) Next(origin, seq, to uint64) (at uint64, slot LogSlot, ok bool) {
	ps := l.pagesOf(origin)
	i, found := ps.search(seq / l.pageSize)
	if found && ps[i].known>>(seq%l.pageSize) == 0 {
		i, found = i+1, false // it has none from there on
	}
	if i == len(ps) || seq > to {
		return 0, slot, false
	}
	first := uint64(0)
	if found {
		first = seq % l.pageSize
	}
	first += uint64(bits.TrailingZeros64(ps[i].known >> first))
	if at = ps[i].number*l.pageSize + first; at > to {
		return 0, slot, false
	}
	return at, ps[i].slots.get(first), true
}

// Last returns the last dot of an interval that is known.
func (l *Log) Last(origin uint64, iv Interval) (at uint64, slot LogSlot, ok bool) {
	ps := l.pagesOf(origin)
	i, found := ps.search(iv.To / l.pageSize)
	known := uint64(0)
	if found {
		known = ps[i].known & upTo(iv.To%l.pageSize)
	}
	if known == 0 {
		if i == 0 {
			return 0, slot, false
		}
		i--
		known = ps[i].known
	}
	n := uint64(bits.Len64(known) - 1)
	if at = ps[i].number*l.pageSize + n; at <= iv.From {
		return 0, slot, false
	}
	return at, ps[i].slots.get(n), true
}

// upTo is a mask of the bits 0 to n.
func upTo(n uint64) uint64 { return ^uint64(0) >> (63 - n) }

// Knows reports whether some and whether all of an interval's dots are known.
func (l *Log) Knows(origin uint64, iv Interval) (some, all bool) {
	if iv.From >= iv.To {
		return false, true
	}
	at, _, some := l.Next(origin, iv.From+1, iv.To)
	if !some || at != iv.From+1 || iv.To-iv.From > uint64(l.Records) {
		return some, false
	}
	ps := l.pagesOf(origin)
	i, _ := ps.search(at / l.pageSize)
	for seq := at; ; i++ { // each page that is looked at has all that is wanted of it
		if i == len(ps) || ps[i].number != seq/l.pageSize {
			return true, false
		}
		end := min(iv.To, (seq/l.pageSize+1)*l.pageSize-1)
		want := upTo(end%l.pageSize) &^ (1<<(seq%l.pageSize) - 1)
		if ps[i].known&want != want {
			return true, false
		}
		if end == iv.To {
			return true, true
		}
		seq = end + 1
	}
}

// page returns a page, made if it isn't there. The pointer holds until the next change.
func (l *Log) page(origin, number uint64) *logPage {
	ps := l.latest
	if ps == nil || l.latestOf != origin {
		ps = l.origins[origin]
		l.latest, l.latestOf = ps, origin
	}
	if ps != nil {
		if i, found := ps.search(number); found {
			return &(*ps)[i]
		}
	}
	p := logPage{number: number}
	if l.pages() >= l.maxPages {
		old := l.dropOldest()
		p.slots = newLogSlots(origin, l.pageSize, &old)
		ps = l.origins[origin] // it may have been its last page
	} else {
		p.slots = newLogSlots(origin, l.pageSize, nil)
	}
	if ps == nil {
		ps = new(logPages)
		l.origins[origin] = ps
	}
	i, _ := ps.search(number)
	*ps = slices.Insert(*ps, i, p)
	l.order = append(l.order, pageRef{origin, number})
	return &(*ps)[i]
}

func (l *Log) pages() int { return len(l.order) - l.head }

// dropOldest forgets a page, of which there must be one, and returns its slots.
func (l *Log) dropOldest() logSlots {
	ref := l.order[l.head]
	l.head++
	if l.head > l.maxPages { // amortised: half of the slice is spent
		l.order = append(l.order[:0], l.order[l.head:]...)
		l.head = 0
	}
	ps := l.origins[ref.origin]
	i, _ := ps.search(ref.page)
	p := (*ps)[i]
	l.Records -= bits.OnesCount64(p.known)
	l.keyBytes -= p.keyBytes
	if i == 0 {
		(*ps)[0] = logPage{}
		*ps = (*ps)[1:] // the oldest is the first one, mostly: nothing is moved
	} else {
		*ps = slices.Delete(*ps, i, i+1)
	}
	if len(*ps) == 0 {
		delete(l.origins, ref.origin)
		if l.latestOf == ref.origin {
			l.latest = nil
		}
	}
	return p.slots
}

// Full reports whether the log has as many pages as it may have, so that the oldest are dropped.
func (l *Log) Full() bool { return l.pages() >= l.maxPages }
