package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// clean escapes what can't be printed: keys and servers don't talk to the terminal.
func clean(s string) string { return escape(s, false) }

// visible is any bytes as text from which they can be told: backslashes are doubled, too.
func visible(s string) string {
	if s == "" {
		return "(empty)"
	}
	return escape(s, true)
}

func escape(s string, backslash bool) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\\' && backslash:
			b.WriteString(`\\`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		s = s[n:]
	}
	return b.String()
}

// number is a count, with commas between thousands; what isn't whole has one digit behind the point.
func number(f float64) string {
	switch {
	case math.Abs(f) >= 1e15:
		return strconv.FormatFloat(f, 'g', 4, 64)
	case f < 0:
		return "-" + number(-f)
	case f != math.Trunc(f) && f < 99.95:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	s := strconv.FormatFloat(math.Round(f), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// bytesText is a size.
func bytesText(f float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; f >= 1023.5 && i < len(units)-1; i++ {
		f /= 1024
	}
	return short(f) + " " + units[i]
}

// span is a duration of so many seconds.
func span(s float64) string {
	switch d := math.Abs(s); {
	case s < 0:
		return "-" + span(d)
	case d == 0:
		return "0 s"
	case d < 999.5e-6:
		return short(d*1e6) + " µs"
	case d < 999.5e-3:
		return short(d*1e3) + " ms"
	case d < 59.95:
		return short(d) + " s"
	case d < 3599.5:
		return two(d, 60, "min", 1, "s")
	case d < 24*3600-30:
		return two(d, 3600, "h", 60, "min")
	}
	return two(math.Abs(s), 24*3600, "d", 3600, "h")
}

// two is a duration in two units.
func two(d, big float64, bigName string, small float64, smallName string) string {
	d = math.Round(d/small) * small
	text := number(math.Floor(d/big)) + " " + bigName
	if rest := math.Round(math.Mod(d, big) / small); rest > 0 {
		text += " " + number(rest) + " " + smallName
	}
	return text
}

// short has one digit behind the point if it is below 10.
func short(f float64) string {
	if f < 9.95 {
		return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
	}
	return number(math.Round(f))
}

func percent(part, of float64) string {
	if of <= 0 {
		return "-"
	}
	p := part / of * 100
	if p > 99.9 && p < 100 {
		p = 99.9 // 100 is all
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + " %"
}

// maybeSpan is a duration that may be unknown.
func maybeSpan(s *float64) string {
	if s == nil {
		return "-"
	}
	return span(*s)
}

// ago is a time that a node gave, as seen from when it said so.
func ago(at, now string) string {
	t, err := time.Parse(time.RFC3339, at)
	n, err2 := time.Parse(time.RFC3339, now)
	switch {
	case at == "":
		return "-"
	case err != nil || err2 != nil:
		return at
	case n.Before(t):
		return "in " + span(t.Sub(n).Seconds())
	}
	return span(n.Sub(t).Seconds()) + " ago"
}

// clock is the time of day of a time that a node gave.
func clock(at string) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return at
	}
	return t.UTC().Format("15:04:05")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
