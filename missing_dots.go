package bcache

import (
	"cmp"
	"container/heap"
)

// A missingOrigin is what somebody lacks of an origin. The log knows the last one of the dots, and its
// stamp.
type missingOrigin struct {
	originDots
	stamp uint64
}

// missingDots is a heap: first comes what has the newest dot.
type missingDots []*missingOrigin

func (h missingDots) Len() int { return len(h) }
func (h missingDots) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[j].stamp, h[i].stamp), cmp.Compare(h[i].origin, h[j].origin)) < 0
}
func (h missingDots) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *missingDots) Push(x any)   { *h = append(*h, x.(*missingOrigin)) }
func (h *missingDots) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// find drops the dots at the end that the log doesn't know, and notes the stamp of the last one that it
// does.
func (m *missingOrigin) find(log *deltaLog) bool {
	for n := len(m.dots); n > 0; n-- {
		if at, slot, ok := log.last(m.origin, m.dots[n-1]); ok {
			m.dots[n-1].to, m.stamp = at, slot.stamp
			return true
		}
		m.dots = m.dots[:n-1]
	}
	return false
}

// newest takes a block of dots out of what is missing: one that ends with the newest that the
// log knows.
func (h *missingDots) newest(log *deltaLog) originDots {
	from := (*h)[0]
	last := &from.dots[len(from.dots)-1]
	block := originDots{origin: from.origin, dots: []interval{*last}}
	if last.to-last.from > pullBlock {
		block.dots[0].from = last.to - pullBlock
		last.to = block.dots[0].from
	} else {
		from.dots = from.dots[:len(from.dots)-1]
	}
	if from.find(log) {
		heap.Fix(h, 0)
	} else {
		heap.Pop(h)
	}
	return block
}
