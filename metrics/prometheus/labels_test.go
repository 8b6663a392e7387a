package bcacheprom

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/iwanbk/bcache"
	"pgregory.net/rapid"
)

// prefixOf reads a label backwards.
func prefixOf(t *rapid.T, label string) string {
	var b strings.Builder
	for rest := label; rest != ""; {
		switch {
		case strings.HasPrefix(rest, `\x`):
			n, err := strconv.ParseUint(rest[2:4], 16, 8)
			if err != nil {
				t.Fatalf("%q: %v", label, err)
			}
			b.WriteByte(byte(n))
			rest = rest[4:]
		case strings.HasPrefix(rest, `\\`):
			b.WriteByte('\\')
			rest = rest[2:]
		default:
			b.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	return b.String()
}

// A label is valid UTF-8, and says which prefix it is of.
func TestLoaderLabelLaws(t *testing.T) {
	bytes := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte(`\(x)a`))), 1, 12)
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.Map(bytes, func(b []byte) string { return string(b) })
		prefix := rapid.OneOf(rapid.StringN(1, 12, -1), raw).Draw(t, "prefix")
		label := loaderLabel(&bcache.LoaderStats{Prefix: prefix})
		if !utf8.ValidString(label) || label == "" || label[0] == '(' {
			t.Fatalf("the label of %q is %q", prefix, label)
		}
		if got := prefixOf(t, label); got != prefix {
			t.Fatalf("the label of %q is %q, which is that of %q", prefix, label, got)
		}
	})
}

func TestLoaderLabels(t *testing.T) {
	for _, tt := range []struct {
		l    bcache.LoaderStats
		want string
	}{
		{bcache.LoaderStats{Prefix: "user:"}, "user:"},
		{bcache.LoaderStats{Prefix: "größe (m)"}, "größe (m)"},
		{bcache.LoaderStats{Prefix: "(others)"}, `\x28others)`},
		{bcache.LoaderStats{Prefix: "a\\b\xff\n"}, "a\\\\b\\xff\n"},
		{bcache.LoaderStats{Prefix: "\ufffd"}, "\ufffd"},
		{bcache.LoaderStats{}, "(none)"},
		{bcache.LoaderStats{Fillers: true}, "(fillers)"},
		{bcache.LoaderStats{Others: true}, "(others)"},
	} {
		if got := loaderLabel(&tt.l); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.l, got, tt.want)
		}
	}
}

// Whatever a prefix is, it comes through the text format as it is.
func TestLoaderLabelsOverTheWire(t *testing.T) {
	n := &fakeNode{}
	prefixes := []string{
		"<b>\"x\"</b>\n", "\x00\xff\\", "(fillers)", `\x28fillers)`, "{}=,", "é", "\u2028", "",
	}
	for i, prefix := range prefixes {
		n.loaders = append(n.loaders, bcache.LoaderStats{Prefix: prefix, Running: i + 1})
	}
	n.loaders = append(n.loaders, bcache.LoaderStats{Fillers: true, Running: 100},
		bcache.LoaderStats{Others: true, Running: 200})
	s := scrapeOf(t, n)
	for i := range n.loaders {
		l := &n.loaders[i]
		s.is(t, float64(l.Running), "bcache_fills_running", "loader", loaderLabel(l))
	}
	if got := len(s.series("bcache_fills_running")); got != len(n.loaders) {
		t.Errorf("%d series of %d Loaders", got, len(n.loaders))
	}
}
