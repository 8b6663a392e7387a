package wire

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/testkit"
	"google.golang.org/protobuf/encoding/protowire"
)

var wireUpdate = flag.Bool("update", false, "write the golden frames of the current wire version")

const (
	wireOrigin = 0xa1b2c3d4e5f60718
	wireOther  = 0x1122334455667788
)

// wireRecords has every kind and every field.
var wireRecords = []delta.Record{
	{Key: "user:1", Val: "Ann", Version: delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: wireOrigin}, Deadline: testkit.Wall + 3_600_000},
	{Key: "user:2", Kind: delta.KindTombstone, Version: delta.Version{Stamp: delta.StampOf(testkit.Wall) + 1, Origin: wireOrigin}},
	{Kind: delta.KindClear, Version: delta.Version{Stamp: delta.StampOf(testkit.Wall) + 2, Origin: wireOrigin}},
	{Key: "user:3", Kind: delta.KindNegative, Version: delta.Version{Stamp: delta.StampOf(testkit.Wall) + 3, Origin: wireOrigin}, Deadline: testkit.Wall},
	{Key: "user:4", Kind: delta.KindForget, Version: delta.Version{Stamp: delta.StampOf(testkit.Wall - 60_000), Origin: wireOther}},
	{Key: "k\x00\xff", Val: "\xfe\x00v", Version: delta.Version{Stamp: delta.StampOf(testkit.Wall) + 4, Origin: wireOther},
		Deadline: testkit.Wall + 60_000, StaleUntil: testkit.Wall + 90_000, RefreshFrom: testkit.Wall + 48_000},
	{Version: delta.Version{Stamp: delta.StampOf(testkit.Wall) + 4, Origin: wireOrigin}, StaleUntil: 1, RefreshFrom: testkit.Wall},
}

func wireDelta(fields ...[]byte) []byte {
	frame := []byte{Version, FrameDelta}
	for _, f := range fields {
		frame = append(frame, f...)
	}
	return frame
}

func wireHeader(first uint64) []byte {
	b := AppendFixed64(nil, DeltaOrigin, wireOrigin)
	b = AppendVarint(b, DeltaFirst, first)
	return AppendFixed64(b, deltaBase, delta.StampOf(testkit.Wall))
}

func wireRec(fields ...[]byte) []byte {
	var body []byte
	for _, f := range fields {
		body = append(body, f...)
	}
	return wireAny(4, body)
}

// wireAny encodes one field of any number: x is a uint64 (varint), string or []byte.
func wireAny(num protowire.Number, x any) []byte {
	switch x := x.(type) {
	case string:
		return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), x)
	case []byte:
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), x)
	case uint64:
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), x)
	}
	panic("wireAny: unexpected type")
}

func wireFix(num protowire.Number, x uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), x)
}

func wireZig(num protowire.Number, d int64) []byte {
	return wireAny(num, protowire.EncodeZigZag(d))
}

// next copies the next record into rec and returns its seq.
func (d *DeltaReader) next(rec *delta.Record) (seq uint64, ok bool) {
	seq = d.Seq
	w, ok := d.Advance()
	if ok {
		*rec = w.Record(string(w.Key))
	}
	return seq, ok
}

// wireReadAll opens and reads a delta. It reports dots that don't follow each other as errors.
func wireReadAll(frame []byte) (d DeltaReader, recs []delta.Record, err error) {
	d, err = OpenDelta(frame)
	if err != nil {
		return d, nil, err
	}
	for it, rec := d, (delta.Record{}); ; {
		seq, ok := it.next(&rec)
		if ok && seq != d.First+uint64(len(recs)) {
			return d, recs, fmt.Errorf("seq %d, %d records in", seq, len(recs))
		}
		if !ok {
			break
		}
		recs = append(recs, rec)
	}
	if uint64(len(recs)) != d.Count {
		return d, recs, fmt.Errorf("count %d, but %d records", d.Count, len(recs))
	}
	return d, recs, nil
}

