package bcachehttp

import (
	"strings"
	"time"
	"unicode/utf8"
)

// What pages have in common: times and keys.

// A timeView is a time for people and programs.
type timeView struct {
	Machine string // "" if there is none
	Text    string // the time of day
	Ago     string // as seen from now
}

func newTimeView(t, now time.Time) timeView {
	if t.IsZero() {
		return timeView{}
	}
	return timeView{moment(t), when(t, now), relative(t, now)}
}

// A keyView is a key that leads to its page.
type keyView struct {
	Key  string // its bytes
	Text string // what can be read of them
	Cut  bool   // it is the beginning of one, which can't be asked about
}

const (
	mostOfKey  = 256 // bytes: of a longer one lists have the beginning, and cutMark
	cutMark    = "…"
	mostToRead = 120 // runes of a key are shown in a list
)

func newKeyView(key string) keyView {
	return keyView{key, shown(key, mostToRead), isCut(key)}
}

// isCut reports whether a key of a list is the beginning of one. That doesn't end within a character, so
// up to four bytes of the 256 may be left off. A whole key that looks so is taken for the beginning of one.
func isCut(key string) bool {
	return len(key) >= mostOfKey-utf8.UTFMax+len(cutMark) && strings.HasSuffix(key, cutMark)
}

// shown is the beginning of a text that can be read.
func shown(s string, most int) string {
	if s == "" {
		return "(empty)"
	}
	text := visible(s)
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + cutMark
}
