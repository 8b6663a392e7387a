package bcache

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	wireOffer = offer{
		origin: wireOrigin, to: wireOther, seen: 300, echo: 1 << 40,
		rec: record{
			key: "user:\x00\xff", val: "v",
			deadline: wireWall + 60_000, staleUntil: wireWall + 90_000, refreshFrom: wireWall,
		},
		dots: []dot{{wireOrigin, 1}, {wireOther, maxSeq}},
	}
	wireOfferNegative = offer{origin: wireOrigin, to: wireOther, rec: record{kind: kindNegative}}
	wirePingEcho      = ping{id: 1, origin: wireOrigin, wall: wireWall, echo: 300}
	wirePongEcho      = pong{id: 1, origin: wireOrigin, wall: wireWall, echo: 300}
	wirePongSeq       = pong{id: 1, origin: wireOrigin, seq: 1 << 40, wall: wireWall, echo: 300}
	wirePingHeld      = ping{id: 1, origin: wireOrigin, seq: 7, wall: wireWall, held: 300}
	wirePongHeld      = pong{id: 1, origin: wireOrigin, seq: 1 << 40, wall: wireWall, held: 300}
)

func TestWireOfferRefused(t *testing.T) {
	frame := appendOffer(nil, &wireOffer)
	head := [][]byte{wireFix(1, 1), wireFix(2, 2)}
	with := func(fields ...[]byte) []byte { return wireFrame(frameOffer, slices.Concat(head, fields)...) }
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"truncated":       {frame[:len(frame)-1], errMalformed},
		"twice":           {slices.Concat(frame, wireFix(1, 1)), errMalformed},
		"wire type":       {with(wireAny(4, uint64(1))), errMalformed},
		"field 11":        {with(wireAny(11, "")), errUnsupported},
		"field 15":        {with(wireAny(15, "")), errUnsupported},
		"field 16":        {with(wireAny(16, "")), nil},
		"field 19":        {with(wireAny(19, "")), nil},
		"no origin":       {wireFrame(frameOffer, wireFix(2, 1)), errMalformed},
		"no receiver":     {wireFrame(frameOffer, wireFix(1, 1)), errMalformed},
		"a tombstone":     {with(wireAny(5, uint64(kindTombstone))), errUnsupported},
		"kind of later":   {with(wireAny(5, uint64(99))), errUnsupported},
		"too large":       {with(wireAny(6, strings.Repeat("v", MaxRecordSize+1))), errMalformed},
		"largest":         {with(wireAny(6, strings.Repeat("v", MaxRecordSize))), nil},
		"deadline":        {with(wireAny(7, uint64(1)<<63)), errMalformed},
		"stale until":     {with(wireAny(8, uint64(1)<<63)), errMalformed},
		"refresh from":    {with(wireAny(9, uint64(1)<<63)), errMalformed},
		"half a dot":      {with(wireAny(10, strings.Repeat("d", 17))), errMalformed},
		"too many dots":   {with(wireAny(10, strings.Repeat("d", 16*(2*maxDots+1)))), errMalformed},
		"as many as can":  {with(wireAny(10, strings.Repeat("d", 16*2*maxDots))), nil},
		"of another type": {appendTurn(nil, wireAlone), errMalformed},
	} {
		if _, err := decodeOffer(c.frame); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(appendOffer(nil, &offer{origin: 1 << 63, to: 1 << 63, seen: 1 << 63, echo: 1 << 63,
		rec: record{
			val:      strings.Repeat("v", MaxRecordSize),
			deadline: 1<<63 - 1, staleUntil: 1<<63 - 1, refreshFrom: 1<<63 - 1,
		},
		dots: make([]dot, 2*maxDots)})); n > maxFrame+frameSlack {
		t.Errorf("the largest offer has %d bytes", n)
	}
}

func TestWireOfferRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.Int64Range(0, 1<<62)
		o := offer{
			origin: rapid.Uint64Min(1).Draw(t, "origin"), to: rapid.Uint64Min(1).Draw(t, "to"),
			seen: rapid.Uint64().Draw(t, "seen"), echo: rapid.Uint64().Draw(t, "echo"),
			rec: record{
				key:         string(rapid.SliceOf(rapid.Byte()).Draw(t, "key")),
				kind:        rapid.SampledFrom([]kind{kindValue, kindNegative}).Draw(t, "kind"),
				deadline:    times.Draw(t, "deadline"),
				staleUntil:  times.Draw(t, "stale"),
				refreshFrom: times.Draw(t, "refresh"),
			},
		}
		if o.rec.kind == kindValue {
			o.rec.val = string(rapid.SliceOf(rapid.Byte()).Draw(t, "val"))
		}
		for range rapid.IntRange(0, 2*maxDots).Draw(t, "dots") {
			o.dots = append(o.dots, dot{rapid.Uint64().Draw(t, "of"), rapid.Uint64().Draw(t, "seq")})
		}
		if got, err := decodeOffer(appendOffer(nil, &o)); err != nil || !reflect.DeepEqual(got, o) {
			t.Fatalf("%+v, %v, want %+v", got, err, o)
		}
	})
}

func FuzzOffer(f *testing.F) {
	wireSeeds(f)
	f.Fuzz(func(t *testing.T, given []byte) {
		frame := slices.Clone(given)
		o, err := decodeOffer(frame)
		if err != nil {
			if !errors.Is(err, errMalformed) && !errors.Is(err, errUnsupported) {
				t.Fatal(err)
			}
			return
		}
		for i := range frame {
			frame[i] ^= 0xa5 // nothing that was read may change with it
		}
		if len(o.rec.key)+len(o.rec.val)+16*len(o.dots) > len(given) {
			t.Fatalf("%+v, of %d bytes", o, len(given))
		}
		if again, err := decodeOffer(appendOffer(nil, &o)); err != nil || !reflect.DeepEqual(again, o) {
			t.Fatalf("%+v, encoded and decoded again: %+v, %v", o, again, err)
		}
	})
}
