package bcache

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func wireFrame(typ byte, fields ...[]byte) []byte {
	return append([]byte{wireVersion, typ}, slices.Concat(fields...)...)
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
func wireFloors(floors ...bucketFloor) []byte {
	c := syncChunk{floors: floors}
	return appendChunk(nil, &c)[2:]
}

// wireReadChunk opens a chunk and reads its records.
func wireReadChunk(frame []byte) (syncChunk, error) {
	c, recs, err := openChunk(frame)
	if err != nil {
		return syncChunk{}, err
	}
	for rec := (record{}); recs.next(&rec); {
		c.records = append(c.records, rec)
	}
	return c, nil
}

var (
	// wireContext has origins without and with gaps.
	wireContext = []vectorEntry{
		{0x11, dotSet{covered: 300, newest: stampOf(wireWall)}},
		{wireOther, dotSet{ahead: []interval{{1, 2}, {5, 7}}, newest: stampOf(wireWall) + 7}},
		{wireOrigin, dotSet{covered: 1 << 40, ahead: []interval{{1<<40 + 1, 1<<40 + 300}}, newest: 1}},
	}
	wireHorizon = horizon{stampOf(wireWall - 1000), 0x1234567890abcdef}

	wirePing = ping{
		id: 1, origin: wireOrigin, seq: 300, wall: wireWall, flags: pingContext | pingPull | pingSynced | pingAll,
		entries: withoutNewest(wireContext), rest: 0x0123456789abcdef, horizon: wireHorizon,
	}
	wirePong = pong{
		id: 1, origin: wireOther, from: 5, to: 300, wall: wireWall,
		flags: pongContext | pongLog | pongOld | pongAll | pongSynced, horizon: wireHorizon,
	}
	wireAsk = syncAsk{session: 9, next: 300, flags: askAgain}

	wireHead = syncChunk{session: 9, groups: 4, entries: wireContext, horizon: wireHorizon}

	// wireGroup is the end of a group, sorted as a server does.
	wireGroup = syncChunk{
		session: 9, number: 300, flags: chunkDone, group: 2,
		records: []record{
			{key: "a", val: "1", version: version{stampOf(wireWall), wireOther}, deadline: wireWall + 60_000},
			{key: "", kind: kindTombstone, version: version{stampOf(wireWall) + 1, wireOther}},
			{key: "c", kind: kindNegative, version: version{stampOf(wireWall) + 1, wireOther}, deadline: wireWall + 1},
			{key: "d\x00", val: "\xff", version: version{stampOf(wireWall - 5000), wireOrigin},
				deadline: wireWall, staleUntil: wireWall + 1, refreshFrom: wireWall - 2500},
		},
		clear:  version{stampOf(wireWall - 60_000), wireOrigin},
		floors: []bucketFloor{{2, 1}, {6, stampOf(wireWall - 30_000)}, {numBuckets - 2, maxStamp}},
	}
	wireRefusal = syncChunk{session: 9, flags: chunkRefused}
)

// withoutNewest returns a context as it is in pings.
func withoutNewest(entries []vectorEntry) []vectorEntry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].newest = 0
	}
	return entries
}

