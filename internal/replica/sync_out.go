package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// A full sync, on the side that serves it.

const (
	SyncWindow        = 16      // chunks sent and not acknowledged,
	syncBytes         = 1 << 20 // and bytes of them, but for the last
	SyncServing       = 4       // sessions at a time
	defaultChunkBytes = wire.CutFrame
	syncForget        = 15 * time.Second
	syncResend        = 100 * time.Millisecond // between two times that all of these are sent again
	syncApart         = time.Second            // between a neighbour's sessions: vectors are large
)

// syncOut is a session. It is guarded by the replica's lock, but for its stream, which is Flush's.
type syncOut struct {
	origin  uint64 // the requester's
	session uint64
	moved   time.Duration // when it began, or the last chunk was acknowledged
	acked   uint64        // the requester has all chunks below
	window  [][]byte      // the chunks from acked on
	again   bool          // the requester has waited for the first of them
	sent    time.Duration // when that left
	repeats int           // how often
	resent  time.Duration // when all of them were sent again
	gap     bool          // the first of them is lost, and what followed was dropped
	made    bool          // the last chunk was made
	bytes   uint64
	stream  syncStream
}

// acknowledge notes that the requester has all chunks below next.
func (out *syncOut) acknowledge(now delta.Instant, next uint64) {
	n := next - out.acked
	if next <= out.acked || n > uint64(len(out.window)) {
		return
	}
	for i := range out.window[:n] {
		out.window[i] = nil
	}
	out.window = out.window[n:]
	out.acked = next
	out.gap = out.gap || out.repeats > 0 // what followed was dropped
	out.moved, out.sent, out.repeats = now.Mono, now.Mono, 0
}

// done reports whether the requester has all.
func (out *syncOut) done() bool { return out.made && len(out.window) == 0 }

// repeat returns the chunks that are to be sent again.
func (out *syncOut) repeat(now delta.Instant) (frames [][]byte) {
	switch {
	case out.gap && now.Mono-out.resent >= syncResend: // it may have come in another order meanwhile
		out.sent, out.resent, out.gap = now.Mono, now.Mono, false
		frames = out.window
	case out.again && len(out.window) > 0 && now.Mono-out.sent >= syncAgain<<out.repeats:
		// It may still be on its way: a slow line mustn't be filled with repetitions.
		out.sent = now.Mono
		out.repeats = min(out.repeats+1, 1)
		frames = out.window[:1]
	}
	out.again = false
	return frames
}

// add notes that a chunk is sent, which may be the last one.
func (out *syncOut) add(now delta.Instant, frame []byte, last bool) {
	out.window = append(out.window, frame)
	out.made = last
	out.bytes += uint64(len(frame))
	if len(out.window) == 1 {
		out.sent, out.repeats = now.Mono, 0
	}
}

// full reports whether enough is under way.
func (out *syncOut) full() bool {
	bytes := 0
	for _, frame := range out.window {
		bytes += len(frame)
	}
	return len(out.window) >= SyncWindow || bytes >= syncBytes
}
