package replica

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
	"pgregory.net/rapid"
)

// Whatever a group has, its chunks are frames that are taken, and together they have it all.
func TestSyncChunksFit(t *testing.T) {
	now := delta.Instant{Wall: testkit.Wall}
	big := strings.Repeat("x", delta.MaxRecordSize)
	rapid.Check(t, func(t *rapid.T) {
		s := store.New(store.Config{MaxKeys: 1000})
		size := rapid.SampledFrom([]int{0, 1, 1000, delta.MaxRecordSize / 8, delta.MaxRecordSize/2 - 100, delta.MaxRecordSize / 2, delta.MaxRecordSize - 8})
		records := rapid.IntRange(0, 5).Draw(t, "records")
		for i := range records {
			key := fmt.Sprintf("%08d", i)
			s.Apply(now, &delta.Record{
				Key: key, Val: big[:size.Draw(t, "size")], Version: delta.Version{Stamp: delta.MaxStamp - 1<<62*uint64(i%2), Origin: math.MaxUint64 - uint64(i)},
				Deadline: math.MaxInt64, StaleUntil: math.MaxInt64, RefreshFrom: 1,
			}, false)
		}
		s.Apply(now, &delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: 1, Origin: math.MaxUint64}}, false)
		floors := rapid.SampledFrom([]int{0, 10, delta.NumBuckets}).Draw(t, "floors")
		for b := range floors {
			s.RaiseFloor(b, delta.MaxStamp)
		}

		out := &syncStream{
			most: rapid.SampledFrom([]int{1, delta.MaxRecordSize / 8, wire.MaxFrame}).Draw(t, "most"),
			next: math.MaxUint64 - 100, head: wire.SyncChunk{Session: math.MaxUint64, Groups: 1},
		}
		var got wire.SyncChunk
		for last := false; !last; {
			if out.next < math.MaxUint64-100 {
				t.Fatal("there is no last chunk")
			}
			var frame []byte
			frame, last = out.chunk(s)
			c, err := readChunk(frame)
			if err != nil {
				t.Fatalf("a frame of %d bytes with %d records and %d floors: %v", len(frame), len(c.Records), len(c.Floors), err)
			}
			if len(c.Records) > 1 && len(frame)-len(c.Floors)*wire.FloorSize-3 > out.most || cap(frame) > wire.MaxFrame+wire.FrameSlack {
				t.Fatalf("%d records in %d bytes of %d", len(c.Records), len(frame), cap(frame))
			}
			if last != (c.Flags&wire.ChunkLast != 0) || last != (c.Flags&wire.ChunkDone != 0) || !last && (c.Floors != nil || c.Clear != delta.Version{}) {
				t.Fatalf("flags %d, %d floors, last: %v", c.Flags, len(c.Floors), last)
			}
			got.Records = append(got.Records, c.Records...)
			got.Clear, got.Floors = c.Clear, c.Floors
		}
		if len(got.Records) != records || len(got.Floors) != floors || got.Clear != (delta.Version{Stamp: 1, Origin: math.MaxUint64}) {
			t.Fatalf("%d records, %d floors, Clear %v", len(got.Records), len(got.Floors), got.Clear)
		}
		for _, rec := range got.Records {
			if held, ok := s.Peek(rec.Key); !ok || held != rec {
				t.Fatalf("%q differs", rec.Key)
			}
		}
	})
}

// The largest context that a node can have fits in a frame. Of gaps there may be too many: then
// some are left out, but no origin, and nothing is claimed that isn't so.
func TestWireContextFits(t *testing.T) {
	all := make([]dots.Entry, wire.MaxEntries)
	for i := range all {
		e := dots.Entry{Origin: math.MaxUint64 - wire.MaxEntries + uint64(i), Set: dots.Set{Covered: 1 << 62, Newest: delta.MaxStamp}}
		for j := range uint64(2 * dots.MaxIntervals) {
			from := e.Covered + j<<55 + 1<<54
			e.Ahead = append(e.Ahead, dots.Interval{From: from, To: from + 1<<53})
		}
		all[i] = e
	}
	latest := dots.Horizon{Stamp: delta.StampOf(testkit.Wall - 1000), Print: 0x1234567890abcdef}
	ping := wire.AppendPing(nil, wire.Ping{ID: math.MaxUint64, Origin: 1, Seq: math.MaxUint64, Wall: -1, Flags: math.MaxUint64, Entries: all, Rest: 1, Horizon: latest})
	head := wire.AppendChunk(nil, &wire.SyncChunk{Session: math.MaxUint64, Flags: math.MaxUint64, Groups: 1, Entries: all, Horizon: latest})
	p, err := wire.DecodePing(ping)
	if err != nil {
		t.Error(err)
	}
	h, _, err := wire.OpenChunk(head)
	if err != nil {
		t.Error(err)
	}
	for _, got := range [][]dots.Entry{p.Entries, h.Entries} {
		gaps := 0
		for i := range got {
			if len(got[i].Ahead) > 0 {
				gaps++
			} else {
				got[i].Ahead = all[i].Ahead
			}
		}
		if gaps < 100 || len(got) != len(all) {
			t.Errorf("%d of %d origins, %d with gaps", len(got), len(all), gaps)
		}
	}
	if !reflect.DeepEqual(h.Entries, all) || !slices.EqualFunc(p.Entries, all, func(a, b dots.Entry) bool { return a.Origin == b.Origin && slices.Equal(a.Ahead, b.Ahead) }) {
		t.Error("what is there differs")
	}
	if n := max(len(ping), len(head)); n > wire.MaxFrame {
		t.Errorf("%d bytes", n)
	}
}

// readChunk reads a whole chunk.
func readChunk(frame []byte) (wire.SyncChunk, error) {
	c, recs, err := wire.OpenChunk(frame)
	if err != nil {
		return wire.SyncChunk{}, err
	}
	for rec := (delta.Record{}); recs.Next(&rec); {
		c.Records = append(c.Records, rec)
	}
	return c, nil
}
