package bcache

import (
	"cmp"
	"math/bits"
	"slices"
)

// A deltaLog remembers for recent dots which key and version they had, values
// excluded: from it a node answers a peer that missed some of them. Every
// processed dot is logged, whether it won, lost or was refused, so that an
// answer never skips one. What it doesn't hold it doesn't claim to know.
//
// Dots are kept in pages of consecutive seqs, the oldest page makes room for a
// new one. Beside each page stands which of its dots are known, so what is known of an
// interval takes a binary search, however many dots there may be. The log isn't locked.
type deltaLog struct {
	pageSize uint64
	maxPages int
	origins  map[uint64]*logPages
	order    []pageRef // a ring of maxPages, in order of creation
	head     int       // the oldest
	records  int
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
	slots    []logSlot
	keyBytes int64
}

// A logSlot is what is known of one dot.
type logSlot struct {
	key string
	version
	kind kind
}

// newDeltaLog makes a log of at most size records.
func newDeltaLog(size int) *deltaLog {
	pageSize := min(max(size/16, 1), maxPageSize)
	return &deltaLog{
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

func (l *deltaLog) pagesOf(origin uint64) logPages {
	if ps := l.origins[origin]; ps != nil {
		return *ps
	}
	return nil
}

// put remembers the dot (origin, seq).
func (l *deltaLog) put(origin, seq uint64, rec *record) {
	p := l.page(origin, seq/l.pageSize)
	slot, bit := &p.slots[seq%l.pageSize], uint64(1)<<(seq%l.pageSize)
	if p.known&bit == 0 {
		p.known |= bit
		l.records++
	}
	grown := int64(len(rec.key) - len(slot.key))
	p.keyBytes += grown
	l.keyBytes += grown
	*slot = logSlot{key: rec.key, version: rec.version, kind: rec.kind}
	for l.keyBytes > maxLogKeyBytes && len(l.origins) > 0 {
		l.dropOldest()
	}
}

// get returns what is known of the dot (origin, seq).
func (l *deltaLog) get(origin, seq uint64) (slot logSlot, ok bool) {
	ps := l.pagesOf(origin)
	if i, found := ps.search(seq / l.pageSize); found && ps[i].known>>(seq%l.pageSize)&1 != 0 {
		return ps[i].slots[seq%l.pageSize], true
	}
	return slot, false
}

// next returns the first dot of origin within seq to to, both included, that is known.
func (l *deltaLog) next(origin, seq, to uint64) (at uint64, slot logSlot, ok bool) {
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
	return at, ps[i].slots[first], true
}

// last returns the last dot of an interval that is known.
func (l *deltaLog) last(origin uint64, iv interval) (at uint64, slot logSlot, ok bool) {
	ps := l.pagesOf(origin)
	i, found := ps.search(iv.to / l.pageSize)
	known := uint64(0)
	if found {
		known = ps[i].known & upTo(iv.to%l.pageSize)
	}
	if known == 0 {
		if i == 0 {
			return 0, slot, false
		}
		i--
		known = ps[i].known
	}
	n := uint64(bits.Len64(known) - 1)
	if at = ps[i].number*l.pageSize + n; at <= iv.from {
		return 0, slot, false
	}
	return at, ps[i].slots[n], true
}

// upTo is a mask of the bits 0 to n.
func upTo(n uint64) uint64 { return ^uint64(0) >> (63 - n) }

// knows reports whether some and whether all of an interval's dots are known.
func (l *deltaLog) knows(origin uint64, iv interval) (some, all bool) {
	if iv.from >= iv.to {
		return false, true
	}
	at, _, some := l.next(origin, iv.from+1, iv.to)
	if !some || at != iv.from+1 || iv.to-iv.from > uint64(l.records) {
		return some, false
	}
	ps := l.pagesOf(origin)
	i, _ := ps.search(at / l.pageSize)
	for seq := at; ; i++ { // each page that is looked at has all that is wanted of it
		if i == len(ps) || ps[i].number != seq/l.pageSize {
			return true, false
		}
		end := min(iv.to, (seq/l.pageSize+1)*l.pageSize-1)
		want := upTo(end%l.pageSize) &^ (1<<(seq%l.pageSize) - 1)
		if ps[i].known&want != want {
			return true, false
		}
		if end == iv.to {
			return true, true
		}
		seq = end + 1
	}
}

// page returns a page, made if it isn't there. The pointer holds until the next change.
func (l *deltaLog) page(origin, number uint64) *logPage {
	ps := l.origins[origin]
	if ps != nil {
		if i, found := ps.search(number); found {
			return &(*ps)[i]
		}
	}
	p := logPage{number: number}
	if l.pages() >= l.maxPages {
		p.slots = l.dropOldest() // their memory will do
		clear(p.slots)
		ps = l.origins[origin] // it may have been its last page
	} else {
		p.slots = make([]logSlot, l.pageSize)
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

func (l *deltaLog) pages() int { return len(l.order) - l.head }

// dropOldest forgets a page, of which there must be one, and returns its slots.
func (l *deltaLog) dropOldest() []logSlot {
	ref := l.order[l.head]
	l.head++
	if l.head > l.maxPages { // amortised: half of the slice is spent
		l.order = append(l.order[:0], l.order[l.head:]...)
		l.head = 0
	}
	ps := l.origins[ref.origin]
	i, _ := ps.search(ref.page)
	p := (*ps)[i]
	l.records -= bits.OnesCount64(p.known)
	l.keyBytes -= p.keyBytes
	if i == 0 {
		(*ps)[0] = logPage{}
		*ps = (*ps)[1:] // the oldest is the first one, mostly: nothing is moved
	} else {
		*ps = slices.Delete(*ps, i, i+1)
	}
	if len(*ps) == 0 {
		delete(l.origins, ref.origin)
	}
	return p.slots
}

// full reports whether the log has as many pages as it may have, so that the oldest are dropped.
func (l *deltaLog) full() bool { return l.pages() >= l.maxPages }
