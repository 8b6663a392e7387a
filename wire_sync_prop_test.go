package bcache

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// wireDrawContext draws a context that a node may have.
func wireDrawContext(t *rapid.T) (entries []vectorEntry) {
	origins := rapid.SliceOfNDistinct(rapid.Uint64Min(1), 0, 4, rapid.ID).Draw(t, "origins")
	slices.Sort(origins)
	step := rapid.OneOf(rapid.Uint64Range(1, 3), rapid.Uint64Range(1, 1<<62/maxIntervals))
	for _, o := range origins {
		e := vectorEntry{o, dotSet{
			covered: rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Max(1<<62)).Draw(t, "covered"),
			newest:  rapid.Uint64Range(1, maxStamp).Draw(t, "newest"),
		}}
		last := e.covered
		for range rapid.SampledFrom([]int{0, 0, 1, 2, 5, maxIntervals}).Draw(t, "intervals") {
			from := last + step.Draw(t, "gap")
			last = from + step.Draw(t, "dots")
			e.ahead = append(e.ahead, interval{from, last})
		}
		entries = append(entries, e)
	}
	return entries
}

func wireDrawHorizon(t *rapid.T) horizon {
	return horizon{rapid.Uint64Max(maxStamp).Draw(t, "horizon"), rapid.Uint64().Draw(t, "print")}
}

// wireDrawChunk draws a chunk with everything that any may have.
func wireDrawChunk(t *rapid.T) syncChunk {
	c := syncChunk{
		session: rapid.Uint64().Draw(t, "session"),
		number:  rapid.Uint64().Draw(t, "number"),
		flags:   rapid.Uint64().Draw(t, "flags") | chunkDone,
		groups:  1 << rapid.IntRange(0, 6).Draw(t, "groups"),
		entries: wireDrawContext(t),
		horizon: wireDrawHorizon(t),
		group:   rapid.Uint64().Draw(t, "group"),
	}
	if rapid.Bool().Draw(t, "clear") {
		c.clear = version{rapid.Uint64Range(1, maxStamp).Draw(t, "clear stamp"), rapid.Uint64Min(1).Draw(t, "clear origin")}
	}
	origin := rapid.Uint64Min(1).Draw(t, "origin")
	for range rapid.IntRange(0, 6).Draw(t, "records") {
		rec := wireDraw(t, origin)
		if rec.kind == kindClear {
			rec.kind = kindTombstone
		}
		c.records = append(c.records, rec)
		origin = rec.origin // most have that of the one before
	}
	for _, b := range rapid.SliceOfNDistinct(rapid.Uint16Max(numBuckets-1), 0, 6, rapid.ID).Draw(t, "buckets") {
		c.floors = append(c.floors, bucketFloor{b, rapid.Uint64Range(1, maxStamp).Draw(t, "floor")})
	}
	slices.SortFunc(c.floors, func(a, b bucketFloor) int { return int(a.bucket) - int(b.bucket) })
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
		if err == nil && !ends[n] || err != nil && !errors.Is(err, errMalformed) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(frame), err)
		}
	}
}

func TestWirePingRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := ping{
			id: rapid.Uint64().Draw(t, "id"), origin: rapid.Uint64Min(1).Draw(t, "origin"), seq: rapid.Uint64().Draw(t, "seq"),
			wall: rapid.Int64().Draw(t, "wall"), flags: rapid.Uint64().Draw(t, "flags"),
			entries: wireDrawContext(t), rest: rapid.Uint64().Draw(t, "rest"), horizon: wireDrawHorizon(t),
		}
		frame := appendPing([]byte("before"), p)[len("before"):]
		p.entries = withoutNewest(p.entries)
		if got, err := decodePing(frame); err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%+v became %+v, %v", p, got, err)
		}
		wireTruncate(t, frame, func(b []byte) error { _, err := decodePing(b); return err })

		q := pong{
			id: p.id, origin: p.origin, to: p.seq, from: rapid.Uint64Max(p.seq).Draw(t, "from"),
			wall: p.wall, flags: p.flags, horizon: p.horizon, seq: rapid.Uint64().Draw(t, "seq"),
		}
		frame = appendPong([]byte("before"), q)[len("before"):]
		if got, err := decodePong(frame); err != nil || got != q {
			t.Fatalf("%+v became %+v, %v", q, got, err)
		}
		wireTruncate(t, frame, func(b []byte) error { _, err := decodePong(b); return err })
	})
}

func TestWireSyncRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := wireDrawChunk(t)
		frame := appendChunk([]byte("before"), &c)[len("before"):]
		if got, err := wireReadChunk(frame); err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%+v became %+v, %v", c, got, err)
		}
		wireTruncate(t, frame, func(b []byte) error { _, _, err := openChunk(b); return err })

		size := chunkSize(&c)
		for i := range c.records {
			size += recordSize(&c.records[i])
		}
		c.entries = nil // they are only in number 0, which isn't measured
		if n := len(appendChunk(nil, &c)); n > size {
			t.Fatalf("%d bytes instead of at most %d", n, size)
		}

		a := syncAsk{c.session, c.number, c.flags}
		frame = appendAsk([]byte("before"), a)[len("before"):]
		if got, err := decodeAsk(frame); err != nil || got != a {
			t.Fatalf("%+v became %+v, %v", a, got, err)
		}
		wireTruncate(t, frame, func(b []byte) error { _, err := decodeAsk(b); return err })
	})
}

// wireDecoded counts the bytes that a chunk takes in memory, without what its records have.
func wireDecoded(entries []vectorEntry, floors []bucketFloor) int {
	n := cap(entries)*int(unsafe.Sizeof(vectorEntry{})) + cap(floors)*int(unsafe.Sizeof(bucketFloor{}))
	for i := range entries {
		n += cap(entries[i].ahead) * int(unsafe.Sizeof(interval{}))
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
		a, err2 := decodeAsk(frame)
		for _, err := range []error{err, err2} {
			if err != nil && !errors.Is(err, errMalformed) && !errors.Is(err, errUnsupported) {
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
			if again, err := decodeAsk(appendAsk(nil, a)); err != nil || again != a {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", a, again, err)
			}
		}
		if err != nil {
			return
		}
		c = known(c)
		size := 0
		for i := range c.records {
			size += 2 + len(c.records[i].key) + len(c.records[i].val)
		}
		if n := wireDecoded(c.entries, c.floors); size > len(frame) || n > wireFactor*len(frame) {
			t.Fatalf("%d bytes of records and %d of others from %d", size, n, len(frame))
		}
		if fresh, _ := wireReadChunk(given); !reflect.DeepEqual(known(fresh), c) {
			t.Fatalf("%+v has changed with the frame; it was %+v", c, fresh)
		}
		if len(frame) > maxContext {
			return // gaps are left out
		}
		if again, err := wireReadChunk(appendChunk(nil, &c)); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v, encoded and decoded again: %+v, %v", c, again, err)
		}
	})
}

// known turns records of unknown kinds into what they are sent on as.
func known(c syncChunk) syncChunk {
	for i := range c.records {
		if c.records[i].kind == kindUnknown {
			c.records[i].kind = kindForget
		}
	}
	return c
}
