package bcache

const (
	maxOutbox   = 64 << 20 // bytes of the records that wait for the flusher
	outboxChunk = 1024     // records
)

// An outbox holds the local writes that wait for the flusher: consecutive
// dots. At its bound the oldest are dropped; to the others that is a gap. It is
// kept in chunks, so that no write pays for the growth of a burst. It isn't
// locked.
type outbox struct {
	first  uint64     // the seq of the first record
	chunks [][]record // the last one isn't full, the others are
	bytes  int
	spare  []record // an empty chunk
}

func (o *outbox) empty() bool { return len(o.chunks) == 0 }

func (o *outbox) len() int {
	if o.empty() {
		return 0
	}
	return (len(o.chunks)-1)*outboxChunk + len(o.chunks[len(o.chunks)-1])
}

// put appends the record of dot seq and returns how many it dropped for it.
func (o *outbox) put(seq uint64, rec *record) (dropped uint64) {
	if o.empty() {
		o.first = seq
	}
	last := len(o.chunks) - 1
	if last < 0 || len(o.chunks[last]) == outboxChunk {
		o.chunks = append(o.chunks, o.newChunk())
		last++
	}
	o.chunks[last] = append(o.chunks[last], *rec)
	o.bytes += recordSize(rec)
	for o.bytes > maxOutbox {
		dropped += o.dropOldest()
	}
	return dropped
}

func (o *outbox) newChunk() []record {
	if c := o.spare; c != nil {
		o.spare = nil
		return c
	}
	return make([]record, 0, 16) // an idle node's writes leave one by one
}

// dropOldest drops the first chunk, and with it perhaps everything.
func (o *outbox) dropOldest() uint64 {
	oldest := o.chunks[0]
	for i := range oldest {
		o.bytes -= recordSize(&oldest[i])
	}
	o.chunks[0] = nil
	o.chunks = o.chunks[1:]
	o.first += uint64(len(oldest))
	return uint64(len(oldest))
}

// take empties the outbox.
func (o *outbox) take() (first uint64, chunks [][]record) {
	first, chunks = o.first, o.chunks
	o.chunks, o.bytes = nil, 0
	return first, chunks
}

// recycle gives the memory of a chunk back. Its records must have been cleared, or
// it would keep their keys and values.
func (o *outbox) recycle(chunk []record) { o.spare = chunk[:0] }
