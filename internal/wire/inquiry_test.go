package wire

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

var (
	wireInquiry = Inquiry{ID: 1, Origin: wireOrigin, Key: "user:\x00\xff", Flags: InquiryValue}
	wireReport  = Report{
		ID: 1, Origin: wireOther, Wall: testkit.Wall, Flags: ReportCleared | ReportBeside,
		Held: &Held{
			Version:  delta.Version{Stamp: delta.StampOf(testkit.Wall) + 1, Origin: wireOrigin},
			Deadline: testkit.Wall + 60_000, StaleUntil: testkit.Wall + 90_000, RefreshFrom: testkit.Wall,
			Size: 300, Val: "v\x00",
		},
		Beside: &Held{Kind: delta.KindNegative, Size: 7},
		Floor:  300 << 16, ClearStamp: 400 << 16, ClearOrigin: wireOther,
		Fills: 3, Granter: 1, Holder: 1 << 47,
		Decisions: []Decision{
			{What: 1, Wall: testkit.Wall, Stamp: 300 << 16}, {What: 99, Flags: DecisionProvisional}, {},
		},
	}
	wireReportTags = Report{
		ID: 1, Origin: wireOther, Wall: testkit.Wall, Flags: ReportCleared | ReportEnded,
		Held:   &Held{Version: wireVersion(0), Size: 2, Tags: wireTags},
		Beside: &Held{Size: 3, Val: "v", Tags: wireTags}, TagFloor: 300 << 16,
		KeyClear: &KeyClear{Selector: delta.SelectTag("team:7"), Version: wireVersion(1), Wall: testkit.Wall},
	}
	wireReportBusy = Report{ID: 1, Origin: wireOther, Flags: ReportBusy}
)

