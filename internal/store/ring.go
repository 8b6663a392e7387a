package store

// A ring is a queue of tags. The place of each has a number, which only grows, modulo 2^28; what is
// taken out of its midst leaves a hole. It holds no pointers, so that the collector has nothing to do
// for it.
//
// Its memory is a power of two of cells, and a number modulo that is its cell: so no number changes when
// it grows.
type ring struct {
	cells      []tag    // 0 is a hole
	born       []uint32 // when each came, by some clock; nil if nobody asks
	timed      bool     // somebody asks
	head, tail uint32   // the numbers of the oldest, which isn't a hole, and of the next
	n          int      // tags
}

const (
	numberMask = 1<<28 - 1
	minCells   = 8
)

// next is the number that follows a number.
func next(number uint32) uint32 { return (number + 1) & numberMask }

// span is how many cells lie from head to tail, holes included.
func (r *ring) span() int { return int((r.tail - r.head) & numberMask) }

func (r *ring) cell(number uint32) *tag { return &r.cells[number&uint32(len(r.cells)-1)] }

// bornAt returns when the oldest came, if the ring is timed.
func (r *ring) bornAt() uint32 { return r.bornOf(r.head) }

// bornOf returns when what has a number came, or 0.
func (r *ring) bornOf(number uint32) uint32 {
	if !r.timed {
		return 0
	}
	return r.born[number&uint32(len(r.born)-1)]
}

// full reports whether all cells are in use, be it by holes.
func (r *ring) full() bool { return r.span() == len(r.cells) }

// sparse reports whether more than a quarter of the cells are holes, when it is full.
func (r *ring) sparse() bool { return r.n > 0 && r.n*4 < len(r.cells)*3 }

// push adds a tag and returns its number. The ring isn't full.
func (r *ring) push(t tag, born uint32) (number uint32) {
	number = r.tail
	r.set(number, t, born)
	r.tail = next(number)
	r.n++
	return number
}

func (r *ring) set(number uint32, t tag, born uint32) {
	*r.cell(number) = t
	if r.timed {
		r.born[number&uint32(len(r.born)-1)] = born
	}
}

// remove removes what has a number.
func (r *ring) remove(number uint32) {
	*r.cell(number) = 0
	r.n--
	for r.head != r.tail && *r.cell(r.head) == 0 {
		r.head = next(r.head)
	}
	r.shrink()
}

// shrink gives memory back of which hardly any is in use.
func (r *ring) shrink() {
	n := len(r.cells)
	for n > minCells && r.span()*4 <= n {
		n /= 2
	}
	if n < len(r.cells) {
		r.resize(n)
	}
}

// grow doubles its memory.
func (r *ring) grow() { r.resize(max(2*len(r.cells), minCells)) }

func (r *ring) resize(n int) {
	old := *r
	r.cells = make([]tag, n)
	if r.timed {
		r.born = make([]uint32, n)
	}
	for number := old.head; number != old.tail; number = next(number) {
		r.set(number, *old.cell(number), old.bornOf(number))
	}
}

// close closes the holes: what lies behind them gets other numbers, of which moved is told.
func (r *ring) close(moved func(t tag, from, to uint32)) {
	to := r.head
	for number := r.head; number != r.tail; number = next(number) {
		t := *r.cell(number)
		if t == 0 {
			continue
		}
		if number != to {
			*r.cell(number) = 0
			r.set(to, t, r.bornOf(number))
			moved(t, number, to)
		}
		to = next(to)
	}
	r.tail = to
	r.shrink()
}
