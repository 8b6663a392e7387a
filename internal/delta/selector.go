package delta

import (
	"strings"
)

// A Selector says which keys a Clear is about: all, those with a prefix, or those whose records have a
// tag. It is the key of the Clear's record. The zero value selects everything.
type Selector string

const (
	prefixSelector = 'p'
	tagSelector    = 't'

	// MaxPrefixLen is how many bytes a prefix may have that a Clear selects by.
	MaxPrefixLen = 4096
)

// SelectPrefix selects the keys that begin with a prefix; with "" that is everything.
func SelectPrefix(prefix string) Selector {
	if prefix == "" {
		return ""
	}
	return Selector(string(prefixSelector) + prefix)
}

// SelectTag selects the keys whose records have a tag.
func SelectTag(tag string) Selector { return Selector(string(tagSelector) + tag) }

// Prefix returns the prefix that it selects by, if it selects by one.
func (s Selector) Prefix() (prefix string, ok bool) { return s.text(prefixSelector) }

// Tag returns the tag that it selects by, if it selects by one.
func (s Selector) Tag() (tag string, ok bool) { return s.text(tagSelector) }

func (s Selector) text(by byte) (string, bool) {
	if s == "" || s[0] != by {
		return "", false
	}
	return string(s[1:]), true
}

// Selects reports whether it is about a record with this key and these tags.
func (s Selector) Selects(key string, tags Tags) bool {
	if prefix, ok := s.Prefix(); ok {
		return strings.HasPrefix(key, prefix)
	}
	if tag, ok := s.Tag(); ok {
		return tags.Has(tag)
	}
	return true
}
