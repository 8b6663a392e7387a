package trace

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// numbers writes integers of 4 or 8 bytes.
func numbers(width int, list ...uint64) []byte {
	var b []byte
	for _, n := range list {
		b = append(b, binary.BigEndian.AppendUint64(nil, n)[8-width:]...)
	}
	return b
}

// drawn are accesses to numbers, some of which are wanted often.
func drawn(number func(key uint64) uint64) []uint64 {
	r := rand.New(rand.NewSource(1))
	zipf := rand.NewZipf(r, 1.2, 1, 999)
	list := make([]uint64, 10_000)
	for i := range list {
		list[i] = number(zipf.Uint64())
	}
	return list
}

func itself(key uint64) uint64   { return key }
func tiny(key uint64) uint64     { return key % 100 }
func fromOne(key uint64) uint64  { return key + 1 }
func hashed(key uint64) uint64   { return (key + 1) * 0x9e3779b97f4a7c15 }
func hashed32(key uint64) uint64 { return hashed(key) >> 32 }

// inTurn are keys of 4 bytes where no key comes both at an even place and at an odd one.
func inTurn() (list []uint64) {
	even, odd := drawn(itself), drawn(itself)
	slices.Reverse(odd)
	for i := range even {
		list = append(list, even[i], odd[i]+1000)
	}
	return list
}

func text(list []uint64) (keys []string) {
	for _, n := range list {
		keys = append(keys, fmt.Sprint(n))
	}
	return keys
}

func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func accesses(tr *Trace) (keys []string) {
	for i := range tr.Accesses {
		keys = append(keys, tr.Key(i))
	}
	return keys
}

func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		name    string
		content []byte
		format  Format
		guessed bool // the content tells the format
		keys    []string
	}{
		{"4 bytes", numbers(4, drawn(itself)...), BE32, true, text(drawn(itself))},
		{"4 bytes, tiny numbers", numbers(4, drawn(tiny)...), BE32, true, text(drawn(tiny))},
		{"4 bytes, large numbers", numbers(4, drawn(hashed32)...), BE32, true, text(drawn(hashed32))},
		{"4 bytes, a few", numbers(4, 1, 1<<32-1, 1), BE32, false, []string{"1", "4294967295", "1"}},
		{"8 bytes", numbers(8, drawn(hashed)...), BE64, true, text(drawn(hashed))},
		{"8 bytes, small numbers", numbers(8, drawn(fromOne)...), BE64, true, text(drawn(fromOne))},
		{"4 bytes, two kinds of keys in turn", numbers(4, inTurn()...), BE32, false, text(inTurn())},
		{"8 bytes, a few", numbers(8, 1, 1<<64-1, 1), BE64, false, []string{"1", "18446744073709551615", "1"}},
		{"blocks", []byte("7 3 0 0\n8 1 0 1\n18446744073709551615 1\n"), ARC, true,
			[]string{"7", "8", "9", "8", "18446744073709551615"}},
		{"blocks, no end of the last line", []byte("007\t2\r\n1 1"), ARC, true, []string{"7", "8", "1"}},
		{"keys", []byte("user:1\nuser 2\nuser:1\n"), Keys, true, []string{"user:1", "user 2", "user:1"}},
		{"keys that are numbers", []byte("1\r\n002\n1"), Keys, true, []string{"1", "002", "1"}},
		{"keys beyond ASCII", []byte("é\n日本\n"), Keys, true, []string{"é", "日本"}},
		{"long text", []byte(strings.Repeat("é\n", 5000)), Keys, true, slices.Repeat([]string{"é"}, 5000)},
		{"keys of bytes", []byte("\xff\x00\n\x01\n"), Keys, false, []string{"\xff\x00", "\x01"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, content := range [][]byte{tt.content, packed(t, tt.content)} {
				formats := []Format{tt.format}
				if tt.guessed {
					formats = append(formats, Auto)
				}
				for _, f := range formats {
					tr, err := Read(bytes.NewReader(content), f, MaxAccesses)
					if err != nil {
						t.Fatal(err)
					}
					if got := accesses(tr); !slices.Equal(got, tt.keys) || tr.Format != tt.format {
						t.Errorf("%s: %d accesses as %s: %.80q", f, len(got), tr.Format, got)
					}
				}
				if !tt.guessed {
					if tr, err := Read(bytes.NewReader(content), Auto, MaxAccesses); err == nil {
						t.Errorf("it was taken for %s", tr.Format)
					}
				}
			}
		})
	}
}

// What is beyond the limit isn't looked at.
func TestLimit(t *testing.T) {
	for f, content := range map[Format]string{
		BE32: "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00",
		BE64: string(numbers(8, 1, 2, 3)) + "\x00",
		ARC:  "1 18446744073709551615\nnothing\n",
		Keys: "1\n2\n3\n\n",
	} {
		tr, err := Read(strings.NewReader(content), f, 3)
		if err != nil {
			t.Errorf("%s: %v", f, err)
		} else if got := accesses(tr); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("%s: %q", f, got)
		}
	}
}

