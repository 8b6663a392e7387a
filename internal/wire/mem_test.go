package wire

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/testkit"
	"google.golang.org/protobuf/encoding/protowire"
)

// Neither a key nor a value keeps the frame alive or changes with it.
func TestWireStringsDontAlias(t *testing.T) {
	frame := AppendDelta(nil, wireOrigin, 7, wireRecords)
	_, recs, err := wireReadAll(frame)
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	if !reflect.DeepEqual(recs, wireRecords) {
		t.Errorf("changed with the frame: %+v", recs)
	}
}

// The reader must end even if its frame is altered under it, which is against the rules.
func TestWireAlteredFrameEnds(t *testing.T) {
	frame := AppendDelta(nil, wireOrigin, 7, wireRecords)
	d, err := OpenDelta(frame)
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	var rec delta.Record
	if _, ok := d.next(&rec); ok {
		t.Error("a record of zeros")
	}
	if _, ok := d.Advance(); ok {
		t.Error("more records after the error")
	}
}

func TestWireAllocations(t *testing.T) {
	frame := AppendDelta(nil, wireOrigin, 7, wireRecords)
	var rec delta.Record
	allocs := func(f func(d *DeltaReader)) float64 {
		return testing.AllocsPerRun(100, func() {
			d, err := OpenDelta(frame)
			if err != nil {
				t.Fatal(err)
			}
			for range d.Count {
				f(&d)
			}
		})
	}
	if n := allocs(func(d *DeltaReader) { d.Advance() }); n != 0 {
		t.Errorf("parsing allocates %v times", n)
	}
	// 5 keys and 2 values aren't empty.
	if n := allocs(func(d *DeltaReader) { d.next(&rec) }); n != 7 {
		t.Errorf("reading allocates %v times, want 7", n)
	}
	buf := make([]byte, 0, 2*len(frame))
	if n := testing.AllocsPerRun(100, func() { AppendDelta(buf, wireOrigin, 7, wireRecords) }); n != 0 {
		t.Errorf("encoding allocates %v times", n)
	}
}

func TestWireChunkAllocations(t *testing.T) {
	c := wireGroup
	c.Floors = nil
	allocs := func(c *SyncChunk, read bool) float64 {
		frame := AppendChunk(nil, c)
		return testing.AllocsPerRun(100, func() {
			_, recs, err := OpenChunk(frame)
			if err != nil {
				t.Fatal(err)
			}
			for rec := (delta.Record{}); read && recs.Next(&rec); {
			}
		})
	}
	if n := allocs(&c, false); n != 0 {
		t.Errorf("checking records allocates %v times", n)
	}
	if n := allocs(&wireGroup, false); n != 1 {
		t.Errorf("reading floors allocates %v times", n)
	}
	// One key is longer than a byte; what isn't takes no memory of its own.
	if n := allocs(&c, true); n != 1 {
		t.Errorf("reading records allocates %v times", n)
	}
}

// A length that isn't there allocates nothing but the error.
func TestWireHostileLengths(t *testing.T) {
	rec := wireRec(wireAny(2, "k"))
	var frames [][]byte
	for _, n := range []uint64{100, 1 << 20, 1 << 31, 1 << 32, 1 << 62, math.MaxInt64, math.MaxUint64} {
		size := protowire.AppendVarint(nil, n)
		for _, tag := range []byte{recordKey, recordVal, 9<<3 | TypeBytes} {
			frames = append(frames, wireDelta(wireHeader(1), rec, wireRec([]byte{tag}, size)))
		}
		frames = append(frames,
			wireDelta(wireHeader(1), rec, []byte{deltaRecord}, size, rec),
			wireDelta(wireHeader(1), rec, protowire.AppendTag(nil, 16, protowire.BytesType), size, rec),
			append(AppendPing(nil, Ping{Origin: 1}), append(protowire.AppendTag(nil, 16, protowire.BytesType), size...)...),
			wireFrame(FrameAsk, protowire.AppendTag(nil, 16, protowire.BytesType), size))
		for _, tag := range []byte{chunkFloors, chunkDots, chunkRecord} {
			frames = append(frames, wireFrame(FrameChunk, wireFix(12, 1), []byte{tag}, size, make([]byte, 99)))
		}
		for _, tag := range []byte{dotsAhead, 15<<3 | TypeBytes} {
			frames = append(frames,
				wireFrame(FramePing, wireFix(2, 1), wireAny(6, slices.Concat(wireFix(1, 1), []byte{tag}, size, []byte{1, 1}))),
				wireFrame(FrameChunk, wireAny(7, slices.Concat(wireFix(1, 1), []byte{tag}, size, []byte{1, 1}))))
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, frame := range frames {
		if _, err := OpenDelta(frame); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v", frame, err)
		}
		if _, err := DecodePing(frame); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v", frame, err)
		}
		if _, err := DecodePong(frame); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v", frame, err)
		}
		if _, err := DecodeAsk(frame); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v", frame, err)
		}
		if _, _, err := OpenChunk(frame); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v", frame, err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(frames))*4096 {
		t.Errorf("%d bytes for %d frames", n, len(frames))
	}
}