func TestWireContextRefused(t *testing.T) {
	origin, covered := wireFix(1, 5), wireAny(2, uint64(3))
	ahead := func(numbers ...uint64) []byte { return wireAny(3, wireDots(numbers...)) }
	tooMany := slices.Repeat([]uint64{1}, 4*maxIntervals+2)
	for name, c := range map[string]struct {
		dots []byte
		want error // nil: it is taken
	}{
		"no gaps":                    {slices.Concat(origin, covered), nil},
		"in another order":           {slices.Concat(wireFix(4, 1), ahead(1, 1), covered, origin), nil},
		"no dots":                    {origin, nil},
		"empty intervals":            {slices.Concat(origin, ahead()), nil},
		"the most intervals":         {slices.Concat(origin, ahead(tooMany[2:]...)), nil},
		"the last dot":               {slices.Concat(origin, covered, ahead(1, maxSeq-4)), nil},
		"all dots":                   {slices.Concat(origin, wireAny(2, uint64(maxSeq))), nil},
		"newest 2^63":                {slices.Concat(origin, wireFix(4, maxStamp)), nil},
		"field 16":                   {slices.Concat(origin, wireAny(16, "later")), nil},
		"empty":                      {nil, errMalformed},
		"no origin":                  {covered, errMalformed},
		"origin wire type":           {wireAny(1, uint64(5)), errMalformed},
		"origin twice":               {slices.Concat(origin, origin), errMalformed},
		"covered twice":              {slices.Concat(origin, covered, covered), errMalformed},
		"covered wire type":          {slices.Concat(origin, wireFix(2, 3)), errMalformed},
		"intervals twice":            {slices.Concat(origin, ahead(1, 1), ahead(1, 1)), errMalformed},
		"intervals wire type":        {slices.Concat(origin, wireAny(3, uint64(1))), errMalformed},
		"newest wire type":           {slices.Concat(origin, wireAny(4, uint64(1))), errMalformed},
		"newest twice":               {slices.Concat(origin, wireFix(4, 1), wireFix(4, 1)), errMalformed},
		"newest above 2^63":          {slices.Concat(origin, wireFix(4, maxStamp+1)), errMalformed},
		"field 5":                    {slices.Concat(origin, wireAny(5, "")), errUnsupported},
		"field 15":                   {slices.Concat(origin, wireAny(15, "")), errUnsupported},
		"truncated":                  {slices.Concat(origin, covered)[:10], errMalformed},
		"gap 0":                      {slices.Concat(origin, covered, ahead(0, 1)), errMalformed},
		"length 0":                   {slices.Concat(origin, covered, ahead(1, 0)), errMalformed},
		"gap 0, later":               {slices.Concat(origin, covered, ahead(1, 1, 0, 1)), errMalformed},
		"half an interval":           {slices.Concat(origin, covered, ahead(1, 1, 1)), errMalformed},
		"a number without an end":    {slices.Concat(origin, wireAny(3, []byte{1, 1, 1, 0x80})), errMalformed},
		"a number of 11 bytes":       {slices.Concat(origin, wireAny(3, append(slices.Repeat([]byte{0x80}, 10), 1, 1))), errMalformed},
		"a gap that overflows":       {slices.Concat(origin, covered, ahead(math.MaxUint64, 1)), errMalformed},
		"a length that overflows":    {slices.Concat(origin, covered, ahead(1, math.MaxUint64)), errMalformed},
		"one beyond the last dot":    {slices.Concat(origin, covered, ahead(1, maxSeq-3)), errMalformed},
		"covered beyond the last":    {slices.Concat(origin, wireAny(2, uint64(math.MaxUint64))), errMalformed},
		"too many intervals":         {slices.Concat(origin, ahead(tooMany...)), errMalformed},
		"an interval after all dots": {slices.Concat(origin, wireAny(2, uint64(maxSeq)), ahead(1, 1)), errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := decodePing(wireFrame(framePing, wireFix(2, 1), wireAny(6, c.dots)))
			if !errors.Is(err, c.want) {
				t.Errorf("in a ping: %v, want %v", err, c.want)
			}
			if err == nil && p.entries[0].newest != 0 {
				t.Errorf("in a ping: newest %d", p.entries[0].newest)
			}
			if _, _, err := openChunk(wireFrame(frameChunk, wireAny(4, uint64(1)), wireAny(7, c.dots))); !errors.Is(err, c.want) {
				t.Errorf("in a chunk: %v, want %v", err, c.want)
			}
		})
	}
}

// Origins are listed once each, in order, and not without end.
func TestWireContextOrigins(t *testing.T) {
	entry := func(origin uint64) vectorEntry { return vectorEntry{origin, dotSet{covered: 1}} }
	many := make([]vectorEntry, maxEntries+1)
	for i := range many {
		many[i] = entry(uint64(i + 1))
	}
	for name, c := range map[string]struct {
		entries []vectorEntry
		want    error
	}{
		"the most":     {many[:maxEntries], nil},
		"too many":     {many, errMalformed},
		"twice":        {[]vectorEntry{entry(1), entry(2), entry(2)}, errMalformed},
		"out of order": {[]vectorEntry{entry(2), entry(1)}, errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := decodePing(appendPing(nil, ping{origin: 1, entries: c.entries})); !errors.Is(err, c.want) || err == nil && len(p.entries) != len(c.entries) {
				t.Errorf("in a ping: %d origins, %v, want %v", len(p.entries), err, c.want)
			}
			if h, _, err := openChunk(appendChunk(nil, &syncChunk{groups: 1, entries: c.entries})); !errors.Is(err, c.want) || err == nil && len(h.entries) != len(c.entries) {
				t.Errorf("in a chunk: %d origins, %v, want %v", len(h.entries), err, c.want)
			}
		})
	}
}