// An error names the file, what is wrong, and where.
func TestErrors(t *testing.T) {
	many := packed(t, []byte(strings.Repeat("key\n", 100_000)))
	sum := slices.Clone(many)
	sum[len(sum)-5] ^= 1
	for _, tt := range []struct {
		name    string
		content []byte
		format  Format
		says    string
	}{
		{"empty", nil, Auto, "the trace is empty"},
		{"empty, packed", packed(t, nil), BE32, "the trace is empty"},
		{"cut within 4 bytes", numbers(4, 1, 2)[:7], BE32, "access 2, 3 of its 4 bytes: the file is cut off"},
		{"cut within 8 bytes", numbers(8, 1, 2)[:12], BE64, "access 2, 4 of its 8 bytes: the file is cut off"},
		{"a packed file that is cut off", many[:len(many)/2], Keys, "the file is cut off"},
		{"cut within its head", many[:5], Auto, "it begins like a gzip file: the file is cut off"},
		{"cut after its head", many[:10], Auto, "the file is cut off"},
		{"a wrong checksum", sum, Keys, "line 100001: gzip: invalid checksum"},
		{"no number", []byte("1 1\nx 1\n"), ARC, `line 2: "x" isn't a number`},
		{"no count", []byte("1 1\n2 -1\n"), ARC, `line 2: "-1" isn't a number`},
		{"one number", []byte("1 1\n2\n"), ARC, `line 2: "2" isn't "first-block count ..."`},
		{"no blocks", []byte("1 1\n0 0\n"), ARC, "line 2: there aren't 0 blocks from 0 on"},
		{"too many blocks", []byte("18446744073709551615 2\n"), ARC,
			"line 1: there aren't 2 blocks from 18446744073709551615 on"},
		{"an empty line", []byte("a\n\nb\n"), Keys, "line 2: it is empty"},
		{"a long line", []byte("a\n" + strings.Repeat("b", MaxKeySize+1)), Keys, "line 2: it has more than"},
		{"a very long line", bytes.Repeat([]byte("b"), headSize+1), Keys, "line 1: it has more than 1024"},
		{"4 bytes or 8", numbers(4, 1, 2, 3, 4), Auto, "give the format, be32 or be64"},
		{"another format", []byte("a"), "csv", `there is no format "csv"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "some.trace")
			if err := os.WriteFile(file, tt.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(file, tt.format)
			if text := fmt.Sprint(err); !strings.Contains(text, tt.says) || !strings.HasPrefix(text, file+": ") {
				t.Errorf("it doesn't say %q: %v", tt.says, err)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), Auto); err == nil {
		t.Error("a file that isn't there was read")
	}
}

// The longest key that there may be is one.
func TestLongestKey(t *testing.T) {
	key := strings.Repeat("k", MaxKeySize)
	if tr, err := Read(strings.NewReader(key+"\r\n"), Keys, 1); err != nil || tr.Key(0) != key {
		t.Error(err)
	}
}

func TestParseFormat(t *testing.T) {
	for _, f := range formats {
		if got, err := ParseFormat(string(f)); got != f || err != nil {
			t.Errorf("%s: %s, %v", f, got, err)
		}
	}
	_, err := ParseFormat("csv")
	if err == nil || !strings.Contains(err.Error(), "auto, be32, be64, arc, keys") {
		t.Errorf("csv: %v", err)
	}
}

// A name may tell what the content can't. A format that is given comes before both.
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		file   string
		given  Format
		name   string
		format Format
	}{
		{"a.be32", Auto, "a", BE32},
		{"a.be64.gz", Auto, "a", BE64},
		{"a.keys", Auto, "a", Keys},
		{"a.be64", BE32, "a", BE32},
		{"a_b-c.trace.gz", BE32, "a_b-c", BE32},
		{"a b|c.2024", BE32, "a-b-c.2024", BE32},
	} {
		file := filepath.Join(t.TempDir(), tt.file)
		if err := os.WriteFile(file, numbers(4, 1, 2, 3, 4), 0o600); err != nil {
			t.Fatal(err)
		}
		if tr, err := Open(file, tt.given); err != nil {
			t.Error(err)
		} else if tr.Name != tt.name || tr.Format != tt.format {
			t.Errorf("%s: %s as %s", tt.file, tr.Name, tr.Format)
		}
	}
	if f := formatOfName("P1.lis.gz"); f != ARC {
		t.Errorf("P1.lis is %q", f)
	}
}

// Whatever a file has, it is read, or there is an error.
func FuzzRead(f *testing.F) {
	for i, content := range [][]byte{
		nil, numbers(4, drawn(itself)[:200]...), numbers(8, drawn(hashed)[:200]...), []byte("7 3 0 0\n8 1\n"),
		[]byte("user:1\r\nuser:2"), []byte("\x1f\x8b\x08"),
	} {
		f.Add(content, uint8(i))
	}
	const most = 1000
	f.Fuzz(func(t *testing.T, content []byte, format uint8) {
		asked := formats[int(format)%len(formats)]
		tr, err := Read(bytes.NewReader(content), asked, most)
		if err != nil {
			if tr != nil {
				t.Error("there is a trace beside an error")
			}
			return
		}
		if n := len(tr.Accesses); n == 0 || n > most || len(tr.Keys) > n {
			t.Fatalf("%d accesses of %d keys", n, len(tr.Keys))
		}
		if asked != Auto && tr.Format != asked || tr.Format == Auto {
			t.Errorf("asked for %s, it was read as %s", asked, tr.Format)
		}
		seen := make(map[string]bool)
		for i := range tr.Accesses {
			key := tr.Key(i)
			if key == "" || len(key) > MaxKeySize {
				t.Fatalf("a key of %d bytes", len(key))
			}
			seen[key] = true
		}
		if len(seen) != len(tr.Keys) {
			t.Errorf("%d keys, of which %d are different", len(tr.Keys), len(seen))
		}
	})
}
