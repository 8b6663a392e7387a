package store

import (
	"time"
)

// An OpenFill is what the store knows of a fill of a key that is under way.
type OpenFill struct {
	Key   string
	hash  uint64        // the store's
	Begin time.Duration // monotonic

	// A write of the key has been processed since the beginning. It belongs to the fill, not to the
	// key: another fill of the key may begin after that write. It is guarded by the shard's lock, as
	// all below is.
	touched bool
	givenUp bool      // one of them couldn't be applied: the fence knows nothing of it
	next    *OpenFill // of the same hash
}

// openFills are those of a shard, by the hash of their keys; nil if there are none.
type openFills map[uint64]*OpenFill

func (x *openFills) add(f *OpenFill) {
	if *x == nil {
		*x = openFills{}
	}
	f.next = (*x)[f.hash]
	(*x)[f.hash] = f
}

func (x *openFills) remove(f *OpenFill) {
	first := (*x)[f.hash]
	if first == f {
		if first = f.next; first != nil {
			(*x)[f.hash] = first
		} else if delete(*x, f.hash); len(*x) == 0 {
			*x = nil
		}
		return
	}
	for ; first != nil; first = first.next {
		if first.next == f {
			first.next = f.next
			return
		}
	}
}

// touch notes that a write of a key is being processed.
func (x openFills) touch(hash uint64) {
	for f := x[hash]; f != nil; f = f.next {
		f.touched = true
	}
}

// giveUp notes that it couldn't be applied.
func (x openFills) giveUp(hash uint64) {
	for f := x[hash]; f != nil; f = f.next {
		f.givenUp = true
	}
}
