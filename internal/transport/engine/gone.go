package engine

import (
	"time"

	"github.com/iwanbk/bcache/transport"
)

// KeepLast forgets, of the nodes that are gone, those that have been for the longest time, if they are more
// than transport.MaxGone. at says since when one is.
func KeepLast[D any](gone map[uint64]D, at func(D) time.Time) {
	for len(gone) > transport.MaxGone {
		var oldest uint64
		var since *time.Time
		for id, d := range gone {
			if t := at(d); since == nil || t.Before(*since) {
				oldest, since = id, &t
			}
		}
		delete(gone, oldest)
	}
}
