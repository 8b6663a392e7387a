package wire

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/testkit"
	"google.golang.org/protobuf/encoding/protowire"
)

func wireFrame(typ byte, fields ...[]byte) []byte {
	return append([]byte{Version, typ}, slices.Concat(fields...)...)
}

// wireDots encodes intervals, or what isn't any.
func wireDots(numbers ...uint64) []byte {
	var b []byte
	for _, n := range numbers {
		b = protowire.AppendVarint(b, n)
	}
	return b
}

// wireFloors encodes floors, in whatever order.
func wireFloors(floors ...delta.BucketFloor) []byte {
	c := SyncChunk{Floors: floors}
	return AppendChunk(nil, &c)[2:]
}

// wireReadChunk opens a chunk and reads its records.
func wireReadChunk(frame []byte) (SyncChunk, error) {
	c, recs, err := OpenChunk(frame)
	if err != nil {
		return SyncChunk{}, err
	}
	for rec := (delta.Record{}); recs.Next(&rec); {
		c.Records = append(c.Records, rec)
	}
	return c, nil
}

var (
	// wireContext has origins without and with gaps.
	wireContext = []dots.Entry{
		{Origin: 0x11, Set: dots.Set{Covered: 300, Newest: delta.StampOf(testkit.Wall)}},
		{Origin: wireOther, Set: dots.Set{Ahead: []dots.Interval{{From: 1, To: 2}, {From: 5, To: 7}}, Newest: delta.StampOf(testkit.Wall) + 7}},
		{Origin: wireOrigin, Set: dots.Set{Covered: 1 << 40, Ahead: []dots.Interval{{From: 1<<40 + 1, To: 1<<40 + 300}}, Newest: 1}},
	}
	wireHorizon = dots.Horizon{Stamp: delta.StampOf(testkit.Wall - 1000), Print: 0x1234567890abcdef}

	wirePing = Ping{
		ID: 1, Origin: wireOrigin, Seq: 300, Wall: testkit.Wall, Flags: PingContext | PingPull | PingSynced | PingAll,
		Entries: withoutNewest(wireContext), Rest: 0x0123456789abcdef, Horizon: wireHorizon,
	}
	wirePong = Pong{
		ID: 1, Origin: wireOther, From: 5, To: 300, Wall: testkit.Wall,
		Flags: PongContext | PongLog | PongOld | PongAll | PongSynced, Horizon: wireHorizon,
	}
	wirePongLacks = Pong{
		ID: 1, Origin: wireOther, Wall: testkit.Wall, Flags: PongContext | PongExact, Horizon: wireHorizon,
		Seq: 7, Micros: 1, Lacks: withoutNewest(wireContext),
	}
	wirePingTags = Ping{
		ID: 1, Origin: wireOrigin, Wall: testkit.Wall, Flags: PingContext | PingAnswers | PingTags, Horizon: wireHorizon,
	}
	wirePongTags = Pong{
		ID: 1, Origin: wireOther, Wall: testkit.Wall, Flags: PongContext | PongAnswers | PongTags, Horizon: wireHorizon,
	}
	wirePingLeaving = Ping{
		ID: 1, Origin: wireOrigin, Seq: 7, Wall: testkit.Wall, Entries: wireContext, Horizon: wireHorizon,
		Flags: PingContext | PingConfirm | PingAll | PingAnswers | PingTags | PingLeaving,
	}
	wirePongWhole = Pong{
		ID: 1, Origin: wireOther, To: 7, Wall: testkit.Wall, Horizon: wireHorizon,
		Flags: PongContext | PongSynced | PongAnswers | PongTags | PongWhole,
	}
	wireAsk = SyncAsk{Session: 9, Next: 300, Flags: AskAgain}

	wireHead = SyncChunk{Session: 9, Groups: 4, Entries: wireContext, Horizon: wireHorizon}

	// wireGroup is the end of a group, sorted as a server does.
	wireGroup = SyncChunk{
		Session: 9, Number: 300, Flags: ChunkDone, Group: 2,
		Records: []delta.Record{
			{Key: "a", Val: "1", Version: delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: wireOther}, Deadline: testkit.Wall + 60_000},
			{Key: "", Kind: delta.KindTombstone, Version: delta.Version{Stamp: delta.StampOf(testkit.Wall) + 1, Origin: wireOther}},
			{Key: "c", Kind: delta.KindNegative, Version: delta.Version{Stamp: delta.StampOf(testkit.Wall) + 1, Origin: wireOther}, Deadline: testkit.Wall + 1},
			{Key: "d\x00", Val: "\xff", Version: delta.Version{Stamp: delta.StampOf(testkit.Wall - 5000), Origin: wireOrigin},
				Deadline: testkit.Wall, StaleUntil: testkit.Wall + 1, RefreshFrom: testkit.Wall - 2500},
		},
		Clear:  delta.Version{Stamp: delta.StampOf(testkit.Wall - 60_000), Origin: wireOrigin},
		Floors: []delta.BucketFloor{{Bucket: 2, Stamp: 1}, {Bucket: 6, Stamp: delta.StampOf(testkit.Wall - 30_000)}, {Bucket: delta.NumBuckets - 2, Stamp: delta.MaxStamp}},
	}
	wireRefusal = SyncChunk{Session: 9, Flags: ChunkRefused}
)

