package bcachehttp

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// clock is a time of day, for people. All times are in UTC.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// when is a time for people, as seen at another one: with its day if that isn't the same, and without if
// it is.
func when(t, now time.Time) string {
	if t.UTC().Format(time.DateOnly) == now.UTC().Format(time.DateOnly) {
		return clock(t)
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// span is a duration for people, in one unit or two: 250 ms, 3.2 s, 2 min 5 s.
func span(d time.Duration) string {
	if d < 0 {
		return "−" + span(-max(d, math.MinInt64+1))
	}
	two := func(big, small time.Duration, names ...string) string {
		d := d.Round(small)
		text := fmt.Sprintf("%d %s", d/big, names[0])
		if rest := d % big / small; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, names[1])
		}
		return text
	}
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0 s"
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case d < time.Millisecond-500*time.Nanosecond:
		return short(float64(d)/float64(time.Microsecond)) + " µs"
	case d < time.Second-500*time.Microsecond:
		return short(float64(d)/float64(time.Millisecond)) + " ms"
	case d < time.Minute-500*time.Millisecond:
		return short(d.Seconds()) + " s"
	case d < time.Hour-500*time.Millisecond:
		return two(time.Minute, time.Second, "min", "s")
	case d < day-30*time.Second:
		return two(time.Hour, time.Minute, "h", "min")
	case d < 365*day:
		return two(day, time.Hour, "d", "h")
	}
	return fmt.Sprintf("%d years", d/(365*day))
}

// relative is a time as seen at another one: "3 s ago", or "in 5 s".
func relative(t, now time.Time) string {
	switch d := t.Sub(now); {
	case d > 0:
		return "in " + span(d)
	case d == 0:
		return "just now"
	default:
		return span(-d) + " ago"
	}
}

// short is a number with one digit behind the point if it is below 10, and is not whole.
func short(f float64) string {
	if f < 9.95 {
		return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// size is a number of bytes for people.
func size(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for n >= 1023.5 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return short(n) + " " + units[i]
}

// whole is a count with a comma between thousands.
func whole[N int | int64 | uint64](n N) string {
	s := strconv.FormatUint(uint64(max(n, 0)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// perSecond is how often something is done in a second.
func perSecond(f float64) string {
	if f >= 9.95 {
		return whole(uint64(min(math.Round(f), 1e18)))
	}
	return short(f)
}

// percent is a part of 1; 100 % is nothing less.
func percent(f float64) string {
	switch p := f * 100; {
	case p > 99.9 && p < 100:
		return "99.9 %"
	case p > 0 && p < 0.1:
		return "0.1 %"
	default:
		return strings.TrimSuffix(strconv.FormatFloat(p, 'f', 1, 64), ".0") + " %"
	}
}

// count is a number of things, such as "1 node" and "3 nodes".
func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return whole(n) + " " + of + "s"
}

// visible is any bytes as text that can be read: what can't be printed is escaped, as Go does it, and so
// is the backslash. Nobody is misled by what turns the direction of writing round.
func visible(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\\':
			b.WriteString(`\\`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += n
	}
	return b.String()
}
