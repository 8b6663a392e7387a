package replica

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// The simulation's oracle knows every write and checks the nodes against that.

// A simWrite is what the oracle knows of a write.
type simWrite struct {
	rec    delta.Record
	fill   bool
	filled *delta.Record // what the fill brought
	at     int64         // true time when it was issued, or what a fill reads when it begins

	dot     rigDot
	issued  int64          // true time
	follows map[string]int // by key: the changes of the database that came before it
}

type simOracle struct {
	keys    []string
	buckets []int
	dots    map[rigDot]simWrite
	order   []rigDot              // of dots
	writes  map[rigWrite]simWrite // by key and version
	history map[string][]simWrite // by key, in the order in which they were issued
	jumped  bool                  // some clock has
	served  map[uint64]bool       // by session: was its server synced when it began
	dead    map[uint64]bool       // origins
	grants  map[simGrantKey][]simGrant
	ended   map[uint64]bool          // asks for leases
	late    map[string]time.Duration // by key: when somebody last had waited for too long
	changes map[string][]int64       // of the database, by key: when
	values  map[string]delta.Record  // that were written
	reads   map[simRead]simSeen      // what fills have brought
	homes   map[string]*simNode      // by value: where it was filled, if it is for that node only
	lives   []simLife

	processed map[rigDot]map[*simNode]int64 // when the context of a node first covered a dot
}

// A simView is what the oracle knows of a node.
type simView struct {
	best    map[string]delta.Version // of all dots that its context covers, by key; "" is Clear
	shown   map[string]delta.Version // by get
	held    map[string]delta.Version // for traces
	maxWall int64                    // its clock has shown
	syncs   uint64
	known   map[string]int // the changes that the writes followed that it has processed
	ahead   []simAhead     // the writes from the future that it has seen
}

func (o *simOracle) init() {
	o.dots, o.writes, o.history = map[rigDot]simWrite{}, map[rigWrite]simWrite{}, map[string][]simWrite{}
	o.served, o.dead = map[uint64]bool{}, map[uint64]bool{}
	o.values = map[string]delta.Record{}
	o.grants, o.ended, o.late = map[simGrantKey][]simGrant{}, map[uint64]bool{}, map[string]time.Duration{}
	o.changes, o.reads, o.homes = map[string][]int64{}, map[simRead]simSeen{}, map[string]*simNode{}
	o.processed = map[rigDot]map[*simNode]int64{}
	for _, key := range simKeys() {
		o.keys = append(o.keys, key)
		o.buckets = append(o.buckets, delta.BucketOf(key))
	}
}

func (v *simView) init() {
	v.best, v.shown, v.held = map[string]delta.Version{}, map[string]delta.Version{}, map[string]delta.Version{}
	v.known = map[string]int{}
}

// wrote notes a write, and checks the fence: a fill never beats what was issued after it
// began.
func (s *sim) wrote(n *simNode, w simWrite) {
	o := &s.oracle
	key := w.rec.Key
	against := [][]simWrite{o.history[key]}
	if key != "" {
		against = append(against, o.history[""]) // Clear is a write of every key
	}
	if w.fill {
		against = append(against, o.selectedFills(&w.rec))
	}
	for _, others := range against {
		for i := range others {
			early, late := &others[i], &w
			if w.fill {
				early, late = late, early
			}
			if early.fill && !late.fill && late.at >= early.at && !o.jumped &&
				!early.rec.Version.Less(late.rec.Version) {
				s.fail("a fill begun at %d (%v) beats a write issued at %d (%v)",
					early.at, early.rec.Version, late.at, late.rec.Version)
			}
		}
	}
	d := rigDot{n.r.state.Origin, n.r.state.seq}
	if _, reused := o.dots[d]; reused {
		s.fail("dot %v is used again", d)
	}
	w.dot, w.issued = d, s.t
	o.history[key] = append(o.history[key], w)
	o.writes[rigWrite{key, w.rec.Version}] = w
	if w.rec.Kind == delta.KindValue {
		o.values[w.rec.Val] = w.rec
	}
	o.dots[d] = w
	o.order = append(o.order, d)
	s.cover(n, d)
	s.glance(n)
	s.checkNode(n)
}

