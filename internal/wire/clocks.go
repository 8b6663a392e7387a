package wire

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// What frames say of their sender's clock, to the microsecond: how far clocks differ is measured by it,
// and how long writes take. On the wire, tags of two bytes.
const (
	deltaSent  = 21<<3 | TypeVarint
	wallMicros = 21<<3 | TypeVarint // of pings and pongs: what their wall leaves out

	mostMicros = 999
)

// AppendSent appends to a delta that is broadcast when it was sent, in Unix microseconds by its sender's
// clock. Without a time, 0 or less, there is no field.
func AppendSent(frame []byte, at int64) []byte {
	if at <= 0 {
		return frame
	}
	return protowire.AppendVarint(protowire.AppendVarint(frame, uint64(deltaSent)), uint64(at))
}

func appendMicros(frame []byte, micros uint16) []byte {
	if micros == 0 {
		return frame
	}
	return protowire.AppendVarint(protowire.AppendVarint(frame, uint64(wallMicros)), uint64(micros))
}

// sentOf and microsOf take a field's value; one that can't be true says nothing.

func sentOf(x uint64) int64 {
	if x > math.MaxInt64 {
		return 0
	}
	return int64(x)
}

func microsOf(x uint64) uint16 {
	if x > mostMicros {
		return 0
	}
	return uint16(x)
}
