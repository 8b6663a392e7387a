package dots

import (
	"cmp"
	"container/heap"
)

// A MissingOrigin is what somebody lacks of an origin. The log knows the last one of the dots, and its
// stamp.
type MissingOrigin struct {
	OriginDots
	stamp uint64
}

// MissingDots is a heap: first comes what has the newest dot.
type MissingDots []*MissingOrigin

func (h MissingDots) Len() int { return len(h) }
func (h MissingDots) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[j].stamp, h[i].stamp), cmp.Compare(h[i].Origin, h[j].Origin)) < 0
}
func (h MissingDots) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *MissingDots) Push(x any)   { *h = append(*h, x.(*MissingOrigin)) }
func (h *MissingDots) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// Find drops the dots at the end that the log doesn't know, and notes the stamp of the last one that it
// does.
func (m *MissingOrigin) Find(log *Log) bool {
	for n := len(m.Dots); n > 0; n-- {
		if at, slot, ok := log.Last(m.Origin, m.Dots[n-1]); ok {
			m.Dots[n-1].To, m.stamp = at, slot.Stamp
			return true
		}
		m.Dots = m.Dots[:n-1]
	}
	return false
}

// Newest takes a block of dots out of what is missing: one that ends with the newest that the
// log knows.
func (h *MissingDots) Newest(log *Log) OriginDots {
	from := (*h)[0]
	last := &from.Dots[len(from.Dots)-1]
	block := OriginDots{Origin: from.Origin, Dots: []Interval{*last}}
	if last.To-last.From > pullBlock {
		block.Dots[0].From = last.To - pullBlock
		last.To = block.Dots[0].From
	} else {
		from.Dots = from.Dots[:len(from.Dots)-1]
	}
	if from.Find(log) {
		heap.Fix(h, 0)
	} else {
		heap.Pop(h)
	}
	return block
}
