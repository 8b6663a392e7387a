package bcachehttp

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 999: "999 ns", 1500: "1.5 µs", 80 * time.Microsecond: "80 µs", 999999: "1 ms",
		250 * time.Millisecond: "250 ms", 3200 * time.Millisecond: "3.2 s", 59600 * time.Millisecond: "1 min",
		125 * time.Second: "2 min 5 s", time.Hour - 1: "1 h", 90 * time.Minute: "1 h 30 min",
		49 * time.Hour: "2 d 1 h", 24*time.Hour - time.Second: "1 d", 3 * 8760 * time.Hour: "3 years",
		-5 * time.Second: "−5 s", math.MaxInt64: "292 years", math.MinInt64: "−292 years",
		999_950_000: "1 s", 9_960_000_000: "10 s",
	} {
		if got := span(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{whole(0), "0"}, {whole(999), "999"}, {whole(1000), "1,000"}, {whole(uint64(12345678)), "12,345,678"},
		{whole(-3), "0"}, {size(0), "0 B"}, {size(1023), "1023 B"}, {size(1024), "1 KiB"},
		{size(1.5 * (1 << 20)), "1.5 MiB"}, {size(1 << 60), "1024 PiB"},
		{percent(0), "0 %"}, {percent(1), "100 %"},
		{percent(0.99999), "99.9 %"}, {percent(0.00001), "0.1 %"}, {percent(0.5), "50 %"},
		{percent(0.1234), "12.3 %"},
		{perSecond(0.04), "0"}, {perSecond(9.94), "9.9"}, {perSecond(1234.4), "1,234"},
		{count(1, "node"), "1 node"},
		{count(0, "node"), "0 nodes"}, {count(1200, "node"), "1,200 nodes"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 4, 5, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{when(now, now), "10:04:05"}, {when(now.Add(-24*time.Hour), now), "2026-02-28 10:04:05"},
		{relative(now.Add(-3*time.Second), now), "3 s ago"}, {relative(now.Add(5*time.Second), now), "in 5 s"},
		{relative(now, now), "just now"}, {moment(now), "2026-03-01T10:04:05.000Z"}, {moment(time.Time{}), ""},
		{moment(now.In(time.FixedZone("", 3600)).Add(1234567)), "2026-03-01T10:04:05.001Z"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// What is shown of any bytes is text that can be read, and different bytes are different texts.
func TestVisible(t *testing.T) {
	for s, want := range map[string]string{
		"user:42": "user:42", "ü 世": "ü 世", "\x00\xff": `\x00\xff`, `\x00`: `\\x00`, "a\nb\t": `a\nb\t`,
		"\u202eabc": `\u202eabc`, "\ufffd": "\ufffd", "\u00a0": `\u00a0`, "'\"": `'"`,
	} {
		if got := visible(s); got != want {
			t.Errorf("%q is %s, want %s", s, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a := string(rapid.SliceOf(rapid.Byte()).Draw(t, "a"))
		b := string(rapid.SliceOf(rapid.Byte()).Draw(t, "b"))
		va, vb := visible(a), visible(b)
		control := func(r rune) bool { return r < ' ' || r == 0x7f }
		if !utf8.ValidString(va) || strings.ContainsFunc(va, control) {
			t.Fatalf("%q is %q", a, va)
		}
		if a != b && va == vb {
			t.Fatalf("%q and %q are both %q", a, b, va)
		}
		if n := utf8.RuneCountInString(shown(a, 20)); n > 20 {
			t.Fatalf("%d runes are shown", n)
		}
	})
}
