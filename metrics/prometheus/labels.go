package bcacheprom

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/iwanbk/bcache"
)

// Values of the label loader that stand for no prefix. No prefix looks like them, as one that begins
// with a parenthesis has it escaped.
const (
	loaderFillers = "(fillers)" // what GetWithFiller fills
	loaderOthers  = "(others)"  // all prefixes beyond those that have series of their own
	loaderNone    = "(none)"    // the prefix is empty; to Prometheus an empty label is none
)

// loaderLabel returns the value of the label loader. A prefix may have any bytes, a label has valid
// UTF-8: what isn't is written \x and two digits, and so is a parenthesis at the beginning; a backslash
// is doubled. So no two prefixes have the same label.
func loaderLabel(l *bcache.LoaderStats) string {
	switch {
	case l.Fillers:
		return loaderFillers
	case l.Others:
		return loaderOthers
	case l.Prefix == "":
		return loaderNone
	case l.Prefix[0] != '(' && !strings.Contains(l.Prefix, `\`) && utf8.ValidString(l.Prefix):
		return l.Prefix
	}
	var b strings.Builder
	for i, r := range l.Prefix {
		switch _, size := utf8.DecodeRuneInString(l.Prefix[i:]); {
		case r == '(' && i == 0, r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, l.Prefix[i])
		case r == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// peerLabel writes a PeerID as log lines do.
func peerLabel(id uint64) string { return strconv.FormatUint(id, 16) }

// ownLabels are the names of all labels that metrics have by themselves.
func ownLabels() []string {
	names := []string{"cache", "le", "quantile"}
	for _, f := range families {
		names = append(names, f.labels...)
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
