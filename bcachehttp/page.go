package bcachehttp

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/iwanbk/bcache"
)

const (
	refreshEvery = 5 // seconds

	// How many rows the page shows; the JSON has all.
	mostRows = 100
	fewRows  = 10
)

// A pageView is what the page of the node shows.
type pageView struct {
	Title   string
	Refresh int // seconds; 0: it stays as it is
	Now     timeView
	Node    *bcache.NodeInfo
	Status  statusView

	Warnings []warningView
	Plots    []plot
	Bounds   []bound

	Members     []memberView
	MoreMembers int
	Loaders     []loaderView
	MoreLoaders int
	Slow        []slowView
	Refused     []countView
	Hot         *hotView // nil: it isn't asked for

	Config []setting

	Clear           bool // may be asked for
	Toggle, HotLink string
	APIs            []string
}

// apiNames are those that the page leads to: looking at them costs nothing.
var apiNames = []string{
	"overview", "node", "members", "stats", "loaders", "slow", "refused", "warnings", "history",
}

// A statusView says in a line how the node is.
type statusView struct {
	Word, Class string
	Text        string
	Since       timeView
}

type warningView struct{ Class, Word, Text, Do string }

type slowView struct {
	Key  keyView
	Took string
	At   timeView
}

type countView struct {
	Key   keyView
	Count string
}

type hotView struct {
	Keys []countView
	Hits string
}

// page is the page of the node.
func page(h *handler, r *http.Request) (answer, error) {
	p, err := query(r)
	if err != nil {
		return answer{}, err
	}
	still, err := p.still()
	if err != nil {
		return answer{}, err
	}
	hot, err := p.is("hot")
	if err != nil {
		return answer{}, err
	}
	c := conditionOf(h)
	now := c.now
	in := h.cache.Inspect()
	v := pageView{
		Title: "Node " + hexID(c.node.ID), Now: newTimeView(now.at, now.at), Node: &c.node,
		Status: newStatusView(c), Plots: plots(h.history.list(), now.at), Bounds: bounds(c),
		Config: settings(&c.node.Config), Clear: h.may(r, Clear), APIs: apiNames,
		Toggle: pageLink(!still, hot), HotLink: pageLink(still, true),
	}
	if !still {
		v.Refresh = refreshEvery
	}
	for _, w := range warningsOf(c) {
		v.Warnings = append(v.Warnings, newWarningView(&w))
	}
	for _, m := range c.members[:min(len(c.members), mostRows)] {
		v.Members = append(v.Members, newMemberView(&m, now.at))
	}
	v.MoreMembers = len(c.members) - len(v.Members)
	v.Loaders, v.MoreLoaders = loaderViews(in.Loaders())
	for _, s := range in.SlowFills(fewRows) {
		v.Slow = append(v.Slow, slowView{newKeyView(s.Key), span(s.Took), newTimeView(s.At, now.at)})
	}
	v.Refused = countViews(in.RefusedFills(fewRows))
	if hot {
		keys, hits := in.HotKeys(fewKeys)
		v.Hot = &hotView{countViews(keys), whole(hits)}
	}
	return inHTML(mainPage, &v)
}

// still reports whether the page is to stay as it is.
func (p params) still() (bool, error) {
	value, err := p.bit("refresh")
	return value == "0", err
}

// conditionOf is how the node is now.
func conditionOf(h *handler) *condition {
	now := newSample(h.cache)
	list := h.history.list()
	return &condition{
		now: now, lately: ago(list, now.at, settling), then: ago(list, now.at, time.Minute),
		node: h.cache.Inspect().Node(), members: members(h.cache.Members(), now.stats.Peers),
		ready: h.cache.Ready(),
	}
}

// pageLink leads to the page itself.
func pageLink(still, hot bool) string {
	v := url.Values{}
	if still {
		v.Set("refresh", "0")
	}
	if hot {
		v.Set("hot", "1")
	}
	return strings.TrimSuffix("./?"+v.Encode(), "?")
}

func newStatusView(c *condition) statusView {
	v := statusView{Word: "Ready", Class: "good", Since: newTimeView(c.node.Since, c.now.at)}
	switch {
	case c.ready != nil:
		v.Word, v.Class, v.Text = "Not ready", "bad", sentence(reason(c.ready))
		if c.now.stats.Isolated {
			v.Word = "Isolated"
		}
	case c.node.Addr == "":
		v.Text = "Local only: it has no network."
	case c.node.SyncedFrom != 0:
		v.Text = fmt.Sprintf("Synced with node %x at %s, %s.", c.node.SyncedFrom,
			when(c.node.SyncedAt, c.now.at), relative(c.node.SyncedAt, c.now.at))
	default:
		v.Text = "Synced by itself at " + when(c.node.SyncedAt, c.now.at) + ", " +
			relative(c.node.SyncedAt, c.now.at) + "."
	}
	return v
}

