package ranking

import (
	"cmp"
	"hash/maphash"
	"slices"
	"time"
)

// panes is into how many parts a window is divided.
const panes = 10

// A Longest finds the keys that took longest within the last window of time: of each key its longest
// time. A window consists of ten panes. Within a pane nothing gets too old, so of each pane it keeps the
// longest only, and what it says is exact. Of the window it forgets the oldest pane as a whole: so it
// knows the last nine tenths of the window, and of the tenth before that the later part.
//
// It has no lock. Make one with NewLongest.
type Longest struct {
	seed  maphash.Seed
	most  int
	width time.Duration // of a pane
	panes [panes]pane   // by number % panes
}

type pane struct {
	number int64
	spans  []hashedSpan
}

type hashedSpan struct {
	hash uint64
	Span
}

// A Span is how long a key took.
type Span struct {
	Key  string        // of a key of more than 256 bytes the beginning, and "…"
	Took time.Duration // the longest
	At   time.Duration // when that was added
}

// NewLongest makes one for n keys, at least 1: in each pane for so many, and each takes up to 0.4 KiB.
// Add looks at all keys of a pane, so n is to be small.
func NewLongest(n int, window time.Duration) *Longest {
	return &Longest{seed: maphash.MakeSeed(), most: max(n, 1), width: max(window/panes, 1)}
}

// Add notes that a key took so long until now. Time is counted from any moment on, and must not be
// negative. It may fall by less than a window. Add keeps no part of the string.
func (l *Longest) Add(now time.Duration, key string, took time.Duration) {
	number := int64(now / l.width)
	p := &l.panes[number%panes]
	if number < p.number {
		return // it is older than the window
	}
	if number > p.number {
		clear(p.spans)
		p.number, p.spans = number, p.spans[:0]
	}
	p.add(maphash.String(l.seed, key), key, Span{Took: took, At: now}, l.most)
}

// add gives a span the place of its key, a free one, or that of the shortest, unless that is longer.
func (p *pane) add(hash uint64, key string, s Span, most int) {
	i := slices.IndexFunc(p.spans, func(x hashedSpan) bool { return x.hash == hash })
	if i < 0 && len(p.spans) < most {
		s.Key = string(keep(key, nil))
		p.spans = append(p.spans, hashedSpan{hash, s})
		return
	}
	if i < 0 {
		i = p.shortest()
	}
	old := &p.spans[i]
	if s.Took <= old.Took {
		return
	}
	if s.Key = old.Key; old.hash != hash {
		s.Key = string(keep(key, nil))
	}
	*old = hashedSpan{hash, s}
}

// shortest returns the index of the shortest span; there is one.
func (p *pane) shortest() int {
	least := 0
	for i := range p.spans {
		if p.spans[i].Took < p.spans[least].Took {
			least = i
		}
	}
	return least
}

// Top returns the k keys that took longest, the longest first; no more than the number it was made for.
func (l *Longest) Top(now time.Duration, k int) []Span {
	oldest := int64(now/l.width) - panes + 1
	longest := map[uint64]Span{}
	for i := range l.panes {
		if l.panes[i].number < oldest {
			continue
		}
		for _, s := range l.panes[i].spans {
			if held, ok := longest[s.hash]; !ok || s.Took > held.Took {
				longest[s.hash] = s.Span
			}
		}
	}
	top := make([]Span, 0, len(longest))
	for _, s := range longest {
		top = append(top, s)
	}
	slices.SortFunc(top, func(a, b Span) int {
		return cmp.Or(cmp.Compare(b.Took, a.Took), cmp.Compare(a.At, b.At), cmp.Compare(a.Key, b.Key))
	})
	return top[:min(max(k, 0), l.most, len(top))]
}
