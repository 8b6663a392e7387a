package bcache

// A deltaLog remembers for recent dots which key and version they had, values
// excluded: from it a node answers a peer that missed some of them. Every
// processed dot is logged, whether it won, lost or was refused, so that an
// answer never skips one. What it doesn't hold it doesn't claim to know.
//
// Dots are kept in pages of consecutive seqs, the oldest page makes room for a
// new one. The log isn't locked.
type deltaLog struct {
	pageSize uint64
	maxPages int
	origins  map[uint64]map[uint64]*logPage // by origin, then by seq / pageSize
	order    []pageRef                      // a ring of maxPages, in order of creation
	head     int                            // the oldest
	records  int
	keyBytes int64
}

// maxLogKeyBytes bounds the keys that the log may keep alive. Keys of ordinary
// length never reach it.
const maxLogKeyBytes = 64 << 20

type pageRef struct{ origin, page uint64 }

type logPage struct {
	slots    []logSlot
	records  int
	keyBytes int64
}

// A logSlot is what is known of one dot. A zero version means nothing is.
type logSlot struct {
	key string
	version
	kind kind
}

// newDeltaLog makes a log of at most size records.
func newDeltaLog(size int) *deltaLog {
	pageSize := min(max(size/16, 1), 64)
	return &deltaLog{
		pageSize: uint64(pageSize),
		maxPages: max(size/pageSize, 1),
		origins:  map[uint64]map[uint64]*logPage{},
	}
}

// put remembers the dot (origin, seq).
func (l *deltaLog) put(origin, seq uint64, rec *record) {
	p := l.page(origin, seq/l.pageSize)
	slot := &p.slots[seq%l.pageSize]
	if slot.version == (version{}) {
		p.records++
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
func (l *deltaLog) get(origin, seq uint64) (logSlot, bool) {
	p := l.origins[origin][seq/l.pageSize]
	if p == nil {
		return logSlot{}, false
	}
	slot := p.slots[seq%l.pageSize]
	return slot, slot.version != version{}
}

// next returns the first dot of origin within seq to to, both included, that is known.
func (l *deltaLog) next(origin, seq, to uint64) (at uint64, slot logSlot, ok bool) {
	pages := l.origins[origin]
	for seq <= to {
		p := pages[seq/l.pageSize]
		if p == nil {
			number, ok := pageAfter(pages, seq/l.pageSize)
			if !ok {
				break
			}
			seq = number * l.pageSize
			continue
		}
		if slot := p.slots[seq%l.pageSize]; slot.version != (version{}) {
			return seq, slot, true
		}
		seq++
	}
	return 0, logSlot{}, false
}

// pageAfter returns the number of the first page after one. There may be any number of
// dots in between: they aren't counted through.
func pageAfter(pages map[uint64]*logPage, after uint64) (number uint64, ok bool) {
	for n := range pages {
		if n > after && (!ok || n < number) {
			number, ok = n, true
		}
	}
	return number, ok
}

// last returns the last dot of an interval that is known.
func (l *deltaLog) last(origin uint64, iv interval) (at uint64, slot logSlot, ok bool) {
	pages := l.origins[origin]
	for seq := iv.to; seq > iv.from; {
		p := pages[seq/l.pageSize]
		if p == nil {
			number, ok := pageBefore(pages, seq/l.pageSize)
			if !ok {
				break
			}
			seq = number*l.pageSize + l.pageSize - 1
			continue
		}
		if slot := p.slots[seq%l.pageSize]; slot.version != (version{}) {
			return seq, slot, true
		}
		seq--
	}
	return 0, logSlot{}, false
}

// pageBefore returns the number of the last page before one.
func pageBefore(pages map[uint64]*logPage, before uint64) (number uint64, ok bool) {
	for n := range pages {
		if n < before && (!ok || n > number) {
			number, ok = n, true
		}
	}
	return number, ok
}

// knows reports whether some and whether all of an interval's dots are known.
func (l *deltaLog) knows(origin uint64, iv interval) (some, all bool) {
	if iv.from >= iv.to {
		return false, true
	}
	if iv.to-iv.from > uint64(l.records) {
		_, _, some = l.next(origin, iv.from+1, iv.to)
		return some, false
	}
	all = true
	for seq := iv.from + 1; seq <= iv.to; {
		p := l.origins[origin][seq/l.pageSize]
		if p != nil && p.records == len(p.slots) {
			some = true
			seq = (seq/l.pageSize + 1) * l.pageSize
			continue
		}
		if p != nil && p.slots[seq%l.pageSize].version != (version{}) {
			some = true
		} else {
			all = false
		}
		if some && !all {
			return some, all
		}
		seq++
	}
	return some, all
}

func (l *deltaLog) page(origin, number uint64) *logPage {
	pages := l.origins[origin]
	if p := pages[number]; p != nil {
		return p
	}
	var p *logPage
	if l.pages() >= l.maxPages {
		p = l.dropOldest() // its memory will do
		*p = logPage{slots: p.slots}
		clear(p.slots)
		pages = l.origins[origin] // it may have been its last page
	} else {
		p = &logPage{slots: make([]logSlot, l.pageSize)}
	}
	if pages == nil {
		pages = map[uint64]*logPage{}
		l.origins[origin] = pages
	}
	pages[number] = p
	l.order = append(l.order, pageRef{origin, number})
	return p
}

func (l *deltaLog) pages() int { return len(l.order) - l.head }

// dropOldest forgets a page, of which there must be one, and returns it.
func (l *deltaLog) dropOldest() *logPage {
	ref := l.order[l.head]
	l.head++
	if l.head > l.maxPages { // amortised: half of the slice is spent
		l.order = append(l.order[:0], l.order[l.head:]...)
		l.head = 0
	}
	pages := l.origins[ref.origin]
	p := pages[ref.page]
	l.records -= p.records
	l.keyBytes -= p.keyBytes
	delete(pages, ref.page)
	if len(pages) == 0 {
		delete(l.origins, ref.origin)
	}
	return p
}