// died notes that a node is gone.
func (s *sim) died(n *simNode) {
	s.oracle.dead[n.r.state.Origin] = true
	for i := range s.oracle.lives {
		if l := &s.oracle.lives[i]; l.n == n {
			l.to = s.t
		}
	}
}

// cover notes what a dot demands, if the node's context covers it.
func (s *sim) cover(n *simNode, d rigDot) {
	w, known := s.oracle.dots[d]
	if dotBytes := n.r.state.vector.Origins[d.origin]; !known || dotBytes == nil || !dotBytes.Has(d.seq) {
		return
	}
	s.knows(n, &w)
	if s.oracle.processed[d] == nil {
		s.oracle.processed[d] = map[*simNode]int64{}
	}
	if _, before := s.oracle.processed[d][n]; !before {
		s.oracle.processed[d][n] = s.t
	}
	if n.oracle.best[w.rec.Key].Less(w.rec.Version) {
		n.oracle.best[w.rec.Key] = w.rec.Version
	}
}

func (s *sim) coverAll(n *simNode) {
	for _, d := range s.oracle.order {
		s.cover(n, d)
	}
}

// serves notes by what kind of node a full sync is served, when it begins.
func (s *sim) serves(session uint64, synced bool) {
	if _, known := s.oracle.served[session]; !known {
		s.oracle.served[session] = synced
	}
}

