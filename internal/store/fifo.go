package store

// A fifo is the order of a shard by S3-FIFO, see s3fifo: three queues. An entry's word says in which one
// it is, where, and how often it was used since it came there, up to 3.
type fifo struct {
	index  *index
	policy *s3fifo // of all shards
	rings  [inMain + 1]ring
}

// The queues.
const (
	inSmall  = iota // what was written here and not used since
	inRemote        // the same, written by other nodes
	inMain          // what was used
)

// The parts of Entry.used.
const (
	countBits  = 3
	queueShift = 2
	queueBits  = 3 << queueShift
	placeShift = 4                  // above lies the number of the place in the ring
	placeBits  = ^uint32(countBits) // queue and number
)

// add queues a new entry: what went unused, and came back soon, was taken for worse than it is.
func (f *fifo) add(hash uint64, e *Entry, local bool) {
	queue := inRemote
	if local {
		queue = inSmall
		if f.policy.ghosts.take(f.policy.table.number(hash), tagOf(hash)) {
			queue = inMain
		}
	}
	f.push(tagOf(hash), e, queue, 0)
}

// push puts an entry at the end of a queue.
func (f *fifo) push(t tag, e *Entry, queue int, count uint32) {
	r := &f.rings[queue]
	if r.full() {
		f.makeCell(queue)
	}
	number := r.push(t, f.policy.clock.Add(1))
	e.used.Store(place(queue, number) | count)
	f.policy.queued[queue].Add(1)
}

// makeCell makes room in a queue that is full.
func (f *fifo) makeCell(queue int) {
	r := &f.rings[queue]
	if !r.sparse() {
		r.grow()
		return
	}
	r.close(func(t tag, from, to uint32) {
		e := f.index.at(t, place(queue, from))
		e.used.Store(e.used.Load()&countBits | place(queue, to))
	})
}

// place is what an entry's word has of its place.
func place(queue int, number uint32) uint32 { return number<<placeShift | uint32(queue)<<queueShift }

func (f *fifo) use(_ tag, e *Entry) { e.countUse() }

func (f *fifo) remove(_ tag, e *Entry) {
	queue := e.queue()
	f.rings[queue].remove(e.used.Load() >> placeShift)
	f.policy.queued[queue].Add(-1)
}

// step looks at the entry that is next in a queue, which isn't empty. If it was used it goes to the end
// of main, unless it is to be given up anyway; if not, it is the victim.
func (f *fifo) step(queue int, anyway bool) (victim *Entry, t tag) {
	r := &f.rings[queue]
	t = *r.cell(r.head)
	e := f.index.at(t, place(queue, r.head))
	count := e.used.Load() & countBits
	if count == 0 || anyway {
		return e, t
	}
	if queue != inMain {
		count = 1
	}
	f.remove(t, e)
	f.push(t, e, inMain, count-1)
	return nil, 0
}

// next is the queue that is to give something up.
func (f *fifo) next() int {
	return nextQueue(int64(f.rings[inSmall].n), int64(f.rings[inRemote].n), int64(f.rings[inMain].n))
}

// trim gives back what empty queues take.
func (f *fifo) trim() {
	for i := range f.rings {
		if r := &f.rings[i]; r.n == 0 {
			*r = ring{timed: r.timed}
		}
	}
}

func (f *fifo) clear() {
	for i := range f.rings {
		f.rings[i] = ring{timed: f.rings[i].timed}
	}
}
