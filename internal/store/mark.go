package store

// A mark says of an entry how full syncs know it. 0 is the rule: its dot has come, or a full sync has
// ended that brought it, so that others know of it by this node's vector. While a full sync is under
// way, what that has streamed has the number of it; and beside that a bit, if this node knows it
// otherwise too. Of a full sync that didn't end marks are left until one does.
type mark uint8

const (
	// MaxMark is the greatest number of a full sync; the least is 1.
	MaxMark = vouched - 1

	vouched = 1 << 7
)

// unvouched reports whether a full sync is all from which it is known.
func (m mark) unvouched() bool { return m != 0 && m&vouched == 0 }

// is reports whether the full sync with a number has streamed this very version.
func (m mark) is(number uint8) bool { return m&^vouched == mark(number) }

// again is the mark of an entry whose version has come once more: by a full sync with a number, or with
// 0 in another way.
func (m mark) again(number uint8) mark {
	switch {
	case number == 0 && m == 0:
		return 0
	case number == 0:
		return m | vouched
	case m == 0:
		return mark(number) | vouched
	}
	return mark(number) | m&vouched
}

// number is what a record shows of it: that of the full sync from which alone it is known.
func (m mark) number() uint8 {
	if m.unvouched() {
		return uint8(m)
	}
	return 0
}