// receive hands a frame to a node and checks what it made of it.
func (s *sim) receive(from, to *simNode, frame []byte) {
	now := s.now(to)
	own := slices.Clone(frame)
	typ, err := wire.FrameType(frame)
	if err != nil {
		s.fail("a frame of n%d: %v", from.id, err)
		return
	}
	var d wire.DeltaReader
	var future, fresh []uint64 // dots that must not be processed now, and those that weren't so far
	var session uint64
	switch typ {
	case wire.FrameDelta:
		d, _ = wire.OpenDelta(frame)
		for seq := d.First; seq < d.First+d.Count; seq++ {
			if to.r.state.vector.Get(d.Origin).Has(seq) {
				continue
			}
			fresh = append(fresh, seq)
			if delta.StampWall(s.oracle.dots[rigDot{d.Origin, seq}].rec.Stamp) > now.Wall+simSkew {
				future = append(future, seq)
			}
		}
	case wire.FrameAsk:
		a, _ := wire.DecodeAsk(frame)
		session = a.Session
	case wire.FrameChunk:
		if to.r.repair.client.session != nil {
			session = to.r.repair.client.session.id
		}
	}
	cleared, newClear := to.r.Store.Clears.All(), false
	for _, seq := range fresh {
		w := s.oracle.dots[rigDot{d.Origin, seq}]
		again := slices.Contains(future, seq) && s.ahead(to, &w, now)
		newClear = newClear || w.rec.Kind == delta.KindClear && !again
	}
	wasSynced, streamed := to.r.standing.ready.synced, to.r.repair.client.counts.RecordsSynced
	if err := to.r.Receive(now, uint64(from.id), own); err != nil && typ != wire.FrameDelta {
		s.fail("n%d: %v", to.id, err)
	}
	if !slices.Equal(own, frame) {
		s.fail("n%d changed a frame that it shares", to.id)
	}
	for i := range own { // what was kept of it would change now
		own[i] = 0xff
	}
	switch typ {
	case wire.FrameDelta:
		if !newClear && to.r.Store.Clears.All() != cleared {
			s.fail("n%d clears again what it has cleared before", to.id)
		}
		for seq := d.First; seq < d.First+d.Count; seq++ {
			if slices.Contains(future, seq) && to.r.state.vector.Get(d.Origin).Has(seq) {
				s.fail("n%d has processed dot %d of n%d, which is from the future", to.id, seq, from.id)
			}
			s.cover(to, rigDot{d.Origin, seq})
		}
		for _, seq := range fresh { // whatever became of it
			w := s.oracle.dots[rigDot{d.Origin, seq}]
			s.knows(to, &w)
		}
		for _, seq := range future { // what it replaces is stale
			rec := s.oracle.dots[rigDot{d.Origin, seq}].rec
			if held, ok := to.r.Store.Peek(rec.Key); ok && held.Version.Less(rec.Version) && rec.Kind != delta.KindClear {
				s.fail("n%d holds %s at %v and has seen %v, which is from the future", to.id, rec.Key, held.Version, rec.Version)
			}
		}
		for _, seq := range fresh { // whatever became of it, others may ask for it
			if _, logged := to.r.state.log.Get(d.Origin, seq); !logged && to.r.state.vector.Get(d.Origin).Has(seq) && !to.r.state.log.Full() {
				s.fail("n%d has processed dot %d of %x and not logged it", to.id, seq, d.Origin)
			}
		}
		s.logf("n%d has received %d records of %x from seq %d by n%d, repair %v: %v", to.id, d.Count, d.Origin, d.First, from.id, d.Newest != 0, to.r.state.vector.Get(d.Origin).Intervals())
	case wire.FrameAsk:
		if out := to.r.server.sessions[uint64(from.id)]; out != nil && out.session == session {
			s.serves(session, wasSynced)
		}
	case wire.FrameChunk:
		c, recs, _ := wire.OpenChunk(frame)
		var rec delta.Record
		for to.r.repair.client.counts.RecordsSynced > streamed && recs.Next(&rec) {
			w := s.oracle.writes[rigWrite{rec.Key, rec.Version}]
			s.knows(to, &w)
		}
		if s.tracing {
			s.logf("n%d has received chunk %d (flags %d) of n%d, session %x", to.id, c.Number, c.Flags, from.id, c.Session)
		}
		if to.r.repair.client.counts.SyncsReceived > to.oracle.syncs {
			to.oracle.syncs = to.r.repair.client.counts.SyncsReceived
			s.logf("n%d is synced by n%d", to.id, from.id)
			if !s.oracle.served[session] {
				s.fail("n%d was synced by a node that isn't synced", to.id)
			}
			s.coverAll(to)
		}
	case wire.FramePing, wire.FramePong:
		s.tracePing(from, to, frame)
		return // they change no entry
	case wire.FrameLease, wire.FrameTurn:
		s.returned(from, to, frame)
		s.checkLeases(to)
		return
	}
	s.glance(to)
	s.checkNode(to)
}

func (s *sim) tracePing(from, to *simNode, frame []byte) {
	if !s.tracing {
		return
	}
	if p, err := wire.DecodePing(frame); err == nil {
		s.logf("n%d has received a ping of n%d, flags %b, %d origins listed", to.id, from.id, p.Flags, len(p.Entries))
	} else if p, err := wire.DecodePong(frame); err == nil {
		s.logf("n%d has received a pong of n%d, flags %b", to.id, from.id, p.Flags)
	}
}