// withoutNewest returns a context as it is in pings.
func withoutNewest(entries []dots.Entry) []dots.Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Newest = 0
	}
	return entries
}

func TestWireContextRefused(t *testing.T) {
	origin, covered := wireFix(1, 5), wireAny(2, uint64(3))
	ahead := func(numbers ...uint64) []byte { return wireAny(3, wireDots(numbers...)) }
	tooMany := slices.Repeat([]uint64{1}, 4*dots.MaxIntervals+2)
	for name, c := range map[string]struct {
		dots []byte
		want error // nil: it is taken
	}{
		"no gaps":                    {slices.Concat(origin, covered), nil},
		"in another order":           {slices.Concat(wireFix(4, 1), ahead(1, 1), covered, origin), nil},
		"no dots":                    {origin, nil},
		"empty intervals":            {slices.Concat(origin, ahead()), nil},
		"the most intervals":         {slices.Concat(origin, ahead(tooMany[2:]...)), nil},
		"the last dot":               {slices.Concat(origin, covered, ahead(1, delta.MaxSeq-4)), nil},
		"all dots":                   {slices.Concat(origin, wireAny(2, uint64(delta.MaxSeq))), nil},
		"newest 2^63":                {slices.Concat(origin, wireFix(4, delta.MaxStamp)), nil},
		"field 16":                   {slices.Concat(origin, wireAny(16, "later")), nil},
		"empty":                      {nil, ErrMalformed},
		"no origin":                  {covered, ErrMalformed},
		"origin wire type":           {wireAny(1, uint64(5)), ErrMalformed},
		"origin twice":               {slices.Concat(origin, origin), ErrMalformed},
		"covered twice":              {slices.Concat(origin, covered, covered), ErrMalformed},
		"covered wire type":          {slices.Concat(origin, wireFix(2, 3)), ErrMalformed},
		"intervals twice":            {slices.Concat(origin, ahead(1, 1), ahead(1, 1)), ErrMalformed},
		"intervals wire type":        {slices.Concat(origin, wireAny(3, uint64(1))), ErrMalformed},
		"newest wire type":           {slices.Concat(origin, wireAny(4, uint64(1))), ErrMalformed},
		"newest twice":               {slices.Concat(origin, wireFix(4, 1), wireFix(4, 1)), ErrMalformed},
		"newest above 2^63":          {slices.Concat(origin, wireFix(4, delta.MaxStamp+1)), ErrMalformed},
		"field 5":                    {slices.Concat(origin, wireAny(5, "")), ErrUnsupported},
		"field 15":                   {slices.Concat(origin, wireAny(15, "")), ErrUnsupported},
		"truncated":                  {slices.Concat(origin, covered)[:10], ErrMalformed},
		"gap 0":                      {slices.Concat(origin, covered, ahead(0, 1)), ErrMalformed},
		"length 0":                   {slices.Concat(origin, covered, ahead(1, 0)), ErrMalformed},
		"gap 0, later":               {slices.Concat(origin, covered, ahead(1, 1, 0, 1)), ErrMalformed},
		"half an interval":           {slices.Concat(origin, covered, ahead(1, 1, 1)), ErrMalformed},
		"a number without an end":    {slices.Concat(origin, wireAny(3, []byte{1, 1, 1, 0x80})), ErrMalformed},
		"a number of 11 bytes":       {slices.Concat(origin, wireAny(3, append(slices.Repeat([]byte{0x80}, 10), 1, 1))), ErrMalformed},
		"a gap that overflows":       {slices.Concat(origin, covered, ahead(math.MaxUint64, 1)), ErrMalformed},
		"a length that overflows":    {slices.Concat(origin, covered, ahead(1, math.MaxUint64)), ErrMalformed},
		"one beyond the last dot":    {slices.Concat(origin, covered, ahead(1, delta.MaxSeq-3)), ErrMalformed},
		"covered beyond the last":    {slices.Concat(origin, wireAny(2, uint64(math.MaxUint64))), ErrMalformed},
		"too many intervals":         {slices.Concat(origin, ahead(tooMany...)), ErrMalformed},
		"an interval after all dots": {slices.Concat(origin, wireAny(2, uint64(delta.MaxSeq)), ahead(1, 1)), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := DecodePing(wireFrame(FramePing, wireFix(2, 1), wireAny(6, c.dots)))
			if !errors.Is(err, c.want) {
				t.Errorf("in a ping: %v, want %v", err, c.want)
			}
			if err == nil && p.Entries[0].Newest != 0 {
				t.Errorf("in a ping: newest %d", p.Entries[0].Newest)
			}
			if _, _, err := OpenChunk(wireFrame(FrameChunk, wireAny(4, uint64(1)), wireAny(7, c.dots))); !errors.Is(err, c.want) {
				t.Errorf("in a chunk: %v, want %v", err, c.want)
			}
		})
	}
}

