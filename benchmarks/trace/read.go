package trace

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// MaxKeySize is how many bytes a key, or a line, may have.
const MaxKeySize = 1024

// A builder collects accesses until it has enough.
type builder struct {
	trace Trace
	most  int
	index map[string]int32
	digit []byte // used again by each number
}

func newBuilder(most int) *builder { return &builder{most: most, index: make(map[string]int32)} }

func (b *builder) full() bool { return len(b.trace.Accesses) >= b.most }

func (b *builder) add(key []byte) {
	i, ok := b.index[string(key)]
	if !ok {
		i = int32(len(b.trace.Keys))
		b.trace.Keys = append(b.trace.Keys, string(key))
		b.index[b.trace.Keys[i]] = i
	}
	b.trace.Accesses = append(b.trace.Accesses, i)
}

func (b *builder) addNumber(n uint64) {
	b.digit = strconv.AppendUint(b.digit[:0], n, 10)
	b.add(b.digit)
}

// readNumbers reads big-endian integers of so many bytes.
func readNumbers(in *bufio.Reader, width int, b *builder) error {
	var number [8]byte
	for !b.full() {
		n, err := io.ReadFull(in, number[8-width:])
		if n == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("access %d, %d of its %d bytes: %w", len(b.trace.Accesses)+1, n, width, whole(err))
		}
		b.addNumber(binary.BigEndian.Uint64(number[:]))
	}
	return nil
}

// readLines has add take line by line, without their ends.
func readLines(in *bufio.Reader, b *builder, add func(line []byte) error) error {
	for n := 1; !b.full(); n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			if len(line) == 0 {
				return nil
			}
			err = nil // there is no end of line after the last one
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		switch {
		case len(line) > MaxKeySize || errors.Is(err, bufio.ErrBufferFull):
			err = fmt.Errorf("it has more than %d bytes", MaxKeySize)
		case err != nil:
			err = whole(err)
		case len(line) == 0:
			err = errors.New("it is empty")
		default:
			err = add(line)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return nil
}

func (b *builder) addLine(line []byte) error {
	b.add(line)
	return nil
}

func (b *builder) addBlocks(line []byte) error {
	first, count, err := parseBlocks(string(line))
	for i := uint64(0); i < count && !b.full(); i++ {
		b.addNumber(first + i)
	}
	return err
}

// parseBlocks reads a line of ARC's: the first block, how many there are, and what doesn't matter here.
func parseBlocks(line string) (first, count uint64, err error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return 0, 0, fmt.Errorf("%.40q isn't \"first-block count ...\"", line)
	}
	for i, n := range []*uint64{&first, &count} {
		if *n, err = strconv.ParseUint(fields[i], 10, 64); err != nil {
			return 0, 0, fmt.Errorf("%.40q isn't a number from 0 to 2^64-1", fields[i])
		}
	}
	if count == 0 || count-1 > math.MaxUint64-first {
		return 0, 0, fmt.Errorf("there aren't %d blocks from %d on", count, first)
	}
	return first, count, nil
}