// checkNode verifies the invariants of a node.
func (s *sim) checkNode(n *simNode) {
	st := n.r.Store
	wall := s.now(n).Wall
	n.oracle.maxWall = max(n.oracle.maxWall, wall)
	s.checkStamps(n, n.oracle.maxWall)
	latest := st.Clears.All()
	if latest.Less(n.oracle.best[""]) {
		s.fail("COVER: n%d has processed Clear %v and has %v", n.id, n.oracle.best[""], latest)
	}
	for i, key := range s.oracle.keys {
		best := n.oracle.best[key]
		s.checkProvisional(n, key)
		held, ok := st.Peek(key)
		floor := st.FloorOf(s.oracle.buckets[i])
		switch {
		case best.Stamp <= latest.Stamp:
		case ok && held.Version.Less(best):
			s.fail("COVER: n%d holds %s at %v and has processed %v", n.id, key, held.Version, best)
		case !ok && best.Stamp > floor:
			s.fail("COVER: n%d has processed %s at %v, holds nothing, and the floor is %d", n.id, key, best, floor)
		}
		if s.tracing && held.Version != n.oracle.held[key] {
			n.oracle.held[key] = held.Version
			s.logf("n%d now holds %s at %x.%x, mark %d", n.id, key, held.Stamp, held.Origin, held.Mark)
		}
		if ok {
			w, known := s.oracle.writes[rigWrite{key, held.Version}]
			if !known || held.Val != w.rec.Val || held.Kind != w.rec.Kind || held.Deadline != w.rec.Deadline ||
				held.StaleUntil != w.rec.StaleUntil || held.RefreshFrom != w.rec.RefreshFrom || held.Tags != w.rec.Tags {
				s.fail("n%d holds %+v, written was %+v", n.id, held, w.rec)
			}
			s.checkClears(n, &held)
		}
		if delta.StampWall(floor) > n.oracle.maxWall+simSkew+1 {
			s.fail("n%d: the floor of %s is %d, ahead of its clock", n.id, key, delta.StampWall(floor)-wall)
		}
	}
	s.checkClearBounds(n)
	if st.Len() > s.c.maxKeys[n.id] || s.c.maxBytes > 0 && st.Bytes() > s.c.maxBytes || st.Tombstones() > s.c.tombstones {
		s.fail("n%d: %d entries, %d bytes, %d tombstones", n.id, st.Len(), st.Bytes(), st.Tombstones())
	}
	adopting := n.r.repair.client.session != nil && n.r.repair.client.session.ended // and then there may be those of two contexts
	if len(n.r.state.vector.Origins) > max(s.c.origins, s.c.nodes) && !adopting || len(n.r.server.sessions) > SyncServing || n.r.state.log.Records > s.c.logSize {
		s.fail("n%d: %d origins, %d sessions, %d dots in the log", n.id, len(n.r.state.vector.Origins), len(n.r.server.sessions), n.r.state.log.Records)
	}
}

// get is a Get, and checks what it returns.
func (s *sim) get(n *simNode, key string) {
	s.watch(n)
	now := s.now(n)
	held, ok := n.peek(key)
	live := ok && held.Kind == delta.KindValue && !held.Expired(now.Wall)
	if p, has := n.r.Store.Fills.Peek(key); has && !live {
		p.Version = n.oracle.shown[key]
		held, ok = p, true
	}
	val, hit := n.r.Store.Get(key, func() int64 { return now.Wall })
	if !hit {
		return
	}
	switch {
	case !ok || held.Kind != delta.KindValue || val != held.Val:
		s.fail("n%d serves %q of %s and holds %+v", n.id, val, key, held)
	case held.Expired(now.Wall):
		s.fail("n%d serves %s after its deadline", n.id, key)
	case held.Version.Less(n.oracle.shown[key]):
		s.fail("n%d serves %s at %v after %v", n.id, key, held.Version, n.oracle.shown[key])
	}
	if !held.Provisional { // those have no version, see checkProvisional
		s.checkAhead(n, key, held.Version)
	}
	n.oracle.shown[key] = held.Version
	held.Key = key
	s.checkAnswer(n, &held)
}

