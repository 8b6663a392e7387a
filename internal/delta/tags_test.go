package delta

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTagsLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tag := rapid.OneOf(rapid.StringN(1, 3, 8), rapid.Just(strings.Repeat("x", MaxTagLen)))
		list := rapid.SliceOfN(tag, 0, MaxTags).Draw(t, "tags")
		before := slices.Clone(list)
		tags, wrong := MakeTags(list)
		if wrong != "" || !ValidTags([]byte(tags)) || !slices.Equal(list, before) {
			t.Fatalf("%q: %q, %s", list, tags, wrong)
		}
		slices.Sort(list)
		list = slices.Compact(list)
		if !slices.Equal(slices.Collect(tags.All()), list) || tags.Len() != len(list) {
			t.Fatalf("%q became %q", list, slices.Collect(tags.All()))
		}
		for _, tag := range list {
			if !tags.Has(tag) || !SelectTag(tag).Selects("k", tags) {
				t.Fatalf("%q isn't one of %q", tag, list)
			}
		}
		if other := tag.Draw(t, "other"); tags.Has(other) != slices.Contains(list, other) {
			t.Fatalf("%q: has %q: %v", list, other, tags.Has(other))
		}
	})
}

func TestTagsRefused(t *testing.T) {
	many := make([]string, MaxTags+1)
	for i := range many {
		many[i] = string(rune('a' + i))
	}
	for _, list := range [][]string{{""}, {"a", ""}, {strings.Repeat("x", MaxTagLen+1)}, many} {
		if tags, wrong := MakeTags(list); tags != "" || wrong == "" {
			t.Errorf("%d tags became %q", len(list), tags)
		}
	}
	for _, b := range []string{"\x00", "\x01a", "\x00b\x00a", "\x00a\x00a"} {
		if ValidTags([]byte(b)) {
			t.Errorf("%q is valid", b)
		}
	}
}

func TestSelectors(t *testing.T) {
	tags, _ := MakeTags([]string{"t", "user:"})
	for _, c := range []struct {
		s    Selector
		key  string
		tags Tags
		want bool
	}{
		{"", "", "", true},
		{SelectPrefix(""), "k", "", true},
		{SelectPrefix("user:"), "user:", "", true},
		{SelectPrefix("user:"), "user:1", "", true},
		{SelectPrefix("user:"), "user", tags, false},
		{SelectTag("t"), "t", "", false},
		{SelectTag("t"), "k", tags, true},
		{SelectTag("u"), "k", tags, false},
	} {
		if got := c.s.Selects(c.key, c.tags); got != c.want {
			t.Errorf("%q selects %q, %q: %v", c.s, c.key, c.tags, got)
		}
	}
}
