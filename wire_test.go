package bcache

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

	"google.golang.org/protobuf/encoding/protowire"
)

var wireUpdate = flag.Bool("update", false, "write the golden frames of the current wire version")

const (
	wireOrigin = 0xa1b2c3d4e5f60718
	wireOther  = 0x1122334455667788
	wireWall   = 1_700_000_000_000
)

// wireRecords has every kind and every field.
var wireRecords = []record{
	{key: "user:1", val: "Ann", version: version{stampOf(wireWall), wireOrigin}, deadline: wireWall + 3_600_000},
	{key: "user:2", kind: kindTombstone, version: version{stampOf(wireWall) + 1, wireOrigin}},
	{kind: kindClear, version: version{stampOf(wireWall) + 2, wireOrigin}},
	{key: "user:3", kind: kindNegative, version: version{stampOf(wireWall) + 3, wireOrigin}, deadline: wireWall},
	{key: "user:4", kind: kindForget, version: version{stampOf(wireWall - 60_000), wireOther}},
	{key: "k\x00\xff", val: "\xfe\x00v", version: version{stampOf(wireWall) + 4, wireOther},
		deadline: wireWall + 60_000, staleUntil: wireWall + 90_000, refreshFrom: wireWall + 48_000},
	{version: version{stampOf(wireWall) + 4, wireOrigin}, staleUntil: 1, refreshFrom: wireWall},
}

func wireDelta(fields ...[]byte) []byte {
	frame := []byte{wireVersion, frameDelta}
	for _, f := range fields {
		frame = append(frame, f...)
	}
	return frame
}

func wireHeader(first uint64) []byte {
	b := appendFixed64(nil, deltaOrigin, wireOrigin)
	b = appendVarint(b, deltaFirst, first)
	return appendFixed64(b, deltaBase, stampOf(wireWall))
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
func (d *deltaReader) next(rec *record) (seq uint64, ok bool) {
	seq = d.seq
	w, ok := d.advance()
	if ok {
		*rec = w.record(string(w.key))
	}
	return seq, ok
}

// wireReadAll opens and reads a delta. It reports dots that don't follow each other as errors.
func wireReadAll(frame []byte) (d deltaReader, recs []record, err error) {
	d, err = openDelta(frame)
	if err != nil {
		return d, nil, err
	}
	for it, rec := d, (record{}); ; {
		seq, ok := it.next(&rec)
		if ok && seq != d.first+uint64(len(recs)) {
			return d, recs, fmt.Errorf("seq %d, %d records in", seq, len(recs))
		}
		if !ok {
			break
		}
		recs = append(recs, rec)
	}
	if uint64(len(recs)) != d.count {
		return d, recs, fmt.Errorf("count %d, but %d records", d.count, len(recs))
	}
	return d, recs, nil
}

func TestWireGolden(t *testing.T) {
	head := wireHeader(7)
	key, val := wireAny(2, "k"), wireAny(3, "v")
	base := version{stampOf(wireWall), wireOrigin}
	plain := record{key: "k", val: "v", version: base}
	unknown := record{key: "k", version: base, kind: kindUnknown}

	for _, g := range []struct {
		name  string
		frame []byte // what today's encoder, or a later version's, sends
		want  any    // []record with first seq 7, or what the frame is decoded to
	}{
		{"delta", appendDelta(nil, wireOrigin, 7, wireRecords), wireRecords},
		{"delta-kind-99", wireDelta(head, wireRec(wireAny(1, uint64(99)), key, val, wireZig(6, 1000)), wireRec(key, val)), []record{unknown, plain}},
		{"delta-record-field-9", wireDelta(head, wireRec(key, val, wireAny(9, "new")), wireRec(key, val)), []record{unknown, plain}},
		{"delta-extra-fields", wireDelta(wireAny(16, "body"), head, wireAny(17, uint64(5)),
			wireRec(wireAny(1000, "record"), key, wireFix(16, 1), val, wireAny(17, uint64(1))), wireFix(99, 3)), []record{plain}},
		{"ping", appendPing(nil, ping{id: 1, origin: wireOrigin, seq: 300, wall: wireWall}), ping{id: 1, origin: wireOrigin, seq: 300, wall: wireWall}},
		{"pong", appendPong(nil, pong{id: 1, origin: wireOther, from: 5, to: 300, wall: wireWall}), pong{id: 1, origin: wireOther, from: 5, to: 300, wall: wireWall}},
		{"delta-newest", markRepair(appendDelta(nil, wireOrigin, 7, wireRecords[:2]), stampOf(wireWall)+9), wireRecords[:2]},
		{"ping-context", appendPing(nil, wirePing), wirePing},
		{"pong-full", appendPong(nil, wirePong), wirePong},
		{"ask", appendAsk(nil, wireAsk), wireAsk},
		{"chunk-head", appendChunk(nil, &wireHead), wireHead},
		{"chunk-group", appendChunk(nil, &wireGroup), wireGroup},
		{"chunk-refused", appendChunk(nil, &wireRefusal), wireRefusal},
		{"lease-want", appendLease(nil, wireWant), wireWant},
		{"lease-filled", appendLease(nil, wireFilled), wireFilled},
		{"turn-granted", appendTurn(nil, wireGranted), wireGranted},
		{"turn-alone", appendTurn(nil, wireAlone), wireAlone},
		{"delta-echo", appendEcho(appendDelta(nil, wireOrigin, 7, wireRecords[:2]), 300), wireRecords[:2]},
		{"ping-echo", appendPing(nil, wirePingEcho), wirePingEcho},
		{"pong-echo", appendPong(nil, wirePongEcho), wirePongEcho},
		{"pong-seq", appendPong(nil, wirePongSeq), wirePongSeq},
		{"ping-held", appendPing(nil, wirePingHeld), wirePingHeld},
		{"pong-held", appendPong(nil, wirePongHeld), wirePongHeld},
		{"offer", appendOffer(nil, &wireOffer), wireOffer},
		{"offer-negative", appendOffer(nil, &wireOfferNegative), wireOfferNegative},
		{"lease-offered", appendLease(nil, wireOffered), wireOffered},
		{"lease-late", appendLease(nil, wireLate), wireLate},
		{"turn-offered", appendTurn(nil, wireOnOffer), wireOnOffer},
		{"turn-full", appendTurn(nil, wireNoLeases), wireNoLeases},
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
			case ping:
				got, err = decodePing(frame)
			case pong:
				got, err = decodePong(frame)
			case syncAsk:
				got, err = decodeAsk(frame)
			case syncChunk:
				got, err = wireReadChunk(frame)
			case leaseMsg:
				got, err = decodeLease(frame)
			case turnMsg:
				got, err = decodeTurn(frame)
			case offer:
				got, err = decodeOffer(frame)
			default:
				var d deltaReader
				d, got, err = wireReadAll(frame)
				if d.origin != wireOrigin || d.first != 7 {
					t.Errorf("origin %x, first %d", d.origin, d.first)
				}
				if echo := g.name == "delta-echo"; echo != (d.echo == 300) {
					t.Errorf("echo %d", d.echo)
				}
				if repair := g.name == "delta-newest"; repair != (d.newest == stampOf(wireWall)+9) || !repair && d.newest != 0 {
					t.Errorf("newest %d", d.newest)
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
	clearKind := wireAny(1, uint64(kindClear))
	big := strings.Repeat("x", MaxRecordSize/2)
	group := protowire.AppendTag(nil, 20, protowire.StartGroupType)
	group = protowire.AppendTag(group, 20, protowire.EndGroupType)

	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"empty":                 {nil, errMalformed},
		"version only":          {[]byte{wireVersion}, errMalformed},
		"version 2":             {[]byte{2, frameDelta}, errUnsupported},
		"type 0":                {[]byte{wireVersion, 0}, errUnsupported},
		"type 9":                {[]byte{wireVersion, 9}, errUnsupported},
		"another type":          {appendPing(nil, ping{origin: 1}), errMalformed},
		"no body":               {wireDelta(), errMalformed},
		"no records":            {wireDelta(head), errMalformed},
		"no header":             {wireDelta(rec), errMalformed},
		"origin 0":              {wireDelta(wireFix(1, 0), wireAny(2, uint64(1)), wireFix(3, 1), wireRec(wireFix(5, 1))), errMalformed},
		"first 0":               {wireDelta(wireFix(1, 1), wireFix(3, 1), rec), errMalformed},
		"base 0":                {wireDelta(wireFix(1, 1), wireAny(2, uint64(1)), rec), errMalformed},
		"base above 2^63":       {wireDelta(wireFix(1, 1), wireAny(2, uint64(1)), wireFix(3, maxStamp+1), wireRec(wireZig(4, -1))), errMalformed},
		"header after a record": {wireDelta(head[:9], wireAny(2, uint64(1)), rec, wireFix(3, 1)), errMalformed},
		"header twice":          {wireDelta(head, wireFix(1, 1), rec), errMalformed},
		"seq overflow":          {wireDelta(wireHeader(math.MaxUint64), rec), errMalformed},
		"seq wire type":         {wireDelta(wireFix(2, 1), head, rec), errMalformed},
		"record wire type":      {wireDelta(head, wireAny(4, uint64(1))), errMalformed},
		"body field 5":          {wireDelta(head, rec, wireAny(5, "")), errUnsupported},
		"body field 15":         {wireDelta(head, rec, wireAny(15, "")), errUnsupported},
		"field 0":               {wireDelta(head, rec, []byte{0, 0}), errMalformed},
		"garbage at the end":    {wireDelta(head, rec, []byte{0xff}), errMalformed},
		"group":                 {wireDelta(head, rec, group), errMalformed},
		"second record bad":     {wireDelta(head, rec, wireRec(wireFix(5, 0))), errMalformed},

		"key twice":                {wireDelta(head, wireRec(key, key)), errMalformed},
		"empty value twice":        {wireDelta(head, wireRec(wireAny(3, ""), wireAny(3, ""))), errMalformed},
		"key wire type":            {wireDelta(head, wireRec(wireAny(2, uint64(1)))), errMalformed},
		"deadline wire type":       {wireDelta(head, wireRec(wireFix(6, 1))), errMalformed},
		"group in a record":        {wireDelta(head, wireRec(key, group)), errMalformed},
		"record truncated":         {wireDelta(head, wireRec(key[:2])), errMalformed},
		"value longer than record": {wireDelta(head, wireRec([]byte{recordVal, 2, 'v'}), rec), errMalformed},
		"too large":                {wireDelta(head, wireRec(wireAny(2, big), wireAny(3, big+"x"))), errMalformed},
		"too large, unknown kind":  {wireDelta(head, wireRec(wireAny(1, uint64(9)), wireAny(2, big), wireAny(3, big+"x"))), errMalformed},
		"version origin 0":         {wireDelta(head, wireRec(wireFix(5, 0))), errMalformed},
		"clear with a key":         {wireDelta(head, wireRec(clearKind, key)), errMalformed},
		"stamp 0":                  {wireDelta(head, wireRec(wireZig(4, -int64(stampOf(wireWall))))), errMalformed},
		"stamp below 0":            {wireDelta(head, wireRec(wireZig(4, math.MinInt64))), errMalformed},
		"stamp above 2^63":         {wireDelta(head, wireRec(wireZig(4, math.MaxInt64))), errMalformed},
		"deadline 0":               {wireDelta(head, wireRec(wireZig(6, -wireWall))), errMalformed},
		"deadline below 0":         {wireDelta(head, wireRec(wireZig(6, math.MinInt64))), errMalformed},
		"deadline overflows":       {wireDelta(head, wireRec(wireZig(6, math.MaxInt64))), errMalformed},
		"stale-until 0":            {wireDelta(head, wireRec(wireZig(7, 0))), errMalformed},
		"stale-until overflows":    {wireDelta(head, wireRec(wireZig(6, 1), wireZig(7, math.MaxInt64))), errMalformed},
		"refresh-from 0":           {wireDelta(head, wireRec(wireZig(8, -wireWall))), errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := openDelta(c.frame); !errors.Is(err, c.want) || d.count != 0 {
				t.Errorf("count %d, error %v; want %v", d.count, err, c.want)
			}
		})
	}

	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"ping without origin":   {appendPing(nil, ping{id: 1, seq: 1}), errMalformed},
		"ping with field 10":    {append(appendPing(nil, ping{origin: 1}), wireAny(10, "")...), errUnsupported},
		"ping with field 1 bad": {append(appendPing(nil, ping{origin: 1}), wireAny(1, "")...), errMalformed},
		"pong without origin":   {appendPong(nil, pong{id: 1, to: 1}), errMalformed},
		"pong with from > to":   {appendPong(nil, pong{origin: 1, from: 2, to: 1}), errMalformed},
		"pong with field 9":     {append(appendPong(nil, pong{origin: 1}), wireAny(9, "")...), errUnsupported},
		"pong with to twice":    {append(appendPong(nil, pong{origin: 1, to: 1}), wireAny(4, uint64(2))...), errMalformed},

		"ping with field 16":        {append(appendPing(nil, ping{origin: 1}), wireAny(16, "later")...), nil},
		"ping with a flag of later": {appendPing(nil, ping{origin: 1, flags: 1 << 40}), nil},
		"ping with horizon 2^63":    {appendPing(nil, ping{origin: 1, horizon: horizon{maxStamp, 1}}), nil},
		"ping with horizon above":   {appendPing(nil, ping{origin: 1, horizon: horizon{maxStamp + 1, 1}}), errMalformed},
		"ping with field 15":        {append(appendPing(nil, ping{origin: 1}), wireAny(15, "")...), errUnsupported},
		"ping with flags twice":     {append(appendPing(nil, ping{origin: 1, flags: 1}), wireAny(5, uint64(2))...), errMalformed},
		"ping with flags bad":       {append(appendPing(nil, ping{origin: 1}), wireFix(5, 1)...), errMalformed},
		"ping with dots bad":        {append(appendPing(nil, ping{origin: 1}), wireAny(6, uint64(1))...), errMalformed},
		"ping with rest twice":      {append(appendPing(nil, ping{origin: 1, rest: 1}), wireFix(7, 1)...), errMalformed},
		"ping with rest bad":        {append(appendPing(nil, ping{origin: 1}), wireAny(7, uint64(1))...), errMalformed},
		"ping with stamp twice":     {append(appendPing(nil, ping{origin: 1, horizon: wireHorizon}), wireFix(8, 1)...), errMalformed},
		"ping with stamp bad":       {append(appendPing(nil, ping{origin: 1}), wireAny(8, uint64(1))...), errMalformed},
		"ping with print twice":     {append(appendPing(nil, ping{origin: 1, horizon: wireHorizon}), wireFix(9, 1)...), errMalformed},
		"ping with print bad":       {append(appendPing(nil, ping{origin: 1}), wireAny(9, uint64(1))...), errMalformed},
		"pong with field 16":        {append(appendPong(nil, pong{origin: 1}), wireAny(16, "later")...), nil},
		"pong with a flag of later": {appendPong(nil, pong{origin: 1, flags: 1 << 40}), nil},
		"pong with horizon 2^63":    {appendPong(nil, pong{origin: 1, horizon: horizon{maxStamp, 1}}), nil},
		"pong with horizon above":   {appendPong(nil, pong{origin: 1, horizon: horizon{maxStamp + 1, 1}}), errMalformed},
		"pong with field 15":        {append(appendPong(nil, pong{origin: 1}), wireAny(15, "")...), errUnsupported},
		"pong with flags twice":     {append(appendPong(nil, pong{origin: 1, flags: 1}), wireAny(6, uint64(2))...), errMalformed},
		"pong with flags bad":       {append(appendPong(nil, pong{origin: 1}), wireFix(6, 1)...), errMalformed},
		"pong with stamp twice":     {append(appendPong(nil, pong{origin: 1, horizon: wireHorizon}), wireFix(7, 1)...), errMalformed},
		"pong with stamp bad":       {append(appendPong(nil, pong{origin: 1}), wireAny(7, uint64(1))...), errMalformed},
		"pong with print twice":     {append(appendPong(nil, pong{origin: 1, horizon: wireHorizon}), wireFix(8, 1)...), errMalformed},
		"pong with print bad":       {append(appendPong(nil, pong{origin: 1}), wireAny(8, uint64(1))...), errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if strings.HasPrefix(name, "ping") {
				_, err = decodePing(c.frame)
			} else {
				_, err = decodePong(c.frame)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// The newest stamp is a fixed64 in range; what else there is under its number says nothing.
func TestWireNewest(t *testing.T) {
	delta := func(field []byte) []byte { return wireDelta(wireHeader(1), wireRec(wireAny(2, "k")), field) }
	for name, c := range map[string]struct {
		frame  []byte
		newest uint64
		want   error
	}{
		"none":             {delta(nil), 0, nil},
		"1":                {markRepair(delta(nil), 1), 1, nil},
		"2^63":             {markRepair(delta(nil), maxStamp), maxStamp, nil},
		"above 2^63":       {markRepair(delta(nil), maxStamp+1), 0, errMalformed},
		"before the rest":  {wireDelta(wireFix(16, 5), delta(nil)[2:]), 5, nil},
		"twice":            {markRepair(markRepair(delta(nil), 1), 2), 2, nil},
		"varint":           {delta(wireAny(16, uint64(7))), 0, nil},
		"bytes":            {delta(wireAny(16, "newest")), 0, nil},
		"another number":   {delta(wireFix(17, 7)), 0, nil},
		"same low 5 bits":  {delta(wireFix(16+32, 7)), 0, nil},
		"a number in 256s": {delta(wireFix(16+256, 7)), 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := openDelta(c.frame); d.newest != c.newest || !errors.Is(err, c.want) {
				t.Errorf("newest %d, %v; want %d, %v", d.newest, err, c.newest, c.want)
			}
		})
	}
}

// At the limits themselves nothing is refused.
func TestWireLimits(t *testing.T) {
	big := strings.Repeat("x", MaxRecordSize/2)
	want := []record{
		{key: big, val: big, version: version{maxStamp, 1}, deadline: math.MaxInt64, staleUntil: math.MaxInt64, refreshFrom: 1},
		{version: version{1, math.MaxUint64}, deadline: 1, staleUntil: 1, refreshFrom: math.MaxInt64},
		{version: version{maxStamp, 2}, deadline: 1, staleUntil: math.MaxInt64},
	}
	_, got, err := wireReadAll(appendDelta(nil, 1, math.MaxUint64-3, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("error %v, %d records", err, len(got))
	}
}

// A later version's fields and kinds never keep a value, and never a clear from clearing.
func TestWireMustUnderstand(t *testing.T) {
	version := version{stampOf(wireWall), wireOrigin}
	key, newField := wireAny(2, "k"), wireAny(15, uint64(1))
	for name, c := range map[string]struct {
		rec  []byte
		want record
	}{
		"kind that is 0 in a byte": {wireRec(wireAny(1, uint64(256)), key, wireAny(3, "v")), record{key: "k", kind: kindUnknown, version: version}},
		"the first unknown kind":   {wireRec(wireAny(1, uint64(kindUnknown)), key), record{key: "k", kind: kindUnknown, version: version}},
		"field twice":              {wireRec(newField, key, newField), record{key: "k", kind: kindUnknown, version: version}},
		"tombstone":                {wireRec(wireAny(1, uint64(kindTombstone)), key, newField), record{key: "k", kind: kindUnknown, version: version}},
		"clear":                    {wireRec(wireAny(1, uint64(kindClear)), newField), record{kind: kindClear, version: version}},
		"value of a tombstone":     {wireRec(wireAny(1, uint64(kindTombstone)), key, wireAny(3, "v")), record{key: "k", kind: kindTombstone, version: version}},
	} {
		t.Run(name, func(t *testing.T) {
			_, got, err := wireReadAll(wireDelta(wireHeader(1), c.rec))
			if err != nil || !reflect.DeepEqual(got, []record{c.want}) {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	t.Run("sent on as a forget", func(t *testing.T) {
		got := appendDelta(nil, 1, 1, []record{{key: "k", val: "v", kind: kindUnknown, version: version}})
		want := appendDelta(nil, 1, 1, []record{{key: "k", kind: kindForget, version: version}})
		if string(got) != string(want) {
			t.Errorf("got %x, want %x", got, want)
		}
	})
}
