package bcacheotel

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
)

// The attributes of metrics and spans. Two are OpenTelemetry's own.
const (
	keyCache     = attribute.Key("bcache.cache")
	keyLoader    = attribute.Key("bcache.loader")
	keyPeer      = attribute.Key("bcache.peer")
	keyResult    = attribute.Key("bcache.request.result")
	keyOperation = attribute.Key("bcache.write.operation")
	keyKeys      = attribute.Key("bcache.fill.keys")
	keyCause     = attribute.Key("bcache.fill.cause")
	keyOutcome   = attribute.Key("bcache.fill.outcome")
	keyEvent     = attribute.Key("bcache.provisional.event")
	keyLeaseEnd  = attribute.Key("bcache.lease.end")
	keyCallback  = attribute.Key("bcache.callback")
	keyEviction  = attribute.Key("bcache.eviction.reason")
	keyRole      = attribute.Key("bcache.repair.role")
	keySync      = attribute.Key("bcache.sync.result")
	keyDropped   = attribute.Key("bcache.dropped")
	keyRefusal   = attribute.Key("bcache.refusal.reason")
	keyCut       = attribute.Key("bcache.cut.reason")

	keyDirection = attribute.Key("network.io.direction")
	keyErrorType = attribute.Key("error.type")

	// Of a span, for how many keys the fill has ended so: the outcome's name comes behind it.
	outcomePrefix = "bcache.fill."
)

// Values of the attribute bcache.loader that aren't prefixes. No prefix has them, as one that begins
// with a parenthesis is written otherwise.
const (
	fillersName = "(fillers)" // the figures of GetWithFiller, which has no prefix
	othersName  = "(others)"  // those of all prefixes that have none of their own
	noneName    = "(none)"    // the prefix is empty: to some who read metrics "" is no attribute at all
)

const (
	maxPrefix = 256  // bytes of a prefix that bcache tells Loaders apart by
	maxNames  = 1024 // prefixes, as many as have figures of their own in bcache
)

// loaderName is the attribute bcache.loader of a prefix: its first 256 bytes. Attributes must be UTF-8,
// and a prefix needn't be: what isn't is written \x and two digits, as is a parenthesis at the
// beginning, and a backslash is doubled. So no two prefixes have the same name.
func loaderName(prefix string) string {
	if prefix == "" {
		return noneName
	}
	prefix = prefix[:min(len(prefix), maxPrefix)]
	var name strings.Builder
	for i := 0; i < len(prefix); {
		r, size := utf8.DecodeRuneInString(prefix[i:])
		switch {
		case r == utf8.RuneError && size == 1, r == '(' && i == 0:
			fmt.Fprintf(&name, `\x%02x`, prefix[i])
		case r == '\\':
			name.WriteString(`\\`)
		default:
			name.WriteString(prefix[i : i+size])
		}
		i += size
	}
	return name.String()
}

// loaderNames bounds how many Loaders the attributes of a histogram tell apart. The zero value has none.
// It is safe for concurrent use.
type loaderNames struct {
	mu    sync.Mutex
	names map[string]struct{}
}

// bounded returns the name itself for the first 1,024 names, and then one that stands for all others.
func (l *loaderNames) bounded(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.names[name]; known {
		return name
	}
	if len(l.names) == maxNames {
		return othersName
	}
	if l.names == nil {
		l.names = map[string]struct{}{}
	}
	l.names[name] = struct{}{}
	return name
}

// peerName is how bcache's log lines name a node.
func peerName(id uint64) string { return strconv.FormatUint(id, 16) }
