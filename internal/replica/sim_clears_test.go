package replica

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// Clears with selectors in the simulation: in half of the seeds records have tags from a few, and prefixes
// and tags are cleared, now and then many at once. In a part of these, nodes remember hardly any Clears.
// It is drawn apart from all else, so that the seeds without it stay what they were.
//
// In the database a tag changes too: a ClearTag follows such a change, and a fill reads, of each tag of the
// value, how many there have been.

// simTags are what records may have.
var simTags = []string{"a", "b", "c"}

// simSelectors are what Clears select by; the last tag is nobody's.
var simSelectors = []delta.Selector{
	delta.SelectTag("a"), delta.SelectTag("b"), delta.SelectTag("c"), delta.SelectTag("none"),
	delta.SelectPrefix("k0"), delta.SelectPrefix("k1"), delta.SelectPrefix("k00"), delta.SelectPrefix("k"), "",
}

// drawClears draws whether there are some.
func (s *sim) drawClears(seed uint64) {
	s.clears = rand.New(rand.NewPCG(seed, 3))
	if s.clears.IntN(2) == 0 {
		return
	}
	s.c.selective = 5 + s.clears.IntN(60)
	if s.clears.IntN(2) == 0 {
		s.c.maxClears = 1 + s.clears.IntN(8)
	}
	s.c.tagged = 1 + s.clears.IntN(4)
}

// tags draws those of a record.
func (s *sim) tags() (tags delta.Tags) {
	if s.c.tagged == 0 || s.clears.IntN(4) >= s.c.tagged {
		return ""
	}
	var some []string
	for _, tag := range simTags {
		if s.clears.IntN(2) == 0 {
			some = append(some, tag)
		}
	}
	tags, _ = delta.MakeTags(some)
	return tags
}

// clear is a Clear of a node, or some at once.
func (s *sim) clear() {
	n := s.nodes[s.clears.IntN(len(s.nodes))]
	if n == nil || s.t < n.stuck {
		return
	}
	times := 1
	if s.clears.IntN(8) == 0 {
		times += s.clears.IntN(12)
	}
	for range times {
		s.clearBy(n, simSelectors[s.clears.IntN(len(simSelectors))], s.now(n))
	}
}

func (s *sim) clearBy(n *simNode, by delta.Selector, now delta.Instant) {
	s.n.clears++
	s.changeBy(by)
	s.commit(n, string(by), simWrite{at: s.t}, func() { _ = n.r.Clear(now, by) })
}

// tagChange is the key under which the changes of a tag are counted.
func tagChange(tag string) string { return "#" + tag }

// changeBy changes in the database what a Clear is about.
func (s *sim) changeBy(by delta.Selector) {
	changes := s.oracle.changes
	for _, tag := range simTags {
		if t, ok := by.Tag(); ok && t == tag || by == "" {
			changes[tagChange(tag)] = append(changes[tagChange(tag)], s.t)
		}
	}
	for _, k := range s.oracle.keys {
		if by.Selects(k, "") {
			changes[k] = append(changes[k], s.t)
		}
	}
}

// about reports whether a write with this key follows the changes that are counted under another one.
func (s *sim) about(key, counted string) bool {
	by := delta.Selector(key)
	if _, ok := by.Prefix(); ok {
		return by.Selects(counted, "")
	}
	if tag, ok := by.Tag(); ok {
		return counted == tagChange(tag)
	}
	return key == "" || key == counted
}

// seenTags is how many changes of each tag a fill sees that reads now.
func (s *sim) seenTags() map[string]int {
	seen := map[string]int{}
	if s.c.tagged > 0 {
		for _, tag := range simTags {
			seen[tag] = s.seen(tagChange(tag))
		}
	}
	return seen
}

