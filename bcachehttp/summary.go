package bcachehttp

import (
	"fmt"
	"strings"

	"github.com/iwanbk/bcache"
)

// What a node has of a key, beside the others.
const (
	stateNewest  = "newest"  // the newest version that any node has
	stateOlder   = "older"   // an older one: if it is a value, Gets there return that
	stateNone    = "none"    // nothing: Gets there miss
	stateUnknown = "unknown" // there is no report
)

// A summary says whether all nodes have the same of a key.
type summary struct {
	newest bcache.KeyVersion // that any of them has; zero if none has any
	kind   bcache.KeyKind    // what it is
	states []string          // of each report

	answered            int
	older, none, silent []uint64 // nodes
	provisional         int      // nodes that have a value without a version
	text                string
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
		h := standing(r)
		switch {
		case r.Err != nil:
			s.states[i] = stateUnknown
			s.silent = append(s.silent, r.Node)
			continue
		case h == nil:
			s.states[i] = stateNone
			s.none = append(s.none, r.Node)
		case later(s.newest, h.Version):
			s.states[i] = stateOlder
			s.older = append(s.older, r.Node)
		default:
			s.states[i] = stateNewest
		}
		s.answered++
		if r.Provisional != nil && !r.ProvisionalCleared {
			s.provisional++
		}
	}
	s.text = s.words()
	return s
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

// agree reports whether all nodes that answered have the same. To have nothing and to know that a key is
// deleted is the same for Gets.
func (s *summary) agree() bool {
	if len(s.older) > 0 {
		return false
	}
	return len(s.none) == 0 || s.newest.IsZero() || s.kind == bcache.KeyDeleted
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
	case s.newest.IsZero():
		said = append(said, all+" "+has("have", "has")+" no record of the key.")
	case s.agree() && s.kind == bcache.KeyDeleted && len(s.none) > 0:
		said = append(said, all+" "+has("agree", "says")+" that there is no value: it was deleted.")
	case s.agree():
		said = append(said, all+" "+has("have the same", "has this")+": "+kindText(s.kind)+".")
	default:
		said = append(said, "Not all nodes have the same. The newest version is "+kindText(s.kind)+".")
		if len(s.older) > 0 {
			said = append(said, nodes(s.older)+" "+plural(len(s.older), "has", "have")+" an older one. That "+
				"should pass within seconds, unless the writes can't reach "+plural(len(s.older), "it", "them")+".")
		}
		if len(s.none) > 0 {
			said = append(said, nodes(s.none)+" "+plural(len(s.none), "has", "have")+" nothing: Gets there miss.")
		}
	}
	if s.provisional > 0 {
		said = append(said, fmt.Sprintf("%s %s a value without a version, which a fill brought.",
			count(s.provisional, "node"), plural(s.provisional, "has", "have")))
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
		text += fmt.Sprintf(" and %d others", rest)
	case len(names) > 1:
		text = strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	}
	return plural(len(ids), "Node ", "Nodes ") + text
}

func newSummaryJSON(s *summary) summaryJSON {
	return summaryJSON{
		Text: s.text, Agree: s.agree(), Answered: s.answered, Nodes: len(s.states),
		Newest: newVersionJSON(s.newest), Older: hexIDs(s.older), None: hexIDs(s.none),
		Silent: hexIDs(s.silent),
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