func TestWireInquiryRefused(t *testing.T) {
	asks := func(fields ...[]byte) []byte {
		return wireFrame(FrameInquiry, slices.Concat([][]byte{wireFix(2, 1)}, fields)...)
	}
	tells := func(fields ...[]byte) []byte {
		return wireFrame(FrameReport, slices.Concat([][]byte{wireFix(2, 1)}, fields)...)
	}
	inquiry, report := AppendInquiry(nil, &wireInquiry), AppendReport(nil, &wireReport)
	decisions := func(n int) []byte {
		return AppendReport(nil, &Report{Origin: 1, Decisions: make([]Decision, n)})
	}
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"a truncated inquiry":    {inquiry[:len(inquiry)-1], ErrMalformed},
		"an id twice":            {slices.Concat(inquiry, wireFix(1, 1)), ErrMalformed},
		"nobody's inquiry":       {wireFrame(FrameInquiry, wireFix(1, 1)), ErrMalformed},
		"field 5 of an inquiry":  {asks(wireAny(5, "")), ErrUnsupported},
		"field 16 of an inquiry": {asks(wireAny(16, "")), nil},
		"the longest key":        {asks(wireAny(3, strings.Repeat("k", MaxInquiryKey))), nil},
		"a longer key":           {asks(wireAny(3, strings.Repeat("k", MaxInquiryKey+1))), ErrMalformed},
		"a truncated report":     {report[:len(report)-1], ErrMalformed},
		"nobody's report":        {wireFrame(FrameReport, wireFix(1, 1)), ErrMalformed},
		"field 14 of a report":   {tells(wireAny(14, "")), ErrUnsupported},
		"field 18 of a report":   {tells(wireAny(18, "")), nil},
		"a Clear of nothing":     {tells(wireAny(16, "")), nil},
		"half a Clear":           {tells(wireAny(16, "\x08")), ErrMalformed},
		"a Clear as a number":    {tells(wireAny(16, uint64(1))), nil},
		"field 6 of a Clear":     {tells(wireAny(16, string(wireAny(6, "")))), ErrUnsupported},
		"two tags of a Clear":    {tells(wireAny(16, string(wireAny(2, "t"))+string(wireAny(2, "t")))), ErrMalformed},
		"half a tag of a value":  {tells(wireAny(5, string(wireAny(16, "\x05tag")))), ErrMalformed},
		"tags not in order":      {tells(wireAny(5, string(wireAny(16, "\x00b\x00a")))), ErrMalformed},
		"tags in order":          {tells(wireAny(6, string(wireAny(16, "\x00a\x00b")))), nil},
		"two that are held":      {tells(wireAny(5, ""), wireAny(5, "")), ErrMalformed},
		"field 9 of what's held": {tells(wireAny(5, string(wireAny(9, "")))), ErrUnsupported},
		"half of what is held":   {tells(wireAny(6, "\x08")), ErrMalformed},
		"field 5 of a decision":  {tells(wireAny(13, string(wireAny(5, "")))), ErrUnsupported},
		"half a decision":        {tells(wireAny(13, "\x08")), ErrMalformed},
		"as many as can be":      {decisions(MaxDecisions), nil},
		"too many decisions":     {decisions(MaxDecisions + 1), ErrMalformed},
		"a type of later":        {wireFrame(FrameReport+1, wireFix(2, 1)), ErrUnsupported},
	} {
		_, err := DecodeInquiry(c.frame)
		if c.frame[1] != FrameInquiry {
			_, err = DecodeReport(c.frame)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	kind := string(wireAny(1, uint64(99)))
	if r, err := DecodeReport(tells(wireAny(5, kind))); err != nil || r.Held.Kind != delta.KindUnknown {
		t.Errorf("a kind of later is %+v, %v", r.Held, err)
	}
	for _, fields := range []string{
		"", string(wireAny(1, "p")) + string(wireAny(2, "t")),
		string(wireAny(1, strings.Repeat("p", delta.MaxPrefixLen+1))),
		string(wireAny(2, strings.Repeat("t", delta.MaxTagLen+1))),
	} {
		if r, err := DecodeReport(tells(wireAny(16, fields))); err != nil || r.KeyClear != nil {
			t.Errorf("a Clear that selects what isn't known is %+v, %v", r.KeyClear, err)
		}
	}
	long := strings.Repeat("v", 2*MaxReportValue)
	if r, err := DecodeReport(AppendReport(nil, &Report{Origin: 1, Held: &Held{Val: long}})); err != nil ||
		len(r.Held.Val) != MaxReportValue {
		t.Errorf("of a long value %d bytes are kept, %v", len(r.Held.Val), err)
	}
}

func TestWireInquiryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := Inquiry{
			ID: rapid.Uint64().Draw(t, "id"), Origin: rapid.Uint64Min(1).Draw(t, "origin"),
			Key:   string(rapid.SliceOfN(rapid.Byte(), 0, MaxInquiryKey).Draw(t, "key")),
			Flags: rapid.Uint64().Draw(t, "flags"),
		}
		if got, err := DecodeInquiry(AppendInquiry(nil, &q)); err != nil || got != q {
			t.Fatalf("%+v, %v, want %+v", got, err, q)
		}
	})
}

