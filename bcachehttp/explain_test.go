package bcachehttp

import (
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

var explainedAt = time.Date(2026, 3, 1, 10, 4, 8, 0, time.UTC)

func at(d time.Duration) time.Time { return explainedAt.Add(d) }

func version(d time.Duration, node uint64) bcache.KeyVersion {
	return bcache.KeyVersion{Time: at(d), Origin: 0xabc, Node: node}
}

func TestExplain(t *testing.T) {
	value := func(deadline, stale, refresh time.Duration) *bcache.HeldKey {
		h := &bcache.HeldKey{Kind: bcache.KeyValue, Version: version(-3*time.Second, 2), Size: 2048}
		for to, d := range map[*time.Time]time.Duration{
			&h.Deadline: deadline, &h.StaleUntil: stale, &h.RefreshFrom: refresh,
		} {
			if d != 0 {
				*to = at(d)
			}
		}
		return h
	}
	team := &bcache.KeyClear{Tag: "team:7", Version: version(-time.Second, 3)}
	user := &bcache.KeyClear{Prefix: "us\x00", Version: version(-time.Second, 3)}
	const has = "Has a value (2 KiB with its key), written by node 2 at 10:04:05, 3 s ago. "
	provisional := &bcache.HeldKey{Kind: bcache.KeyValue, Size: 10, Deadline: at(time.Minute)}
	const brought = "what a fill brought, without a version: a value (10 B with its key). Any write of the key " +
		"ends that. It expires in 1 min."
	for _, c := range []struct {
		want string
		r    bcache.KeyReport
	}{
		{"It doesn't answer: it is cut off, busy or slow. What it has isn't known.",
			bcache.KeyReport{Err: bcache.ErrNoAnswer}},
		{"Its version of bcache can't be asked.", bcache.KeyReport{Err: bcache.ErrCannotAnswer}},
		{"It is asked too much at this moment. Ask again in a second.", bcache.KeyReport{Err: bcache.ErrBusy}},
		{"Has nothing: it has never heard of the key, or has forgotten it.", bcache.KeyReport{}},
		{"Has nothing: it has never heard of the key, or has forgotten it. It has forgotten keys, so it " +
			"takes no write of this one from before 10:03:08 (1 min ago).",
			bcache.KeyReport{Floor: at(-time.Minute)}},
		{"Has nothing: it has never heard of the key, or has forgotten it. The last Clear was by node 3 at " +
			"10:03:08, 1 min ago: nothing older comes back.",
			bcache.KeyReport{Clear: version(-time.Minute, 3)}},
		{"Has nothing: evicted, to make room, 12 s ago.", bcache.KeyReport{Decisions: []bcache.KeyDecision{
			{What: "evicted, to make room", At: at(-12 * time.Second)}, {What: "expired"},
		}}},
		{"Has nothing: expired (a value without a version).", bcache.KeyReport{
			Decisions: []bcache.KeyDecision{{What: "expired", Provisional: true}}}},
		{"Deleted by node 2 at 10:04:05, 3 s ago.", bcache.KeyReport{
			Held: &bcache.HeldKey{Kind: bcache.KeyDeleted, Version: version(-3*time.Second, 2)}}},
		{"Deleted by a node that isn't known any more (origin abc) at 2026-02-28 10:04:08, 1 d ago.",
			bcache.KeyReport{Held: &bcache.HeldKey{
				Kind: bcache.KeyDeleted, Version: version(-24*time.Hour, 0)}}},
		{"Has the knowledge that there is no value (ErrNotFound), written by node 2 at 10:04:05, 3 s ago. " +
			"It never expires.", bcache.KeyReport{
			Held: &bcache.HeldKey{Kind: bcache.KeyMissing, Version: version(-3*time.Second, 2)}}},
		{`Has something that this version doesn't know: "new", written by node 2 at 10:04:05, 3 s ago.`,
			bcache.KeyReport{Held: &bcache.HeldKey{Kind: "new", Version: version(-3*time.Second, 2)}}},
		{has + "It never expires.", bcache.KeyReport{Held: value(0, 0, 0)}},
		{has + "It expires in 5 s.", bcache.KeyReport{Held: value(5*time.Second, 0, 0)}},
		{has + "It expires in 5 s, and may be served, as stale, for 10 s after that.",
			bcache.KeyReport{Held: value(5*time.Second, 15*time.Second, 0)}},
		{has + "It expires in 5 s; from 10:04:10 on a hit refreshes it.",
			bcache.KeyReport{Held: value(5*time.Second, 0, 2*time.Second)}},
		{has + "It expires in 5 s; the next hit refreshes it.",
			bcache.KeyReport{Held: value(5*time.Second, 0, -time.Second)}},
		{has + "It expired 1 s ago: Gets miss.", bcache.KeyReport{Held: value(-time.Second, 0, 0)}},
		{has + "It expired 1 s ago; Loaders may serve it, as stale, for another 4 s.",
			bcache.KeyReport{Held: value(-time.Second, 4*time.Second, 0)}},
		{"Has nothing any more: the Clear by node 3 at 10:04:07, 1 s ago, deleted it.",
			bcache.KeyReport{Held: value(0, 0, 0), Cleared: true, Clear: version(-time.Second, 3)}},
		{has + "It never expires. The node is isolated, so it doesn't serve that: Gets miss.",
			bcache.KeyReport{Held: value(0, 0, 0), Isolated: true}},
		{"Has nothing: it has never heard of the key, or has forgotten it. The node is isolated.",
			bcache.KeyReport{Isolated: true}},
		{"Has " + brought + " The node is isolated.", bcache.KeyReport{Isolated: true, Provisional: provisional}},
		{has + "It never expires. The node is isolated, so it doesn't serve that. Instead it has " + brought,
			bcache.KeyReport{Held: value(0, 0, 0), Isolated: true, Provisional: provisional, BesideLive: true}},
		{"Has nothing any more: the Clear of the tag team:7 by node 3 at 10:04:07, 1 s ago, deleted it.",
			bcache.KeyReport{Held: value(0, 0, 0), Cleared: true, Clear: version(-time.Minute, 4), KeyClear: team}},
		{"Has nothing any more: the Clear by node 4 at 10:04:08, just now, deleted it.",
			bcache.KeyReport{Held: value(0, 0, 0), Cleared: true, Clear: version(0, 4), KeyClear: team}},
		{"Has nothing any more: the Clear of the tag team:7 by node 3 at 10:04:07, 1 s ago, deleted it.",
			bcache.KeyReport{Provisional: provisional, ProvisionalCleared: true, KeyClear: team}},
		{has + "It never expires.", bcache.KeyReport{
			Held: value(0, 0, 0), Provisional: provisional, ProvisionalCleared: true, KeyClear: team}},
		{"Has nothing: it has never heard of the key, or has forgotten it. The last Clear of the prefix " +
			`us\x00 was by node 3 at 10:04:07, 1 s ago: nothing older comes back.`,
			bcache.KeyReport{Clear: version(-time.Minute, 4), KeyClear: user}},
		{"Has nothing: it has never heard of the key, or has forgotten it. The last Clear was by node 4 at " +
			"10:04:08, just now: nothing older comes back.",
			bcache.KeyReport{Clear: version(0, 4), KeyClear: user}},
		{"Has nothing: it has never heard of the key, or has forgotten it. It has forgotten Clears of tags, so " +
			"it takes no value with tags from before 10:03:08 (1 min ago).",
			bcache.KeyReport{TagFloor: at(-time.Minute)}},
		{"Has " + brought, bcache.KeyReport{Provisional: provisional}},
		{"Has what a fill brought, without a version: the knowledge that there is no value (ErrNotFound). Any " +
			"write of the key ends that. It never expires.",
			bcache.KeyReport{Provisional: &bcache.HeldKey{Kind: bcache.KeyMissing}}},
		{has + "It never expires. Beside it, for a Typed that can't read it, it has " + brought,
			bcache.KeyReport{Held: value(0, 0, 0), Provisional: provisional, BesideLive: true}},
		{has + "It expired 1 s ago. Instead it has " + brought,
			bcache.KeyReport{Held: value(-time.Second, 4*time.Second, 0), Provisional: provisional}},
		{"Deleted by node 2 at 10:04:05, 3 s ago. Instead it has " + brought, bcache.KeyReport{
			Held:        &bcache.HeldKey{Kind: bcache.KeyDeleted, Version: version(-3*time.Second, 2)},
			Provisional: provisional}},
		{"The Clear by node 3 at 10:04:07, 1 s ago, deleted what it had. Instead it has " + brought,
			bcache.KeyReport{Held: value(0, 0, 0), Cleared: true, Clear: version(-time.Second, 3),
				Provisional: provisional}},
		{"Has nothing: it has never heard of the key, or has forgotten it. A fill of it runs. It has " +
			"granted its lease to node 5: that one fills it for all.", bcache.KeyReport{Fills: 1, Holder: 5}},
		{"Has nothing: it has never heard of the key, or has forgotten it. 3 fills of it run.",
			bcache.KeyReport{Fills: 3}},
	} {
		c.r.At = explainedAt
		if got := explain(&c.r); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	report := func(node uint64, kind bcache.KeyKind, v bcache.KeyVersion) bcache.KeyReport {
		return bcache.KeyReport{Node: node, Held: &bcache.HeldKey{Kind: kind, Version: v}}
	}
	older, newer := version(-time.Minute, 1), version(-time.Second, 2)
	sameTime := newer
	sameTime.Count++
	sameCount := newer
	sameCount.Origin++
	nothing := func(node uint64) bcache.KeyReport { return bcache.KeyReport{Node: node} }
	silent := func(node uint64) bcache.KeyReport {
		return bcache.KeyReport{Node: node, Err: bcache.ErrNoAnswer}
	}
	cleared := report(3, bcache.KeyValue, newer)
	cleared.Cleared = true
	isolated := report(1, bcache.KeyValue, newer)
	isolated.Isolated = true
	fill := bcache.KeyReport{Node: 3, At: explainedAt, Provisional: &bcache.HeldKey{Kind: bcache.KeyValue}}
	with := func(change func(r *bcache.KeyReport)) bcache.KeyReport {
		r := fill
		change(&r)
		return r
	}
	holding := func(kind bcache.KeyKind, v bcache.KeyVersion, d time.Duration) bcache.KeyReport {
		return with(func(r *bcache.KeyReport) {
			r.Held = &bcache.HeldKey{Kind: kind, Version: v, Deadline: explainedAt.Add(d)}
		})
	}
	ended := with(func(r *bcache.KeyReport) { r.ProvisionalCleared = true })
	over := with(func(r *bcache.KeyReport) {
		r.Provisional = &bcache.HeldKey{Kind: bcache.KeyValue, Deadline: explainedAt}
	})
	knows := with(func(r *bcache.KeyReport) { r.Floor = newer.Time })
	cleared3 := with(func(r *bcache.KeyReport) { r.Clear = sameTime })
	prefix3 := with(func(r *bcache.KeyReport) { r.KeyClear = &bcache.KeyClear{Prefix: "k", Version: sameTime} })
	beside := holding(bcache.KeyValue, newer, time.Minute)
	beside.BesideLive = true
	isolatedFill := beside
	isolatedFill.Isolated = true
	const differ = "Not all nodes have the same. The newest version is "
	const passes = " has something older. That should pass within seconds, unless the writes can't reach it."
	const brought = " Node 3 has what a fill brought, without a version: any write of the key ends that."
	const deleted = "There is no record of a value: the key was deleted." + brought
	for _, c := range []struct {
		agree        bool
		states, want string
		reports      []bcache.KeyReport
	}{
		{true, "none", "The only node has nothing of the key.", []bcache.KeyReport{nothing(1)}},
		{true, "newest", "The only node has this: a value.",
			[]bcache.KeyReport{report(1, bcache.KeyValue, newer)}},
		{true, "none none", "All 2 nodes have nothing of the key.",
			[]bcache.KeyReport{nothing(1), nothing(2)}},
		{true, "newest newest", "All 2 nodes have the same: that there is no value (ErrNotFound).",
			[]bcache.KeyReport{report(1, bcache.KeyMissing, newer), report(2, bcache.KeyMissing, newer)}},
		{true, "newest none", "All 2 nodes agree that there is no value: it was deleted.",
			[]bcache.KeyReport{report(1, bcache.KeyDeleted, newer), nothing(2)}},
		{false, "newest older none", differ + "a value. Node 2" + passes +
			" Node 3 has nothing: Gets there miss.",
			[]bcache.KeyReport{report(1, bcache.KeyValue, newer), report(2, bcache.KeyValue, older), cleared}},
		{false, "newest older", differ + "that the key is deleted. Node 2" + passes,
			[]bcache.KeyReport{report(1, bcache.KeyDeleted, sameTime), report(2, bcache.KeyValue, newer)}},
		{false, "older newest", differ + "a value. Node 1" + passes,
			[]bcache.KeyReport{report(1, bcache.KeyValue, newer), report(2, bcache.KeyValue, sameCount)}},
		{false, "newest older older", differ + "a value. Nodes 2 and 3 have something older. That should pass " +
			"within seconds, unless the writes can't reach them.", []bcache.KeyReport{
			report(1, bcache.KeyValue, newer), report(2, bcache.KeyValue, older),
			report(3, bcache.KeyValue, older)}},
		{true, "newest unknown unknown", "The one node that answered has this: a value. " +
			"Of nodes 2 and 3 nothing is known.",
			[]bcache.KeyReport{report(1, bcache.KeyValue, newer), silent(2), silent(3)}},
		{true, "newest newest unknown", "All 2 nodes that answered have the same: a value. " +
			"Of node 3 nothing is known.",
			[]bcache.KeyReport{report(1, bcache.KeyValue, newer), report(2, bcache.KeyValue, newer), silent(3)}},
		{true, "unknown", "No node answered. Of node 1 nothing is known.", []bcache.KeyReport{silent(1)}},
		{true, "none none", "All 2 nodes have nothing of the key.", []bcache.KeyReport{nothing(1), ended}},
		{true, "none none", "All 2 nodes have nothing of the key.", []bcache.KeyReport{nothing(1), over}},
		{true, "none own", "There is no record of the key, which all nodes would share." + brought,
			[]bcache.KeyReport{nothing(1), fill}},
		{true, "newest own", deleted, []bcache.KeyReport{report(1, bcache.KeyDeleted, newer), knows}},
		{true, "newest own", deleted, []bcache.KeyReport{report(1, bcache.KeyDeleted, newer), cleared3}},
		{true, "newest own", deleted, []bcache.KeyReport{report(1, bcache.KeyDeleted, newer), prefix3}},
		{true, "newest own", deleted, []bcache.KeyReport{
			report(1, bcache.KeyDeleted, newer), holding(bcache.KeyDeleted, newer, time.Minute)}},
		{false, "newest older", differ + "that the key is deleted. Node 3" + passes + brought,
			[]bcache.KeyReport{report(1, bcache.KeyDeleted, newer), fill}},
		{false, "newest older", differ + "that the key is deleted. Node 3" + passes + brought,
			[]bcache.KeyReport{report(1, bcache.KeyDeleted, newer), holding(bcache.KeyDeleted, older, time.Minute)}},
		{false, "newest own", differ + "a value." + brought,
			[]bcache.KeyReport{report(1, bcache.KeyValue, newer), knows}},
		{true, "newest own", "All 2 nodes have the same: a value." + brought, []bcache.KeyReport{
			report(1, bcache.KeyValue, newer), holding(bcache.KeyValue, newer, -time.Minute)}},
		{true, "newest newest", "All 2 nodes have the same: a value." + brought,
			[]bcache.KeyReport{report(1, bcache.KeyValue, newer), beside}},
		{true, "newest", "The only node has this: a value. Node 1 is isolated, and doesn't serve its record.",
			[]bcache.KeyReport{isolated}},
		{true, "newest own", "All 2 nodes have the same: a value." + brought +
			" Nodes 1 and 3 are isolated, and don't serve their record.",
			[]bcache.KeyReport{isolated, isolatedFill}},
	} {
		s := summarize(c.reports)
		if got := strings.Join(s.states, " "); s.text != c.want || s.agree() != c.agree || got != c.states {
			t.Errorf("got  %s %v %s\nwant %s %v %s", s.text, s.agree(), got, c.want, c.agree, c.states)
		}
	}
	many := make([]uint64, 20)
	if got := nodes(many); got != "Nodes 0, 0, 0, 0, 0, 0, 0, 0 and 12 others" {
		t.Errorf("got %s", got)
	}
}
