package wire

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"pgregory.net/rapid"
)

// wireDraw draws a record that AppendDelta takes.
func wireDraw(t *rapid.T, origin uint64) delta.Record {
	text := rapid.OneOf(
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 300), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", "\x00", "\xff\xfe", "käse"}))
	date := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, math.MaxInt64), rapid.Int64Range(testkit.Wall-5, testkit.Wall+5))
	r := delta.Record{
		Key:  text.Draw(t, "key"),
		Kind: delta.Kind(rapid.IntRange(0, int(delta.KindForget)).Draw(t, "kind")),
		Version: delta.Version{
			Stamp:  rapid.OneOf(rapid.Uint64Range(1, delta.MaxStamp), rapid.Uint64Range(delta.StampOf(testkit.Wall), delta.StampOf(testkit.Wall+2))).Draw(t, "stamp"),
			Origin: rapid.OneOf(rapid.Just(origin), rapid.Uint64Min(1)).Draw(t, "version origin"),
		},
		Deadline:    date.Draw(t, "deadline"),
		StaleUntil:  date.Draw(t, "stale until"),
		RefreshFrom: date.Draw(t, "refresh from"),
	}
	if r.Kind == delta.KindValue {
		r.Val = text.Draw(t, "val")
	}
	if r.Kind == delta.KindClear {
		r.Key = ""
	}
	return r
}

// Run it with -rapid.checks=10000 for a thorough check, as CI does.
func TestWireRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		origin := rapid.Uint64Min(1).Draw(t, "origin")
		recs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) delta.Record { return wireDraw(t, origin) }), 1, 8).Draw(t, "records")
		first := rapid.Uint64Range(1, math.MaxUint64-uint64(len(recs))).Draw(t, "first")

		prefix := []byte("before")
		frame := AppendDelta(prefix, origin, first, recs)[len(prefix):]
		d, got, err := wireReadAll(frame)
		if err != nil || d.Origin != origin || d.First != first || !reflect.DeepEqual(got, recs) {
			t.Fatalf("got origin %d, first %d, %+v, %v", d.Origin, d.First, got, err)
		}
		for i := range recs {
			size := len(appendRecord(nil, deltaRecord, &recs[i], origin, 1))
			if bound := RecordSize(&recs[i]); size > bound || size < bound-65 {
				t.Errorf("record of %d bytes, recordSize says %d", size, bound)
			}
		}

		// What is skipped doesn't alter what is read.
		skip := rapid.SliceOfN(rapid.Bool(), len(recs), len(recs)).Draw(t, "skip")
		for i := range recs {
			if skip[i] {
				d.Advance()
				continue
			}
			var rec delta.Record
			if seq, ok := d.next(&rec); !ok || seq != first+uint64(i) || rec != recs[i] {
				t.Fatalf("record %d: seq %d, %v, %+v", i, seq, ok, rec)
			}
		}

		// No beginning of the frame is accepted, unless it ends where a record does.
		ends := map[int]bool{}
		for i := range recs {
			ends[len(AppendDelta(nil, origin, first, recs[:i+1]))] = true
		}
		for n := range frame {
			if _, err := OpenDelta(frame[:n]); (err == nil) != ends[n] {
				t.Fatalf("the first %d of %d bytes: %v", n, len(frame), err)
			}
		}

		// One that answers a pull is the same otherwise.
		newest := rapid.Uint64Range(1, delta.MaxStamp).Draw(t, "newest")
		d, got, err = wireReadAll(MarkRepair(frame, newest))
		if err != nil || d.Newest != newest || d.Origin != origin || d.First != first || !reflect.DeepEqual(got, recs) {
			t.Fatalf("with newest %d: got origin %d, first %d, newest %d, %+v, %v", newest, d.Origin, d.First, d.Newest, got, err)
		}

		// So is one that says when it was sent.
		sent := rapid.Int64().Draw(t, "sent")
		d, got, err = wireReadAll(AppendSent(frame, sent))
		if err != nil || d.Sent != max(sent, 0) || d.Origin != origin || d.First != first || !reflect.DeepEqual(got, recs) {
			t.Fatalf("sent at %d: got origin %d, first %d, sent %d, %+v, %v", sent, d.Origin, d.First, d.Sent, got, err)
		}
	})
}

// wireSeeds adds the golden frames.
func wireSeeds(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "wire", "v1", "*.frame"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden frames: %v", err)
	}
	for _, file := range files {
		frame, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
}

func FuzzDelta(f *testing.F) {
	wireSeeds(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		given := string(frame)
		d, recs, err := wireReadAll(frame)
		if string(frame) != given {
			t.Fatal("the frame was altered")
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		size := 0
		for i := range recs {
			size += 2 + len(recs[i].Key) + len(recs[i].Val)
			if recs[i].Kind == delta.KindUnknown {
				recs[i].Kind = delta.KindForget // as it is sent on
			}
		}
		if size > len(frame) {
			t.Fatalf("%d bytes of keys and values from %d", size, len(frame))
		}
		if _, err := OpenDelta(frame[:len(frame)-1]); err == nil {
			t.Fatal("accepted without its last byte")
		}
		encoded := AppendDelta(nil, d.Origin, d.First, recs)
		if d.Newest != 0 {
			encoded = MarkRepair(encoded, d.Newest)
		}
		encoded = AppendSent(encoded, d.Sent)
		d2, again, err := wireReadAll(encoded)
		if err != nil || d2.Origin != d.Origin || d2.First != d.First || d2.Newest != d.Newest || d2.Sent != d.Sent || !reflect.DeepEqual(again, recs) {
			t.Fatalf("%+v, encoded and decoded again: %+v, %v", recs, again, err)
		}
	})
}

func FuzzPing(f *testing.F) {
	wireSeeds(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, err := DecodePing(frame)
		q, err2 := DecodePong(frame)
		for _, err := range []error{err, err2} {
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
		}
		if err == nil && wireDecoded(p.Entries, nil) > wireFactor*len(frame) {
			t.Fatalf("%d bytes from %d", wireDecoded(p.Entries, nil), len(frame))
		}
		if err == nil && len(frame) <= maxContext { // beyond, gaps are left out
			if again, err := DecodePing(AppendPing(nil, p)); err != nil || !reflect.DeepEqual(again, p) {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", p, again, err)
			}
		}
		if err2 == nil {
			if n := wireDecoded(q.Lacks, nil); n > wireFactor*len(frame) {
				t.Fatalf("%d bytes from %d", n, len(frame))
			}
			if again, err := DecodePong(AppendPong(nil, q)); err != nil || !reflect.DeepEqual(again, q) {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", q, again, err)
			}
		}
		if err == nil && err2 == nil {
			t.Fatal("both a ping and a pong")
		}
	})
}
