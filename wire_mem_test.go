package bcache

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// Neither a key nor a value keeps the frame alive or changes with it.
func TestWireStringsDontAlias(t *testing.T) {
	frame := appendDelta(nil, wireOrigin, 7, wireRecords)
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
	frame := appendDelta(nil, wireOrigin, 7, wireRecords)
	d, err := openDelta(frame)
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	var rec record
	if _, ok := d.next(&rec); ok {
		t.Error("a record of zeros")
	}
	d.skip()
	if _, ok := d.peekSeq(); ok {
		t.Error("more records after the error")
	}
}

func TestWireAllocations(t *testing.T) {
	frame := appendDelta(nil, wireOrigin, 7, wireRecords)
	var rec record
	allocs := func(f func(d *deltaReader)) float64 {
		return testing.AllocsPerRun(100, func() {
			d, err := openDelta(frame)
			if err != nil {
				t.Fatal(err)
			}
			for range d.count {
				f(&d)
			}
		})
	}
	if n := allocs((*deltaReader).skip); n != 0 {
		t.Errorf("skipping allocates %v times", n)
	}
	// 5 keys and 2 values aren't empty.
	if n := allocs(func(d *deltaReader) { d.next(&rec) }); n != 7 {
		t.Errorf("reading allocates %v times, want 7", n)
	}
	buf := make([]byte, 0, 2*len(frame))
	if n := testing.AllocsPerRun(100, func() { appendDelta(buf, wireOrigin, 7, wireRecords) }); n != 0 {
		t.Errorf("encoding allocates %v times", n)
	}
}

// A length that isn't there allocates nothing but the error.
func TestWireHostileLengths(t *testing.T) {
	rec := wireRec(wireAny(2, "k"))
	var frames [][]byte
	for _, n := range []uint64{100, 1 << 20, 1 << 31, 1 << 32, 1 << 62, math.MaxInt64, math.MaxUint64} {
		size := protowire.AppendVarint(nil, n)
		for _, tag := range []byte{recordKey, recordVal, 9<<3 | wireBytes} {
			frames = append(frames, wireDelta(wireHeader(1), rec, wireRec([]byte{tag}, size)))
		}
		frames = append(frames,
			wireDelta(wireHeader(1), rec, []byte{deltaRecord}, size, rec),
			wireDelta(wireHeader(1), rec, protowire.AppendTag(nil, 16, protowire.BytesType), size, rec),
			append(appendPing(nil, ping{origin: 1}), append(protowire.AppendTag(nil, 16, protowire.BytesType), size...)...))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, frame := range frames {
		if _, err := openDelta(frame); !errors.Is(err, errMalformed) {
			t.Errorf("%x: %v", frame, err)
		}
		if _, err := decodePing(frame); !errors.Is(err, errMalformed) {
			t.Errorf("%x: %v", frame, err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(frames))*4096 {
		t.Errorf("%d bytes for %d frames", n, len(frames))
	}
}

// wireBurst is 1,000 writes of 109 bytes of key and value with consecutive stamps.
func wireBurst(ttl int64) []record {
	recs := make([]record, 1000)
	for i := range recs {
		recs[i] = record{key: fmt.Sprintf("key%06d", i), val: strings.Repeat("v", 100), version: version{stampOf(wireWall) + uint64(i), wireOrigin}}
		if ttl > 0 {
			recs[i].deadline = wireWall + ttl
		}
	}
	return recs
}

func TestWireOverhead(t *testing.T) {
	for ttl, limit := range map[int64]int{0: 9, 3_600_000: 14} {
		frame := appendDelta(nil, wireOrigin, 1, wireBurst(ttl))
		if n := len(frame) - 1000*109; n > 1000*limit {
			t.Errorf("TTL %d ms: %d bytes for 1,000 records beside key and value", ttl, n)
		}
	}
}

func BenchmarkWire(b *testing.B) {
	for _, ttl := range []int64{0, 3_600_000} {
		recs := wireBurst(ttl)
		frame := appendDelta(nil, wireOrigin, 1, recs)
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
		run("encode", func() { buf = appendDelta(buf[:0], wireOrigin, 1, recs) })
		var rec record
		run("decode", func() {
			d, err := openDelta(frame)
			for ok := err == nil; ok; {
				_, ok = d.next(&rec)
			}
		})
		run("skip", func() {
			d, _ := openDelta(frame)
			for range d.count {
				d.skip()
			}
		})
	}
}
