package memberlist

import (
	"encoding/binary"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// The types of memberlist's messages that matter here.
const (
	pingType     = 0
	ackType      = 2
	compoundType = 7
	nackType     = 11
	crcType      = 12
	crcSize      = 5 // with the type
)

// nothing is a packet that memberlist ignores.
var nothing = encodeAnswer(nackType, 0)

// A pingLog remembers the pings that memberlist has sent of late.
type pingLog struct {
	mu   sync.Mutex
	seqs [256]uint32 // a ring; 0 is none
	next int
}

// note notes the ping in a packet, if there is one. It stands first.
func (p *pingLog) note(b []byte) {
	seq, ok := pingOf(b)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seqs[p.next%len(p.seqs)] = seq
	p.next++
}

// answers makes an answer to each.
func (p *pingLog) answers() (all [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, seq := range p.seqs {
		if seq != 0 {
			all = append(all, encodeAnswer(ackType, seq))
		}
	}
	return all
}

// pingOf returns the number of the ping in a packet, which may be the first part of several: then there is
// a byte with their number, and two with the length of each. One to a suspect has a checksum in front.
func pingOf(b []byte) (seq uint32, ok bool) {
	if len(b) >= crcSize && b[0] == crcType {
		b = b[crcSize:]
	}
	if len(b) > 4 && b[0] == compoundType {
		parts, size := int(b[1]), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[2:]; len(b) < 2*parts+size {
			return 0, false
		}
		b = b[2*parts : 2*parts+size]
	}
	if len(b) < 2 || b[0] != pingType {
		return 0, false
	}
	var ping struct{ SeqNo uint32 }
	err := codec.NewDecoderBytes(b[1:], new(codec.MsgpackHandle)).Decode(&ping)
	return ping.SeqNo, err == nil
}

func encodeAnswer(typ byte, seq uint32) []byte {
	var b []byte
	_ = codec.NewEncoderBytes(&b, new(codec.MsgpackHandle)).Encode(struct{ SeqNo uint32 }{seq}) // can't fail
	return append([]byte{typ}, b...)
}
