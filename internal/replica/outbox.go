package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

const (
	outboxChunk = 1024 // records
	maxSpare    = 4    // chunks
)

// An outbox holds the local writes that wait for the flusher: consecutive
// dots. At its bound the oldest are dropped; to the others that is a gap. It is
// kept in chunks, so that no write pays for the growth of a burst. It isn't
// locked.
type outbox struct {
	first  uint64           // the seq of the first record
	n      int              // records
	chunks [][]delta.Record // none is empty; only the first and the last may be short
	bytes  int
	most   int              // bytes
	spare  [][]delta.Record // empty chunks, maxSpare at most
}

func (o *outbox) empty() bool { return o.n == 0 }

// hasFrame reports whether what waits makes a whole frame.
func (o *outbox) hasFrame() bool { return o.n >= outboxChunk || o.bytes >= wire.CutFrame }

// put appends the record of dot seq and returns how many it dropped for it.
func (o *outbox) put(seq uint64, rec *delta.Record) (dropped uint64) {
	if o.empty() {
		o.first = seq
	}
	last := len(o.chunks) - 1
	if last < 0 || len(o.chunks[last]) == outboxChunk {
		o.chunks = append(o.chunks, o.newChunk())
		last++
	}
	o.chunks[last] = append(o.chunks[last], *rec)
	o.n++
	o.bytes += wire.RecordSize(rec)
	for ; o.bytes > o.most; dropped++ {
		o.dropOldest()
	}
	return dropped
}

func (o *outbox) newChunk() []delta.Record {
	if n := len(o.spare) - 1; n >= 0 {
		c := o.spare[n]
		o.spare = o.spare[:n]
		return c
	}
	if len(o.chunks) > 0 {
		return make([]delta.Record, 0, outboxChunk)
	}
	return make([]delta.Record, 0, 16) // an idle node's writes leave one by one
}

func (o *outbox) dropOldest() {
	oldest := o.chunks[0]
	o.bytes -= wire.RecordSize(&oldest[0])
	oldest[0] = delta.Record{} // its value goes now, not with the chunk
	o.first++
	o.n--
	if o.chunks[0] = oldest[1:]; len(oldest) == 1 {
		o.chunks[0] = nil
		o.chunks = o.chunks[1:]
	}
}

// take empties the outbox.
func (o *outbox) take() (first uint64, chunks [][]delta.Record) {
	first, chunks = o.first, o.chunks
	o.chunks, o.n, o.bytes = nil, 0, 0
	return first, chunks
}

// recycle gives the memory of chunks back. Their records must have been cleared, or
// it would keep their keys and values.
func (o *outbox) recycle(chunks [][]delta.Record) {
	for _, c := range chunks {
		if len(o.spare) < maxSpare {
			o.spare = append(o.spare, c[:0])
		}
	}
}

// cutDelta encodes consecutive records as frames of about CutFrame at most, which are sent now.
func cutDelta(origin, first, echo uint64, now int64, records []delta.Record) (frames [][]byte) {
	for len(records) > 0 {
		n, size := 0, 0
		for n < len(records) && (n == 0 || size+wire.RecordSize(&records[n]) <= wire.CutFrame) {
			size += wire.RecordSize(&records[n])
			n++
		}
		frame := wire.AppendDelta(make([]byte, 0, size+64), origin, first, records[:n])
		frames = append(frames, wire.AppendSent(wire.AppendEcho(frame, echo), now))
		first += uint64(n)
		records = records[n:]
	}
	return frames
}
