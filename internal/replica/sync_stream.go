package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// A syncStream makes the chunks of a full sync, group by group. Only Flush calls it, without the lock.
type syncStream struct {
	// What is true of the whole, from the moment at which the session began.
	head wire.SyncChunk
	most int // bytes of a chunk

	next   uint64 // the number of the next chunk
	group  int
	shard  int  // of the store; those before have been looked at for this group
	loaded bool // all have, and what follows recs is there
	recs   []delta.Record
	buf    []delta.Record // where recs lie, to be used again
	clear  delta.Version
	floors []delta.BucketFloor

	// Of the Clears that don't select everything, those that were remembered when the session began, and
	// wait to be sent. What had been forgotten by then the floors stand for, which are read later.
	selected []delta.Record
}

// chunk makes the next chunk, of about most bytes, or of a record, and says whether it is the
// last one. It is nil if nothing to send was found in one step.
func (s *syncStream) chunk(st *store.Store) (frame []byte, last bool) {
	number := s.next
	if number == 0 {
		s.next++
		return wire.AppendChunk(nil, &s.head), false
	}
	groups := int(s.head.Groups)
	if len(s.recs) == 0 && !s.loaded {
		s.load(st, groups)
		if len(s.recs) == 0 && !s.loaded {
			return nil, false
		}
	}
	s.next++
	c := wire.SyncChunk{Session: s.head.Session, Number: number, Group: uint64(s.group)}
	n, size := 0, wire.ChunkSize(&c)
	for n < len(s.recs) && (n == 0 || size+wire.RecordSize(&s.recs[n]) <= s.most) {
		size += wire.RecordSize(&s.recs[n])
		n++
	}
	c.Records = s.recs[:n]
	clears, bytes := s.nextClears()
	bytes += len(s.floors) * wire.FloorSize
	if s.loaded && n == len(s.recs) && (n == 0 || size+bytes <= wire.MaxFrame) {
		size += bytes
		c.Flags |= wire.ChunkDone
		c.Clear, c.Floors = s.clear, s.floors
		s.addClears(st, &c, clears)
		s.group++
		s.shard, s.loaded = 0, false
		if s.group == groups {
			c.Flags |= wire.ChunkLast
			last = true
		}
	}
	frame = wire.AppendChunk(make([]byte, 0, size), &c)
	clear(c.Records)
	s.recs = s.recs[n:]
	return frame, last
}

// nextClears returns the Clears that go with the last chunk of a group, and about how many bytes they are.
func (s *syncStream) nextClears() (clears []delta.Record, bytes int) {
	for len(clears) < len(s.selected) && bytes < store.ClearsOfGroup {
		bytes += wire.RecordSize(&s.selected[len(clears)])
		clears = s.selected[:len(clears)+1]
	}
	return clears, bytes
}

// addClears adds to the last chunk of a group what there is of Clears that don't select everything.
func (s *syncStream) addClears(st *store.Store, c *wire.SyncChunk, clears []delta.Record) {
	if st.Clears.Number() == 0 && st.Clears.TagFloor() == 0 {
		return
	}
	c.Flags |= wire.ChunkSelects
	c.All, c.Clear, c.TagFloor = c.Clear, st.Clears.Newest(), st.Clears.TagFloor()
	c.Selected, s.selected = clears, s.selected[len(clears):]
}

// load takes the next step of the group.
func (s *syncStream) load(st *store.Store, groups int) {
	s.recs, s.shard = st.Sync.GroupStep(s.buf[:0], groups, s.group, s.shard)
	s.buf = s.recs
	if s.shard == st.Shards() {
		s.clear, s.floors = st.Sync.GroupEnd(groups, s.group)
		s.loaded = true
	}
}
