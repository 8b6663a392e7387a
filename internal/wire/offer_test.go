package wire

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"pgregory.net/rapid"
)

var (
	wireOffer = Offer{
		Origin: wireOrigin, To: wireOther, Seen: 300, Echo: 1 << 40,
		Rec: delta.Record{
			Key: "user:\x00\xff", Val: "v",
			Deadline: testkit.Wall + 60_000, StaleUntil: testkit.Wall + 90_000, RefreshFrom: testkit.Wall,
		},
		Dots: []delta.Dot{{Origin: wireOrigin, Seq: 1}, {Origin: wireOther, Seq: delta.MaxSeq}},
	}
	wireOfferUpTo = Offer{
		Origin: wireOrigin, To: wireOther, Seen: 300, Rec: delta.Record{Key: "k", Val: "v"},
		UpTo: []delta.Dot{{Origin: wireOrigin, Seq: 1}, {Origin: wireOther, Seq: delta.MaxSeq}},
	}
	wireOfferNegative = Offer{Origin: wireOrigin, To: wireOther, Rec: delta.Record{Kind: delta.KindNegative}}
	wirePingEcho      = Ping{ID: 1, Origin: wireOrigin, Wall: testkit.Wall, Echo: 300}
	wirePongEcho      = Pong{ID: 1, Origin: wireOrigin, Wall: testkit.Wall, Echo: 300}
	wirePongSeq       = Pong{ID: 1, Origin: wireOrigin, Seq: 1 << 40, Wall: testkit.Wall, Echo: 300}
	wirePingHeld      = Ping{ID: 1, Origin: wireOrigin, Seq: 7, Wall: testkit.Wall, Held: 300}
	wirePongHeld      = Pong{ID: 1, Origin: wireOrigin, Seq: 1 << 40, Wall: testkit.Wall, Held: 300}
)

func TestWireOfferRefused(t *testing.T) {
	frame := AppendOffer(nil, &wireOffer)
	head := [][]byte{wireFix(1, 1), wireFix(2, 2)}
	with := func(fields ...[]byte) []byte { return wireFrame(FrameOffer, slices.Concat(head, fields)...) }
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"truncated":       {frame[:len(frame)-1], ErrMalformed},
		"twice":           {slices.Concat(frame, wireFix(1, 1)), ErrMalformed},
		"wire type":       {with(wireAny(4, uint64(1))), ErrMalformed},
		"field 12":        {with(wireAny(12, "")), ErrUnsupported},
		"field 15":        {with(wireAny(15, "")), ErrUnsupported},
		"field 16":        {with(wireAny(16, "")), nil},
		"field 19":        {with(wireAny(19, "")), nil},
		"field 20":        {with(wireAny(20, "")), nil},
		"half an origin":  {with(wireAny(19, "1234567")), ErrMalformed},
		"no dot of it":    {with(wireAny(19, "12345678")), ErrMalformed},
		"half a number":   {with(wireAny(19, "12345678\x80")), ErrMalformed},
		"many origins":    {with(wireAny(19, strings.Repeat("123456789", delta.MaxUpTo))), nil},
		"too many":        {with(wireAny(19, strings.Repeat("123456789", delta.MaxUpTo+1))), ErrMalformed},
		"no origin":       {wireFrame(FrameOffer, wireFix(2, 1)), ErrMalformed},
		"no receiver":     {wireFrame(FrameOffer, wireFix(1, 1)), ErrMalformed},
		"a tombstone":     {with(wireAny(5, uint64(delta.KindTombstone))), ErrUnsupported},
		"kind of later":   {with(wireAny(5, uint64(99))), ErrUnsupported},
		"too large":       {with(wireAny(6, strings.Repeat("v", delta.MaxRecordSize+1))), ErrMalformed},
		"largest":         {with(wireAny(6, strings.Repeat("v", delta.MaxRecordSize))), nil},
		"deadline":        {with(wireAny(7, uint64(1)<<63)), ErrMalformed},
		"stale until":     {with(wireAny(8, uint64(1)<<63)), ErrMalformed},
		"refresh from":    {with(wireAny(9, uint64(1)<<63)), ErrMalformed},
		"half a dot":      {with(wireAny(10, strings.Repeat("d", 17))), ErrMalformed},
		"too many dots":   {with(wireAny(10, strings.Repeat("d", 16*(2*delta.MaxDots+1)))), ErrMalformed},
		"as many as can":  {with(wireAny(10, strings.Repeat("d", 16*2*delta.MaxDots))), nil},
		"of another type": {AppendTurn(nil, wireAlone), ErrMalformed},
	} {
		if _, err := DecodeOffer(c.frame); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(AppendOffer(nil, &Offer{Origin: 1 << 63, To: 1 << 63, Seen: 1 << 63, Echo: 1 << 63,
		Rec: delta.Record{
			Val:      strings.Repeat("v", delta.MaxRecordSize),
			Deadline: 1<<63 - 1, StaleUntil: 1<<63 - 1, RefreshFrom: 1<<63 - 1,
		},
		Dots: make([]delta.Dot, 2*delta.MaxDots), Clears: make([]delta.Dot, delta.MaxDots),
	})); n > MaxFrame+FrameSlack {
		t.Errorf("the largest offer has %d bytes", n)
	}
	upTo := slices.Repeat([]delta.Dot{{Origin: 1 << 63, Seq: delta.MaxSeq}}, delta.MaxUpTo)
	if n := len(AppendOffer(nil, &Offer{Origin: 1 << 63, To: 1 << 63, Seen: 1 << 63, Echo: 1 << 63,
		Rec: delta.Record{
			Val:      strings.Repeat("v", delta.MaxUpToRecord),
			Deadline: 1<<63 - 1, StaleUntil: 1<<63 - 1, RefreshFrom: 1<<63 - 1,
		},
		Dots: make([]delta.Dot, 2*delta.MaxDots), Clears: make([]delta.Dot, delta.MaxDots), UpTo: upTo,
	})); n > MaxFrame+FrameSlack {
		t.Errorf("the largest offer with origins has %d bytes", n)
	}
}

func TestWireOfferRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.Int64Range(0, 1<<62)
		o := Offer{
			Origin: rapid.Uint64Min(1).Draw(t, "origin"), To: rapid.Uint64Min(1).Draw(t, "to"),
			Seen: rapid.Uint64().Draw(t, "seen"), Echo: rapid.Uint64().Draw(t, "echo"),
			Rec: delta.Record{
				Key:         string(rapid.SliceOf(rapid.Byte()).Draw(t, "key")),
				Kind:        rapid.SampledFrom([]delta.Kind{delta.KindValue, delta.KindNegative}).Draw(t, "kind"),
				Deadline:    times.Draw(t, "deadline"),
				StaleUntil:  times.Draw(t, "stale"),
				RefreshFrom: times.Draw(t, "refresh"),
			},
		}
		if o.Rec.Kind == delta.KindValue {
			o.Rec.Val = string(rapid.SliceOf(rapid.Byte()).Draw(t, "val"))
		}
		for range rapid.IntRange(0, 2*delta.MaxDots).Draw(t, "dots") {
			o.Dots = append(o.Dots, delta.Dot{Origin: rapid.Uint64().Draw(t, "of"), Seq: rapid.Uint64().Draw(t, "seq")})
		}
		for range rapid.IntRange(0, delta.MaxUpTo).Draw(t, "origins") {
			o.UpTo = append(o.UpTo, delta.Dot{Origin: rapid.Uint64().Draw(t, "of"), Seq: rapid.Uint64().Draw(t, "up to")})
		}
		if n, most := len(AppendOffer(nil, &o)), o.Size(); n > most || n+128 < most && len(o.UpTo) == 0 {
			t.Fatalf("%d bytes, said to be at most %d: %+v", n, most, o)
		}
		if got, err := DecodeOffer(AppendOffer(nil, &o)); err != nil || !reflect.DeepEqual(got, o) {
			t.Fatalf("%+v, %v, want %+v", got, err, o)
		}
	})
}

// What a sender has processed is what it lists, and what comes before that of the same origin.
func TestOfferKnows(t *testing.T) {
	o := Offer{
		Dots: []delta.Dot{{Origin: 1, Seq: 5}}, Clears: []delta.Dot{{Origin: 2, Seq: 5}},
		UpTo: []delta.Dot{{Origin: 3, Seq: 5}},
	}
	for d, want := range map[delta.Dot]bool{
		{Origin: 1, Seq: 5}: true, {Origin: 1, Seq: 4}: false, {Origin: 2, Seq: 5}: true, {Origin: 2, Seq: 4}: false,
		{Origin: 3, Seq: 5}: true, {Origin: 3, Seq: 4}: true, {Origin: 3, Seq: 6}: false, {Origin: 4, Seq: 5}: false,
	} {
		if o.Knows(d) != want {
			t.Errorf("%v is known: %v", d, !want)
		}
	}
}

func FuzzOffer(f *testing.F) {
	wireSeeds(f)
	f.Fuzz(func(t *testing.T, given []byte) {
		frame := slices.Clone(given)
		o, err := DecodeOffer(frame)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		for i := range frame {
			frame[i] ^= 0xa5 // nothing that was read may change with it
		}
		if len(o.Rec.Key)+len(o.Rec.Val)+16*len(o.Dots) > len(given) {
			t.Fatalf("%+v, of %d bytes", o, len(given))
		}
		if again, err := DecodeOffer(AppendOffer(nil, &o)); err != nil || !reflect.DeepEqual(again, o) {
			t.Fatalf("%+v, encoded and decoded again: %+v, %v", o, again, err)
		}
	})
}