func TestWireSyncRefused(t *testing.T) {
	u := func(x uint64) uint64 { return x }
	head := wireFrame(frameChunk, wireFix(1, 9), wireAny(4, u(4)))
	group := wireFrame(frameChunk, wireFix(1, 9), wireAny(2, u(1)), wireAny(3, u(chunkDone)), wireAny(5, u(2)))
	base := wireFix(12, stampOf(wireWall))
	rec := wireAny(13, slices.Concat(wireAny(2, "k"), wireFix(5, 1)))
	with := func(frame []byte, fields ...[]byte) []byte {
		return append(slices.Clone(frame), slices.Concat(fields...)...)
	}
	protoGroup := protowire.AppendTag(protowire.AppendTag(nil, 20, protowire.StartGroupType), 20, protowire.EndGroupType)

	for name, c := range map[string]struct {
		frame []byte
		want  error // nil: it is taken
	}{
		"ask":                    {appendAsk(nil, syncAsk{session: 1, next: 2, flags: askAgain}), nil},
		"ask, flag of later":     {appendAsk(nil, syncAsk{flags: 1 << 40}), nil},
		"ask, empty":             {wireFrame(frameAsk), nil},
		"ask, field 16":          {wireFrame(frameAsk, wireAny(16, "later")), nil},
		"ask, field 4":           {wireFrame(frameAsk, wireAny(4, "")), errUnsupported},
		"ask, field 15":          {wireFrame(frameAsk, wireAny(15, "")), errUnsupported},
		"ask, session wire type": {wireFrame(frameAsk, wireAny(1, u(1))), errMalformed},
		"ask, next wire type":    {wireFrame(frameAsk, wireFix(2, 1)), errMalformed},
		"ask, flags wire type":   {wireFrame(frameAsk, wireAny(3, "")), errMalformed},
		"ask, session twice":     {wireFrame(frameAsk, wireFix(1, 1), wireFix(1, 1)), errMalformed},
		"ask, next twice":        {wireFrame(frameAsk, wireAny(2, u(1)), wireAny(2, u(1))), errMalformed},
		"ask, flags twice":       {wireFrame(frameAsk, wireAny(3, u(1)), wireAny(3, u(1))), errMalformed},
		"ask, group":             {wireFrame(frameAsk, protoGroup), errMalformed},
		"ask, garbage":           {wireFrame(frameAsk, []byte{0xff}), errMalformed},
		"ask of an unknown type": {[]byte{wireVersion, 9}, errUnsupported},

		"head":                {head, nil},
		"head, groups 1":      {wireFrame(frameChunk, wireAny(4, u(1))), nil},
		"head, groups most":   {wireFrame(frameChunk, wireAny(4, u(maxGroups))), nil},
		"head, field 16":      {with(head, wireAny(16, "later")), nil},
		"head, flag of later": {with(head, wireAny(3, u(1<<40))), nil},
		"head, groups 0":      {wireFrame(frameChunk), errMalformed},
		"head, groups 3":      {wireFrame(frameChunk, wireAny(4, u(3))), errMalformed},
		"head, groups 2^7":    {wireFrame(frameChunk, wireAny(4, u(2*maxGroups))), errMalformed},
		"head, groups 2^64-1": {wireFrame(frameChunk, wireAny(4, u(math.MaxUint64))), errMalformed},
		"head, horizon":       {with(head, wireFix(8, maxStamp+1)), errMalformed},
		"refused":             {wireFrame(frameChunk, wireAny(3, u(chunkRefused))), nil},
		"refused, groups 3":   {wireFrame(frameChunk, wireAny(3, u(chunkRefused)), wireAny(4, u(3))), errMalformed},

		"group":                      {group, nil},
		"group, number and groups":   {with(group, wireAny(4, u(2))), nil},
		"group, groups 6":            {with(group, wireAny(4, u(6))), errMalformed},
		"group, no flags":            {wireFrame(frameChunk, wireAny(2, u(1)), base, rec), nil},
		"group, nothing":             {wireFrame(frameChunk, wireAny(2, u(1)), base), errMalformed},
		"group, last but not done":   {wireFrame(frameChunk, wireAny(2, u(1)), wireAny(3, u(chunkLast)), base, rec), errMalformed},
		"group, a record":            {with(group, base, rec), nil},
		"group, records apart":       {with(group, base, rec, wireFloors(bucketFloor{2, 1}), rec), nil},
		"group, no base":             {with(group, rec), errMalformed},
		"group, base 0":              {with(group, wireFix(12, 0), rec), errMalformed},
		"group, base above 2^63":     {with(group, wireFix(12, maxStamp+1), rec), errMalformed},
		"group, base after a record": {with(group, rec, base), errMalformed},
		"group, base twice":          {with(group, base, base, rec), errMalformed},
		"group, no first origin":     {with(group, base, wireAny(13, wireAny(2, "k"))), errMalformed},
		"group, clear as a record":   {with(group, base, wireAny(13, slices.Concat(wireAny(1, u(2)), wireFix(5, 1)))), errMalformed},
		"group, second record bad":   {with(group, base, rec, wireAny(13, wireFix(5, 0))), errMalformed},
		"group, second stamp 0":      {with(group, base, rec, wireAny(13, wireZig(4, -int64(stampOf(wireWall))))), errMalformed},
		"group, record wire type":    {with(group, base, wireAny(13, u(1))), errMalformed},
		"group, clear":               {with(group, wireFix(10, maxStamp), wireFix(11, 1)), nil},
		"group, clear above 2^63":    {with(group, wireFix(10, maxStamp+1), wireFix(11, 1)), errMalformed},
		"group, clear of nobody":     {with(group, wireFix(10, 1)), errMalformed},
		"group, field 14":            {with(group, wireAny(14, "")), errUnsupported},
		"group, field 15":            {with(group, wireAny(15, "")), errUnsupported},
		"group, field 16":            {with(group, wireAny(16, "later")), nil},
		"group, garbage":             {with(group, []byte{0x80}), errMalformed},
		"group, group":               {with(group, protoGroup), errMalformed},

		"floors":               {with(group, wireFloors(wireGroup.floors...)), nil},
		"floors, none":         {with(group, wireAny(6, "")), nil},
		"floors, wire type":    {with(group, wireAny(6, u(1))), errMalformed},
		"floors, twice":        {with(group, wireFloors(bucketFloor{2, 1}), wireFloors(bucketFloor{3, 1})), errMalformed},
		"floors, odd length":   {with(group, wireAny(6, make([]byte, floorSize-1))), errMalformed},
		"floors, half":         {with(group, wireAny(6, append([]byte{2, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 3))), errMalformed},
		"floors, equal":        {with(group, wireFloors(bucketFloor{2, 1}, bucketFloor{2, 2})), errMalformed},
		"floors, out of order": {with(group, wireFloors(bucketFloor{3, 1}, bucketFloor{2, 1})), errMalformed},
		"floors, bucket":       {with(group, wireFloors(bucketFloor{numBuckets, 1})), errMalformed},
		"floors, 0":            {with(group, wireFloors(bucketFloor{2, 0})), errMalformed},
		"floors, above 2^63":   {with(group, wireFloors(bucketFloor{2, maxStamp + 1})), errMalformed},
		"floors, too many":     {with(group, wireAny(6, make([]byte, (numBuckets+1)*floorSize))), errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if name[:3] == "ask" {
				_, err = decodeAsk(c.frame)
			} else {
				_, _, err = openChunk(c.frame)
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
			others = wireAny(3, u(chunkRefused))
		}
		for typ, field := range map[protowire.Type][]byte{0: wireAny(num, u(0)), 1: wireFix(num, 0), 2: wireAny(num, "")} {
			_, _, once := openChunk(wireFrame(frameChunk, others, field))
			_, _, twice := openChunk(wireFrame(frameChunk, others, field, field))
			if (once == nil) != (typ == right) || !errors.Is(twice, errMalformed) {
				t.Errorf("field %d with wire type %d: %v; twice: %v", num, typ, once, twice)
			}
		}
	}
}

// Fields may come in any order but for a chunk's records, which come after their base stamp
// and one after the other.
func TestWireSyncAnyOrder(t *testing.T) {
	for name, want := range map[string]syncChunk{"head": wireHead, "group": wireGroup} {
		t.Run(name, func(t *testing.T) {
			var fields, records [][]byte
			rest := appendChunk(nil, &want)[2:]
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
					frame := wireFrame(frameChunk, all...)
					got, err := wireReadChunk(frame)
					if last := all[len(all)-1]; len(want.records) > 0 && last[0] == chunkBase {
						if !errors.Is(err, errMalformed) {
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
