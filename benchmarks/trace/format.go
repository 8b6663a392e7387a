package trace

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Format is how a trace is written.
type Format string

const (
	Auto Format = "auto" // what name and content say
	BE32 Format = "be32" // big-endian integers of 4 bytes, a key each
	BE64 Format = "be64" // of 8 bytes
	ARC  Format = "arc"  // lines "first count ...": so many blocks from the first on, a key each
	Keys Format = "keys" // lines, a key each
)

var formats = []Format{Auto, BE32, BE64, ARC, Keys}

// ParseFormat returns the format of that name.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(formats, f) {
		return f, nil
	}
	var names []string
	for _, f := range formats {
		names = append(names, string(f))
	}
	return "", fmt.Errorf("there is no format %q: it is one of %s", name, strings.Join(names, ", "))
}

// extensions are names' ends that say the format.
var extensions = map[string]Format{".be32": BE32, ".be64": BE64, ".arc": ARC, ".lis": ARC, ".keys": Keys}

// formatOfName is Auto if the name of a file doesn't say the format.
func formatOfName(file string) Format {
	if f, ok := extensions[filepath.Ext(strings.TrimSuffix(file, ".gz"))]; ok {
		return f
	}
	return Auto
}

// formatOf guesses the format from the beginning of a trace. Where two are possible it says so, as a
// trace that is read in the wrong format gives figures, too.
func formatOf(head []byte) (Format, error) {
	if text := head[:min(len(head), 4096)]; isText(text) {
		if isBlocks(text) {
			return ARC, nil
		}
		return Keys, nil
	}
	return widthOf(head)
}

func isText(b []byte) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		invalid := r == utf8.RuneError && size == 1 && utf8.FullRune(b) // not merely cut off
		if invalid || unicode.IsControl(r) && !unicode.IsSpace(r) {
			return false
		}
		b = b[size:]
	}
	return true
}

// isBlocks tells whether every line has the form of ARC's. The last one may be cut off, and isn't asked.
func isBlocks(text []byte) bool {
	lines := strings.SplitAfter(string(text), "\n")
	for _, line := range lines[:max(len(lines)-1, 1)] {
		if _, _, err := parseBlocks(line); err != nil {
			return false
		}
	}
	return true
}

// widthOf tells integers of 4 bytes from those of 8 by the halves of 8 bytes. If an integer of 8 bytes
// comes again, its second half follows the same first half, and a second half is rarely a first one.
// Of integers of 4 bytes, a key follows now this one and now that, at even and at odd places.
func widthOf(head []byte) (Format, error) {
	type half [4]byte
	firsts, before := make(map[half]bool), make(map[half]half)
	for at := 0; at+8 <= len(head); at += 8 {
		firsts[half(head[at:])] = true
	}
	again, same, both, all := 0, 0, 0, 0
	for at := 0; at+8 <= len(head); at += 8 {
		first, second := half(head[at:]), half(head[at+4:])
		all++
		if firsts[second] {
			both++
		}
		if b, ok := before[second]; ok {
			again++
			if b == first {
				same++
			}
		}
		before[second] = first
	}
	const few, most = .1, .9
	share := func(n, of int) float64 { return float64(n) / float64(max(of, 1)) }
	switch {
	case again > 0 && share(same, again) >= most && share(both, all) <= few:
		return BE64, nil
	case again > 0 && share(same, again) < most && share(both, all) > few:
		return BE32, nil
	}
	return "", errors.New("its content doesn't tell whether its numbers have 4 bytes or 8: " +
		"give the format, be32 or be64")
}