func newWarningView(w *warning) warningView {
	if w.grave {
		return warningView{"bad", "Act", w.text, w.do}
	}
	return warningView{"note", "Note", w.text, w.do}
}

func countViews(counts []bcache.KeyCount) []countView {
	all := make([]countView, len(counts))
	for i, c := range counts {
		all[i] = countView{newKeyView(c.Key), whole(c.Count)}
	}
	return all
}

// A loaderView is a row of the table of Loaders.
type loaderView struct {
	Name         string
	Prefix       bool // the Name is one
	Ratio        string
	Hits, Misses string
	Running      string
	P50, P99     string
	Begun, Ended []kindView
	gets         uint64
}

type kindView struct{ Count, Kind string }

// loaderViews has those that are used most first.
func loaderViews(list []bcache.LoaderStats) (all []loaderView, more int) {
	for i := range list {
		l := &list[i]
		v := loaderView{
			Name: visible(l.Prefix), Prefix: true, Ratio: "–", Hits: whole(l.Hits), Misses: whole(l.Misses),
			Running: whole(l.Running), P50: "–", P99: "–", gets: l.Hits + l.Misses,
			Begun: kindViews(l.Begun), Ended: kindViews(l.Ended),
		}
		switch {
		case l.Fillers:
			if len(v.Begun) == 0 {
				continue
			}
			v.Name, v.Prefix = "GetWithFiller", false
		case l.Others:
			v.Name, v.Prefix = "all other prefixes", false
		case l.Prefix == "":
			v.Name, v.Prefix = "without a prefix", false
		}
		if v.gets > 0 && !l.Fillers {
			v.Ratio = percent(ratio(l.Hits, l.Misses))
		}
		if l.Took.Total() > 0 {
			v.P50, v.P99 = span(l.Took.Quantile(0.5)), span(l.Took.Quantile(0.99))
		}
		all = append(all, v)
	}
	slices.SortStableFunc(all, func(a, b loaderView) int { return cmp.Compare(b.gets, a.gets) })
	more = max(len(all)-mostRows, 0)
	return all[:len(all)-more], more
}

// kindViews are the counts that there are, in the order of their kinds.
func kindViews[K interface {
	~uint8
	fmt.Stringer
}](counts map[K]uint64) []kindView {
	var all []kindView
	for kind := range K(len(counts)) {
		if n := counts[kind]; n > 0 {
			all = append(all, kindView{whole(n), strings.ReplaceAll(kind.String(), "_", " ")})
		}
	}
	return all
}

// A memberView is a row of the table of other nodes.
type memberView struct {
	ID, Addr        string
	Since           timeView
	Connection      string
	State, Class    string
	Lag, Silent     string
	Clock, Trip     string
	Typical, Slowly string // how long its writes take
}

func newMemberView(m *member, now time.Time) memberView {
	v := memberView{
		ID: hexID(m.ID), Addr: visible(m.Addr), Since: newTimeView(m.Since, now), Connection: "relayed",
		State: "–", Lag: "–", Silent: "–", Clock: "–", Trip: "–", Typical: "–", Slowly: "–",
	}
	if m.Direct {
		v.Connection = "direct, out"
		if m.Inbound {
			v.Connection = "direct, in"
		}
		if m.Encrypted {
			v.Connection += ", encrypted"
		}
	}
	p := m.Peer
	if p == nil {
		return v
	}
	v.State, v.Class = "synced", "good"
	switch {
	case !p.Synced:
		v.State, v.Class = "not synced", "note"
	case p.Behind:
		v.State, v.Class = "has more than this node", "note"
	}
	v.Silent = span(p.Silent)
	v.Lag = known(p.Lag)
	if p.RoundTrip >= 0 {
		v.Trip, v.Clock = span(p.RoundTrip), span(p.ClockOffset)
		if p.ClockOffset > 0 {
			v.Clock = "+" + v.Clock
		}
	}
	v.Typical, v.Slowly = known(p.PropagationP50), known(p.PropagationP99)
	return v
}

// known is a duration, unless it is negative: then it isn't known.
func known(d time.Duration) string {
	if d < 0 {
		return "–"
	}
	return span(d)
}
