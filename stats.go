package bcache

// Stats are a node's figures. Counters count since New and never go back; gauges
// tell the present.
type Stats struct {
	Hits   uint64 // counter: Gets that returned a value
	Misses uint64 // counter: Gets that didn't

	Sets    uint64 // counter: values written here by Set and SetWithTTL
	Deletes uint64 // counter: keys deleted here, those of values too large included

	Fills         uint64 // counter: fillers called
	FillErrors    uint64 // counter: fillers that failed, panics included
	FillsRefused  uint64 // counter: fills returned but not cached: something newer was known, or Close came
	FillsTooLarge uint64 // counter: fills returned but not cached because they exceed a limit

	Keys       int   // gauge: entries held, see Len
	Bytes      int64 // gauge: their keys, values and EntryOverhead each
	Tombstones int   // gauge: deleted keys remembered as such

	Evictions   uint64 // counter: entries that made room for others
	Expirations uint64 // counter: entries removed after their deadline

	Origins    int // gauge: node lives whose writes are kept track of
	LogRecords int // gauge: writes in the delta log
	Outbox     int // gauge: writes that wait to be sent

	FramesIn, FramesOut   uint64 // counters: frames received, and sent, once per neighbour
	BytesIn, BytesOut     uint64 // counters: their bytes
	RecordsIn, RecordsOut uint64 // counters: writes of others received for the first time, own writes sent

	Duplicates        uint64 // counter: writes received again, and ignored
	RefusedFuture     uint64 // counter: writes stamped more than MaxClockSkew ahead, not applied
	RefusedFloor      uint64 // counter: writes no newer than something forgotten here, not applied
	RefusedTooLarge   uint64 // counter: writes of others above MaxBytes, not applied
	Malformed         uint64 // counter: frames dropped because they can't be decoded
	Unsupported       uint64 // counter: frames dropped because they are of a later version
	HandshakesSkew    uint64 // counter: connections refused because of the clock
	HandshakesRefused uint64 // counter: connections refused for another reason

	DroppedOutbox     uint64 // counter: writes not sent because the outbox was full
	DroppedFrames     uint64 // counter: frames not sent because a neighbour's queue was full
	DroppedMessages   uint64 // counter: messages not sent because their queue was full
	DroppedTombstones uint64 // counter: tombstones collected before DeletionDelay, at their bound
	DroppedIntervals  uint64 // counter: gaps beyond what is kept track of per origin
	DroppedOrigins    uint64 // counter: origins beyond what is kept track of
}

// Stats returns the node's figures. It costs the hot paths hardly anything. A call
// looks at every 1,024 of MaxKeys: that is microseconds for a hundred thousand, and
// milliseconds for a hundred million.
func (b *Bcache) Stats() Stats {
	n, g := b.peer.replica.stats()
	st := b.peer.replica.store
	c := st.stats()
	s := Stats{
		Hits: c.hits, Misses: c.misses,
		Sets: n.sets, Deletes: n.deletes,
		Fills: b.fills.Load(), FillErrors: b.fillErrors.Load(),
		FillsRefused: b.fillsRefused.Load(), FillsTooLarge: b.fillsTooLarge.Load(),
		Keys: st.len(), Bytes: st.bytes(), Tombstones: st.tombstones(),
		Evictions: c.evictions, Expirations: c.expirations,
		Origins: g.origins, LogRecords: g.logRecords, Outbox: g.outbox,
		RecordsIn: n.recordsIn, RecordsOut: n.recordsOut,
		Duplicates: n.duplicates, RefusedFuture: n.refusedSkew, RefusedFloor: c.floorRefusals,
		RefusedTooLarge: n.refusedTooBig, Malformed: n.malformed, Unsupported: n.unsupported,
		DroppedOutbox: n.droppedOutbox, DroppedMessages: n.droppedSends,
		DroppedTombstones: c.tombstonesDropped,
		DroppedIntervals:  n.droppedIntervals, DroppedOrigins: n.droppedOrigins,
	}
	if t := b.peer.transport; t != nil {
		ts := t.Stats()
		s.FramesIn, s.FramesOut, s.BytesIn, s.BytesOut = ts.framesIn, ts.framesOut, ts.bytesIn, ts.bytesOut
		s.DroppedFrames = ts.droppedFrames
		s.HandshakesSkew, s.HandshakesRefused = ts.refusedSkew, ts.refusedOther
	}
	return s
}
