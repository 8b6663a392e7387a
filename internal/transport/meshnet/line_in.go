package meshnet

import (
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
)

// lineHead is how much of an item tells what it is.
const lineHead = 256

// A lineIn is what has come in by a line.
type lineIn struct {
	got, told uint64      // bytes, and those that were acknowledged
	parts     [2]linePart // frames of which pieces have come: of each lane one
}

// A linePart is a frame that has come in part.
type linePart struct {
	id    uint64
	kind  byte
	total int
	data  []byte
}

// due reports whether it is time to acknowledge.
func (in *lineIn) due() bool { return in.got-in.told >= flowAck }

func (in *lineIn) acknowledge() uint64 {
	in.told = in.got
	return in.got
}

// take adds a piece to what has come. It returns the item if it is complete, and otherwise, if it is
// bulk, the beginning of it. What makes no sense it forgets.
func (in *lineIn) take(p linePiece) (item, head []byte) {
	part := &in.parts[p.id&1]
	switch {
	case p.total > maxItem || len(p.data) == 0 || p.offset+len(p.data) > p.total:
		return nil, nil
	case p.offset == 0:
		*part = linePart{id: p.id, kind: p.kind, total: p.total}
	case part.id != p.id || part.kind != p.kind || part.total != p.total || len(part.data) != p.offset:
		return nil, nil
	}
	part.data = append(part.data, p.data...) // no more memory than has come
	if len(part.data) < part.total {
		if p.id&1 == laneBulk {
			head = part.data[:min(len(part.data), lineHead)]
		}
		return nil, head
	}
	item = part.data
	*part = linePart{}
	return item, nil
}

// received notes that a message has come in and was dealt with, and has the line acknowledge it.
func (l *meshLine) received(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.in.got += uint64(bytes); l.in.due() {
		signal.Notify(l.room)
		l.start()
	}
}

// take is lineIn.take.
func (l *meshLine) take(p linePiece) (item, head []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.in.take(p)
}

// A lineRest is what a connection leaves to the next one with the same life of the node: bulk that was
// under way.
type lineRest struct {
	origin uint64
	at     time.Time
	out    []lineItem
	in     linePart
}

// rest ends a line and returns what another connection can go on with.
func (l *meshLine) rest() (r lineRest, some bool) {
	l.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	r = lineRest{at: time.Now(), out: l.kept, in: l.in.parts[laneBulk]}
	return r, len(r.out) > 0 || len(r.in.data) > 0
}

// inherit takes over what the last connection has left.
func (l *meshLine) inherit(r lineRest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept, l.in.parts[laneBulk] = r.out, r.in
}

// has says how much has come of a bulk item that isn't complete.
func (l *meshLine) has() (id uint64, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := &l.in.parts[laneBulk]
	return part.id, len(part.data)
}

// resume goes on with the bulk item that was under way, if the other side has a part of it.
func (l *meshLine) resume(id uint64, has int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, bulk := l.kept, &l.queue.lanes[laneBulk]
	l.kept = nil
	i := slices.IndexFunc(kept, func(it lineItem) bool { return it.id == id })
	if i < 0 || l.broken || bulk.sent > 0 || has <= 0 || has >= len(kept[i].bytes) {
		return
	}
	l.queue.resume(kept[i], has)
	l.start()
}
