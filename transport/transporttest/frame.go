package transporttest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// A frame of the kit says what it has to be, so that each that arrives can be checked by itself: who
// sends it, a label, its length. What follows is a part of noise that these choose. A frame that is too
// short for that has its length in each byte.
const headLen = 1 + 8 + 4 + 4

const magic = 'k' // greater than headLen

// noise has a prime number of bytes, so that no two parts of a frame are alike.
var noise = func() []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 65521)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}()

// A frameID is what a frame says of itself.
type frameID struct {
	from  uint64 // 0: too short to say
	label uint32
	size  int
}

func (id frameID) String() string {
	return fmt.Sprintf("frame %d of node %x, of %d bytes", id.label, id.from, id.size)
}

// frame makes the frame with an ID.
func (id frameID) frame() []byte {
	if id.size < headLen {
		return bytes.Repeat([]byte{byte(id.size)}, id.size)
	}
	f := make([]byte, 0, id.size)
	f = append(f, magic)
	f = binary.BigEndian.AppendUint64(f, id.from)
	f = binary.BigEndian.AppendUint32(f, id.label)
	f = binary.BigEndian.AppendUint32(f, uint32(id.size))
	for at := id.offset(); len(f) < id.size; at = 0 {
		f = append(f, noise[at:min(len(noise), at+id.size-len(f))]...)
	}
	return f
}

func (id frameID) offset() int { return int((id.from*31 + uint64(id.label)*7919) % uint64(len(noise))) }

// idOf returns what a frame, or the beginning of one, says of itself.
func idOf(f []byte) (frameID, error) {
	if len(f) > 0 && f[0] < headLen {
		return frameID{size: int(f[0])}, nil
	}
	if len(f) < headLen || f[0] != magic {
		return frameID{}, fmt.Errorf("%d bytes that nobody has sent: %x", len(f), f[:min(len(f), 2*headLen)])
	}
	return frameID{
		binary.BigEndian.Uint64(f[1:]), binary.BigEndian.Uint32(f[9:]), int(binary.BigEndian.Uint32(f[13:])),
	}, nil
}

// checkFrame checks that a frame is what it says of itself. A head may lack what follows.
func checkFrame(f []byte, head bool) (frameID, error) {
	id, err := idOf(f)
	if err != nil {
		return id, err
	}
	if len(f) > id.size || len(f) < id.size && !head {
		return id, fmt.Errorf("%v, comes with %d bytes", id, len(f))
	}
	if id.size < headLen {
		if !bytes.Equal(f, bytes.Repeat(f[:1], len(f))) {
			return id, fmt.Errorf("%d bytes that nobody has sent: %x", len(f), f)
		}
		return id, nil
	}
	at, done := id.offset(), headLen
	for done < len(f) {
		n := min(len(noise)-at, len(f)-done)
		if !bytes.Equal(f[done:done+n], noise[at:at+n]) {
			return id, fmt.Errorf("%v, was altered between bytes %d and %d", id, done, done+n)
		}
		at, done = 0, done+n
	}
	return id, nil
}
