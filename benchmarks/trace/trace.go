// Package trace reads traces: which keys somebody's cache was really asked for, and in what order.
package trace

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// MaxAccesses is how many accesses of a trace are played at most: the first ones.
const MaxAccesses = 3_000_000

// A Trace is a series of accesses to keys. It is read only, once made.
type Trace struct {
	Name     string // for people, and for names of files: letters, digits, '.', '-' and '_'
	Format   Format // in which it was written, never Auto
	Keys     []string
	Accesses []int32 // indices of Keys
}

// Key returns the key of the i-th access.
func (t *Trace) Key(i int) string { return t.Keys[t.Accesses[i]] }

// Open reads a file, whose name may tell the format if f is Auto.
func Open(file string, f Format) (*Trace, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if f == Auto {
		f = formatOfName(file)
	}
	t, err := Read(in, f, MaxAccesses)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	t.Name = nameOf(file)
	return t, nil
}

// Read reads a trace, packed with gzip or not, up to so many accesses; the rest isn't looked at. If f is
// Auto, the content tells the format. Errors say at which line or access of the trace they are.
func Read(r io.Reader, f Format, most int) (*Trace, error) {
	in, err := unpack(r)
	if err != nil {
		return nil, err
	}
	head, err := in.Peek(headSize)
	if len(head) == 0 {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the trace is empty")
		}
		return nil, whole(err)
	}
	if f == Auto {
		if f, err = formatOf(head); err != nil {
			return nil, err
		}
	}
	b := newBuilder(most)
	switch f {
	case BE32:
		err = readNumbers(in, 4, b)
	case BE64:
		err = readNumbers(in, 8, b)
	case ARC:
		err = readLines(in, b, b.addBlocks)
	case Keys:
		err = readLines(in, b, b.addLine)
	default:
		err = fmt.Errorf("there is no format %q", string(f))
	}
	if err != nil {
		return nil, err
	}
	b.trace.Format = f
	return &b.trace, nil
}

const headSize = 1 << 20 // bytes that may be looked at before they are read

// unpack knows what is packed by its first bytes.
func unpack(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, headSize)
	if magic, _ := in.Peek(3); string(magic) != "\x1f\x8b\x08" {
		return in, nil
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("it begins like a gzip file: %w", whole(err))
	}
	return bufio.NewReaderSize(z, headSize), nil
}

// whole says what an end that comes too early means: a file that isn't all there.
func whole(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file is cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}

var strange = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// nameOf is the name of a file without what only says how it is written.
func nameOf(file string) string {
	name := strings.TrimSuffix(filepath.Base(file), ".gz")
	ext := filepath.Ext(name)
	if _, ok := extensions[ext]; ok || ext == ".trace" {
		name = strings.TrimSuffix(name, ext)
	}
	return strange.ReplaceAllString(name, "-")
}
