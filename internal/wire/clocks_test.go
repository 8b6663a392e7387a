package wire

import (
	"errors"
	"math"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
	"google.golang.org/protobuf/encoding/protowire"
)

const wireSent = testkit.Wall*1000 + 789

var (
	wirePingMicros = Ping{ID: 1, Origin: wireOrigin, Seq: 7, Wall: testkit.Wall, Micros: 999}
	wirePongMicros = Pong{ID: 1, Origin: wireOther, Wall: testkit.Wall, Micros: 1}
)

// clockFields are what may be in the place of a field of which a value up to most is one.
func clockFields(most uint64) map[string]clockField {
	num := protowire.Number(deltaSent >> 3)
	return map[string]clockField{
		"none":             {nil, 0},
		"0":                {wireAny(num, uint64(0)), 0},
		"1":                {wireAny(num, uint64(1)), 1},
		"the greatest":     {wireAny(num, most), most},
		"beyond":           {wireAny(num, most+1), 0},
		"2^64-1":           {wireAny(num, uint64(math.MaxUint64)), 0},
		"twice":            {append(wireAny(num, uint64(2)), wireAny(num, uint64(3))...), 3},
		"twice, one bad":   {append(wireAny(num, uint64(2)), wireAny(num, most+1)...), 0},
		"fixed64":          {wireFix(num, 7), 0},
		"bytes":            {wireAny(num, "now"), 0},
		"another number":   {wireAny(num+1, uint64(7)), 0},
		"same low 5 bits":  {wireAny(num+32, uint64(7)), 0},
		"a number in 256s": {wireAny(num+256, uint64(7)), 0},
	}
}

type clockField struct {
	field []byte
	want  uint64
}

// When a delta was sent is a varint; what else there is under its number, or in it, says nothing, and
// spoils nothing.
func TestWireSent(t *testing.T) {
	rest := wireDelta(wireHeader(1), wireRec(wireAny(2, "k")))
	for name, c := range clockFields(math.MaxInt64) {
		for place, frame := range map[string][]byte{
			"before": wireDelta(c.field, rest[2:]), "after": wireDelta(rest[2:], c.field),
		} {
			d, err := OpenDelta(frame)
			if err != nil || d.Sent != int64(c.want) || d.Count != 1 {
				t.Errorf("%s, %s the rest: sent %d, %d records, %v; want %d", name, place, d.Sent, d.Count, err, c.want)
			}
		}
	}
	if _, err := OpenDelta(append(rest, wireAny(21, uint64(math.MaxUint64))[:5]...)); !errors.Is(err, ErrMalformed) {
		t.Errorf("truncated: %v", err)
	}
	if frame := AppendSent(nil, -1); len(frame) > 0 {
		t.Errorf("a time before 1970 is sent: %x", frame)
	}
}

// The microseconds of pings and pongs are less than a thousand.
func TestWireMicros(t *testing.T) {
	for name, c := range clockFields(mostMicros) {
		p, err := DecodePing(append(AppendPing(nil, Ping{Origin: 1}), c.field...))
		if err != nil || p.Micros != uint16(c.want) {
			t.Errorf("ping, %s: %d, %v; want %d", name, p.Micros, err, c.want)
		}
		q, err := DecodePong(append(AppendPong(nil, Pong{Origin: 1}), c.field...))
		if err != nil || q.Micros != uint16(c.want) {
			t.Errorf("pong, %s: %d, %v; want %d", name, q.Micros, err, c.want)
		}
	}
}