// disagreement says what isn't as it must be once faults and writes have ended; "" if all
// is.
func (s *sim) disagreement() string {
	for _, n := range s.nodes {
		switch {
		case n == nil:
			return "a node isn't there"
		case !n.r.standing.ready.synced:
			return fmt.Sprintf("n%d isn't synced: %s", n.id, n.r.Unsynced(s.now(n)))
		case len(n.r.neighbours.byID) != len(s.nodes)-1:
			return fmt.Sprintf("n%d has %d neighbours", n.id, len(n.r.neighbours.byID))
		case n.r.Isolation().Is():
			return fmt.Sprintf("n%d is isolated", n.id)
		case n.r.repair.client.unvouched:
			return fmt.Sprintf("n%d holds what nobody vouches for", n.id)
		}
	}
	first := s.nodes[0].r
	for _, n := range s.nodes[1:] {
		if n.r.state.vector.Horizon != first.state.vector.Horizon {
			return fmt.Sprintf("n0's horizon is %v, n%d's %v", first.state.vector.Horizon, n.id, n.r.state.vector.Horizon)
		}
		for _, o := range slices.Concat(slices.Sorted(maps.Keys(first.state.vector.Origins)), slices.Sorted(maps.Keys(n.r.state.vector.Origins))) {
			if a, b := first.state.vector.Get(o), n.r.state.vector.Get(o); a.Print(o) != b.Print(o) {
				return fmt.Sprintf("of %x n0 has %v (newest %x), n%d %v; horizons %x", o, a.Intervals(), a.Newest, n.id, b.Intervals(), first.state.vector.Horizon)
			}
		}
	}
	return s.disagreementAboutKeys()
}

func (s *sim) disagreementAboutKeys() string {
	// What counts is what some living node has processed. The rest may be lost, or may have come
	// with a full sync, and then all have it.
	winners := map[string]delta.Version{}
	for _, n := range s.nodes {
		s.coverAll(n)
		for key, v := range n.oracle.best {
			if winners[key].Less(v) {
				winners[key] = v
			}
		}
	}
	forgotten := false
	for _, n := range s.nodes {
		for _, b := range s.oracle.buckets {
			forgotten = forgotten || n.r.Store.FloorOf(b) > 0
		}
	}
	for _, key := range s.oracle.keys {
		holders, first := 0, delta.Version{}
		for _, n := range s.nodes {
			held, ok := n.r.Store.Peek(key)
			if !ok || held.Kind == delta.KindTombstone || held.Ended(s.now(n).Wall) {
				continue
			}
			holders++
			if held.Stamp <= winners[""].Stamp {
				return fmt.Sprintf("n%d holds %s at %v in spite of Clear %v", n.id, key, held.Version, winners[""])
			}
			if held.Version.Less(winners[key]) {
				return fmt.Sprintf("n%d holds %s at %v, the winner is %v", n.id, key, held.Version, winners[key])
			}
			winners[key] = held.Version
			if holders > 1 && held.Version != first {
				return fmt.Sprintf("n%d holds %s at %v, another node at %v", n.id, key, held.Version, first)
			}
			first = held.Version
		}
		if !forgotten && holders > 0 && holders < len(s.nodes) {
			return fmt.Sprintf("%d nodes hold %s, and nothing was forgotten", holders, key)
		}
	}
	return s.syncsTooMany()
}

// syncsTooMany says whether there were more full syncs than needed: where nothing was
// lost there is one per node that didn't wait for nobody. If an answer to a pull has room for a
// record or two, the newest of those on their way take it, and the oldest may be got by a full sync.
//
// Very seldom there is one more: a frame that is overtaken by all that a node asks and hears
// meanwhile is as good as lost. Those are counted, as many of them would be a fault (TestSim).
func (s *sim) syncsTooMany() string {
	c := s.c
	if c.glitches+c.lives > 0 || c.logSize < 1000 || c.chunk < 200 || !c.seeded ||
		c.loss > 0 || c.partitions || c.breaks || c.restarts || c.stuck || c.jumps {
		return ""
	}
	more := 0
	for _, n := range s.nodes {
		want := uint64(1)
		if n.id == 0 {
			want = 0
		}
		got := n.r.repair.client.counts.SyncsReceived
		if got < want || got > want+1 {
			return fmt.Sprintf("n%d received %d full syncs", n.id, got)
		}
		more += int(got - want)
	}
	s.n.resyncs = more
	return ""
}
