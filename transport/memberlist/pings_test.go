package memberlist

import (
	"bytes"
	"testing"
)

// ping makes what memberlist sends to probe a node.
func ping(seq uint32) []byte { return append([]byte{pingType}, encodeAnswer(0, seq)[1:]...) }

func TestPingOf(t *testing.T) {
	one, two := ping(7), ping(8)
	both := append([]byte{compoundType, 2, 0, byte(len(one)), 0, byte(len(two))}, append(one, two...)...)
	for what, b := range map[string][]byte{
		"alone": one, "the first of two": both,
		"to a suspect": append([]byte{crcType, 1, 2, 3, 4}, one...),
		"both":         append([]byte{crcType, 1, 2, 3, 4}, both...),
	} {
		if seq, ok := pingOf(b); !ok || seq != 7 {
			t.Errorf("%s: %d, %v", what, seq, ok)
		}
	}
	ack := encodeAnswer(ackType, 7)
	for what, b := range map[string][]byte{
		"nothing": nil, "an answer": ack, "cut": both[:8], "a checksum": {crcType, 1, 2, 3, 4}, "half of one": {crcType, 1}, "no parts": {compoundType, 0, 0, 0, 0},
		"a part that is too long": {compoundType, 1, 1, 0, pingType},
	} {
		if seq, ok := pingOf(b); ok {
			t.Errorf("%s: %d", what, seq)
		}
	}
}

// The last pings are answered, however many there were.
func TestPingLog(t *testing.T) {
	var p pingLog
	if all := p.answers(); len(all) != 0 {
		t.Errorf("answers to nothing: %v", all)
	}
	const many = 1000
	for seq := range uint32(many) {
		p.note(ping(seq + 1))
	}
	p.note([]byte("something else"))
	all := p.answers()
	if len(all) != len(p.seqs) {
		t.Fatalf("%d answers", len(all))
	}
	last := encodeAnswer(ackType, many)
	if !bytes.Equal(all[(many-1)%len(p.seqs)], last) {
		t.Error("the last one isn't answered")
	}
}

// memberlist's own pings are known as such.
func TestPingsAreNoted(t *testing.T) {
	all := together(t, 2, plain)
	until(t, "a ping goes", func() bool {
		p := &all[0].run.Load().hub.gossip.net.pings
		return len(p.answers()) > 0
	})
}

func FuzzPing(f *testing.F) {
	f.Add(ping(7))
	f.Add([]byte{compoundType, 1, 0, 2, pingType, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = pingOf(b) })
}