// A context takes more in memory than on the wire, but not much more, and few allocations:
// one for the origins, and one for the gaps of each. Records are only checked and take none.
func TestWireHostileContexts(t *testing.T) {
	const page = 8192 // of the allocator, beside its size classes: they waste an eighth at most
	dotBytes := func(origin, intervals int) []byte {
		b := wireFix(1, uint64(origin+1))
		if intervals > 0 {
			b = append(b, wireAny(3, wireDots(slices.Repeat([]uint64{1}, 2*intervals)...))...)
		}
		return b
	}
	for name, c := range map[string]struct {
		origins, intervals int
		last               []byte // one more origin
		allocs             float64
	}{
		"one origin":                   {1, 0, nil, 1},
		"many origins":                 {MaxEntries, 0, nil, 1},
		"too many origins":             {90_000, 0, nil, 1},
		"one with a gap":               {1, 1, nil, 2},
		"with a gap each":              {MaxEntries, 1, nil, 1 + MaxEntries},
		"with many gaps":               {1700, 100, nil, 1 + 1700},
		"with most gaps":               {1900, 2 * dots.MaxIntervals, nil, 1 + 1900},
		"with too many gaps":           {1900, 2*dots.MaxIntervals + 1, nil, 0},
		"malformed at the end":         {MaxEntries - 1, 0, []byte{0xff}, 1},
		"gaps that are malformed":      {1000, 0, append(dotBytes(2000, 0), wireAny(3, append(slices.Repeat([]byte{1}, 500), 0))...), 2},
		"gaps that are huge, and many": {0, 0, append(dotBytes(0, 0), wireAny(3, make([]byte, 1<<19))...), 0},
		"gaps without an end":          {0, 0, append(dotBytes(0, 0), wireAny(3, slices.Repeat([]byte{0xff}, 1<<19))...), 0},
	} {
		t.Run(name, func(t *testing.T) {
			// Both kinds of frames have them, under different numbers.
			frame := func(typ byte, num protowire.Number, begin []byte) []byte {
				body := begin
				for o := range c.origins {
					body = append(body, wireAny(num, dotBytes(o, c.intervals))...)
				}
				if c.last != nil {
					body = append(body, wireAny(num, c.last)...)
				}
				return wireFrame(typ, body)
			}
			measure := func(what string, frame []byte, read func([]byte) error) {
				if len(frame) > MaxFrame+FrameSlack {
					t.Fatalf("%d bytes", len(frame))
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := read(frame)
				runtime.ReadMemStats(&after)
				if n := int(after.TotalAlloc - before.TotalAlloc); n > wireFactor*len(frame)*9/8+page {
					t.Errorf("%s: %d bytes for %d (%.1f times), %v", what, n, len(frame), float64(n)/float64(len(frame)), err)
				}
				const forErrors = 12
				if n := testing.AllocsPerRun(3, func() { _ = read(frame) }); n > c.allocs+forErrors || err == nil && n != c.allocs {
					t.Errorf("%s: %v allocations, %v", what, n, err)
				}
			}
			measure("ping", frame(FramePing, 6, wireFix(2, 1)), func(b []byte) error { _, err := DecodePing(b); return err })
			measure("chunk", frame(FrameChunk, 7, wireAny(4, uint64(1))), func(b []byte) error { _, _, err := OpenChunk(b); return err })
		})
	}
}

// wireBurst is 1,000 writes of 109 bytes of key and value with consecutive stamps.
func wireBurst(ttl int64) []delta.Record {
	recs := make([]delta.Record, 1000)
	for i := range recs {
		recs[i] = delta.Record{Key: fmt.Sprintf("key%06d", i), Val: strings.Repeat("v", 100), Version: delta.Version{Stamp: delta.StampOf(testkit.Wall) + uint64(i), Origin: wireOrigin}}
		if ttl > 0 {
			recs[i].Deadline = testkit.Wall + ttl
		}
	}
	return recs
}

func TestWireOverhead(t *testing.T) {
	for ttl, limit := range map[int64]int{0: 9, 3_600_000: 14} {
		frame := AppendDelta(nil, wireOrigin, 1, wireBurst(ttl))
		if n := len(frame) - 1000*109; n > 1000*limit {
			t.Errorf("TTL %d ms: %d bytes for 1,000 records beside key and value", ttl, n)
		}
	}
}

func BenchmarkWire(b *testing.B) {
	for _, ttl := range []int64{0, 3_600_000} {
		recs := wireBurst(ttl)
		frame := AppendDelta(nil, wireOrigin, 1, recs)
		run := func(name string, f func()) {
			b.Run(fmt.Sprintf("%s/ttl=%ds", name, ttl/1000), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(recs)), "ns/record")
				b.ReportMetric(float64(len(frame))/float64(len(recs))-109, "overhead-B/record")
			})
		}
		buf := make([]byte, 0, 2*len(frame))
		run("encode", func() { buf = AppendDelta(buf[:0], wireOrigin, 1, recs) })
		var rec delta.Record
		run("decode", func() {
			d, err := OpenDelta(frame)
			for ok := err == nil; ok; {
				_, ok = d.next(&rec)
			}
		})
		run("skip", func() {
			d, _ := OpenDelta(frame)
			for range d.Count {
				d.Advance()
			}
		})
	}
}