// Origins are listed once each, in order, and not without end.
func TestWireContextOrigins(t *testing.T) {
	entry := func(origin uint64) dots.Entry { return dots.Entry{Origin: origin, Set: dots.Set{Covered: 1}} }
	many := make([]dots.Entry, MaxEntries+1)
	for i := range many {
		many[i] = entry(uint64(i + 1))
	}
	for name, c := range map[string]struct {
		entries []dots.Entry
		want    error
	}{
		"the most":     {many[:MaxEntries], nil},
		"too many":     {many, ErrMalformed},
		"twice":        {[]dots.Entry{entry(1), entry(2), entry(2)}, ErrMalformed},
		"out of order": {[]dots.Entry{entry(2), entry(1)}, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := DecodePing(AppendPing(nil, Ping{Origin: 1, Entries: c.entries})); !errors.Is(err, c.want) || err == nil && len(p.Entries) != len(c.entries) {
				t.Errorf("in a ping: %d origins, %v, want %v", len(p.Entries), err, c.want)
			}
			if h, _, err := OpenChunk(AppendChunk(nil, &SyncChunk{Groups: 1, Entries: c.entries})); !errors.Is(err, c.want) || err == nil && len(h.Entries) != len(c.entries) {
				t.Errorf("in a chunk: %d origins, %v, want %v", len(h.Entries), err, c.want)
			}
		})
	}
}

