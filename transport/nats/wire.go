package nats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// A message is a header, and what its kind has behind that. Numbers are little-endian.
//
//	byte     version
//	byte     kind
//	uint64   PeerID of the sender
//	uint64   its Origin
//	uint32   its session
const (
	version    = 1
	headerSize = 1 + 1 + 8 + 8 + 4
)

// A kind says what a message is for.
type kind byte

const (
	hello   kind = 1 // to all: the sender begins to listen; has a card
	ask     kind = 2 // to one: the sender has heard no hello of the receiver; has a card
	welcome kind = 3 // the answer to these: the sender listens; has a card
	alive   kind = 4 // the sender is still there
	leave   kind = 5 // the sender counts the receiver as gone, until one of them asks
	bye     kind = 6 // the sender closes
	piece   kind = 7 // of a frame; has what package lanes makes
)

// A life is one life of a node.
type life struct{ id, origin uint64 }

// A header says who sends a message. A session lasts as long as the sender gets all that is sent to it;
// then comes the next one.
type header struct {
	kind    kind
	from    life
	session uint32
}

// A card is how a node introduces itself.
type card struct {
	name      string
	encrypted bool // its connection to the server is
}

const (
	maxPeerID = 1<<48 - 1
	maxName   = 255 // bytes
)

var errMessage = errors.New("bcache: not a message of bcache")

func (h header) append(b []byte) []byte {
	b = append(b, version, byte(h.kind))
	b = binary.LittleEndian.AppendUint64(b, h.from.id)
	b = binary.LittleEndian.AppendUint64(b, h.from.origin)
	return binary.LittleEndian.AppendUint32(b, h.session)
}

// parseHeader reads a header, and returns what follows.
func parseHeader(b []byte) (h header, rest []byte, err error) {
	if len(b) < headerSize {
		return h, nil, fmt.Errorf("%w: %d bytes", errMessage, len(b))
	}
	if b[0] != version {
		return h, nil, fmt.Errorf("%w of this version: %d", errMessage, b[0])
	}
	h = header{
		kind:    kind(b[1]),
		from:    life{binary.LittleEndian.Uint64(b[2:]), binary.LittleEndian.Uint64(b[10:])},
		session: binary.LittleEndian.Uint32(b[18:]),
	}
	switch {
	case h.kind < hello || h.kind > piece:
		return h, nil, fmt.Errorf("%w: kind %d", errMessage, h.kind)
	case h.from.id == 0 || h.from.id > maxPeerID || h.from.origin == 0:
		return h, nil, fmt.Errorf("%w: sent by node %x/%x", errMessage, h.from.id, h.from.origin)
	}
	return h, b[headerSize:], nil
}

// append appends a byte of flags, and the name after its length.
func (c card) append(b []byte) []byte {
	var flags byte
	if c.encrypted {
		flags = 1
	}
	b = append(b, flags, byte(len(c.name)))
	return append(b, c.name...)
}

// parseCard reads a card. Flags that it doesn't know, and what follows, are of later versions.
func parseCard(b []byte) (c card, err error) {
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return c, fmt.Errorf("%w: a card of %d bytes", errMessage, len(b))
	}
	c = card{name: string(b[2 : 2+int(b[1])]), encrypted: b[0]&1 != 0}
	if !printable(c.name) {
		return card{}, fmt.Errorf("%w: the name %q", errMessage, c.name)
	}
	return c, nil
}

// printable reports whether a name can stand in a log line.
func printable(name string) bool {
	if !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// When nodes say that they are there, and count others as gone.
//
// Everybody hears everybody: of n nodes each gets n/aliveEvery messages a second. With 200 nodes that is
// 100 a second and node, of 22 bytes. A message costs some 3 µs here and 2 in the server, if it doesn't
// come alone: to be woken costs several times as much. That is what untilTick is for.
const (
	aliveEvery = 2 * time.Second
	deadAfter  = 3 * aliveEvery // without a word; looked at every tick: so within 6.5 s
	tick       = aliveEvery / 4
)
