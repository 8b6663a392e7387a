package bcachehttp

import (
	"fmt"
	"strings"
	"time"

	"github.com/iwanbk/bcache"
)

// What a node has of a key, beside the others.
const (
	stateNewest  = "newest"  // the newest version that any node has
	stateOlder   = "older"   // something older: if it is a value, Gets there return that
	stateOwn     = "own"     // what a fill brought, without a version: nothing shows that it is older
	stateNone    = "none"    // nothing: Gets there miss
	stateUnknown = "unknown" // there is no report
)

// A summary says whether all nodes have the same of a key.
type summary struct {
	newest bcache.KeyVersion // that any of them has; zero if none has any
	kind   bcache.KeyKind    // what it is
	states []string          // of each report

	answered                 int
	older, own, none, silent []uint64 // nodes, by their states
	without                  []uint64 // nodes that have no record: of those with older, own or none
	filled                   []uint64 // nodes that have what a fill brought, alone or beside a record
	isolated                 []uint64 // nodes that don't serve their record
	text                     string
}

// summarize compares reports.
func summarize(reports []bcache.KeyReport) summary {
	s := summary{states: make([]string, len(reports))}
	for i := range reports {
		if h := standing(&reports[i]); h != nil && later(h.Version, s.newest) {
			s.newest, s.kind = h.Version, h.Kind
		}
	}
	for i := range reports {
		r := &reports[i]
		s.states[i] = s.stateOf(r)
		switch s.states[i] {
		case stateUnknown:
			s.silent = append(s.silent, r.Node)
			continue
		case stateOlder:
			s.older = append(s.older, r.Node)
		case stateOwn:
			s.own = append(s.own, r.Node)
		case stateNone:
			s.none = append(s.none, r.Node)
		}
		s.answered++
		if h := standing(r); h == nil {
			s.without = append(s.without, r.Node)
		} else if r.Isolated {
			s.isolated = append(s.isolated, r.Node)
		}
		if p := r.Provisional; p != nil && !r.ProvisionalCleared && !over(p, r.At) {
			s.filled = append(s.filled, r.Node)
		}
	}
	s.text = s.words()
	return s
}

// stateOf is what one node has, beside the newest that any has.
func (s *summary) stateOf(r *bcache.KeyReport) string {
	h, own := standing(r), ownOf(r) != nil
	switch {
	case r.Err != nil:
		return stateUnknown
	case h != nil && later(s.newest, h.Version):
		return stateOlder
	case own && h == nil && hasYetToHear(r, s.newest):
		return stateOlder // what a fill brought is from before that
	case own:
		return stateOwn
	case h == nil:
		return stateNone
	}
	return stateNewest
}

// ownOf is what a fill brought without a version, if Gets return that; otherwise nil. A record that is
// live comes before it, unless the node is isolated.
func ownOf(r *bcache.KeyReport) *bcache.HeldKey {
	p, h := r.Provisional, standing(r)
	switch {
	case r.Err != nil || p == nil || r.ProvisionalCleared || over(p, r.At):
		return nil
	case h == nil || h.Kind == bcache.KeyDeleted || r.Isolated || expired(h, r.At):
		return p
	}
	return nil
}

// expired reports whether the deadline of something has come.
func expired(h *bcache.HeldKey, now time.Time) bool {
	return !h.Deadline.IsZero() && !now.Before(h.Deadline)
}

// over reports whether something isn't even served as stale any more.
func over(h *bcache.HeldKey, now time.Time) bool { return expired(h, now) && !now.Before(h.StaleUntil) }

// hasYetToHear reports whether a node that has no record hasn't processed a write of the key: or its
// floor, or a Clear that covers that write, would show it.
func hasYetToHear(r *bcache.KeyReport, v bcache.KeyVersion) bool {
	if v.IsZero() || !r.Floor.Before(v.Time) || !later(v, r.Clear) {
		return false
	}
	return r.KeyClear == nil || later(v, r.KeyClear.Version)
}

// standing is the record that a node has, and that no Clear covers.
func standing(r *bcache.KeyReport) *bcache.HeldKey {
	if r.Err != nil || r.Cleared {
		return nil
	}
	return r.Held
}