// checkTags verifies of a provisional value what checkProvisional does, for its tags.
func (s *sim) checkTags(n *simNode, p *delta.Record, seen map[string]int) {
	for tag := range p.Tags.All() {
		if known := n.oracle.known[tagChange(tag)]; seen[tag] < known {
			s.fail("PROVISIONAL: n%d serves %s as of change %d of the tag %s, and has processed a ClearTag that followed change %d",
				n.id, p.Key, seen[tag], tag, known)
		}
	}
}

// clearedBy returns a Clear that a node has processed and that selects a record which isn't newer.
func (n *simNode) clearedBy(rec *delta.Record) (by delta.Selector, v delta.Version, is bool) {
	for _, by := range simSelectors {
		if v := n.oracle.best[string(by)]; rec.Stamp <= v.Stamp && by.Selects(rec.Key, rec.Tags) {
			return by, v, true
		}
	}
	return "", delta.Version{}, false
}

// glance reads some keys, before anybody looks at them under the lock, and checks that no Clear was about
// what is served.
func (s *sim) glance(n *simNode) {
	if s.c.selective == 0 {
		return
	}
	wall := s.now(n).Wall
	for range 2 {
		key := s.oracle.keys[s.clears.IntN(s.c.keys)]
		var val string
		switch s.clears.IntN(3) {
		case 0:
			val, _ = n.r.Store.Get(key, func() int64 { return wall })
		case 1:
			if e := n.r.Store.Fresh(key, func() int64 { return wall }); e != nil {
				val = e.Val
			}
		default:
			rec, _ := n.r.Store.Entry(key, wall)
			val = rec.Val
		}
		w, known := s.oracle.values[val]
		if !known || val == "" { // or it is provisional: see checkTags
			continue
		}
		if by, v, is := n.clearedBy(&w); is {
			s.fail("n%d serves %q of %s, written at %v, and has processed a Clear by %q at %v", n.id, val, key, w.Version, by, v)
		}
	}
}

// checkClears verifies what a node holds, and its bounds.
func (s *sim) checkClears(n *simNode, held *delta.Record) {
	if held.Kind == delta.KindTombstone {
		return
	}
	if by, v, is := n.clearedBy(held); is {
		s.fail("n%d holds %+v, and has processed a Clear by %q at %v", n.id, *held, by, v)
	}
}

// checkClearBounds verifies that a node doesn't remember too many.
func (s *sim) checkClearBounds(n *simNode) {
	c := &n.r.Store.Clears
	if most := s.c.maxClears; most > 0 && c.Len() > most {
		s.fail("n%d remembers %d Clears", n.id, c.Len())
	}
	if delta.StampWall(c.TagFloor()) > n.oracle.maxWall+simSkew+1 {
		s.fail("n%d: the floor of tags is ahead of its clock", n.id)
	}
}

// selectedFills lists the Clears that a fill competes with: those that select what it has brought.
func (o *simOracle) selectedFills(rec *delta.Record) (list []simWrite) {
	for _, by := range simSelectors {
		if by != "" && by.Selects(rec.Key, rec.Tags) {
			list = append(list, o.history[string(by)]...)
		}
	}
	return list
}

// ghostClear is a Clear of a node that is gone before anybody is connected to it.
func (s *sim) ghostClear(ghost *simNode, send func(frame []byte)) {
	if s.c.selective == 0 || s.clears.IntN(3) > 0 {
		return
	}
	s.clearBy(ghost, simSelectors[s.clears.IntN(len(simSelectors))], s.now(ghost))
	dot := rigDot{ghost.r.state.Origin, ghost.r.state.seq}
	send(wire.AppendDelta(nil, dot.origin, dot.seq, []delta.Record{s.oracle.dots[dot].rec}))
}

// forgetBy is forget for a Clear: what a fill will bring may have any tag.
func (n *simNode) forgetBy(by delta.Selector) {
	prefix, _ := by.Prefix()
	for _, key := range slices.Collect(maps.Keys(n.flights)) {
		if strings.HasPrefix(key, prefix) {
			delete(n.flights, key)
		}
	}
}
