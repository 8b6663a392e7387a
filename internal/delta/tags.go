package delta

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
)

const (
	MaxTags   = 16  // of a record
	MaxTagLen = 256 // bytes
)

// Tags are those of a record, in one string: each comes after a byte that is its length less one, and
// they are in ascending order. The zero value is none.
type Tags string

// MakeTags makes Tags of a list in any order; what is in it twice is one tag. If something is wrong it
// says what.
func MakeTags(list []string) (tags Tags, wrong string) {
	if len(list) == 0 {
		return "", ""
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	if len(sorted) > MaxTags {
		return "", fmt.Sprintf("%d tags: %d are the most", len(sorted), MaxTags)
	}
	var b []byte
	for _, tag := range sorted {
		if tag == "" {
			return "", "an empty tag"
		}
		if len(tag) > MaxTagLen {
			return "", fmt.Sprintf("a tag of %d bytes: %d are the most", len(tag), MaxTagLen)
		}
		b = append(append(b, byte(len(tag)-1)), tag...)
	}
	return Tags(b), ""
}

// All yields the tags, in their order. They share the memory of the whole.
func (t Tags) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := string(t); rest != ""; {
			n := 1 + int(rest[0])
			if !yield(rest[1 : 1+n]) {
				return
			}
			rest = rest[1+n:]
		}
	}
}

// Has reports whether a tag is one of them.
func (t Tags) Has(tag string) bool {
	for one := range t.All() {
		if one == tag {
			return true
		}
	}
	return false
}

// Len is how many they are.
func (t Tags) Len() (n int) {
	for range t.All() {
		n++
	}
	return n
}

// ValidTags reports whether bytes are what Tags are made of.
func ValidTags(b []byte) bool {
	var last []byte
	for n := 0; len(b) > 0; n++ {
		end := 2 + int(b[0])
		if end > len(b) || n == MaxTags || n > 0 && bytes.Compare(b[1:end], last) <= 0 {
			return false
		}
		last, b = b[1:end], b[end:]
	}
	return true
}
