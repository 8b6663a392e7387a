package bcache

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a group has, its chunks are frames that are taken, and together they have it all.
func TestSyncChunksFit(t *testing.T) {
	now := instant{wall: wireWall}
	big := strings.Repeat("x", MaxRecordSize)
	rapid.Check(t, func(t *rapid.T) {
		s := newStore(storeConfig{maxKeys: 1000})
		size := rapid.SampledFrom([]int{0, 1, 1000, MaxRecordSize / 8, MaxRecordSize/2 - 100, MaxRecordSize / 2, MaxRecordSize - 8})
		records := rapid.IntRange(0, 5).Draw(t, "records")
		for i := range records {
			key := fmt.Sprintf("%08d", i)
			s.apply(now, &record{
				key: key, val: big[:size.Draw(t, "size")], version: version{maxStamp - 1<<62*uint64(i%2), math.MaxUint64 - uint64(i)},
				deadline: math.MaxInt64, staleUntil: math.MaxInt64, refreshFrom: 1,
			}, false)
		}
		s.apply(now, &record{kind: kindClear, version: version{1, math.MaxUint64}}, false)
		floors := rapid.SampledFrom([]int{0, 10, numBuckets}).Draw(t, "floors")
		for b := range floors {
			s.raiseFloor(b, maxStamp)
		}

		out := &syncOut{
			session: math.MaxUint64, most: rapid.SampledFrom([]int{1, MaxRecordSize / 8, maxFrame}).Draw(t, "most"),
			next: math.MaxUint64 - 100, head: syncChunk{groups: 1},
		}
		var got syncChunk
		for last := false; !last; {
			if out.next < math.MaxUint64-100 {
				t.Fatal("there is no last chunk")
			}
			var frame []byte
			frame, last = out.chunk(s)
			c, err := readChunk(frame)
			if err != nil {
				t.Fatalf("a frame of %d bytes with %d records and %d floors: %v", len(frame), len(c.records), len(c.floors), err)
			}
			if len(c.records) > 1 && len(frame)-len(c.floors)*floorSize-3 > out.most || cap(frame) > maxFrame+frameSlack {
				t.Fatalf("%d records in %d bytes of %d", len(c.records), len(frame), cap(frame))
			}
			if last != (c.flags&chunkLast != 0) || last != (c.flags&chunkDone != 0) || !last && (c.floors != nil || c.clear != version{}) {
				t.Fatalf("flags %d, %d floors, last: %v", c.flags, len(c.floors), last)
			}
			got.records = append(got.records, c.records...)
			got.clear, got.floors = c.clear, c.floors
		}
		if len(got.records) != records || len(got.floors) != floors || got.clear != (version{1, math.MaxUint64}) {
			t.Fatalf("%d records, %d floors, Clear %v", len(got.records), len(got.floors), got.clear)
		}
		for _, rec := range got.records {
			if held, ok := s.peek(rec.key); !ok || held != rec {
				t.Fatalf("%q differs", rec.key)
			}
		}
	})
}

// The largest context that a node can have fits in a frame. Of gaps there may be too many: then
// some are left out, but no origin, and nothing is claimed that isn't so.
func TestWireContextFits(t *testing.T) {
	all := make([]vectorEntry, maxEntries)
	for i := range all {
		e := vectorEntry{math.MaxUint64 - maxEntries + uint64(i), dotSet{covered: 1 << 62, newest: maxStamp}}
		for j := range uint64(2 * maxIntervals) {
			from := e.covered + j<<55 + 1<<54
			e.ahead = append(e.ahead, interval{from, from + 1<<53})
		}
		all[i] = e
	}
	latest := horizon{stampOf(wireWall - 1000), 0x1234567890abcdef}
	ping := appendPing(nil, ping{id: math.MaxUint64, origin: 1, seq: math.MaxUint64, wall: -1, flags: math.MaxUint64, entries: all, rest: 1, horizon: latest})
	head := appendChunk(nil, &syncChunk{session: math.MaxUint64, flags: math.MaxUint64, groups: 1, entries: all, horizon: latest})
	p, err := decodePing(ping)
	if err != nil {
		t.Error(err)
	}
	h, _, err := openChunk(head)
	if err != nil {
		t.Error(err)
	}
	for _, got := range [][]vectorEntry{p.entries, h.entries} {
		gaps := 0
		for i := range got {
			if len(got[i].ahead) > 0 {
				gaps++
			} else {
				got[i].ahead = all[i].ahead
			}
		}
		if gaps < 100 || len(got) != len(all) {
			t.Errorf("%d of %d origins, %d with gaps", len(got), len(all), gaps)
		}
	}
	if !reflect.DeepEqual(h.entries, all) || !slices.EqualFunc(p.entries, all, func(a, b vectorEntry) bool { return a.origin == b.origin && slices.Equal(a.ahead, b.ahead) }) {
		t.Error("what is there differs")
	}
	if n := max(len(ping), len(head)); n > maxFrame {
		t.Errorf("%d bytes", n)
	}
}

// readChunk reads a whole chunk.
func readChunk(frame []byte) (syncChunk, error) {
	c, recs, err := openChunk(frame)
	if err != nil {
		return syncChunk{}, err
	}
	for rec := (record{}); recs.next(&rec); {
		c.records = append(c.records, rec)
	}
	return c, nil
}
