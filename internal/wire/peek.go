package wire

import (
	"github.com/iwanbk/bcache/internal/delta"
	"google.golang.org/protobuf/encoding/protowire"
)

// PeekDelta returns the dot of a delta's first record from its beginning.
func PeekDelta(head []byte) (d delta.Dot, ok bool) {
	if len(head) < 2 || head[0] != Version || head[1] != FrameDelta {
		return d, false
	}
	for b := head[2:]; len(b) > 0; {
		tag := b[0]
		b = b[1:]
		var n int
		switch tag {
		case DeltaOrigin:
			d.Origin, n = protowire.ConsumeFixed64(b)
		case DeltaFirst:
			d.Seq, n = protowire.ConsumeVarint(b)
		default:
			return d, d.Origin != 0 && d.Seq != 0
		}
		if n < 0 {
			return d, false
		}
		b = b[n:]
	}
	return d, false
}
