package wire

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// wireDrawContext draws a context that a node may have.
func wireDrawContext(t *rapid.T) (entries []dots.Entry) {
	origins := rapid.SliceOfNDistinct(rapid.Uint64Min(1), 0, 4, rapid.ID).Draw(t, "origins")
	slices.Sort(origins)
	step := rapid.OneOf(rapid.Uint64Range(1, 3), rapid.Uint64Range(1, 1<<62/dots.MaxIntervals))
	for _, o := range origins {
		e := dots.Entry{Origin: o, Set: dots.Set{
			Covered: rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Max(1<<62)).Draw(t, "covered"),
			Newest:  rapid.Uint64Range(1, delta.MaxStamp).Draw(t, "newest"),
		}}
		last := e.Covered
		for range rapid.SampledFrom([]int{0, 0, 1, 2, 5, dots.MaxIntervals}).Draw(t, "intervals") {
			from := last + step.Draw(t, "gap")
			last = from + step.Draw(t, "dots")
			e.Ahead = append(e.Ahead, dots.Interval{From: from, To: last})
		}
		entries = append(entries, e)
	}
	return entries
}

func wireDrawHorizon(t *rapid.T) dots.Horizon {
	return dots.Horizon{Stamp: rapid.Uint64Max(delta.MaxStamp).Draw(t, "horizon"), Print: rapid.Uint64().Draw(t, "print")}
}

// wireDrawChunk draws a chunk with everything that any may have.
func wireDrawChunk(t *rapid.T) SyncChunk {
	c := SyncChunk{
		Session: rapid.Uint64().Draw(t, "session"),
		Number:  rapid.Uint64().Draw(t, "number"),
		Flags:   rapid.Uint64().Draw(t, "flags") | ChunkDone,
		Groups:  1 << rapid.IntRange(0, 6).Draw(t, "groups"),
		Entries: wireDrawContext(t),
		Horizon: wireDrawHorizon(t),
		Group:   rapid.Uint64().Draw(t, "group"),
	}
	if rapid.Bool().Draw(t, "clear") {
		c.Clear = delta.Version{Stamp: rapid.Uint64Range(1, delta.MaxStamp).Draw(t, "clear stamp"), Origin: rapid.Uint64Min(1).Draw(t, "clear origin")}
	}
	origin := rapid.Uint64Min(1).Draw(t, "origin")
	for range rapid.IntRange(0, 6).Draw(t, "records") {
		rec := wireDraw(t, origin)
		if rec.Kind == delta.KindClear {
			rec.Kind = delta.KindTombstone
		}
		c.Records = append(c.Records, rec)
		origin = rec.Origin // most have that of the one before
	}
	for _, b := range rapid.SliceOfNDistinct(rapid.Uint16Max(delta.NumBuckets-1), 0, 6, rapid.ID).Draw(t, "buckets") {
		c.Floors = append(c.Floors, delta.BucketFloor{Bucket: b, Stamp: rapid.Uint64Range(1, delta.MaxStamp).Draw(t, "floor")})
	}
	slices.SortFunc(c.Floors, func(a, b delta.BucketFloor) int { return int(a.Bucket) - int(b.Bucket) })
	return c
}

// wireEnds returns where the fields of a frame end: a frame that ends there is a shorter
// message, any other beginning is malformed.
func wireEnds(frame []byte) map[int]bool {
	ends := map[int]bool{2: true}
	for n := 2; n < len(frame); {
		_, _, m := protowire.ConsumeField(frame[n:])
		n += m
		ends[n] = true
	}
	return ends
}

// wireTruncate checks every beginning of a frame. A shorter message may lack something.
func wireTruncate(t *rapid.T, frame []byte, read func([]byte) error) {
	ends := wireEnds(frame)
	for n := range frame {
		err := read(frame[:n])
		if err == nil && !ends[n] || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(frame), err)
		}
	}
}

func TestWirePingRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Ping{
			ID: rapid.Uint64().Draw(t, "id"), Origin: rapid.Uint64Min(1).Draw(t, "origin"), Seq: rapid.Uint64().Draw(t, "seq"),
			Wall: rapid.Int64().Draw(t, "wall"), Flags: rapid.Uint64().Draw(t, "flags"),
			Entries: wireDrawContext(t), Rest: rapid.Uint64().Draw(t, "rest"), Horizon: wireDrawHorizon(t),
		}
		frame := AppendPing([]byte("before"), p)[len("before"):]
		if p.Flags&PingLeaving == 0 {
			p.Entries = withoutNewest(p.Entries)
		}
		if got, err := DecodePing(frame); err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%+v became %+v, %v", p, got, err)
		}
		wireTruncate(t, frame, func(b []byte) error { _, err := DecodePing(b); return err })

		q := Pong{
			ID: p.ID, Origin: p.Origin, To: p.Seq, From: rapid.Uint64Max(p.Seq).Draw(t, "from"),
			Wall: p.Wall, Flags: p.Flags, Horizon: p.Horizon, Seq: rapid.Uint64().Draw(t, "seq"),
			Lacks: wireDrawContext(t),
		}
		frame = AppendPong([]byte("before"), q)[len("before"):]
		q.Lacks = withoutNewest(q.Lacks)
		if got, err := DecodePong(frame); err != nil || !reflect.DeepEqual(got, q) {
			t.Fatalf("%+v became %+v, %v", q, got, err)
		}
		wireTruncate(t, frame, func(b []byte) error { _, err := DecodePong(b); return err })
	})
}

func TestWireSyncRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := wireDrawChunk(t)
		frame := AppendChunk([]byte("before"), &c)[len("before"):]
		if got, err := wireReadChunk(frame); err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%+v became %+v, %v", c, got, err)
		}
		wireTruncate(t, frame, func(b []byte) error { _, _, err := OpenChunk(b); return err })

		size := ChunkSize(&c)
		for i := range c.Records {
			size += RecordSize(&c.Records[i])
		}
		c.Entries = nil // they are only in number 0, which isn't measured
		if n := len(AppendChunk(nil, &c)); n > size {
			t.Fatalf("%d bytes instead of at most %d", n, size)
		}

		a := SyncAsk{c.Session, c.Number, c.Flags}
		frame = AppendAsk([]byte("before"), a)[len("before"):]
		if got, err := DecodeAsk(frame); err != nil || got != a {
			t.Fatalf("%+v became %+v, %v", a, got, err)
		}
		wireTruncate(t, frame, func(b []byte) error { _, err := DecodeAsk(b); return err })
	})
}

// wireDecoded counts the bytes that a chunk takes in memory, without what its records have.
func wireDecoded(entries []dots.Entry, floors []delta.BucketFloor) int {
	n := cap(entries)*int(unsafe.Sizeof(dots.Entry{})) + cap(floors)*int(unsafe.Sizeof(delta.BucketFloor{}))
	for i := range entries {
		n += cap(entries[i].Ahead) * int(unsafe.Sizeof(dots.Interval{}))
	}
	return n
}

// wireFactor is how much larger a context is in memory than on the wire, at most: an origin
// has 72 bytes for 11, an interval 16 for 2.
const wireFactor = 8

func FuzzChunk(f *testing.F) {
	wireSeeds(f)
	f.Fuzz(func(t *testing.T, given []byte) {
		frame := slices.Clone(given)
		c, err := wireReadChunk(frame)
		a, err2 := DecodeAsk(frame)
		for _, err := range []error{err, err2} {
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
		}
		if !slices.Equal(frame, given) {
			t.Fatal("the frame was altered")
		}
		if err == nil && err2 == nil {
			t.Fatal("both a chunk and an ask")
		}
		for i := range frame {
			frame[i] ^= 0xa5 // nothing that was read may change with it
		}
		if err2 == nil {
			if again, err := DecodeAsk(AppendAsk(nil, a)); err != nil || again != a {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", a, again, err)
			}
		}
		if err != nil {
			return
		}
		c = known(c)
		size := 0
		for i := range c.Records {
			size += 2 + len(c.Records[i].Key) + len(c.Records[i].Val)
		}
		if n := wireDecoded(c.Entries, c.Floors); size > len(frame) || n > wireFactor*len(frame) {
			t.Fatalf("%d bytes of records and %d of others from %d", size, n, len(frame))
		}
		if fresh, _ := wireReadChunk(given); !reflect.DeepEqual(known(fresh), c) {
			t.Fatalf("%+v has changed with the frame; it was %+v", c, fresh)
		}
		if len(frame) > maxContext {
			return // gaps are left out
		}
		if again, err := wireReadChunk(AppendChunk(nil, &c)); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v, encoded and decoded again: %+v, %v", c, again, err)
		}
	})
}

// known turns records of unknown kinds into what they are sent on as.
func known(c SyncChunk) SyncChunk {
	for i := range c.Records {
		if c.Records[i].Kind == delta.KindUnknown {
			c.Records[i].Kind = delta.KindForget
		}
	}
	return c
}
