package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// A full sync, on the side that receives it. One synced neighbour streams what it holds,
// group by group: entries and tombstones, then the floors, which stand for what it has
// forgotten. When all has arrived, this node has seen, directly or by its effect, whatever
// the other one's vector covered when it began; so it adopts that vector.
//
// Chunks are acknowledged, and come in order; a session that stalls is given up, and another
// neighbour takes over. What was received stays: it is true, only not complete. It is marked, so
// that what no session vouches for in the end can be dropped.

const (
	syncAgain = 2 * time.Second  // without a chunk, then the last acknowledgement is repeated
	SyncStall = 10 * time.Second // then another neighbour is tried
	syncShy   = 2 * time.Second  // for how long the one that failed isn't
	syncBusy  = time.Second / 2  // or the one that said that it can't now

	syncReturn = 3 * time.Second // for the one whose connection broke to come back
	syncGroup  = 1 << 22         // records of one group at most

	// syncPatience is how long a session may take, while others wait for it. Each one that
	// takes longer doubles it for the next: there may be that much to send.
	syncPatience = 10 * time.Minute
)

// A syncIn is a session.
type syncIn struct {
	peer, id uint64
	origin   uint64 // the other node's
	mark     uint8
	head     wire.SyncChunk // once it has come
	next     uint64         // the chunk that is expected
	group    uint64         // its group
	records  int            // of that group so far
	streamed *store.KeySet  // their keys
	spoiled  bool           // something came from the future: the vector can't be adopted
	applying bool
	ended    bool          // successfully
	away     bool          // the connection to the other node is gone,
	left     time.Duration // since then

	gap uint64 // the chunk that was said to be lost

	began, progress, asked time.Duration // progress: bytes of the other node came last
	bytes                  uint64
}

// apply applies a record that was streamed. It has no dot.
func (in *syncIn) apply(now delta.Instant, s *state, rec *delta.Record) {
	if !s.apply(now, rec, s.Store.PlaceOf(rec.Key), delta.Dot{}) {
		in.spoiled = true
	}
	in.streamed.Add(rec.Key)
	in.records++
}

// applyFloors applies Clear and the floors of a group that is complete: from now on nothing older comes
// in again. It reports whether none of them comes from the future.
func (in *syncIn) applyFloors(now delta.Instant, s *state, c *wire.SyncChunk) bool {
	for _, f := range c.Floors {
		if s.future(now, f.Stamp) {
			in.spoiled = true
		}
	}
	if s.future(now, c.TagFloor) {
		in.spoiled = true
	}
	all := c.Clear
	if c.Flags&wire.ChunkSelects != 0 {
		all = c.All
	}
	newer := s.Store.Clears.All().Less(all)
	wipe := &delta.Record{Kind: delta.KindClear, Version: all}
	if in.spoiled || newer && !s.apply(now, wipe, store.Place{}, delta.Dot{}) {
		in.spoiled = true
		return false
	}
	for _, f := range c.Floors {
		s.raiseFloor(f)
	}
	if c.Flags&wire.ChunkLast != 0 { // before, records would be refused that are still to come
		s.clock.Observe(c.TagFloor)
		s.Store.Clears.RaiseTagFloor(c.TagFloor)
	}
	return true
}

// expects reports whether a chunk can be what comes next. Its records are counted, not its
// keys: the same ones for ever would be no progress.
func (in *syncIn) expects(c *wire.SyncChunk) bool {
	groups := in.head.Groups
	if c.Group != in.group || c.Group >= groups || in.records > syncGroup {
		return false
	}
	for _, f := range c.Floors {
		if uint64(f.Bucket)%groups != c.Group {
			return false
		}
	}
	return (c.Flags&wire.ChunkLast != 0) == (c.Flags&wire.ChunkDone != 0 && c.Group == groups-1)
}

// nextGroup goes on to the next group.
func (in *syncIn) nextGroup() {
	in.streamed = store.NewKeySet() // to clear a large one takes long
	in.records = 0
	in.group++
}
