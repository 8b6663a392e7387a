package bcachehttp

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"github.com/iwanbk/bcache"
)

// mostOfValue is how many runes of a value are shown, once what can't be printed is escaped.
const mostOfValue = 2000

// A whyView is what the page of a key shows.
type whyView struct {
	Title             string
	Asked             bool // about the Key
	Key               keyView
	Coded             string // the key in base64, for the form
	Now               timeView
	Again, ValuesLink string
	Delete            bool // may be asked for

	Word, Class, Text string // the summary
	Reports           []reportView
}

// A reportView is what the page shows of one node.
type reportView struct {
	Node              string
	Own               bool
	Answered          bool
	State, Class      string
	Text              string
	At                timeView
	Held, Provisional *heldView
	Values            []valueView
	Floor, Clear      timeView
	ClearBy           string
	KeyClear          *keyClearView
	TagFloor          timeView
	Fills             int
	Granter, Holder   string
	Decisions         []decisionView
}

type heldView struct {
	Kind                     string
	Version                  timeView
	By, Origin               string
	Count                    uint16
	Deadline, Stale, Refresh timeView
	Size                     string
	Tags                     []string
}

// A keyClearView is the last Clear of a prefix or tag that is about the key.
type keyClearView struct {
	What, Of    string
	By          string
	Version, At timeView
}

type valueView struct{ Name, Text string }

type decisionView struct {
	What        string
	At, Version timeView
}

// whyPage is the page of a key, or only the form for one.
func whyPage(h *handler, r *http.Request) (answer, error) {
	q, err := ask(h, r)
	if err != nil {
		return answer{}, err
	}
	v := whyView{
		Title: "A key", Asked: q.asked, Key: newKeyView(q.key), Now: newTimeView(q.now, q.now),
		Coded: base64.StdEncoding.EncodeToString([]byte(q.key)), Again: whyLink(q.key, q.values),
	}
	if !q.asked {
		return inHTML(keyPage, &v)
	}
	v.Title = "What nodes have of " + v.Key.Text
	v.Delete = h.may(r, Delete)
	if !q.values && h.may(r, Value) {
		v.ValuesLink = whyLink(q.key, true)
	}
	s := summarize(q.reports)
	v.Text = s.text
	switch {
	case s.agree() && len(s.own) > 0:
		v.Word, v.Class = "Not compared", "note"
	case s.agree() && len(s.silent) == 0:
		v.Word, v.Class = "Agreed", "good"
	case s.agree():
		v.Word, v.Class = "As far as known", "note"
	default:
		v.Word, v.Class = "They differ", "bad"
	}
	for i := range q.reports {
		rv := newReportView(&q.reports[i], s.states[i], q.values)
		rv.Own = i == 0
		v.Reports = append(v.Reports, rv)
	}
	return inHTML(keyPage, &v)
}

// whyLink leads from a page to that of a key.
func whyLink(key string, values bool) string {
	v := url.Values{"key": {key}}
	if values {
		v.Set("values", "1")
	}
	return "why?" + v.Encode()
}

// stateViews say in a word what a node has, and how that looks.
var stateViews = map[string][2]string{
	stateNewest:  {"newest", "good"},
	stateOlder:   {"older", "bad"},
	stateOwn:     {"its own", "good"},
	stateNone:    {"nothing", "note"},
	stateUnknown: {"no answer", "bad"},
}

func newReportView(r *bcache.KeyReport, state string, values bool) reportView {
	look := stateViews[state]
	v := reportView{
		Node: hexID(r.Node), Answered: r.Err == nil, State: look[0], Class: look[1], Text: explain(r),
		At: newTimeView(r.At, r.At), Held: newHeldView(r.Held, r.At),
		Provisional: newHeldView(r.Provisional, r.At), Floor: newTimeView(r.Floor, r.At),
		Clear: newTimeView(r.Clear.Time, r.At), ClearBy: hexID(r.Clear.Node),
		KeyClear: newKeyClearView(r.KeyClear, r.At), TagFloor: newTimeView(r.TagFloor, r.At),
		Fills: r.Fills, Granter: hexID(r.Granter), Holder: hexID(r.Holder),
	}
	if values {
		v.add("Its value begins with", r.Held)
		v.add("What a fill brought begins with", r.Provisional)
	}
	for _, d := range r.Decisions {
		what := d.What
		if d.Provisional {
			what += " (a value without a version)"
		}
		at, version := newTimeView(d.At, r.At), newTimeView(d.Version, r.At)
		v.Decisions = append(v.Decisions, decisionView{what, at, version})
	}
	return v
}

// add adds the value of what is held, if it has one.
func (v *reportView) add(name string, h *bcache.HeldKey) {
	if h != nil && h.Kind == bcache.KeyValue {
		v.Values = append(v.Values, valueView{name, shown(h.Value, mostOfValue)})
	}
}

func newHeldView(h *bcache.HeldKey, now time.Time) *heldView {
	if h == nil {
		return nil
	}
	return &heldView{
		Kind: kindText(h.Kind), Version: newTimeView(h.Version.Time, now), By: hexID(h.Version.Node),
		Origin: hexID(h.Version.Origin), Count: h.Version.Count, Deadline: newTimeView(h.Deadline, now),
		Stale: newTimeView(h.StaleUntil, now), Refresh: newTimeView(h.RefreshFrom, now),
		Size: size(float64(h.Size)), Tags: tagTexts(h.Tags),
	}
}

// tagTexts are tags as they can be read.
func tagTexts(tags []string) (texts []string) {
	for _, tag := range tags {
		texts = append(texts, shown(tag, mostToRead))
	}
	return texts
}

func newKeyClearView(x *bcache.KeyClear, now time.Time) *keyClearView {
	if x == nil {
		return nil
	}
	v := &keyClearView{
		What: "a tag", Of: shown(x.Tag, mostToRead), By: hexID(x.Version.Node),
		Version: newTimeView(x.Version.Time, now), At: newTimeView(x.At, now),
	}
	if x.Prefix != "" {
		v.What, v.Of = "a prefix", shown(x.Prefix, mostToRead)
	}
	return v
}