func TestWireSyncRefused(t *testing.T) {
	u := func(x uint64) uint64 { return x }
	head := wireFrame(FrameChunk, wireFix(1, 9), wireAny(4, u(4)))
	group := wireFrame(FrameChunk, wireFix(1, 9), wireAny(2, u(1)), wireAny(3, u(ChunkDone)), wireAny(5, u(2)))
	base := wireFix(12, delta.StampOf(testkit.Wall))
	rec := wireAny(13, slices.Concat(wireAny(2, "k"), wireFix(5, 1)))
	with := func(frame []byte, fields ...[]byte) []byte {
		return append(slices.Clone(frame), slices.Concat(fields...)...)
	}
	protoGroup := protowire.AppendTag(protowire.AppendTag(nil, 20, protowire.StartGroupType), 20, protowire.EndGroupType)

	for name, c := range map[string]struct {
		frame []byte
		want  error // nil: it is taken
	}{
		"ask":                    {AppendAsk(nil, SyncAsk{Session: 1, Next: 2, Flags: AskAgain}), nil},
		"ask, flag of later":     {AppendAsk(nil, SyncAsk{Flags: 1 << 40}), nil},
		"ask, empty":             {wireFrame(FrameAsk), nil},
		"ask, field 16":          {wireFrame(FrameAsk, wireAny(16, "later")), nil},
		"ask, field 4":           {wireFrame(FrameAsk, wireAny(4, "")), ErrUnsupported},
		"ask, field 15":          {wireFrame(FrameAsk, wireAny(15, "")), ErrUnsupported},
		"ask, session wire type": {wireFrame(FrameAsk, wireAny(1, u(1))), ErrMalformed},
		"ask, next wire type":    {wireFrame(FrameAsk, wireFix(2, 1)), ErrMalformed},
		"ask, flags wire type":   {wireFrame(FrameAsk, wireAny(3, "")), ErrMalformed},
		"ask, session twice":     {wireFrame(FrameAsk, wireFix(1, 1), wireFix(1, 1)), ErrMalformed},
		"ask, next twice":        {wireFrame(FrameAsk, wireAny(2, u(1)), wireAny(2, u(1))), ErrMalformed},
		"ask, flags twice":       {wireFrame(FrameAsk, wireAny(3, u(1)), wireAny(3, u(1))), ErrMalformed},
		"ask, group":             {wireFrame(FrameAsk, protoGroup), ErrMalformed},
		"ask, garbage":           {wireFrame(FrameAsk, []byte{0xff}), ErrMalformed},
		"ask of an unknown type": {[]byte{Version, 11}, ErrUnsupported},

		"head":                {head, nil},
		"head, groups 1":      {wireFrame(FrameChunk, wireAny(4, u(1))), nil},
		"head, groups most":   {wireFrame(FrameChunk, wireAny(4, u(delta.MaxGroups))), nil},
		"head, field 16":      {with(head, wireAny(16, "later")), nil},
		"head, flag of later": {with(head, wireAny(3, u(1<<40))), nil},
		"head, groups 0":      {wireFrame(FrameChunk), ErrMalformed},
		"head, groups 3":      {wireFrame(FrameChunk, wireAny(4, u(3))), ErrMalformed},
		"head, groups 2^7":    {wireFrame(FrameChunk, wireAny(4, u(2*delta.MaxGroups))), ErrMalformed},
		"head, groups 2^64-1": {wireFrame(FrameChunk, wireAny(4, u(math.MaxUint64))), ErrMalformed},
		"head, horizon":       {with(head, wireFix(8, delta.MaxStamp+1)), ErrMalformed},
		"refused":             {wireFrame(FrameChunk, wireAny(3, u(ChunkRefused))), nil},
		"refused, groups 3":   {wireFrame(FrameChunk, wireAny(3, u(ChunkRefused)), wireAny(4, u(3))), ErrMalformed},

		"group":                      {group, nil},
		"group, number and groups":   {with(group, wireAny(4, u(2))), nil},
		"group, groups 6":            {with(group, wireAny(4, u(6))), ErrMalformed},
		"group, no flags":            {wireFrame(FrameChunk, wireAny(2, u(1)), base, rec), nil},
		"group, nothing":             {wireFrame(FrameChunk, wireAny(2, u(1)), base), ErrMalformed},
		"group, last but not done":   {wireFrame(FrameChunk, wireAny(2, u(1)), wireAny(3, u(ChunkLast)), base, rec), ErrMalformed},
		"group, a record":            {with(group, base, rec), nil},
		"group, records apart":       {with(group, base, rec, wireFloors(delta.BucketFloor{Bucket: 2, Stamp: 1}), rec), nil},
		"group, no base":             {with(group, rec), ErrMalformed},
		"group, base 0":              {with(group, wireFix(12, 0), rec), ErrMalformed},
		"group, base above 2^63":     {with(group, wireFix(12, delta.MaxStamp+1), rec), ErrMalformed},
		"group, base after a record": {with(group, rec, base), ErrMalformed},
		"group, base twice":          {with(group, base, base, rec), ErrMalformed},
		"group, no first origin":     {with(group, base, wireAny(13, wireAny(2, "k"))), ErrMalformed},
		"group, clear as a record":   {with(group, base, wireAny(13, slices.Concat(wireAny(1, u(2)), wireFix(5, 1)))), ErrMalformed},
		"group, second record bad":   {with(group, base, rec, wireAny(13, wireFix(5, 0))), ErrMalformed},
		"group, second stamp 0":      {with(group, base, rec, wireAny(13, wireZig(4, -int64(delta.StampOf(testkit.Wall))))), ErrMalformed},
		"group, record wire type":    {with(group, base, wireAny(13, u(1))), ErrMalformed},
		"group, clear":               {with(group, wireFix(10, delta.MaxStamp), wireFix(11, 1)), nil},
		"group, clear above 2^63":    {with(group, wireFix(10, delta.MaxStamp+1), wireFix(11, 1)), ErrMalformed},
		"group, clear of nobody":     {with(group, wireFix(10, 1)), ErrMalformed},
		"group, field 14":            {with(group, wireAny(14, "")), ErrUnsupported},
		"group, field 15":            {with(group, wireAny(15, "")), ErrUnsupported},
		"group, field 16":            {with(group, wireAny(16, "later")), nil},
		"group, garbage":             {with(group, []byte{0x80}), ErrMalformed},
		"group, group":               {with(group, protoGroup), ErrMalformed},

		"floors":               {with(group, wireFloors(wireGroup.Floors...)), nil},
		"floors, none":         {with(group, wireAny(6, "")), nil},
		"floors, wire type":    {with(group, wireAny(6, u(1))), ErrMalformed},
		"floors, twice":        {with(group, wireFloors(delta.BucketFloor{Bucket: 2, Stamp: 1}), wireFloors(delta.BucketFloor{Bucket: 3, Stamp: 1})), ErrMalformed},
		"floors, odd length":   {with(group, wireAny(6, make([]byte, FloorSize-1))), ErrMalformed},
		"floors, half":         {with(group, wireAny(6, append([]byte{2, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 3))), ErrMalformed},
		"floors, equal":        {with(group, wireFloors(delta.BucketFloor{Bucket: 2, Stamp: 1}, delta.BucketFloor{Bucket: 2, Stamp: 2})), ErrMalformed},
		"floors, out of order": {with(group, wireFloors(delta.BucketFloor{Bucket: 3, Stamp: 1}, delta.BucketFloor{Bucket: 2, Stamp: 1})), ErrMalformed},
		"floors, bucket":       {with(group, wireFloors(delta.BucketFloor{Bucket: delta.NumBuckets, Stamp: 1})), ErrMalformed},
		"floors, 0":            {with(group, wireFloors(delta.BucketFloor{Bucket: 2, Stamp: 0})), ErrMalformed},
		"floors, above 2^63":   {with(group, wireFloors(delta.BucketFloor{Bucket: 2, Stamp: delta.MaxStamp + 1})), ErrMalformed},
		"floors, too many":     {with(group, wireAny(6, make([]byte, (delta.NumBuckets+1)*FloorSize))), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if name[:3] == "ask" {
				_, err = DecodeAsk(c.frame)
			} else {
				_, _, err = OpenChunk(c.frame)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}

	// Each field that a chunk has once: once, twice, and with wire types that it doesn't have.
	for num, right := range map[protowire.Number]protowire.Type{1: 1, 2: 0, 3: 0, 4: 0, 5: 0, 6: 2, 8: 1, 9: 1, 10: 1, 11: 1, 12: 1} {
		others := wireAny(4, u(1))
		if num == 4 {
			others = wireAny(3, u(ChunkRefused))
		}
		for typ, field := range map[protowire.Type][]byte{0: wireAny(num, u(0)), 1: wireFix(num, 0), 2: wireAny(num, "")} {
			_, _, once := OpenChunk(wireFrame(FrameChunk, others, field))
			_, _, twice := OpenChunk(wireFrame(FrameChunk, others, field, field))
			if (once == nil) != (typ == right) || !errors.Is(twice, ErrMalformed) {
				t.Errorf("field %d with wire type %d: %v; twice: %v", num, typ, once, twice)
			}
		}
	}
}

// Fields may come in any order but for a chunk's records, which come after their base stamp
// and one after the other.
func TestWireSyncAnyOrder(t *testing.T) {
	for name, want := range map[string]SyncChunk{"head": wireHead, "group": wireGroup} {
		t.Run(name, func(t *testing.T) {
			var fields, records [][]byte
			rest := AppendChunk(nil, &want)[2:]
			for len(rest) > 0 {
				num, _, n := protowire.ConsumeField(rest)
				if num == 7 || num == 13 {
					records = append(records, rest[:n])
				} else {
					fields = append(fields, rest[:n])
				}
				rest = rest[n:]
			}
			for range fields {
				fields = append(fields[1:], fields[0])
				for _, all := range [][][]byte{slices.Concat(fields, records), slices.Concat(fields[1:], records, fields[:1])} {
					frame := wireFrame(FrameChunk, all...)
					got, err := wireReadChunk(frame)
					if last := all[len(all)-1]; len(want.Records) > 0 && last[0] == chunkBase {
						if !errors.Is(err, ErrMalformed) {
							t.Errorf("%x: %v", frame, err)
						}
					} else if err != nil || !reflect.DeepEqual(got, want) {
						t.Errorf("%x: %+v, %v", frame, got, err)
					}
				}
			}
		})
	}
}
