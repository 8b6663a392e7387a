package nats

import (
	"bytes"
	"errors"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// These are the bytes of messages, which other nodes have to read for ever.
func TestGolden(t *testing.T) {
	h := header{hello, life{0x0102030405, 0x1112131415161718}, 0x21222324}
	b := card{"ab", true}.append(h.append(nil))
	want := "\x01\x01" + "\x05\x04\x03\x02\x01\x00\x00\x00" + "\x18\x17\x16\x15\x14\x13\x12\x11" +
		"\x24\x23\x22\x21" + "\x01\x02ab"
	if string(b) != want {
		t.Errorf("hello is %x, want %x", b, want)
	}
	kinds := map[kind]byte{hello: 1, ask: 2, welcome: 3, alive: 4, leave: 5, bye: 6, piece: 7}
	for k, want := range kinds {
		if got, rest, err := parseHeader(header{k, h.from, 1}.append(nil)); got.kind != k || byte(k) != want ||
			len(rest) != 0 || err != nil {
			t.Errorf("kind %d is read as %+v, %x, %v", k, got, rest, err)
		}
	}
	s := subjectsOf("bcache", "users")
	const root = "bcache.7dfb4cf67742cb0660305e56ef816c53."
	if s.all != root+"all" || s.who != root+"who" ||
		s.of(life{0xabc, 0x123}) != root+"node.000000000abc.0000000000000123" {
		t.Errorf("subjects: %+v, %s", s, s.of(life{0xabc, 0x123}))
	}
	if other := subjectsOf("bcache", ""); other.all == s.all {
		t.Error("two clusters have the same subjects")
	}
}

func TestMalformed(t *testing.T) {
	good := header{hello, life{1, 2}, 3}.append(nil)
	with := func(i int, v byte) []byte {
		b := bytes.Clone(good)
		b[i] = v
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "short": good[:headerSize-1], "version": with(0, 2), "kind 0": with(1, 0),
		"kind 8": with(1, 8), "PeerID 0": with(2, 0), "PeerID too large": with(8, 1), "Origin 0": with(10, 0),
	} {
		if _, _, err := parseHeader(b); !errors.Is(err, errMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string]string{
		"empty": "", "short": "\x00", "short name": "\x00\x02a", "not UTF-8": "\x00\x01\xff",
		"control character": "\x00\x01\n",
	} {
		if _, err := parseCard([]byte(b)); !errors.Is(err, errMessage) {
			t.Errorf("card, %s: %v", name, err)
		}
	}
	later := "\xff\x01aand more"
	if c, err := parseCard([]byte(later)); err != nil || c.name != "a" || !c.encrypted {
		t.Errorf("a card of a later version: %+v, %v", c, err)
	}
}

// Whatever is read is written in the same way, as far as it was read.
func FuzzMessage(f *testing.F) {
	f.Add(card{"name", false}.append(header{ask, life{1, 2}, 3}.append(nil)))
	f.Add(header{piece, life{maxPeerID, 1}, 0}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := parseHeader(b)
		if err != nil {
			return
		}
		if again := append(h.append(nil), rest...); !bytes.Equal(again, b) {
			t.Fatalf("%x was read as %+v, and is written as %x", b, h, again)
		}
		c, err := parseCard(rest)
		if err != nil {
			return
		}
		if back, err := parseCard(c.append(nil)); err != nil || back != c || len(c.name) > maxName {
			t.Fatalf("%x was read as %+v, and then as %+v, %v", rest, c, back, err)
		}
	})
}