func TestWireReportRoundTrip(t *testing.T) {
	held := func(t *rapid.T) *Held {
		if !rapid.Bool().Draw(t, "held") {
			return nil
		}
		times := rapid.Int64Range(0, 1<<62)
		return &Held{
			Kind:     delta.Kind(rapid.IntRange(0, int(delta.KindUnknown)).Draw(t, "kind")),
			Version:  delta.Version{Stamp: rapid.Uint64().Draw(t, "stamp"), Origin: rapid.Uint64().Draw(t, "by")},
			Deadline: times.Draw(t, "deadline"), StaleUntil: times.Draw(t, "stale"),
			RefreshFrom: times.Draw(t, "refresh"), Size: rapid.Uint64().Draw(t, "size"),
			Val:  string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "val")),
			Tags: rapid.SampledFrom([]delta.Tags{"", wireTags}).Draw(t, "tags"),
		}
	}
	text := func(t *rapid.T, most int) string {
		return string(rapid.SliceOfN(rapid.Byte(), 1, most).Draw(t, "text"))
	}
	clear := func(t *rapid.T) *KeyClear {
		x := &KeyClear{
			Version: delta.Version{Stamp: rapid.Uint64().Draw(t, "stamp"), Origin: rapid.Uint64().Draw(t, "by")},
			Wall:    rapid.Int64().Draw(t, "wall"),
		}
		switch rapid.IntRange(0, 2).Draw(t, "selector") {
		case 0:
			return nil
		case 1:
			x.Selector = delta.SelectPrefix(text(t, delta.MaxPrefixLen))
		case 2:
			x.Selector = delta.SelectTag(text(t, delta.MaxTagLen))
		}
		return x
	}
	number := rapid.Uint64()
	rapid.Check(t, func(t *rapid.T) {
		r := Report{
			ID: number.Draw(t, "id"), Origin: rapid.Uint64Min(1).Draw(t, "origin"),
			Wall: rapid.Int64().Draw(t, "wall"), Flags: number.Draw(t, "flags"),
			Held: held(t), Beside: held(t), Floor: number.Draw(t, "floor"),
			TagFloor: number.Draw(t, "tag floor"), KeyClear: clear(t),
			ClearStamp: number.Draw(t, "clear"), ClearOrigin: number.Draw(t, "cleared by"),
			Fills: number.Draw(t, "fills"), Granter: number.Draw(t, "granter"), Holder: number.Draw(t, "holder"),
		}
		for range rapid.IntRange(0, MaxDecisions).Draw(t, "decisions") {
			r.Decisions = append(r.Decisions, Decision{
				What: number.Draw(t, "what"), Wall: rapid.Int64().Draw(t, "at"),
				Stamp: number.Draw(t, "of"), Flags: number.Draw(t, "flags"),
			})
		}
		if got, err := DecodeReport(AppendReport(nil, &r)); err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v, %v, want %+v", got, err, r)
		}
	})
}

func FuzzInquiry(f *testing.F) {
	wireSeeds(f)
	f.Fuzz(func(t *testing.T, given []byte) {
		frame := slices.Clone(given)
		q, err := DecodeInquiry(frame)
		r, err2 := DecodeReport(frame)
		for _, err := range []error{err, err2} {
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
		}
		for i := range frame {
			frame[i] ^= 0xa5 // nothing that was read may change with it
		}
		if err == nil {
			if again, err := DecodeInquiry(AppendInquiry(nil, &q)); err != nil || again != q {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", q, again, err)
			}
		}
		if err2 == nil {
			if again, err := DecodeReport(AppendReport(nil, &r)); err != nil || !reflect.DeepEqual(again, r) {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", r, again, err)
			}
		}
	})
}

// Nodes write fields in the order of their numbers, as docs/wire.proto says.
func TestWireFieldsAscend(t *testing.T) {
	ping, pong := wirePing, wirePong
	ping.Held, ping.Echo, ping.Micros = 1, 1, 1
	pong.Held, pong.Echo, pong.Micros = 1, 1, 1
	late := wireLate
	late.Echo, late.Origin, late.Offered = 1, 1, true
	full := wireNoLeases
	full.Echo, full.Origin, full.Offered = 1, 1, true
	for name, frame := range map[string][]byte{
		"ping": AppendPing(nil, ping), "pong": AppendPong(nil, pong), "offer": AppendOffer(nil, &wireOffer),
		"lease": AppendLease(nil, late), "turn": AppendTurn(nil, full),
		"inquiry": AppendInquiry(nil, &wireInquiry), "report": AppendReport(nil, &wireReport),
		"report with tags": AppendReport(nil, &wireReportTags),
		"delta":            AppendSent(AppendEcho(AppendDelta(nil, wireOrigin, 7, wireRecords), 1), 1),
	} {
		fields := fieldReader{rest: frame[2:]}
		for last := protowire.Number(0); len(fields.rest) > 0; {
			f, err := fields.next()
			if err != nil || f.num < last {
				t.Fatalf("%s: field %d after %d, %v", name, f.num, last, err)
			}
			last = f.num
		}
	}
}
