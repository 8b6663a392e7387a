package memberlist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The types of messages: a message is a byte of type, three of length (big endian), and the body.
const (
	msgHello   = 0xb1 // what TLS begins with is 0x16
	msgRefusal = 0xb2 // a byte says why
	msgWelcome = 0xb3 // the connection lives

	msgPiece  = 1 // of a frame, see package lanes
	msgPacket = 2 // of memberlist
	msgAsk    = 3 // are you there?
	msgHere   = 4
	msgProof  = 5 // of a key that another one was replaced with
	msgBye    = 6 // the node closes

	headSize  = 4
	maxHello  = 1 << 10
	maxAddr   = 300
	maxName   = 255       // bytes of a cluster's name
	maxPeerID = 1<<48 - 1 // as package transport has it
)

const magic = "bcache-memberlist/1"

// What a connection is for.
const (
	kindLink   = 'l' // between neighbours, for good
	kindStream = 's' // one of memberlist's, for a moment
)

var errMessage = errors.New("malformed message")

// A hello is how a node introduces itself.
type hello struct {
	kind       byte
	id, origin uint64
	clock      time.Time
	cluster    string
	addr       string // the one that it advertises

	said, proof []byte // what the proof is about, as it came; and the proof
}

// A node is known by its PeerID and its life.
func (h *hello) name() string { return nodeName(h.id, h.origin) }

func nodeName(id, origin uint64) string { return fmt.Sprintf("%x-%x", id, origin) }

// parseName returns what a name is made of; 0 if it is none.
func parseName(name string) (id, origin uint64) {
	first, rest, _ := strings.Cut(name, "-")
	id, err := strconv.ParseUint(first, 16, 64)
	if err != nil {
		return 0, 0
	}
	if origin, err = strconv.ParseUint(rest, 16, 64); err != nil {
		return 0, 0
	}
	return id, origin
}

// encode returns the body of the message, for which prove makes the proof.
func (h *hello) encode(prove func(said []byte) []byte) []byte {
	b := append(make([]byte, 0, maxHello), magic...)
	b = append(b, h.kind)
	b = binary.AppendUvarint(b, h.id)
	b = binary.AppendUvarint(b, h.origin)
	b = binary.AppendVarint(b, h.clock.UnixMilli())
	b = appendText(b, h.cluster)
	b = appendText(b, h.addr)
	return appendText(b, string(prove(b)))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeHello reads the body of a message.
func decodeHello(b []byte) (h hello, err error) {
	r := reader{b: b}
	if string(r.take(len(magic))) != magic {
		return h, errMessage
	}
	if kind := r.take(1); kind != nil {
		h.kind = kind[0]
	}
	h.id, h.origin = r.uvarint(), r.uvarint()
	h.clock = time.UnixMilli(r.varint())
	h.cluster, h.addr = r.text(maxName), r.text(maxAddr)
	h.said = b[:len(b)-len(r.b)]
	h.proof = []byte(r.text(proofSize))
	switch {
	case r.bad, !printable(h.addr), h.id == 0, h.id > maxPeerID, h.origin == 0,
		h.kind != kindLink && h.kind != kindStream:
		return hello{}, errMessage
	}
	return h, nil
}

// printable reports whether a text is one of plain characters: it is logged.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// A reader takes fields off bytes. Once something is missing it is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) (b []byte) {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b, r.b = r.b[:n], r.b[n:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, n = true, 0
	}
	r.take(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, n = true, 0
	}
	r.take(n)
	return v
}

func (r *reader) text(most int) string {
	n := r.uvarint()
	if n > uint64(most) {
		r.bad = true
		return ""
	}
	return string(r.take(int(n)))
}

// appendHead appends what goes before the body of a message.
func appendHead(b []byte, typ byte, size int) []byte {
	return append(b, typ, byte(size>>16), byte(size>>8), byte(size))
}

func message(typ byte, body []byte) []byte {
	return append(appendHead(make([]byte, 0, headSize+len(body)), typ, len(body)), body...)
}

// parseHead reads what goes before the body.
func parseHead(b []byte) (typ byte, size int) {
	return b[0], int(b[1])<<16 | int(b[2])<<8 | int(b[3])
}

// readMessage reads a message of the handshake.
func readMessage(r io.Reader) (typ byte, body []byte, err error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	typ, size := parseHead(head[:])
	if size > maxHello || typ != msgHello && typ != msgRefusal && typ != msgWelcome {
		return 0, nil, errMessage
	}
	body = make([]byte, size)
	_, err = io.ReadFull(r, body)
	return typ, body, err
}