func TestWireGolden(t *testing.T) {
	head := wireHeader(7)
	key, val := wireAny(2, "k"), wireAny(3, "v")
	base := delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: wireOrigin}
	plain := delta.Record{Key: "k", Val: "v", Version: base}
	unknown := delta.Record{Key: "k", Version: base, Kind: delta.KindUnknown}

	for _, g := range []struct {
		name  string
		frame []byte // what today's encoder, or a later version's, sends
		want  any    // []record with first seq 7, or what the frame is decoded to
	}{
		{"delta", AppendDelta(nil, wireOrigin, 7, wireRecords), wireRecords},
		{"delta-kind-99", wireDelta(head, wireRec(wireAny(1, uint64(99)), key, val, wireZig(6, 1000)), wireRec(key, val)), []delta.Record{unknown, plain}},
		{"delta-record-field-9", wireDelta(head, wireRec(key, val, wireAny(9, "new")), wireRec(key, val)), []delta.Record{unknown, plain}},
		{"delta-extra-fields", wireDelta(wireAny(16, "body"), head, wireAny(17, uint64(5)),
			wireRec(wireAny(1000, "record"), key, wireFix(16, 1), val, wireAny(17, uint64(1))), wireFix(99, 3)), []delta.Record{plain}},
		{"ping", AppendPing(nil, Ping{ID: 1, Origin: wireOrigin, Seq: 300, Wall: testkit.Wall}), Ping{ID: 1, Origin: wireOrigin, Seq: 300, Wall: testkit.Wall}},
		{"pong", AppendPong(nil, Pong{ID: 1, Origin: wireOther, From: 5, To: 300, Wall: testkit.Wall}), Pong{ID: 1, Origin: wireOther, From: 5, To: 300, Wall: testkit.Wall}},
		{"delta-newest", MarkRepair(AppendDelta(nil, wireOrigin, 7, wireRecords[:2]), delta.StampOf(testkit.Wall)+9), wireRecords[:2]},
		{"ping-context", AppendPing(nil, wirePing), wirePing},
		{"pong-full", AppendPong(nil, wirePong), wirePong},
		{"ask", AppendAsk(nil, wireAsk), wireAsk},
		{"chunk-head", AppendChunk(nil, &wireHead), wireHead},
		{"chunk-group", AppendChunk(nil, &wireGroup), wireGroup},
		{"chunk-refused", AppendChunk(nil, &wireRefusal), wireRefusal},
		{"lease-want", AppendLease(nil, wireWant), wireWant},
		{"lease-filled", AppendLease(nil, wireFilled), wireFilled},
		{"turn-granted", AppendTurn(nil, wireGranted), wireGranted},
		{"turn-alone", AppendTurn(nil, wireAlone), wireAlone},
		{"delta-echo", AppendEcho(AppendDelta(nil, wireOrigin, 7, wireRecords[:2]), 300), wireRecords[:2]},
		{"ping-echo", AppendPing(nil, wirePingEcho), wirePingEcho},
		{"pong-echo", AppendPong(nil, wirePongEcho), wirePongEcho},
		{"pong-seq", AppendPong(nil, wirePongSeq), wirePongSeq},
		{"ping-held", AppendPing(nil, wirePingHeld), wirePingHeld},
		{"pong-held", AppendPong(nil, wirePongHeld), wirePongHeld},
		{"offer", AppendOffer(nil, &wireOffer), wireOffer},
		{"offer-negative", AppendOffer(nil, &wireOfferNegative), wireOfferNegative},
		{"lease-offered", AppendLease(nil, wireOffered), wireOffered},
		{"lease-late", AppendLease(nil, wireLate), wireLate},
		{"turn-offered", AppendTurn(nil, wireOnOffer), wireOnOffer},
		{"turn-full", AppendTurn(nil, wireNoLeases), wireNoLeases},
		{"inquiry", AppendInquiry(nil, &wireInquiry), wireInquiry},
		{"report", AppendReport(nil, &wireReport), wireReport},
		{"report-tags", AppendReport(nil, &wireReportTags), wireReportTags},
		{"report-busy", AppendReport(nil, &wireReportBusy), wireReportBusy},
		{"delta-sent", AppendSent(AppendEcho(AppendDelta(nil, wireOrigin, 7, wireRecords[:2]), 5), wireSent), wireRecords[:2]},
		{"ping-micros", AppendPing(nil, wirePingMicros), wirePingMicros},
		{"pong-micros", AppendPong(nil, wirePongMicros), wirePongMicros},
		{"pong-lacks", AppendPong(nil, wirePongLacks), wirePongLacks},
		{"delta-tags", AppendDelta(nil, wireOrigin, 7, wireTagged), wireTagged},
		{"delta-clears", AppendDelta(nil, wireOrigin, 7, wireClears), wireClears},
		{"offer-tags", AppendOffer(nil, &wireOfferTags), wireOfferTags},
		{"offer-upto", AppendOffer(nil, &wireOfferUpTo), wireOfferUpTo},
		{"ping-tags", AppendPing(nil, wirePingTags), wirePingTags},
		{"pong-tags", AppendPong(nil, wirePongTags), wirePongTags},
		{"ping-leaving", AppendPing(nil, wirePingLeaving), wirePingLeaving},
		{"pong-whole", AppendPong(nil, wirePongWhole), wirePongWhole},
	} {
		t.Run(g.name, func(t *testing.T) {
			file := filepath.Join("testdata", "wire", "v1", g.name+".frame")
			if *wireUpdate {
				if err := os.WriteFile(file, g.frame, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			frame, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(frame) != string(g.frame) {
				t.Errorf("encoded now:\n%x\ngolden:\n%x", g.frame, frame)
			}
			var got any
			switch g.want.(type) {
			case Ping:
				got, err = DecodePing(frame)
			case Inquiry:
				got, err = DecodeInquiry(frame)
			case Report:
				got, err = DecodeReport(frame)
			case Pong:
				got, err = DecodePong(frame)
			case SyncAsk:
				got, err = DecodeAsk(frame)
			case SyncChunk:
				got, err = wireReadChunk(frame)
			case LeaseMsg:
				got, err = DecodeLease(frame)
			case TurnMsg:
				got, err = DecodeTurn(frame)
			case Offer:
				got, err = DecodeOffer(frame)
			default:
				var d DeltaReader
				d, got, err = wireReadAll(frame)
				if d.Origin != wireOrigin || d.First != 7 {
					t.Errorf("origin %x, first %d", d.Origin, d.First)
				}
				if echo := g.name == "delta-echo"; echo != (d.Echo == 300) {
					t.Errorf("echo %d", d.Echo)
				}
				if sent := g.name == "delta-sent"; sent != (d.Sent == wireSent) || !sent && d.Sent != 0 {
					t.Errorf("sent %d", d.Sent)
				}
				if repair := g.name == "delta-newest"; repair != (d.Newest == delta.StampOf(testkit.Wall)+9) || !repair && d.Newest != 0 {
					t.Errorf("newest %d", d.Newest)
				}
			}
			if err != nil || !reflect.DeepEqual(got, g.want) {
				t.Errorf("decoded %+v, %v\nwant %+v", got, err, g.want)
			}
		})
	}
}

func TestWireRefused(t *testing.T) {
	head, key := wireHeader(1), wireAny(2, "k")
	rec := wireRec(key)
	clearKind := wireAny(1, uint64(delta.KindClear))
	big := strings.Repeat("x", delta.MaxRecordSize/2)
	group := protowire.AppendTag(nil, 20, protowire.StartGroupType)
	group = protowire.AppendTag(group, 20, protowire.EndGroupType)

	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"empty":                 {nil, ErrMalformed},
		"version only":          {[]byte{Version}, ErrMalformed},
		"version 2":             {[]byte{2, FrameDelta}, ErrUnsupported},
		"type 0":                {[]byte{Version, 0}, ErrUnsupported},
		"type 11":               {[]byte{Version, 11}, ErrUnsupported},
		"another type":          {AppendPing(nil, Ping{Origin: 1}), ErrMalformed},
		"no body":               {wireDelta(), ErrMalformed},
		"no records":            {wireDelta(head), ErrMalformed},
		"no header":             {wireDelta(rec), ErrMalformed},
		"origin 0":              {wireDelta(wireFix(1, 0), wireAny(2, uint64(1)), wireFix(3, 1), wireRec(wireFix(5, 1))), ErrMalformed},
		"first 0":               {wireDelta(wireFix(1, 1), wireFix(3, 1), rec), ErrMalformed},
		"base 0":                {wireDelta(wireFix(1, 1), wireAny(2, uint64(1)), rec), ErrMalformed},
		"base above 2^63":       {wireDelta(wireFix(1, 1), wireAny(2, uint64(1)), wireFix(3, delta.MaxStamp+1), wireRec(wireZig(4, -1))), ErrMalformed},
		"header after a record": {wireDelta(head[:9], wireAny(2, uint64(1)), rec, wireFix(3, 1)), ErrMalformed},
		"header twice":          {wireDelta(head, wireFix(1, 1), rec), ErrMalformed},
		"seq overflow":          {wireDelta(wireHeader(math.MaxUint64), rec), ErrMalformed},
		"seq wire type":         {wireDelta(wireFix(2, 1), head, rec), ErrMalformed},
		"record wire type":      {wireDelta(head, wireAny(4, uint64(1))), ErrMalformed},
		"body field 5":          {wireDelta(head, rec, wireAny(5, "")), ErrUnsupported},
		"body field 15":         {wireDelta(head, rec, wireAny(15, "")), ErrUnsupported},
		"field 0":               {wireDelta(head, rec, []byte{0, 0}), ErrMalformed},
		"garbage at the end":    {wireDelta(head, rec, []byte{0xff}), ErrMalformed},
		"group":                 {wireDelta(head, rec, group), ErrMalformed},
		"second record bad":     {wireDelta(head, rec, wireRec(wireFix(5, 0))), ErrMalformed},

		"key twice":                {wireDelta(head, wireRec(key, key)), ErrMalformed},
		"empty value twice":        {wireDelta(head, wireRec(wireAny(3, ""), wireAny(3, ""))), ErrMalformed},
		"key wire type":            {wireDelta(head, wireRec(wireAny(2, uint64(1)))), ErrMalformed},
		"deadline wire type":       {wireDelta(head, wireRec(wireFix(6, 1))), ErrMalformed},
		"group in a record":        {wireDelta(head, wireRec(key, group)), ErrMalformed},
		"record truncated":         {wireDelta(head, wireRec(key[:2])), ErrMalformed},
		"value longer than record": {wireDelta(head, wireRec([]byte{recordVal, 2, 'v'}), rec), ErrMalformed},
		"too large":                {wireDelta(head, wireRec(wireAny(2, big), wireAny(3, big+"x"))), ErrMalformed},
		"too large, unknown kind":  {wireDelta(head, wireRec(wireAny(1, uint64(9)), wireAny(2, big), wireAny(3, big+"x"))), ErrMalformed},
		"version origin 0":         {wireDelta(head, wireRec(wireFix(5, 0))), ErrMalformed},
		"clear with a key":         {wireDelta(head, wireRec(clearKind, key)), ErrMalformed},
		"stamp 0":                  {wireDelta(head, wireRec(wireZig(4, -int64(delta.StampOf(testkit.Wall))))), ErrMalformed},
		"stamp below 0":            {wireDelta(head, wireRec(wireZig(4, math.MinInt64))), ErrMalformed},
		"stamp above 2^63":         {wireDelta(head, wireRec(wireZig(4, math.MaxInt64))), ErrMalformed},
		"deadline 0":               {wireDelta(head, wireRec(wireZig(6, -testkit.Wall))), ErrMalformed},
		"deadline below 0":         {wireDelta(head, wireRec(wireZig(6, math.MinInt64))), ErrMalformed},
		"deadline overflows":       {wireDelta(head, wireRec(wireZig(6, math.MaxInt64))), ErrMalformed},
		"stale-until 0":            {wireDelta(head, wireRec(wireZig(7, 0))), ErrMalformed},
		"stale-until overflows":    {wireDelta(head, wireRec(wireZig(6, 1), wireZig(7, math.MaxInt64))), ErrMalformed},
		"refresh-from 0":           {wireDelta(head, wireRec(wireZig(8, -testkit.Wall))), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := OpenDelta(c.frame); !errors.Is(err, c.want) || d.Count != 0 {
				t.Errorf("count %d, error %v; want %v", d.Count, err, c.want)
			}
		})
	}

	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"ping without origin":   {AppendPing(nil, Ping{ID: 1, Seq: 1}), ErrMalformed},
		"ping with field 10":    {append(AppendPing(nil, Ping{Origin: 1}), wireAny(10, "")...), ErrUnsupported},
		"ping with field 1 bad": {append(AppendPing(nil, Ping{Origin: 1}), wireAny(1, "")...), ErrMalformed},
		"pong without origin":   {AppendPong(nil, Pong{ID: 1, To: 1}), ErrMalformed},
		"pong with from > to":   {AppendPong(nil, Pong{Origin: 1, From: 2, To: 1}), ErrMalformed},
		"pong with field 9":     {append(AppendPong(nil, Pong{Origin: 1}), wireAny(9, "")...), ErrUnsupported},
		"pong with to twice":    {append(AppendPong(nil, Pong{Origin: 1, To: 1}), wireAny(4, uint64(2))...), ErrMalformed},

		"ping with field 16":        {append(AppendPing(nil, Ping{Origin: 1}), wireAny(16, "later")...), nil},
		"ping with a flag of later": {AppendPing(nil, Ping{Origin: 1, Flags: 1 << 40}), nil},
		"ping with horizon 2^63":    {AppendPing(nil, Ping{Origin: 1, Horizon: dots.Horizon{Stamp: delta.MaxStamp, Print: 1}}), nil},
		"ping with horizon above":   {AppendPing(nil, Ping{Origin: 1, Horizon: dots.Horizon{Stamp: delta.MaxStamp + 1, Print: 1}}), ErrMalformed},
		"ping with field 15":        {append(AppendPing(nil, Ping{Origin: 1}), wireAny(15, "")...), ErrUnsupported},
		"ping with flags twice":     {append(AppendPing(nil, Ping{Origin: 1, Flags: 1}), wireAny(5, uint64(2))...), ErrMalformed},
		"ping with flags bad":       {append(AppendPing(nil, Ping{Origin: 1}), wireFix(5, 1)...), ErrMalformed},
		"ping with dots bad":        {append(AppendPing(nil, Ping{Origin: 1}), wireAny(6, uint64(1))...), ErrMalformed},
		"ping with rest twice":      {append(AppendPing(nil, Ping{Origin: 1, Rest: 1}), wireFix(7, 1)...), ErrMalformed},
		"ping with rest bad":        {append(AppendPing(nil, Ping{Origin: 1}), wireAny(7, uint64(1))...), ErrMalformed},
		"ping with stamp twice":     {append(AppendPing(nil, Ping{Origin: 1, Horizon: wireHorizon}), wireFix(8, 1)...), ErrMalformed},
		"ping with stamp bad":       {append(AppendPing(nil, Ping{Origin: 1}), wireAny(8, uint64(1))...), ErrMalformed},
		"ping with print twice":     {append(AppendPing(nil, Ping{Origin: 1, Horizon: wireHorizon}), wireFix(9, 1)...), ErrMalformed},
		"ping with print bad":       {append(AppendPing(nil, Ping{Origin: 1}), wireAny(9, uint64(1))...), ErrMalformed},
		"pong with field 16":        {append(AppendPong(nil, Pong{Origin: 1}), wireAny(16, "later")...), nil},
		"pong with a flag of later": {AppendPong(nil, Pong{Origin: 1, Flags: 1 << 40}), nil},
		"pong with horizon 2^63":    {AppendPong(nil, Pong{Origin: 1, Horizon: dots.Horizon{Stamp: delta.MaxStamp, Print: 1}}), nil},
		"pong with horizon above":   {AppendPong(nil, Pong{Origin: 1, Horizon: dots.Horizon{Stamp: delta.MaxStamp + 1, Print: 1}}), ErrMalformed},
		"pong with field 15":        {append(AppendPong(nil, Pong{Origin: 1}), wireAny(15, "")...), ErrUnsupported},
		"pong with flags twice":     {append(AppendPong(nil, Pong{Origin: 1, Flags: 1}), wireAny(6, uint64(2))...), ErrMalformed},
		"pong with lacks bad":       {append(AppendPong(nil, Pong{Origin: 1}), wireAny(22, wireFix(1, 0))...), ErrMalformed},
		"pong with lacks unsorted":  {append(AppendPong(nil, wirePongLacks), wireAny(22, wireFix(1, 1))...), ErrMalformed},
		"pong with lacks otherwise": {append(AppendPong(nil, Pong{Origin: 1}), wireAny(22, uint64(5))...), nil},
		"pong with flags bad":       {append(AppendPong(nil, Pong{Origin: 1}), wireFix(6, 1)...), ErrMalformed},
		"pong with stamp twice":     {append(AppendPong(nil, Pong{Origin: 1, Horizon: wireHorizon}), wireFix(7, 1)...), ErrMalformed},
		"pong with stamp bad":       {append(AppendPong(nil, Pong{Origin: 1}), wireAny(7, uint64(1))...), ErrMalformed},
		"pong with print twice":     {append(AppendPong(nil, Pong{Origin: 1, Horizon: wireHorizon}), wireFix(8, 1)...), ErrMalformed},
		"pong with print bad":       {append(AppendPong(nil, Pong{Origin: 1}), wireAny(8, uint64(1))...), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if strings.HasPrefix(name, "ping") {
				_, err = DecodePing(c.frame)
			} else {
				_, err = DecodePong(c.frame)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// The newest stamp is a fixed64 in range; what else there is under its number says nothing.
func TestWireNewest(t *testing.T) {
	deltaOf := func(field []byte) []byte { return wireDelta(wireHeader(1), wireRec(wireAny(2, "k")), field) }
	for name, c := range map[string]struct {
		frame  []byte
		newest uint64
		want   error
	}{
		"none":             {deltaOf(nil), 0, nil},
		"1":                {MarkRepair(deltaOf(nil), 1), 1, nil},
		"2^63":             {MarkRepair(deltaOf(nil), delta.MaxStamp), delta.MaxStamp, nil},
		"above 2^63":       {MarkRepair(deltaOf(nil), delta.MaxStamp+1), 0, ErrMalformed},
		"before the rest":  {wireDelta(wireFix(16, 5), deltaOf(nil)[2:]), 5, nil},
		"twice":            {MarkRepair(MarkRepair(deltaOf(nil), 1), 2), 2, nil},
		"varint":           {deltaOf(wireAny(16, uint64(7))), 0, nil},
		"bytes":            {deltaOf(wireAny(16, "newest")), 0, nil},
		"another number":   {deltaOf(wireFix(17, 7)), 0, nil},
		"same low 5 bits":  {deltaOf(wireFix(16+32, 7)), 0, nil},
		"a number in 256s": {deltaOf(wireFix(16+256, 7)), 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := OpenDelta(c.frame); d.Newest != c.newest || !errors.Is(err, c.want) {
				t.Errorf("newest %d, %v; want %d, %v", d.Newest, err, c.newest, c.want)
			}
		})
	}
}

// At the limits themselves nothing is refused.
func TestWireLimits(t *testing.T) {
	big := strings.Repeat("x", delta.MaxRecordSize/2)
	want := []delta.Record{
		{Key: big, Val: big, Version: delta.Version{Stamp: delta.MaxStamp, Origin: 1}, Deadline: math.MaxInt64, StaleUntil: math.MaxInt64, RefreshFrom: 1},
		{Version: delta.Version{Stamp: 1, Origin: math.MaxUint64}, Deadline: 1, StaleUntil: 1, RefreshFrom: math.MaxInt64},
		{Version: delta.Version{Stamp: delta.MaxStamp, Origin: 2}, Deadline: 1, StaleUntil: math.MaxInt64},
	}
	_, got, err := wireReadAll(AppendDelta(nil, 1, math.MaxUint64-3, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("error %v, %d records", err, len(got))
	}
}

// A later version's fields and kinds never keep a value, and never a clear from clearing.
func TestWireMustUnderstand(t *testing.T) {
	version := delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: wireOrigin}
	key, newField := wireAny(2, "k"), wireAny(15, uint64(1))
	for name, c := range map[string]struct {
		rec  []byte
		want delta.Record
	}{
		"kind that is 0 in a byte": {wireRec(wireAny(1, uint64(256)), key, wireAny(3, "v")), delta.Record{Key: "k", Kind: delta.KindUnknown, Version: version}},
		"the first unknown kind":   {wireRec(wireAny(1, uint64(delta.KindUnknown)), key), delta.Record{Key: "k", Kind: delta.KindUnknown, Version: version}},
		"field twice":              {wireRec(newField, key, newField), delta.Record{Key: "k", Kind: delta.KindUnknown, Version: version}},
		"tombstone":                {wireRec(wireAny(1, uint64(delta.KindTombstone)), key, newField), delta.Record{Key: "k", Kind: delta.KindUnknown, Version: version}},
		"clear":                    {wireRec(wireAny(1, uint64(delta.KindClear)), newField), delta.Record{Kind: delta.KindClear, Version: version}},
		"value of a tombstone":     {wireRec(wireAny(1, uint64(delta.KindTombstone)), key, wireAny(3, "v")), delta.Record{Key: "k", Kind: delta.KindTombstone, Version: version}},
	} {
		t.Run(name, func(t *testing.T) {
			_, got, err := wireReadAll(wireDelta(wireHeader(1), c.rec))
			if err != nil || !reflect.DeepEqual(got, []delta.Record{c.want}) {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	t.Run("sent on as a forget", func(t *testing.T) {
		got := AppendDelta(nil, 1, 1, []delta.Record{{Key: "k", Val: "v", Kind: delta.KindUnknown, Version: version}})
		want := AppendDelta(nil, 1, 1, []delta.Record{{Key: "k", Kind: delta.KindForget, Version: version}})
		if string(got) != string(want) {
			t.Errorf("got %x, want %x", got, want)
		}
	})
}
