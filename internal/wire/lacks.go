package wire

import (
	"github.com/iwanbk/bcache/internal/dots"
	"google.golang.org/protobuf/encoding/protowire"
)

// What an exact pong says that the pinger lacks. On the wire, a tag of two bytes.
const pongLacks = 22<<3 | TypeBytes

// What a pong says at most; who lacks more isn't told exactly.
const (
	MaxLacks    = 256  // origins
	MaxLackGaps = 2048 // in their dots
)

// appendLacks appends dots, all of them: to claim less would be to say that the pinger lacks less.
func appendLacks(frame []byte, lacks []dots.Entry) []byte {
	var one []byte
	for i := range lacks {
		one = appendDots(one[:0], &lacks[i], true)
		frame = protowire.AppendBytes(protowire.AppendVarint(frame, uint64(pongLacks)), one)
	}
	return frame
}