// later reports whether a is a later version than b.
func later(a, b bcache.KeyVersion) bool {
	switch {
	case b.IsZero() || a.IsZero():
		return !a.IsZero()
	case !a.Time.Equal(b.Time):
		return a.Time.After(b.Time)
	case a.Count != b.Count:
		return a.Count > b.Count
	}
	return a.Origin > b.Origin
}

// agree reports whether all nodes that answered have the same record. To have none and to know that a
// key is deleted is the same for Gets. What has no version isn't compared.
func (s *summary) agree() bool {
	if len(s.older) > 0 {
		return false
	}
	return len(s.without) == 0 || s.newest.IsZero() || s.kind == bcache.KeyDeleted
}

// words is the summary in plain words.
func (s *summary) words() string {
	all := "All " + count(s.answered, "node")
	if len(s.silent) > 0 {
		all += " that answered"
	}
	if s.answered == 1 {
		all = "The one node that answered"
		if len(s.silent) == 0 {
			all = "The only node"
		}
	}
	has := func(many, one string) string {
		if s.answered == 1 {
			return one
		}
		return many
	}
	var said []string
	switch {
	case s.answered == 0:
		said = append(said, "No node answered.")
	case s.newest.IsZero() && len(s.own) > 0:
		said = append(said, "There is no record of the key, which all nodes would share.")
	case s.newest.IsZero():
		said = append(said, all+" "+has("have", "has")+" nothing of the key.")
	case s.agree() && s.kind == bcache.KeyDeleted && len(s.own) > 0:
		said = append(said, "There is no record of a value: the key was deleted.")
	case s.agree() && s.kind == bcache.KeyDeleted && len(s.none) > 0:
		said = append(said, all+" "+has("agree", "says")+" that there is no value: it was deleted.")
	case s.agree():
		said = append(said, all+" "+has("have the same", "has this")+": "+kindText(s.kind)+".")
	default:
		said = append(said, "Not all nodes have the same. The newest version is "+kindText(s.kind)+".")
		if len(s.older) > 0 {
			said = append(said, nodes(s.older)+" "+plural(len(s.older), "has", "have")+" something older. That "+
				"should pass within seconds, unless the writes can't reach "+plural(len(s.older), "it", "them")+".")
		}
		if len(s.none) > 0 {
			said = append(said, nodes(s.none)+" "+plural(len(s.none), "has", "have")+" nothing: Gets there miss.")
		}
	}
	if n := len(s.filled); n > 0 {
		said = append(said, fmt.Sprintf("%s %s what a fill brought, without a version: any write of the key "+
			"ends that.", nodes(s.filled), plural(n, "has", "have")))
	}
	if n := len(s.isolated); n > 0 {
		said = append(said, fmt.Sprintf("%s %s isolated, and %s serve %s record.", nodes(s.isolated),
			plural(n, "is", "are"), plural(n, "doesn't", "don't"), plural(n, "its", "their")))
	}
	if len(s.silent) > 0 {
		said = append(said, "Of "+lower(nodes(s.silent))+" nothing is known.")
	}
	return strings.Join(said, " ")
}

func kindText(kind bcache.KeyKind) string {
	switch kind {
	case bcache.KeyValue:
		return "a value"
	case bcache.KeyMissing:
		return "that there is no value (ErrNotFound)"
	case bcache.KeyDeleted:
		return "that the key is deleted"
	}
	return "something that this version doesn't know"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// nodes names nodes, the first of them if they are many.
func nodes(ids []uint64) string {
	const most = 8
	names := make([]string, min(len(ids), most))
	for i := range names {
		names[i] = fmt.Sprintf("%x", ids[i])
	}
	rest := len(ids) - len(names)
	text := strings.Join(names, ", ")
	switch {
	case rest > 0:
		text += " and " + count(rest, "other")
	case len(names) > 1:
		text = strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	}
	return plural(len(ids), "Node ", "Nodes ") + text
}

func newSummaryJSON(s *summary) summaryJSON {
	return summaryJSON{
		Text: s.text, Agree: s.agree(), Answered: s.answered, Nodes: len(s.states),
		Newest: newVersionJSON(s.newest), Older: hexIDs(s.older), Own: hexIDs(s.own),
		None: hexIDs(s.none), Silent: hexIDs(s.silent),
	}
}

func hexIDs(ids []uint64) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = hexID(id)
	}
	return list
}

// lower begins a text in the middle of a sentence.
func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }
