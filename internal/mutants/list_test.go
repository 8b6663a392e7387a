package mutants

// The bugs that TestMutants plants.
var mutants = []mutant{
	// The merge.
	{name: "a tie keeps what is held", edits: []edit{{
		old: "if ok && !held.Less(rec.Version) {\n\t\tif held",
		new: "if ok && held.Stamp >= rec.Stamp {\n\t\tif held"}}},
	{name: "an older version replaces a newer one", edits: []edit{{
		old: "if ok && !held.Less(rec.Version) {\n\t\tif held",
		new: "if ok && held == rec.Version {\n\t\tif held"}}},
	{name: "a forget compares stamps only", edits: []edit{{
		old: "if ok && !held.Less(rec.Version) {\n\t\tif held",
		new: "if ok && (!held.Less(rec.Version) || rec.Kind == delta.KindForget && held.Stamp == rec.Stamp) {\n\t\tif held"}}},
	{name: "decoded strings alias the frame", edits: []edit{
		{old: "Val:         string(r.Val),",
			new: "Val:         unsafe.String(unsafe.SliceData(r.Val), len(r.Val)),"},
		{old: "import (\n\t\"fmt\"\n\t\"math\"\n\n\t\"github.com/iwanbk/bcache/internal/delta\"\n\t\"google.golang.org/protobuf",
			new: "import (\n\t\"fmt\"\n\t\"math\"\n\t\"unsafe\"\n\n\t\"github.com/iwanbk/bcache/internal/delta\"\n\t\"google.golang.org/protobuf"}}},
	{name: "the TTL is taken as what remains", edits: []edit{{
		old: "\tbecame := r.state.process(",
		new: "\tif rec.Deadline != 0 {\n\t\trec.Deadline += max(now.Wall-delta.StampWall(rec.Stamp), 0)\n\t}\n\tbecame := r.state.process("}}},
	{name: "what arrives expired is ignored", edits: []edit{{
		old: "case rec.Ended(now.Wall):\n\t\to = outcomeExpired",
		new: "case rec.Ended(now.Wall):\n\t\treturn nil, outcomeExpired"}}},
	{name: "the clock doesn't follow accepted stamps", edits: []edit{{
		old: "\ts.clock.Observe(rec.Stamp)\n\tif",
		new: "\tif"}}},

	// The transports, and the kit that checks them.
	{name: "mesh loses what waits at Close", test: "TestMeshKit$", edits: []edit{{
		old: "\tt.ends.drain(ctx)\n",
		new: ""}}},
	{name: "mesh sends bulk first", test: "TestMeshKit$", edits: []edit{{
		old: "case len(first.items) == 0 || len(bulk.items) > 0 && l.passed >= lineTurn:",
		new: "case len(bulk.items) > 0:"}}},
	{name: "clusters meet in memory", test: "TestMemnet$", edits: []edit{{
		old: " || a.node.ClusterName != b.node.ClusterName",
		new: ""}}},
	{name: "what waits in memory has no bound", test: "TestMemnet$", edits: []edit{{
		old: "if most > 0 && sum > most {",
		new: "if most < 0 {"}}},
	{name: "the kit lets Close leave calls", test: "TestSabotage$", edits: []edit{{
		old: "if p == closed && h.calls > 0 {",
		new: "if p == closed && h.calls < 0 {"}}},
	{name: "the kit looks at the heads of frames only", test: "TestSabotage$", edits: []edit{{
		old: "if !bytes.Equal(f[done:done+n], noise[at:at+n]) {",
		new: "if n < 0 {"}}},

	// Offers.
	{name: "what goes with a value that is offered takes no room", test: "TestOffersAreBounded", edits: []edit{{
		old: "len(x.to)*x.Size()",
		new: "len(x.to)*x.Rec.Size()"}}},

	// What was written before two nodes met.
	{name: "what was written before two nodes met is taken to be on its way", test: "TestRepairOfWhatWasBefore$",
		edits: []edit{{
			old: "most = max(most, c.theirs.Before)",
			new: "most = max(most, 0*c.theirs.Before)"}}},
	{name: "who has connected first is told nothing", test: "TestRepairOfWhatWasBeforeAskedEarly", edits: []edit{{
		old: "if c.Before = r.state.seq; p != nil {",
		new: "if p != nil {"}}},
	{name: "who isn't a neighbour yet is asked again and again", test: "TestRepairOfWhatWasBeforeAskedEarly",
		edits: []edit{{
			old: "if done && a.Flags&wire.PongContext == 0 {",
			new: "if done && a.Flags&wire.PongContext == 0 && from == 0 {"}}},

	// Many Deletes.
	{name: "many Deletes leave in many frames", test: "TestDeleteManyIsOneFrame|TestReplicaGathers", edits: []edit{{
		old: "o.unwoken = idle && o.gathering && !o.outbox.hasFrame()",
		new: "o.unwoken = false"}}},
	{name: "the last of many Deletes wait", test: "TestDeleteManyIsOneFrame", edits: []edit{{
		old: "\tif !more {\n\t\tr.out.release()\n\t}\n",
		new: ""}}},
	{name: "who writes between many Deletes waits for these", test: "TestReplicaGathers", edits: []edit{{
		old: "return o.unwoken || o.outbox.empty() &&",
		new: "return o.outbox.empty() &&"}}},

	// Forgetting.
	{name: "no floor after an eviction", edits: []edit{{
		old: "\tsh.endLocked(t, e, ChangeEvict)\n",
		new: "\tsh.entries.remove(t, e)\n"}}},
	{name: "no floor after an expiry", edits: []edit{{
		old: "\tsh.endLocked(t, e, ChangeExpire)\n",
		new: "\tsh.entries.remove(t, e)\n"}}},
	{name: "no floor after a tombstone was collected", edits: []edit{{
		old: "sh.forgetLocked(t.key, t.Version)\n",
		new: "sh.removeLocked(w.hash.Of(t.key), t.key)\n", in: "func (w *Sweeper) sweepSome("}}},
	{name: "floors aren't asked", edits: []edit{{
		old: "if !ok && rec.Stamp <= sh.floors.of(at.Bucket) {",
		new: "if false {"}}},
	{name: "one entry too many", edits: []edit{{
		old: "entries.Load()+n <= int64(most.maxKeys) &&",
		new: "entries.Load()+n <= int64(most.maxKeys)+1 &&"}}},

	// Whose entry goes.
	{name: "S3-FIFO: another node's write waits with what was written here", test: "TestFloodSparesWhatIsNew", edits: []edit{{
		old: "queue := inRemote\n\tif local {",
		new: "queue := inSmall\n\tif local {"}}},
	{name: "S3-FIFO: another node's write asks the ghosts", test: "TestFIFORemoteWrites", edits: []edit{{
		old: "queue := inRemote\n\tif local {\n\t\tqueue = inSmall\n",
		new: "queue := inRemote\n\tif local {\n\t\tqueue = inSmall\n\t}\n\t{\n"}}},
	{name: "S3-FIFO: another node's write is a use", test: "TestFIFORemoteWrites", edits: []edit{{
		old: "if local && e != nil {",
		new: "if e != nil {"}}},
	{name: "S3-FIFO: an empty shard is asked for ever", test: "TestEvictFromAnEmptyStore", edits: []edit{{
		old: "return n > 0 && (shards == 1 ||",
		new: "return n >= 0 && (shards == 1 ||"}}},
	{name: "S3-FIFO: a hit isn't counted", test: "TestFIFOScan", edits: []edit{{
		old: "if used := e.used.Load(); used&countBits < countBits {",
		new: "if used := e.used.Load(); false {"}}},
	{name: "S3-FIFO: a victim is looked for until there is one", test: "TestFIFOWhenAllIsUsed", edits: []edit{{
		old: "if count == 0 || anyway {",
		new: "if count == 0 {"}}},
	{name: "S3-FIFO: a queue that closes its holes tells nobody", test: "TestFIFOLaws", edits: []edit{{
		old: "\t\t\tmoved(t, number, to)\n",
		new: "\t\t\t_ = moved\n"}}},
	{name: "S3-FIFO: thin shards have queues of their own", test: "TestFIFOThinShards", edits: []edit{{
		old: "return p.timed && p.tally",
		new: "return false && p.tally"}}},
	{name: "a sweep ends what ends in the unit that runs", test: "TestSweepIsExact", edits: []edit{{
		old: "if unit <= now { // it may have ended",
		new: "if unit < now {"}}},
	{name: "what a search missed because it moved is taken for absent", test: "TestIndexKnowsWhatItMisses",
		edits: []edit{{
			old: "{ return moves&1 == 0 && x.moves.Load() == moves }",
			new: "{ return true }"}}},
	{name: "LRU: one shard isn't exact", test: "TestStoreIsExactLRU", edits: []edit{{
		old: "return p.table.len() > 1 && (p.age",
		new: "return (p.age"}}},
	{name: "touches count as known before they are noted", test: "TestLocalTouches", edits: []edit{{
		old: "since += int64(roughly)",
		new: "since = 0"}}},

	// Fills.
	{name: "a fill is stamped when it ends", edits: []edit{{
		old: "rec.Version = delta.Version{Stamp: f.stamp, Origin: x.state.Origin}\n\tat :=",
		new: "rec.Version = delta.Version{Stamp: x.state.clock.Tick(now.Wall), Origin: x.state.Origin}\n\tat :="}}},
	{name: "a fill trusts other clocks", edits: []edit{{
		old: "lag += s.maxSkew",
		new: "lag += 0"}}},
	{name: "a fill that reads behind commits isn't stamped back", edits: []edit{{
		old: "lag := delta.CeilMs(settle)",
		new: "lag := delta.CeilMs(settle) * 0"}}},

	{name: "the fence is ignored by a refresh", edits: []edit{{
		old: "\trec.Version = delta.Version{Stamp: f.stamp, Origin: x.state.Origin}\n\tat :=",
		new: "\trec.Version = delta.Version{Stamp: f.stamp, Origin: x.state.Origin}\n\tif held, ok := x.state.Store.Peek(rec.Key); ok && (held.Expired(now.Wall) || held.RefreshFrom != 0) {\n\t\tx.mu.Lock()\n\t\trec.Version = delta.Version{Stamp: x.state.clock.Tick(now.Wall), Origin: x.state.Origin}\n\t\tx.mu.Unlock()\n\t}\n\tat :="}}},
	{name: "a negative entry survives a Set", edits: []edit{{
		old: "if ok && !held.Less(rec.Version) {\n\t\tif held",
		new: "if ok && (!held.Less(rec.Version) || e != nil && e.kind == delta.KindNegative && rec.Kind == delta.KindValue) {\n\t\tif held"}}},
	{name: "the stale time moves", edits: []edit{{
		old: "\tbecame := r.state.process(",
		new: "\tif rec.StaleUntil != 0 {\n\t\trec.StaleUntil += max(now.Wall-delta.StampWall(rec.Stamp), 0)\n\t}\n\tbecame := r.state.process("}}},
	{name: "a stale value is swept at its deadline", test: "TestSweepIsExact", edits: []edit{{
		old: "end = e.end()",
		new: "end = e.deadline", in: "func (w *Sweeper) dropExpiredLocked("}}},
	{name: "a stale value is looked at from its deadline on", test: "TestStoreCover$", edits: []edit{{
		old: "end := e.end()",
		new: "end := e.deadline", in: "func (x *entries) put("}}},
	{name: "a stale value is fresh", edits: []edit{{
		old: "at := e.deadline\n",
		new: "at := e.end()\n"}}},
	{name: "a hit of a Loader is no use of its entry", test: "TestStoreSecondChance", edits: []edit{{
		old: "if s.policy.noteUse(e) {", in: "func (s *Store) Fresh(",
		new: "if true {"}}},
	{name: "what is too stale is back when the clock is set back", test: "TestLoaderClockIsSetBack", edits: []edit{{
		old: "\t\tsh.expireLocked(wall, t, e)\n\t\treturn false\n",
		new: "\t\treturn false\n"}}},

	// The time that Gets go by.
	{name: "coarse: it is trusted up to the deadline", test: "TestBeforeWithinMargin", edits: []edit{{
		old: "if now == 0 || t <= now+marginMs {",
		new: "if now == 0 || t <= now {"}}},
	{name: "coarse: it stays when it isn't stored any more", test: "TestIdle$", edits: []edit{{
		old: "\tdefer c.now.Store(0)\n",
		new: ""}}},
	{name: "coarse: it is stored for ever", test: "TestIdle$", edits: []edit{{
		old: "c.used.Swap(false)",
		new: "c.used.Load()"}}},
	{name: "coarse: no reader is noted", test: "TestReadersReadNoClock", edits: []edit{{
		old: "\t\tc.used.Store(true)\n",
		new: ""}}},
	{name: "coarse: it is trusted after a tick that was late", test: "TestLateTicks", edits: []edit{{
		old: "(trusted || p.steady()) && c.keep(",
		new: "(trusted || true) && c.keep("}}},
	{name: "coarse: no tick is late", test: "TestLateTicks", edits: []edit{{
		old: "return since <= Margin",
		new: "return true"}}},
	{name: "coarse: deadlines that are close have it stored", test: "TestCloseDeadlinesStartNothing", edits: []edit{{
		old: "if t > now+marginMs {\n\t\tsignal",
		new: "if true {\n\t\tsignal"}}},
	{name: "coarse: a Get under the lock looks at no deadline", test: "TestStoreReadsDeadlines", edits: []edit{{
		old: "case !sh.before(e.deadline, wall):",
		new: "case !sh.before(e.deadline, wall) && e.due() == 0:"}}},
	{name: "coarse: a Loader's value isn't refreshed while it is stored", test: "TestStoreReadsDeadlines", edits: []edit{{
		old: "e.kind != delta.KindValue || !s.before(e.due(), wall):",
		new: "e.kind != delta.KindValue || !s.before(e.deadline, wall):"}}},
	{name: "coarse: a miss reads the clock", test: "TestStoreMissReadsNoClock", edits: []edit{{
		old: "\tby, moves := sh.clearance.by.Load(), sh.entries.index.moves.Load()\n",
		new: "\tby, moves := sh.clearance.by.Load(), sh.entries.index.moves.Load()\n\twall()\n"}}},

	// Provisional fills: what ends them.
	{name: "provisional: a write that loses doesn't end it", edits: []edit{touchOnlyIf("!ok || held.Less(rec.Version)")}},
	{name: "provisional: a write that is refused doesn't end it", edits: []edit{
		touchOnlyIf("ok || held.Stamp > 0 || rec.Stamp > max(s.FloorOf(at.Bucket), s.Clears.All().Stamp)")}},
	{name: "provisional: a forget doesn't end it", edits: []edit{touchOnlyIf("rec.Kind != delta.KindForget || ok && held.Origin == 0")}},
	{name: "provisional: what arrives expired doesn't end it", edits: []edit{
		touchOnlyIf("!rec.Ended(now.Wall) || ok && held.Origin == 0")}},
	{name: "provisional: what a full sync brings doesn't end it", edits: []edit{touchOnlyIf("rec.Mark == 0 || ok && held.Origin == 0")}},
	{name: "provisional: a local write doesn't end it", edits: []edit{touchOnlyIf("!local || ok && held.Origin == 0")}},
	{name: "provisional: a remote write doesn't end it", edits: []edit{touchOnlyIf("local || ok && held.Origin == 0")}},
	{name: "provisional: a write from the future doesn't end it", edits: []edit{{
		old: "\ts.Watch.tellGone(sh.touchLocked(now.Wall, hash, key), ChangeEvict)\n",
		new: ""}}},
	{name: "provisional: a Clear doesn't end it", edits: []edit{{
		old: "x.cleared.Store(x.current.Add(1))",
		new: "x.cleared.Store(x.current.Load())"}}},
	{name: "provisional: a Clear that loses doesn't end it", edits: []edit{{
		old: "\t\ts.TouchAll()\n\t\treturn false",
		new: "\t\treturn false"}}},
	{name: "provisional: a vector that is adopted doesn't end it", edits: []edit{{
		old: "\tr.state.Store.TouchAll()\n",
		new: ""}}},
	{name: "a fill during which a write was given up is written", test: "TestFillDuringAWriteThatIsGivenUp", edits: []edit{{
		old: "f.stamp > s.overtaken.upTo(f.bucket) &&\n\t\tf.epoch >= s.overtaken.epoch && !s.Store.Fills.GivenUp(&f.OpenFill) &&",
		new: "true &&"}}},
	{name: "the time of the last touch goes back", test: "TestTouchTimesNeverFall", edits: []edit{{
		old: "\tt.latest = max(t.latest, at)\n",
		new: "\tt.latest = at\n"}}},
	{name: "provisional: it is served after its deadline", test: "TestProvisionalDeadline", edits: []edit{{
		old: "if !gone && e.kind == delta.KindValue && s.before(e.deadline, wall) {",
		new: "if !gone && e.kind == delta.KindValue && (alone || s.before(e.deadline, wall)) {"}}},
	{name: "provisional: it takes the tombstone's place", edits: []edit{{
		old: "\t\tif !e.isProvisional() {\n\t\t\te.Key = sh.takeKeyLocked",
		new: "\t\t{\n\t\t\te.Key = sh.takeKeyLocked"}}},
	{name: "provisional: it is streamed", edits: []edit{{
		old: "\t\tcase e.isProvisional():",
		new: "\t\tcase e.isProvisional() && e.Key == \"\":"}}},

	// What keeps it from being kept.
	{name: "provisional: a write during the fill doesn't matter", edits: []edit{{
		old: "if f != nil && f.touched ||",
		new: "if"}}},
	{name: "provisional: a Clear during the fill doesn't matter", edits: []edit{{
		old: "if f.epoch != s.Store.Epochs.Now() {",
		new: "if false {"}}},
	{name: "provisional: the next fill of the key forgets the touch", edits: []edit{{
		old: "\tf.next = (*x)[f.hash]\n",
		new: "\tf.next = (*x)[f.hash]\n\tfor g := f.next; g != nil; g = g.next {\n\t\tg.touched = false\n\t}\n"}}},
	{name: "provisional: who comes after a write that loses joins a fill begun before", edits: []edit{{
		old: "\t}\n\ts.changed(rec.Key, rec.Kind)\n}\n\n// touchAll",
		new: "\t}\n\tif held, ok := s.Store.Peek(rec.Key); !ok || held.Version == rec.Version {\n\t\ts.changed(rec.Key, rec.Kind)\n\t}\n}\n\n// touchAll"}}},
	{name: "provisional: what is touched within Settle before doesn't matter", edits: []edit{{
		old: "settled(s.touches.Last(f.bucket))",
		new: "f.settle > 0"}}},
	{name: "provisional: a Clear within Settle before doesn't matter", edits: []edit{{
		old: "settled(s.touches.All) && settled",
		new: "settled"}}},

	// What others accept.
	{name: "provisional: the echo as it is when the fill ends", edits: []edit{{
		old: "for _, e := range f.echoes {",
		new: "for _, e := range x.neighbours.echoes(delta.Instant{}, 0) {"}}},
	{name: "provisional: echoes younger than Settle count", edits: []edit{{
		old: "if settle > 0 {",
		new: "if false {"}}},
	{name: "provisional: an offer for another life is accepted", test: "TestProvisionalOfAnotherLife", edits: []edit{{
		old: "!x.isolation.Is() && o.To == x.state.Origin && x.state.sees(&o)",
		new: "!x.isolation.Is() && x.state.sees(&o)"}}},
	{name: "provisional: an echo of another life counts", test: "TestProvisionalOfAnotherLife", edits: []edit{{
		old: "\tif origin == p.origin {\n",
		new: "\tif origin != 0 {\n", in: "func (n *neighbours) hear("}}},
	{name: "provisional: touches without a dot count as known", edits: []edit{{
		old: "if !ok || n == maxChain || x.Dot == (delta.Dot{}) || !knows(x.Dot) {",
		new: "if !ok || n == maxChain || x.Dot != (delta.Dot{}) && !knows(x.Dot) {"}}},
	{name: "provisional: what isn't remembered any more counts as known", edits: []edit{{
		old: "\t\tif !ok || n == maxChain",
		new: "\t\tif !ok {\n\t\t\tbreak\n\t\t}\n\t\tif n == maxChain"}}},
	{name: "provisional: a touch that was overwritten is taken for another one", test: "TestTouchLaws", edits: []edit{{
		old: "count+uint64(t.size) <= t.Count",
		new: "count+uint64(t.size) < t.Count"}}},
	{name: "provisional: dots aren't compared", edits: []edit{{
		old: "x.Dot == (delta.Dot{}) || !knows(x.Dot) {",
		new: "x.Dot == (delta.Dot{}) {"}}},
	{name: "provisional: a chain is looked at for as long as it is", test: "TestTouchOrigins", edits: []edit{{
		old: "\t\tif !ok || n == maxChain || x.Dot",
		new: "\t\tif !ok || x.Dot"}}},
	{name: "provisional: later dots of an origin count as processed", edits: []edit{{
		old: "return x.Origin == d.Origin && x.Seq >= d.Seq }",
		new: "return x.Origin == d.Origin }"}}},
	{name: "provisional: dots beyond a gap count as processed", edits: []edit{{
		old: "if upTo := s.vector.Get(o).Covered; upTo > 0 {",
		new: "if upTo := s.vector.Get(o).Last(); upTo > 0 {"}}},
	{name: "provisional: how far origins were processed isn't said", test: "TestOfferUpTo", edits: []edit{{
		old: "offer.UpTo = x.state.upTo(f.bucket, since-upToMore, offer.Clears)",
		new: "offer.UpTo = nil"}}},
	{name: "provisional: it isn't said what came after an old echo", test: "TestOfferUpToWhereReadsLag", edits: []edit{{
		old: "since = min(since, e.at)",
		new: "since = min(since, p.echoes[0].at)"}}},
	{name: "provisional: who has sent no echo counts as known", test: "TestTouchLaws", edits: []edit{{
		old: "\treturn echo > 0\n",
		new: "\treturn true\n"}}},
	{name: "provisional: Clears aren't compared", edits: []edit{{
		old: "s.touches.Known(s.touches.Clears, o.Seen, o.Knows) &&",
		new: "true &&"}}},
	{name: "provisional: its deadline is renewed where it is accepted", edits: []edit{{
		old: "\to.Rec.Origin = o.Origin\n",
		new: "\to.Rec.Origin = o.Origin\n\tif o.Rec.Deadline != 0 {\n\t\to.Rec.Deadline = now.Wall + 500\n\t}\n"}}},
	{name: "provisional: it is made a write", edits: []edit{{
		old: "\t\tx.state.changed(o.Rec.Key, o.Rec.Kind)\n",
		new: "\t\tx.writes.write(now, &delta.Record{Key: o.Rec.Key, Val: o.Rec.Val}, x.state.Store.PlaceOf(o.Rec.Key))\n"}}},

	// Rounds of a few.
	{name: "rounds: the same neighbours are drawn each time", test: "TestSubset", edits: []edit{{
		old: "\t\ts.pass = s.pass[:last]\n",
		new: "\t\ts.pass = nil\n"}}},
	{name: "rounds: one is drawn twice", test: "TestSubset", edits: []edit{{
		old: "\t\tif slices.Contains(drawn, id) {\n",
		new: "\t\tif id == 0 {\n", in: "func (s *subset) shuffle("}}},
	{name: "rounds: who has left is drawn", test: "TestSubset", edits: []edit{{
		old: "_, there := slices.BinarySearch(ids, id); there {",
		new: "_, there := slices.BinarySearch(ids, id); there || true {"}}},
	{name: "rounds: all nodes draw the same", test: "TestSubset", edits: []edit{{
		old: "rng: rand.New(rand.NewPCG(origin, 0))",
		new: "rng: rand.New(rand.NewPCG(0, 0))"}}},
	{name: "rounds: all are asked, however many there are", test: "TestRoundsAskAFew", edits: []edit{{
		old: "\tif len(ids) <= s.most {\n",
		new: "\tif true {\n", in: "func (s *subset) draw("}}},
	{name: "rounds: who is silent is asked when it is drawn again", test: "TestRoundsCutWhoIsSilent", edits: []edit{{
		old: "case p.missed > 0 || s.standing",
		new: "case s.standing"}}},
	{name: "rounds: who isn't asked is cut as silent", test: "TestRoundsCutWhoIsSilent", edits: []edit{{
		old: "\tif s.missed++; !s.open() {",
		new: "\tif s.missed++; false {"}}},
	{name: "rounds: where all are asked it takes as long as where a few are", test: "TestClusterIsSilent|TestStuck",
		edits: []edit{{
			old: "\tif few {\n",
			new: "\tif false {\n"}}},
	{name: "rounds: among many all are asked as often as among a few", test: "TestReplicaRounds", edits: []edit{{
		old: "\tif few {\n",
		new: "\tif true {\n"}}},
	{name: "rounds: while an answer is missing they are as far apart as ever", test: "TestStuckNeighbourIsCut", edits: []edit{{
		old: "p.offer != 0 || p.diverged || p.open() || p.owes() ||",
		new: "p.offer != 0 || p.diverged || p.missed > 0 || p.owes() ||"}}},
	{name: "rounds: who wasn't asked for long is cut too soon", test: "TestSilence", edits: []edit{{
		old: "if s.from = s.heard; s.heard < last {",
		new: "if s.from = s.heard; false {"}}},
	{name: "rounds: who has something isn't asked before it is drawn", test: "TestRoundsAskWhoHasSomething", edits: []edit{{
		old: "return slices.Concat(s.subset.draw(s.neighbours.ids), s.subset.some(s.neighbours, open))",
		new: "_ = open\n\treturn slices.Clone(s.subset.draw(s.neighbours.ids))"}}},
	{name: "rounds: all that have something are asked", test: "TestRoundsAskWhoHasSomething|TestSubsetSome", edits: []edit{{
		old: "i < len(n.ids) && len(ids) < s.most; i++",
		new: "i < len(n.ids); i++"}}},
	{name: "rounds: what others have offered is pulled, though it is out of date", test: "TestAskAgainAsksAFew", edits: []edit{{
		old: "\t\t\tp.offer = 0\n",
		new: ""}}},
	{name: "rounds: who hangs is asked after each pull", test: "TestAskAgainWaitsForAnAnswer", edits: []edit{{
		old: "if p.again = p.awaited(now); !p.again {",
		new: "if p.again = false; !p.again {"}}},
	{name: "rounds: an answer that is out of date is believed", test: "TestAskAgainWaitsForAnAnswer", edits: []edit{{
		old: "last := a.ID == p.pingID && !p.again",
		new: "last := a.ID == p.pingID"}}},
	{name: "rounds: who hasn't answered after a pull isn't asked again", test: "TestAskAgainWaitsForAnAnswer", edits: []edit{{
		old: "if a.ID == p.pingID && (more || p.again) {",
		new: "if a.ID == p.pingID && more {"}}},
	{name: "rounds: before a full sync only some are asked", test: "TestAskAgainAsksAFew", edits: []edit{{
		old: "\t\tr.pinger.askAll(now)\n\tcase",
		new: "\t\tr.pinger.askAgain(now, anyone)\n\tcase"}}},
	{name: "rounds: who owes an answer isn't asked before it is drawn", test: "TestRoundsAskWhoOwesAnAnswer", edits: []edit{{
		old: "|| !p.known || p.owes() ||",
		new: "|| !p.known ||"}}},
	{name: "rounds: what was told of and doesn't come isn't asked for", test: "TestRoundsAskWhoHasSomething", edits: []edit{{
		old: "p.owes() ||\n\t\t\tp.hint.due(now.Mono, s.state.vector)\n\t}\n\treturn slices",
		new: "p.owes()\n\t}\n\treturn slices"}}},
	{name: "rounds: who keeps a node from being complete is asked when it is drawn",
		test: "TestRoundsAskAllBeforeTheNodeIsComplete", edits: []edit{{
			old: "case p.missed > 0 || s.standing.awaits(p) ||",
			new: "case p.missed > 0 ||"}}},
	{name: "rounds: who is disbelieved waits for its turn", test: "TestRoundsRecall", edits: []edit{{
		old: "p.recall > s.state.vector.Get(p.origin).Covered ||",
		new: ""}}},
	{name: "rounds: what can't be had is asked for again and again", test: "TestHint", edits: []edit{{
		old: "wait >= hintWait && wait < hintMost &&",
		new: "wait >= hintWait &&"}}},
	{name: "rounds: what is on its way is asked for", test: "TestHint", edits: []edit{{
		old: "wait >= hintWait && wait < hintMost &&",
		new: "wait < hintMost &&"}}},
	{name: "rounds: fewer are asked than a node has to hear from", test: "TestIsolationAsksEnough", edits: []edit{{
		old: "max(r.pinger.subset.most, enoughFor(c.MinPeers))",
		new: "r.pinger.subset.most"}}},
	{name: "close: a few suffice at once", test: "TestCloseSuffices", edits: []edit{{
		old: "now.Mono-q.began < WaitForAll {",
		new: "false {"}}},
	{name: "close: fewer than a few suffice", test: "TestCloseSuffices", edits: []edit{{
		old: "confirmed >= Fanout ||",
		new: "confirmed >= Fanout-1 ||"}}},
	{name: "close: who has just come counts among the few", test: "TestCloseDoesNotSuffice", edits: []edit{{
		old: "if p.said.upTo >= q.seq {",
		new: "if p.confirmed(q.seq) {"}}},
	{name: "close: only what was written here is handed over", test: "TestCloseHandsOver", edits: []edit{{
		old: "if !p.confirmed(q.seq) || q.lacks(p) {",
		new: "if !p.confirmed(q.seq) {"}}},
	{name: "close: who lacks something doesn't pull", test: "TestCloseHandsOver", edits: []edit{{
		old: "behind = behind || again // at",
		new: "behind = behind && again // at"}}},
	{name: "close: who lacks something doesn't say so", test: "TestCloseHandsOver", edits: []edit{{
		old: "\t\t\tflags |= wire.PongBehind\n",
		new: "\t\t\tflags |= wire.PongWhole\n"}}},
	{name: "close: who isn't a neighbour lacks nothing", test: "TestCloseIsToldByWhoIsNoNeighbour", edits: []edit{{
		old: "\t\tif lacksOf(",
		new: "\t\tif p != nil && lacksOf("}}},
	{name: "close: nodes that close wait for each other", test: "TestCloseNeedsOneThatStays", edits: []edit{{
		old: "\t\tif p.leaving {\n\t\t\tcontinue\n\t\t}\n",
		new: ""}}},
	{name: "close: who closes says nothing of that", test: "TestCloseBothAtOnce", edits: []edit{{
		old: "\tif s.writes.closed {\n",
		new: "\tif false {\n"}}},
	{name: "close: all have to have all", test: "TestCloseNeedsOneThatStays", edits: []edit{{
		old: "(whole > 0 || !q.lacks(p))",
		new: "!q.lacks(p)"}}},
	{name: "close: nobody has to have all", test: "TestCloseNeedsOneThatStays", edits: []edit{{
		old: "(whole > 0 || !q.lacks(p))",
		new: "true"}}},
	{name: "close: a node that knows nothing asks", test: "TestCloseAsksLittle", edits: []edit{{
		old: "len(q.had) > 0 && !p.whole",
		new: "!p.whole"}}},
	{name: "close: what is dropped elsewhere is taken for lacking", test: "TestVectorLacksOf", edits: []edit{{
		old: "return e.Newest > v.Horizon.Stamp",
		new: "return true"}}},
	{name: "close: who syncs again has just come", test: "TestCloseWaitsForWhoSyncsAgain", edits: []edit{{
		old: "!p.mute && (p.joined || !p.told)",
		new: "!p.mute && (p.synced || !p.told)"}}},
	{name: "close: what is on its way is pulled at once", test: "TestCloseLetsComeWhatIsOnItsWay", edits: []edit{{
		old: "behind = behind || again // at",
		new: "behind = behind || again || true // at"}}},
	{name: "close: a long list is told as often as any", test: "TestCloseTellsManyOriginsRarely", edits: []edit{{
		old: "if len(had) > manyOrigins && p.said.asked > now.Mono-askMany ||",
		new: "if"}}},
	{name: "close: pulls wait for a timer", test: "TestCloseSendsWhatWasLost", edits: []edit{{
		old: "\t\tcase <-p.wake: // somebody pulls what it lacks\n",
		new: ""}}},
	{name: "close: an old node has all", test: "TestCloseNeedsOneThatStays", edits: []edit{{
		old: "const has = wire.PongWhole | wire.PongSynced",
		new: "const has = wire.PongContext | wire.PongSynced"}}},
	{name: "close: gaps aren't looked at", test: "TestVectorLacksOf", edits: []edit{{
		old: "return !s.HasAll(Interval{0, e.Covered}) || slices.ContainsFunc(e.Ahead, missing)",
		new: "return !s.HasAll(Interval{0, e.Covered}) || missing(Interval{})"}}},

	// Local values: provisional ones that are for one node only.
	{name: "local: others are told of it", edits: []edit{{
		old: "if scope == FillForAll && x.share(f, rec) {",
		new: "if scope != FillBeside && x.share(f, rec) {"}}},
	{name: "local: it is a write, where the fence lets it pass", edits: []edit{{
		old: "case scope == FillForAll && x.state.passes(f, rec):",
		new: "case scope != FillBeside && x.state.passes(f, rec):"}}},
	{name: "local: a Loader fills for all", test: "TestLocalValuesStay", edits: []edit{{
		old: "scope, kept = replica.FillHere, fill.Local\n",
		new: "kept = fill.Local\n"}}},
	{name: "local: a record that is stale is back when it goes", test: "TestLocalValuesEndWhatIsStale", edits: []edit{{
		old: "\t\t\t\tk.outdateLocked(sh, now.Wall, hash, rec.Key)\n",
		new: ""}}},
	{name: "local: a record is stale for ever, as nothing is found", test: "TestLocalValuesNothingIsFoundAnyMore", edits: []edit{{
		old: "return !beside && k.outdateLocked(sh, now.Wall, f.hash, f.Key) || dropped",
		new: "return dropped"}}},
	{name: "local: what makes room for a write makes room for it", test: "TestLocalFillMakesRoom", edits: []edit{{
		old: "for scope == FillForAll && x.state.makeRoom(now, rec) {",
		new: "for x.state.makeRoom(now, rec) {"}}},
	{name: "local: a record is refreshed in vain", test: "TestLocalValuesRecordWins", edits: []edit{{
		old: "wall >= rec.RefreshFrom && (!p.Local || rec.Provisional) {",
		new: "wall >= rec.RefreshFrom {"}}},
	{name: "local: who holds only such values leads", test: "TestLocalFillsDoNotLead", edits: []edit{{
		old: "return int(s.tally.entries.Load() - s.tally.provisional.Load())",
		new: "return int(s.tally.entries.Load())"}}},
	{name: "twins: one that stands beside a record comes before it", test: "TestReadersOfTwins$", edits: []edit{{
		old: "case sh.Epochs.stands(e) && !e.ofProvisional().beside:",
		new: "case sh.Epochs.stands(e):"}}},
	{name: "twins: one of an earlier epoch is served", test: "TestReadersOfTwins$", edits: []edit{{
		old: "case sh.Epochs.stands(e) && !e.ofProvisional().beside:",
		new: "case !e.ofProvisional().beside:"}}},
	{name: "twins: two may have one tag", test: "TestTwins", edits: []edit{{
		old: "const twinBit = 2",
		new: "const twinBit = 1"}}},

	// Leases.
	{name: "a lease is granted twice without a fault", edits: []edit{{
		old: "over := h != nil && (h.suspect ||",
		new: "over := h != nil && (h.suspect || len(l.queue) == 0 ||"}}},
	{name: "a lease is granted as often as somebody is late", test: "TestLeaseSuspect$",
		edits: []edit{{
			old: "!waits) && len(l.holders) < maxHolders",
			new: "!waits)"}}},
	{name: "a lease's holder is suspect at once", test: "TestLeaseSuspect$",
		edits: []edit{{
			old: "m.Late && now.Mono-h.Since >= Reach",
			new: "m.Late"}}},
	{name: "who disconnects makes a lease's holder suspect", edits: []edit{{
		old: "m.Late && now.Mono-h.Since >= Reach",
		new: "now.Mono-h.Since >= Reach"}}},
	{name: "who gets no answer about a lease waits for ever", test: "TestLeaseGranterHangs", edits: []edit{{
		old: "case a.Heard == 0 && now.Mono >= a.again:",
		new: "case a.Heard == 0 && now.Mono >= a.again && false:"}}},
	{name: "who waits for a lease has no limit", edits: []edit{{
		old: "\ta.limit = now.Mono + delta.Ms(a.Want.Term)",
		new: "\ta.limit = now.Mono + 3*delta.Ms(a.Want.Term)"}}},
	{name: "the limit of who waits for a lease is looked at late", edits: []edit{{
		old: "a.turn(), a.next() - now.Mono",
		new: "a.turn(), a.again - now.Mono"}}},
	{name: "who waits for a lease's last holder waits for nobody", edits: []edit{{
		old: "\t\tw.after = after\n",
		new: ""}}},
	{name: "a lease of a fill that nobody wants any more stays", test: "TestLeaseIsDeclined",
		edits: []edit{{
			old: "if m.Op == wire.TurnGranted { // it is waited for elsewhere",
			new: "if m.Op == wire.TurnGranted && false {"}}},
	{name: "a second ask for a lease takes the first one's place", test: "TestLeaseTwoAsksAreTwoTurns",
		edits: []edit{{
			old: "		t.enqueue(l, w)\n	}\n	again",
			new: "		t.dequeue(l, func(o *waiter) bool { return o.Peer == w.Peer })\n" +
				"		t.enqueue(l, w)\n	}\n	again"}}},
	{name: "a failed try passes the lease to the next", test: "TestLeaseNobodyWaitsForTwoFailures",
		edits: []edit{{
			old: "\t\tt.failTry(now, l, who, m.Term)\n",
			new: "\t\tt.passOn(now, l, who)\n"}}},
	{name: "an overdue try passes the lease to the next", test: "TestLeaseNobodyWaitsForTwoFailures",
		edits: []edit{{
			old: "\t\t\tt.failTry(now, l, h.Asker, 0)\n",
			new: "\t\t\tt.passOn(now, l, h.Asker)\n"}}},
	{name: "a lease is held in the queue for a slot", test: "TestLeaseWithoutASlotIsDeclined",
		edits: []edit{{
			old: "\t\tk.claim.decline()\n\t\tif res, answered",
			new: "\t\tif res, answered"}}},
	{name: "a batch holds leases in the queue for a slot", test: "TestLeaseGetManySlotComesFirst",
		edits: []edit{{
			old: "\t\t\tb.decline()\n",
			new: ""}}},
	{name: "who waits for a lease keeps its slot", test: "TestLeaseGivesTheSlotBack",
		edits: []edit{{
			old: "\t\tcase turn == lease.Wait:\n\t\t\tif hasSlot {",
			new: "\t\tcase answered || turn == lease.Wait:\n\t\t\tif hasSlot && answered {"}}},
	{name: "a caller's deadline says nothing about a lease's holder", test: "TestLeasePatientCaller",
		edits: []edit{{
			old: "k.claim.turn(k.IsLate())",
			new: "k.claim.turn(k.IsLate() && false)"}}},
	{name: "a lease's offer that was refused before it was told of is waited for", test: "TestLeaseOfferIsRefused",
		edits: []edit{{
			old: "m.Offered && a.refused {",
			new: "m.Offered && a.refused && false {"}}},
	{name: "who couldn't accept a lease's offer waits for a second try", test: "TestLeaseOfferIsRefused",
		edits: []edit{{
			old: "\ta.waitedEnough = true\n",
			new: ""}}},
	{name: "leases of keys that were filled leave no room", test: "TestLeaseLingeringOnesMakeRoom",
		edits: []edit{{
			old: "\t\tlongest := t.idle.Front()\n",
			new: "\t\tlongest := (*list.Element)(nil)\n"}}},

	// Version vector and log.
	{name: "the vector advances over a gap", edits: []edit{{
		old: "if seq == s.Covered+1 {\n\t\ts.Covered = seq\n\t\ts.absorb()",
		new: "if seq > s.Covered {\n\t\ts.Covered = seq\n\t\ts.absorb()"}}},
	{name: "the vector has a dot before the store has it", edits: []edit{
		{old: "\ts.Store.ApplyAt(now, rec, true, at)\n",
			new: "\ts.lags = append(s.lags, *rec)\n"},
		{old: "\tlog       *dots.Log\n",
			new: "\tlog       *dots.Log\n\tlags      []delta.Record\n"},
		{old: "\ts.vector.Settle()\n",
			new: "\ts.vector.Settle()\n\tfor _, rec := range s.lags {\n\t\ts.Store.Apply(now, &rec, true)\n\t}\n\ts.lags = nil\n"}}},
	{name: "what is refused isn't logged", edits: []edit{{
		old: "\ts.log.Put(d.Origin, d.Seq, rec)\n",
		new: "\tif held, ok := s.Store.Peek(rec.Key); ok && held.Version == rec.Version {\n\t\ts.log.Put(d.Origin, d.Seq, rec)\n\t}\n"}}},
	{name: "a write from the future is applied", edits: []edit{{
		old: "return stamp > s.latest(now)",
		new: "return false"}}},
	{name: "a write from the future is covered", edits: []edit{{
		old: "\t\ts.giveUp(now, rec)\n\t\treturn false",
		new: "\t\ts.giveUp(now, rec)\n\t\treturn true"}}},
	{name: "what a write from the future replaces is served on", edits: []edit{{
		old: "\t\ts.counts.RefusedSkew++\n\t\ts.giveUp(now, rec)\n",
		new: "\t\ts.counts.RefusedSkew++\n"}}},
	{name: "a dot is used again after a restart", edits: []edit{{
		old: "origin := s.rng.Uint64() | 1\n",
		new: "origin := uint64(1000 + id)\n", in: "func (s *sim) newNode("}}},

	// Repair.
	{name: "a lost tail isn't repaired", edits: []edit{{
		old: "return max(s.Settled, t.Last())",
		new: "return t.Last()"}}},
	{name: "what lies beyond a gap isn't offered", edits: []edit{{
		old: "return append([]Interval{{0, s.Covered}}, s.Ahead...)",
		new: "return []Interval{{0, s.Covered}}"}}},
	{name: "a repair skips what the log doesn't know", edits: []edit{{
		old: "seqs[n] == seqs[0]+uint64(n) &&",
		new: "true &&"}}},
	{name: "a repair doesn't say what is gone", edits: []edit{{
		old: "return delta.Record{Key: slot.Key, Version: slot.Version, Kind: delta.KindForget}",
		new: "return delta.Record{Key: slot.Key, Version: delta.Version{Stamp: 1, Origin: slot.Version.Origin}, Kind: delta.KindForget}"}}},
	{name: "a repair sends what is held, whatever its version", test: "TestRepairSendsVeryVersions", edits: []edit{{
		old: "held, ok := s.Store.Peek(slot.Key); ok && held.Version == slot.Version {",
		new: "held, ok := s.Store.Peek(slot.Key); ok {"}}},
	{name: "a repair forgets Clear", edits: []edit{{
		old: "return delta.Record{Key: slot.Key, Version: slot.Version, Kind: delta.KindClear}",
		new: "return delta.Record{Version: slot.Version, Kind: delta.KindForget}"}}},
	{name: "a repair makes a Clear of a prefix or tag one of everything", test: "TestRepairOfAClear", edits: []edit{{
		old: "return delta.Record{Key: slot.Key, Version: slot.Version, Kind: delta.KindClear}",
		new: "return delta.Record{Version: slot.Version, Kind: delta.KindClear}"}}},
	{name: "a node without a log of something asks nobody", edits: []edit{{
		old: "\t\t\tflags |= wire.PongOld\n",
		new: "\t\t\tflags |= 0\n"}}},

	// Full sync.
	{name: "a full sync without floors", edits: []edit{{
		old: "if f := s.floors.of(b); f > after.Stamp {",
		new: "if f := s.floors.of(b); f > after.Stamp && false {"}}},
	{name: "floors that are read before the entries", edits: []edit{
		{old: "\thead wire.SyncChunk\n\tmost int",
			new: "\thead  wire.SyncChunk\n\tearly map[int][]delta.BucketFloor\n\tmost int"},
		{old: "\t\tstream: syncStream{most:",
			new: "\t\tstream: syncStream{early: func() map[int][]delta.BucketFloor {\n\t\t\tearly, of := map[int][]delta.BucketFloor{}, &s.state.Store.Sync\n\t\t\tfor g := range of.Groups() {\n\t\t\t\t_, early[g] = of.GroupEnd(of.Groups(), g)\n\t\t\t}\n\t\t\treturn early\n\t\t}(), most:"},
		{old: "c.Clear, c.Floors = s.clear, s.floors",
			new: "c.Clear, c.Floors = s.clear, s.early[int(c.Group)]"}}},
	{name: "what wasn't streamed stays", edits: []edit{{
		old: " && !streamed.has(key)\n",
		new: " && false\n"}}},
	{name: "a full sync without Clear", edits: []edit{{
		old: "\tafter = s.Clears.All()\n",
		new: "\tafter = delta.Version{}\n"}}},
	{name: "an unsynced server", edits: []edit{
		{old: "return s.standing.whole(now) && !s.writes.closed &&",
			new: "return !s.writes.closed &&"},
		{old: "return p.synced && now.Mono >= p.retryAt && want(p)",
			new: "return now.Mono >= p.retryAt && want(p)"}}},
	{name: "a server's gaps are taken as covered", edits: []edit{{
		old: "a.Dropped += s.merge(&e.Set)",
		new: "a.Dropped += s.merge(&Set{Covered: e.Last(), Newest: e.Newest})"}}},
	{name: "what a server has beyond a gap isn't adopted", edits: []edit{{
		old: "a.Dropped += s.merge(&e.Set)",
		new: "a.Dropped += s.merge(&Set{Covered: e.Covered, Newest: e.Newest})"}}},
	{name: "the vector as it is when the session ends", edits: []edit{
		{old: "\t\tif s.group == groups {\n",
			new: "\t\tif s.group == groups {\n\t\t\tc.Entries = s.now().Entries\n"},
		{old: "\thead wire.SyncChunk\n\tmost int",
			new: "\thead wire.SyncChunk\n\tnow  func() wire.SyncChunk\n\tmost int"},
		{old: "\t\ts.begin(now, from, p.origin, a.Session)\n",
			new: "\t\ts.begin(now, from, p.origin, a.Session)\n\t\ts.sessions[from].stream.now = func() wire.SyncChunk { s.mu.Lock(); defer s.mu.Unlock(); e, _ := s.state.vector.List(dots.LongAgo); return wire.SyncChunk{Entries: e} }\n"},
		{old: "\tr.client.ask(now, 0)\n",
			new: "\tr.client.ask(now, 0)\n\tif len(c.Entries) > 0 {\n\t\tin.head.Entries = c.Entries\n\t}\n"}}},
	{name: "chunks of another session are taken", test: "TestSyncIgnoresOtherSessions", edits: []edit{{
		old: "in.peer != from || in.id != chunk.Session || in.applying",
		new: "in.peer != from || in.applying"}}},
	{name: "a lost chunk isn't noticed", edits: []edit{
		{old: "if chunk.Number == in.next {",
			new: "if in.next = max(in.next, min(chunk.Number, in.next+chunk.Number)); chunk.Number == in.next {"},
		{old: "if c.Group != in.group || c.Group",
			new: "if in.group = c.Group; c.Group"}}},
	{name: "a floor from the future is taken", test: "TestSyncFromTheFuture", edits: []edit{{
		old: "if s.future(now, f.Stamp) {",
		new: "if s.future(now, f.Stamp) && false {"}}},
	{name: "a sync with writes from the future counts", edits: []edit{{
		old: "\tif in.spoiled {\n\t\tr.client.abort",
		new: "\tif in.spoiled && false {\n\t\tr.client.abort"}}},
	{name: "what no session vouches for stays", test: "TestSyncDropsWhatNobodyVouchesFor", edits: []edit{{
		old: "if e.mark.unvouched() && !e.mark.is(number) {",
		new: "if false {"}}},
	{name: "a full sync takes what one before has left for its own", test: "TestSyncMarksBeginAnew", edits: []edit{{
		old: "if !r.client.anew {",
		new: "if true {"}}},
	{name: "only the session with the first mark looks what others have left", test: "TestSyncMarksBeginAnewWith",
		edits: []edit{{
			old: "if !r.client.anew {",
			new: "if in.mark > 1 || !r.client.anew {"}}},
	{name: "a dot has it forgotten that the full sync has streamed it", test: "TestSyncKeepsTaggedThatComesTwice", edits: []edit{{
		old: "return m | vouched\n",
		new: "return 0\n"}}},
	{name: "a full sync that brings what is held isn't noted", test: "TestSyncKeepsTaggedThatItHad", edits: []edit{{
		old: "return mark(number) | vouched\n",
		new: "return 0\n"}}},
	{name: "what a full sync brings takes it away that a dot has come", test: "TestMarkLaws", edits: []edit{{
		old: "return mark(number) | m&vouched\n",
		new: "return mark(number)\n"}}},
	{name: "a value with tags is offered to whoever there is", test: "TestOffersWithTags", edits: []edit{{
		old: "p.origin == e.origin && (p.tags || rec.Tags == \"\") {",
		new: "p.origin == e.origin {"}}},
	{name: "a value with tags is offered to nobody", test: "TestOffersWithTagsAreTaken", edits: []edit{{
		old: "| wire.PingAnswers | wire.PingTags\n",
		new: "| wire.PingAnswers\n"}, {
		old: "| wire.PongAnswers | wire.PongTags,",
		new: "| wire.PongAnswers,"}}},
	{name: "who has left mustn't refuse a full sync", test: "TestSyncIsRefusedByWhoHasLeft", edits: []edit{{
		old: "if p := c.neighbours.byID[from]; p != nil { // it may",
		new: "if p := c.neighbours.byID[from]; true { // it may"}}},
	{name: "Confirm asks a silent node as often as any", test: "TestConfirmationInVain", edits: []edit{{
		old: "AskEvery << min(c.vain/askQuick, askSlower)",
		new: "AskEvery"}}},
	{name: "Confirm asks who was silent once seldom for ever", test: "TestConfirmationInVain", edits: []edit{{
		old: "c.upTo, c.asked, c.vain = to, dots.LongAgo, 0",
		new: "c.upTo, c.asked = to, dots.LongAgo"}}},
	{name: "who asks for a full sync too early waits", test: "TestSyncAskBeforeJoined", edits: []edit{{
		old: "s.early.keep(now, from, a)\n",
		new: ""}}},
	{name: "who asks for a full sync too early is remembered for ever", test: "TestSyncEarlyAskOfAnotherLife", edits: []edit{{
		old: "if len(kept) == earlyMost {",
		new: "if false {"}}},

	// Stamps from the future.
	{name: "the future: what is newest in a repair is taken over unseen", edits: []edit{{
		old: "if !s.future(now, newest) {",
		new: "if true {"}}},
	{name: "the future: what was taken over while the clock was ahead stays", edits: []edit{{
		old: "\ts.vector.Clamp(s.latest(now))\n",
		new: ""}}},
	{name: "the future: a full sync's vector is taken over unseen", test: "TestSyncContextFromTheFuture",
		edits: []edit{{
			old: "e.Newest = min(e.Newest, latest)",
			new: "_ = min(e.Newest, latest)"}}},
	{name: "the future: a full sync's horizon is taken over unseen", test: "TestSyncContextFromTheFuture",
		edits: []edit{{
			old: "h.Stamp = min(h.Stamp, latest)",
			new: "_ = min(h.Stamp, latest)"}}},
	{name: "the future: one Clear of a node is enough", edits: []edit{{
		old: "if s.overtaken.clear(",
		new: "if s.Store.Clears.All().Origin != rec.Origin && s.overtaken.clear("}}},
	{name: "the future: a Clear clears whenever it comes", edits: []edit{{
		old: "if slices.Contains(o.clears, v) {",
		new: "if false {"}}},
	{name: "the future: what a Clear has overtaken is served", test: "TestFutureOvertakes", edits: []edit{{
		old: "\to.cleared = max(o.cleared, stamp)\n",
		new: ""}}},
	{name: "the future: what a write has overtaken is served", edits: []edit{{
		old: "\to.written[bucket] = max(o.written[bucket], stamp)\n",
		new: ""}}},
	{name: "the future: what a write has overtaken is served a second later", test: "TestFutureOvertakes", edits: []edit{{
		old: "\t\t\ts.Store.RaiseFloor(b, to)\n",
		new: ""}}},
	{name: "the future: a fill that reads what a write has overtaken passes", test: "TestFutureOvertakesFills", edits: []edit{{
		old: "f.stamp > s.overtaken.upTo(f.bucket) &&",
		new: "true &&"}}},
	{name: "who can't serve a full sync is waited for", test: "TestSyncServersThatCantServe",
		edits: []edit{{
			old: "return p.synced && !p.unable })",
			new: "return p.synced })"}}},

	// What others say, and ask for.
	{name: "a full sync is believed what others have written", test: "TestClaimsOfASync",
		edits: []edit{{
			old: "says && e.Last() > most {",
			new: "says && e.Last() > most && false {"}}},
	{name: "a vector that knows too much stays", test: "TestClaimsAreGotAgain", edits: []edit{{
		old: "if a.ID == p.pingID && a.Seq < p.listed {",
		new: "if a.ID == p.pingID && a.Seq < p.listed && false {"}}},
	{name: "an old pong proves a vector wrong", test: "TestClaimsOfAnOldPong", edits: []edit{{
		old: "if a.ID == p.pingID && a.Seq < p.listed {",
		new: "if a.Seq < r.state.vector.Get(p.origin).Last() {"}}},
	{name: "an unasked pong is answered with a list", test: "TestTinyFrames", edits: []edit{{
		old: "if a.ID == p.pingID && (more || p.again) {",
		new: "if more || a.ID == p.pingID && p.again {"}}},
	{name: "a pong to a list is answered with a list", test: "TestTinyFrames", edits: []edit{{
		old: "more := a.Flags&wire.PongAll != 0 && !p.full",
		new: "more := a.Flags&wire.PongAll != 0"}}},
	{name: "whoever asks for a full sync again gets a vector again", test: "TestTinyFrames",
		edits: []edit{{
			old: "now.Mono < p.began+syncApart || ",
			new: ""}}},
	{name: "a pull is answered as often as it comes", test: "TestTinyFrames", edits: []edit{{
		old: "r.request.Claimed() == r.pulled && now.Mono < r.pulledAt+pullAgain",
		new: "r.request.Claimed() == r.pulled && now.Mono < 0"}}},
	{name: "an answer to a pull ends with a block", test: "TestPullAnswerKeepsItsBound", edits: []edit{
		{old: "if size > a.budget && a.budget < a.most {",
			new: "if false {"},
		{old: "for a.budget > 0 && iv.From < iv.To {",
			new: "for iv.From < iv.To {"}}},
	{name: "all pulls are answered at once", test: "TestPullAnswersTogether", edits: []edit{{
		old: "if n == pullsAtOnce {",
		new: "if n < 0 {"}}},

	// The lock, and the log.
	{name: "nobody is let in while a ping is answered", test: "TestLockIsntHeldForLong",
		edits: []edit{{
			old: "if c.work < most {",
			new: "if true {"}}},
	{name: "nobody is let in while a vector is adopted", test: "TestAdoptionGoesInSteps",
		edits: []edit{{
			old: "if work += a.merge(e); work >= most {",
			new: "if work += a.merge(e); work < 0 {"}}},
	{name: "a vector that is on its way changes", test: "TestVectorList", edits: []edit{{
		old: "\tif s.shared {\n",
		new: "\tif false {\n"}}},
	{name: "the log knows all of which it knows some", test: "TestDeltaLogSearch",
		edits: []edit{{
			old: "if ps[i].known&want != want {",
			new: "if ps[i].known&want == 0 {"}}},

	// Departed origins.
	{name: "a horizon is taken over unseen", edits: []edit{{
		old: "if h != v.Horizon && v.PrintUpTo(h.Stamp) != h.Print {",
		new: "if false {"}}},
	{name: "what only this node knows behind a horizon isn't passed on", edits: []edit{{
		old: "\tif a.Unique {\n",
		new: "\tif a.Unique && false {\n"}}},

	// Slow lines, and when a node is ready.
	{name: "lines: what is on its way is asked for where it leaves a gap", test: "TestArrivingIsNotAskedFor", edits: []edit{{
		old: "return len(s.Ahead) == 0",
		new: "return false"}}},
	{name: "lines: what is on its way is asked for in the rounds", test: "TestArrivingIsNotAskedFor", edits: []edit{{
		old: "\ts.arrivals.claim(&l, s.state.vector)\n",
		new: ""}}},
	{name: "lines: what doesn't come any more is awaited for ever", test: "TestArrivingIsGivenUp", edits: []edit{{
		old: "ends := now.Mono-x.moved >= arriveMost",
		new: "ends := now.Mono < 0"}}},
	{name: "lines: only whole frames are signs of life", test: "TestMovedIsASignOfLife", edits: []edit{{
		old: "\tp.heard = now.Mono\n\tif bulk",
		new: "\tif bulk"}}},
	{name: "lines: a full sync ends with its connection", test: "TestSyncSurvivesACut", edits: []edit{{
		old: "\tdefault:\n\t\tin.away = false",
		new: "\tdefault:\n\t\tc.leave(\"it left\")\n\t\treturn\n\t\tin.away = false"}}},
	{name: "lines: another life of a server is asked to go on", test: "TestSyncSurvivesACut", edits: []edit{{
		old: "case in.origin != origin:",
		new: "case false:"}}},
	{name: "lines: what is old is sent all the same", test: "TestLineDropsWhatIsOld", edits: []edit{{
		old: "lane.fresh > 0 && now.Sub(lane.since) >= q.age {",
		new: "lane.fresh < 0 {"}}},
	{name: "lines: as much as the kernel takes is under way", test: "TestLineSmallPassesLarge", edits: []edit{{
		old: "f.window = max(f.window/2, flowLeast)",
		new: "f.window = flowMost"}}},
	{name: "lines: small frames wait for large ones", test: "TestLineSmallPassesLarge", edits: []edit{{
		old: "\tif len(it.bytes) > lineMost {\n\t\tlane = laneBulk\n\t}\n",
		new: ""}}},
	{name: "lines: an answer comes beside what it supersedes", test: "TestLineSupersede", edits: []edit{{
		old: "func (l *meshLine) supersede() {\n",
		new: "func (l *meshLine) supersede() {\n\treturn\n"}}},
	{name: "lines: a cut has a large frame sent anew", test: "TestLineResumes$", edits: []edit{{
		old: "bulk.sent, bulk.again = has, true",
		new: "bulk.sent, bulk.again = 0, true"}}},
	{name: "lines: nothing is superseded by an answer", test: "TestPullAnswerSupersedes", edits: []edit{{
		old: "Answer: i == 0",
		new: "Answer: i < 0"}}},
	{name: "ready: pongs don't say what is held", test: "TestAllKnowWhoHoldsMost", edits: []edit{{
		old: "Held: uint64(s.state.Store.Sync.Held()), Echo: s.state.touches.Echo(), Lacks: lacks}\n\trun :=",
		new: "Echo: s.state.touches.Echo(), Lacks: lacks}\n\trun :="}}},
	{name: "ready: whatever others hold", test: "TestReadyWhenNothingIsLacking", edits: []edit{{
		old: "r.complete = len(r.neighbours.holders()) == 0 ||",
		new: "r.complete = true ||"}}},
	{name: "ready: never, if something can't be had", test: "TestReadyWithoutWhatCannotBeHad", edits: []edit{{
		old: "now.Mono-r.fedAt >= r.unsyncedLimit\n\treturn r.complete",
		new: "false\n\treturn r.complete"}}},
	{name: "ready: the lowest PeerID serves, however little it has", test: "TestTheFullestServes", edits: []edit{{
		old: "cmp.Or(cmp.Compare(p.held, held), cmp.Compare(id, other)) > 0",
		new: "cmp.Compare(id, other) > 0 && p != nil"}}},

	// How long writes take, and how far clocks differ.
	{name: "propagation: clocks don't differ", test: "TestPropagationIsMeasured", edits: []edit{{
		old: "time.Duration(micros)*time.Microsecond + s.offset\n",
		new: "time.Duration(micros) * time.Microsecond\n"}}},
	{name: "propagation: what others pass on counts", test: "TestPropagationOfOthers", edits: []edit{{
		old: "d.Newest == 0 && d.Origin == p.origin {",
		new: "d.Newest == 0 {"}}},
	{name: "propagation: what comes twice counts twice", test: "TestPropagationWithoutRepairs",
		edits: []edit{{
			old: "if news && d.Newest == 0 &&",
			new: "if d.Newest == 0 &&"}}},
	{name: "clocks: the last pong counts, however long it took", test: "TestClockFilterLaws",
		edits: []edit{{
			old: "bound <= least && s.holds(",
			new: "(bound <= least || at >= 0) && s.holds("}}},
	{name: "clocks: nobody sets this node's", test: "TestPropagationWhenAClockIsSet", edits: []edit{{
		old: "now-s.at <= clockMostAge && (steady-s.steady).Abs() <= clockStep",
		new: "now-s.at <= clockMostAge"}}},
	{name: "clocks: nobody sets another one", test: "TestClockFilterPrefersShortTrips", edits: []edit{{
		old: "|| (s.offset-old.offset).Abs() > most\n",
		new: "|| most < 0\n"}}},

	// What a Typed has decoded, and shares.
	{name: "shared: whoever decoded it", test: "TestSharingOwners", edits: []edit{{
		old: "if s == nil || s.Owner != owner {",
		new: "if s == nil {"}}},
	{name: "shared: the last who decodes it keeps it", test: "TestTypedSharedByOne", edits: []edit{
		{old: "bool { return sharingOf(e) == nil && s.fits(size) }",
			new: "bool { return s.fits(size) }"},
		{old: "case held != e || sharingOf(e) != nil:",
			new: "case held != e:"}}},
	{name: "shared: whatever is held of the key", test: "TestSharingOwners", edits: []edit{{
		old: "case held == nil || held.Val != e.Val:",
		new: "case held == nil:"}}},
	{name: "shared: it counts nothing", test: "TestTypedSharedMaxBytes", edits: []edit{{
		old: "\t\tcost += s.Size\n",
		new: ""}}},
	{name: "shared: another value goes on counting it", test: "TestSharingGoesWithItsValue", edits: []edit{{
		old: "if grown := e.cost() - old.cost(); grown != 0 {",
		new: "if grown := int64(len(e.Val) - len(old.Val)); grown != 0 || e.traits < old.traits {"}}},
	{name: "shared: there is always room", test: "TestSharingNeverEvicts", edits: []edit{{
		old: "s.limits.maxBytes <= 0 || size <= free",
		new: "true || free > 0"}}},
	{name: "shared: in the room that a write has made", test: "TestSharingNeverEvicts", edits: []edit{{
		old: "\ts.room.claim()\n\tdefer s.room.release()\n",
		new: ""}}},
	{name: "shared: in the room that a fill has made", test: "TestSharingNeverEvicts", edits: []edit{{
		old: "\tk.room.claim()\n\tdefer k.room.release()\n",
		new: ""}}},
	{name: "shared: a provisional value is one no more", test: "TestSharingProvisional", edits: []edit{{
		old: "s.kept, s.beside, s.is, s.clears = of.kept, of.beside, true, of.clears",
		new: "s.kept, s.beside, s.is, s.clears = of.kept, of.beside, false, of.clears"}}},
	{name: "shared: a stale value is one no more", test: "TestTypedSharedWhateverIsServed", edits: []edit{{
		old: "\ts.softTimes = e.soft()\n",
		new: ""}}},
	{name: "shared: what nobody vouched for counts", test: "TestSharingGoesWithItsValue", edits: []edit{{
		old: "s.kind, s.mark = e.kind, e.mark",
		new: "s.kind = e.kind"}}},
	{name: "shared: a Get is counted, and its hit isn't", test: "TestTypedSharedIsNobodysBusiness", edits: []edit{{
		old: "\t\tt.loader.figures.Count(true)\n\t\tshared = x.(*V)\n",
		new: "\t\tshared = x.(*V)\n"}}},
	{name: "shared: the waiters of a fill decode for themselves", test: "TestTypedSharedByWaiters", edits: []edit{{
		old: "\tld.shared.CompareAndSwap(nil, &shared{owner, made})\n",
		new: "\tld.shared.Store(&shared{owner, made})\n"}}},
	{name: "shared: a Clone isn't asked", test: "TestTypedSharedClone", edits: []edit{{
		old: "if e == nil || !t.shares || t.clone != nil {",
		new: "if e == nil || !t.shares {"}}},
	{name: "shared: a negative Size is one", test: "TestTypedSharedMaxBytes", edits: []edit{{
		old: "if err != nil || size < 0 {",
		new: "if size = max(size, 0); err != nil {"}}},
	{name: "shared: All decodes", test: "TestTypedShared$", edits: []edit{{
		old: "\tif x, ok := t.sharedOf(full, held); ok {\n\t\treturn t.lend(x)\n\t}\n\treturn t.read(held)",
		new: "\treturn t.read(held)"}}},
	{name: "shared: All shares", test: "TestTypedShared$", edits: []edit{{
		old: "\t\treturn t.lend(x)\n\t}\n\treturn t.read(held)",
		new: "\t\treturn t.lend(x)\n\t}\n\treturn t.valueOf(t.loader.unprefixed(full), reply{Result: Result{Value: held}})"}}},
	{name: "shared: what is due or stale is decoded to see that it can be", test: "TestTypedSharedWhateverIsServed", edits: []edit{{
		old: "\tif _, ok := t.sharedOf(full, held); ok {\n\t\treturn true\n\t}\n",
		new: ""}}},

	// What is counted.
	{name: "count: every stale value is a hit", test: "TestLoaderStaleOnError", edits: []edit{{
		old: "\t\tl.figures.Stale.Add(1)\n",
		new: "\t\tl.figures.Stale.Add(1)\n\t\tl.figures.StaleHits.Add(1)\n"}}},

	// What is told of keys.
	{name: "hot keys: a count is said to be exact", test: "TestFrequentLaws", edits: []edit{{
		old: "keep(key, c.key), c.count\n",
		new: "keep(key, c.key), 0\n"}}},
	{name: "hot keys: not the rarest makes room", test: "TestFrequentLaws", edits: []edit{{
		old: "\tf.sink(f.counters[i].place)\n",
		new: ""}}},
	{name: "hot keys: keys are told apart by their beginnings", test: "TestFrequentKeys", edits: []edit{{
		old: "maphash.String(f.seed, key)",
		new: "maphash.String(f.seed, string(keep(key, nil)))"}}},
	{name: "hot keys: sampling never ends", test: "TestTickEndsSampling", edits: []edit{{
		old: "\tr.Store.Hot.Tick(now.Mono)\n",
		new: ""}}},
	{name: "longest: what comes after the longest goes with it", test: "TestLongest$", edits: []edit{{
		old: "longest := map[uint64]Span{}\n\tfor i := range l.panes {",
		new: "longest := map[uint64]Span{}\n\tfor i := range l.panes[:1] {"}}},
	{name: "decisions: what comes once more counts as older", test: "TestDecisions$", edits: []edit{{
		old: "held == rec.Version {\n\t\t\treturn\n",
		new: "held == rec.Version && hash == 0 {\n\t\t\treturn\n"}}},
	{name: "decisions: an epoch is taken for a stamp", test: "TestDecisions$", edits: []edit{{
		old: "\t\tstamp = 0 // it is an epoch\n",
		new: "\t\tstamp = e.epoch()\n"}}},
	{name: "decisions: a fill that is kept counts as refused", test: "TestRefusalsAreRemembered", edits: []edit{{
		old: "if o == FillRefused {",
		new: "if o != FillWritten {"}}},
	{name: "an inspection counts fills of other keys", test: "TestInspect$", edits: []edit{{
		old: "if f.Key == key {",
		new: "if f != nil {"}}},
	{name: "an inspection tells the Clear that came last", test: "TestInspectSelected", edits: []edit{{
		old: "!e.Version.Less(x.Version) && wanted(e.Selector)",
		new: "wanted(e.Selector)"}}},
	{name: "an inspection knows the tags of records only", test: "TestInspectSelected", edits: []edit{{
		old: "s.Selects(key, in.Record.Tags) || s.Selects(key, in.Provisional.Tags)",
		new: "s.Selects(key, in.Record.Tags)"}}},
	{name: "a provisional value that is cleared is said to be served", test: "TestWhyOfAProvisionalValueThatIsCleared",
		edits: []edit{{
			old: "in.Ended = sh.clearance.clearsLocked(&sh.Clears, p) != nil",
			new: "in.Ended = in.Cleared"}}},
	{name: "Clears that later ones stand for count as dropped", test: "TestClearsDroppedAreCounted", edits: []edit{{
		old: "\tif old == 0 {\n\t\treturn 0\n",
		new: "\tif old == 0 {\n\t\treturn done\n"}}},
	{name: "a Clear of a prefix counts as one of everything", test: "TestStatsOfGroups", edits: []edit{{
		old: "return &c.ClearPrefixes",
		new: "return &c.Clears"}}},
	{name: "the tags of a report aren't checked", test: "TestWireInquiryRefused", edits: []edit{{
		old: "if !delta.ValidTags(f.data) {",
		new: "if len(f.data) > delta.MaxRecordSize {"}}},
	{name: "page: an empty prefix clears everything", test: "TestClearSomeByMistake", edits: []edit{{
		old: "case byPrefix && prefix == \"\":",
		new: "case byPrefix && confirm == \"?\":"}}},

	// Log lines.
	{name: "log: fields take nothing", test: "TestFieldsAreBounded", edits: []edit{{
		old: "return fieldOverhead + size",
		new: "return 0"}}},
	{name: "log: who embeds a logger with fields isn't called", test: "TestLogrusEmbedded", edits: []edit{{
		old: "if !m.IsValid() || embedsWithFields(reflect.TypeOf(out)) {",
		new: "if !m.IsValid() {"}}},
	{name: "log: the peer is what tells lines apart", test: "TestMeshLinesHaveFields", edits: []edit{{
		old: "if !l.fields || slices.ContainsFunc(n.fields, same) {",
		new: "if n.fields = slices.DeleteFunc(n.fields, same); !l.fields {"}}},

	// Confirming.
	{name: "confirm: dots after a gap confirm what comes before it", edits: []edit{{
		old: "c.heard = now.Mono; from > 0 || to <= c.upTo",
		new: "c.heard = now.Mono; to <= c.upTo"}}},
	{name: "confirm: who claims more than there is is believed", test: "TestConfirmation", edits: []edit{{
		old: "to <= c.upTo || to > last {",
		new: "to <= c.upTo {"}}},
	{name: "confirm: what came since a node connected is enough", test: "TestCloseAfterAPartition", edits: []edit{{
		old: "return p.said.upTo >= seq || p.told && !p.joined && p.covered >= seq",
		new: "return p.said.upTo >= seq || p.covered >= seq"}}},
	{name: "confirm: what was said to an earlier life counts", test: "TestConfirmAsksNeighbours", edits: []edit{{
		old: "if a.ID == 0 || a.ID != p.said.id && a.ID != p.pingID {",
		new: "if false {"}}},
	{name: "confirm: another life has said what this one said", test: "TestConfirmAsksNeighbours", edits: []edit{{
		old: "p := c.neighbours.byID[peer]; p != nil && p.origin == origin {",
		new: "p := c.neighbours.byID[peer]; p != nil {"}}},
	{name: "confirm: what a node has said before it was gone counts", test: "TestConfirmAsksBeyond", edits: []edit{{
		old: "if b == nil || !b.since.Equal(since) {",
		new: "if b == nil {"}}},
	{name: "confirm: each one asks by itself", test: "TestConfirmTogether", edits: []edit{{
		old: "\tif !said.due(now) {\n\t\treturn\n\t}\n",
		new: "\tsaid.asked = now.Mono\n"}}},
	{name: "confirm: who isn't a neighbour doesn't pull", test: "TestConfirmPullsBeyond", edits: []edit{{
		old: "\t\t\tr.repair.gap(now, q.Origin) // others may have it\n",
		new: ""}}},
	{name: "confirm: a node that isn't ready knows who is there", test: "TestConfirmWaitsUntilReady", edits: []edit{{
		old: "b.peer.transport == nil, err == nil && len(missing) == 0:",
		new: "b.peer.transport == nil, len(missing) == 0:"}}},
	{name: "confirm: who is gone is waited for, and no moment longer", test: "TestPromiseOfConfirm", edits: []edit{{
		old: "p.transport.Everybody(p.goneFor + goneMore)",
		new: "p.transport.Everybody(p.goneFor)"}}},
	{name: "confirm: in vain, others don't answer", test: "TestConfirmInVain", edits: []edit{{
		old: "vain := ctx.Err() != nil",
		new: "vain := q.Writes() == 0"}}},
	{name: "close: who has said goodbye goes on serving", test: "TestCloseServesNothingAfterTheGoodbye", edits: []edit{{
		old: "\t\tp.replica.Drop() // who has said goodbye serves nothing any more\n\t\terr = errors.Join(err, p.transport.Close())\n",
		new: "\t\terr = errors.Join(err, p.transport.Close())\n\t\tp.replica.Drop()\n"}}},
	{name: "mesh: whose connection broke has said goodbye", test: "TestMeshEverybody$", edits: []edit{{
		old: "p.joined.addr, p.joined.closing.Load()}, false)",
		new: "p.joined.addr, true}, false)"}}},
	{name: "mesh: a node that is being admitted isn't there", test: "TestMeshEverybody$", edits: []edit{{
		old: "p := t.byID[id]\n\treturn p != nil && p.joined != nil",
		new: "p := t.byID[id]\n\treturn p != nil"}}},

	// The page for operators.
	{name: "page: values are shown to all", test: "TestZeroOptions", edits: []edit{{
		old: "if q.values && !h.opts.Values {",
		new: "if false {"}}},
	{name: "page: other sites may delete", test: "TestOtherSites", edits: []edit{{
		old: "if err := h.cross.Check(r); err != nil {",
		new: "if err := h.cross.Check(r); err != nil && r.Method == \"\" {"}}},
	{name: "page: what the hook refuses is done", test: "TestAuthorize", edits: []edit{{
		old: "if err := h.authorize(r, rt.action); err != nil {",
		new: "if err := h.authorize(r, rt.action); err != nil && rt.post {"}}},
	{name: "page: an older version counts as the newest", test: "TestSummary", edits: []edit{{
		old: "case h != nil && later(s.newest, h.Version):",
		new: "case h != nil && s.newest.IsZero():"}}},
	{name: "page: who has yet to hear of a write has something of its own", test: "TestSummary", edits: []edit{{
		old: "case own && h == nil && hasYetToHear(r, s.newest):",
		new: "case own && h == nil && r.Fills < 0:"}}},
	{name: "page: who has forgotten a write has yet to hear of it", test: "TestSummary", edits: []edit{{
		old: "v.IsZero() || !r.Floor.Before(v.Time) || !later(v, r.Clear)",
		new: "v.IsZero() || !later(v, r.Clear)"}}},
	{name: "page: beside a live record it is served", test: "TestSummary", edits: []edit{{
		old: "case h == nil || h.Kind == bcache.KeyDeleted || r.Isolated || expired(h, r.At):",
		new: "case h == nil || h.Kind != \"\":"}}},
	{name: "page: what grew long ago is told of for ever", test: "TestWarnings$", edits: []edit{{
		old: "gain(counter(&c.then.stats), counter(&c.now.stats))",
		new: "counter(&c.now.stats)"}}},
	{name: "page: a node that stops is something to act on", test: "TestWarnings$", edits: []edit{{
		old: "c.now.at.Sub(c.lately.at) >= settling && slices.Contains(c.lately.relayed, id)",
		new: "c.now.at.Sub(c.lately.at) >= settling && slices.Contains(c.now.relayed, id)"}}},
	{name: "page: forms don't say where they are from", test: "TestFormsOverPlainHTTP", edits: []edit{{
		old: "head.Set(\"Referrer-Policy\", \"same-origin\")",
		new: "head.Set(\"Referrer-Policy\", \"no-referrer\")"}}},

	// What the release before says.
	{name: "wire: a field has another number", test: "TestRecordedFrames", edits: []edit{{
		old: "heldCount = 20<<3 |",
		new: "heldCount = 22<<3 |"}}},
	{name: "wire: the hash that all share is another one", test: "TestRecordedSession", edits: []edit{{
		old: "return int(xxhash.Sum64String(key) % NumBuckets)",
		new: "return int(xxhash.Sum64String(key) >> 1 % NumBuckets)"}}},
	{name: "wire: the handshake tells the time in another unit", test: "TestMeshGoldenHandshake", edits: []edit{{
		old: "strconv.FormatInt(o.cfg.Now().UnixMilli(), 10)",
		new: "strconv.FormatInt(o.cfg.Now().UnixMicro(), 10)"}}},

	// Tokens.
	{name: "tokens: a gap counts as processed", test: "TestLacks$", edits: []edit{{
		old: "\tn := seq - s.Covered\n",
		new: "\tif seq <= s.Last() {\n\t\treturn 0\n\t}\n\tn := seq - s.Covered\n"}}},
	{name: "tokens: what a node knows nothing of counts as processed", test: "TestLacksWhatWasDropped", edits: []edit{{
		old: "\t\tif !s.vector.Knows(d.Origin) {\n\t\t\treturn nil, d.Origin\n",
		new: "\t\tif !s.vector.Knows(d.Origin) {\n\t\t\tcontinue\n"}}},
	{name: "tokens: a vector is adopted before all keys are touched", test: "TestAdoptionTouchesBeforeItCovers",
		edits: []edit{
			{old: "\tr.state.Store.TouchAll()\n\tr.state.touchAll(now, delta.Dot{})\n\tlatest",
				new: "\tlatest"},
			{old: "\tr.standing.ready.become(now)\n\tr.client.adopted",
				new: "\tr.state.Store.TouchAll()\n\tr.state.touchAll(now, delta.Dot{})\n\tr.standing.ready.become(now)\n\tr.client.adopted"}}},
	{name: "tokens: who waits isn't woken by frames", test: "TestTokenIsAwaited", edits: []edit{{
		old: "\t}\n\tp.awaits.Tell()\n",
		new: "\t}\n"}}},
	{name: "tokens: whatever comes in wakes all who wait", test: "TestAwaits", edits: []edit{{
		old: "(!known || (*of)[0].dot.Seq <= covered) {",
		new: "(!known || covered+1 > 0) {"}}},
	{name: "tokens: whose origin isn't known any more isn't told", test: "TestAwaits", edits: []edit{{
		old: "(!known || (*of)[0].dot.Seq <= covered) {",
		new: "(known && (*of)[0].dot.Seq <= covered) {"}}},
	{name: "tokens: who waits for one node isn't told that another isn't known any more", test: "TestAwaits",
		edits: []edit{{
			old: "\t\tif !x.state.vector.Knows(origin) {\n\t\t\tfor w := range of {",
			new: "\t\tif false && !x.state.vector.Knows(origin) {\n\t\t\tfor w := range of {"}}},
	{name: "tokens: those who wait aren't in the order of their dots", test: "TestAwaits", edits: []edit{{
		old: "return h[i].dot.Seq < h[j].dot.Seq }",
		new: "return h[i].dot.Seq > h[j].dot.Seq }"}}},

	// ClearTags while fills are under way.
	{name: "clears: who came after one gets what was read before", test: "TestClearsBetween", edits: []edit{{
		old: "return ld.result, ld.cleared == 0 || who.came < ld.cleared\n",
		new: "return ld.result, true\n"}}},
	{name: "clears: all of a tag have later callers join nothing", test: "TestClearTagsOf", edits: []edit{{
		old: "\tif _, ok := by.Tag(); ok {\n\t\treturn\n",
		new: "\tif false {\n"}}},
	{name: "clears: all are about what a fill brings", test: "TestClearTagsOfOthers", edits: []edit{{
		old: "\tcase ld.tagged:\n",
		new: "\tcase false:\n"}}},
	{name: "clears: a fill's number is that of its end", test: "TestClearsBetween", edits: []edit{{
		old: "\tf.judge(ld) // now",
		new: "\tld.clears = f.clears.Number()\n\tf.judge(ld) // now"}}},
	{name: "clears: who has to ask again comes anew", test: "TestClearTagsOfTheSame", edits: []edit{{
		old: "\t\tif r, ok := l.outcome(ctx, ld, who); ok {\n",
		new: "\t\tif r, ok := l.outcome(ctx, ld, l.cache.loads.Caller(who.Anew)); ok {\n"}}},
	{name: "clears: what a Fill doesn't find has no tags", test: "TestClearTagDuringAFill", edits: []edit{{
		old: "\t\tk.Brings(packed)\n",
		new: "\t\tk.Brings(packed[:0])\n"}}},
	{name: "clears: a key of a GetMany isn't asked for again", test: "TestClearTagDuringAFill", edits: []edit{{
		old: "\t\t\tif ok {\n\t\t\t\tput(key, r)\n",
		new: "\t\t\tif true {\n\t\t\t\tput(key, r)\n"}}},
	{name: "clears: what is forgotten was about nothing", test: "TestClearsFirst", edits: []edit{{
		old: "\tif c.forgotten.number > after {\n\t\treturn after + 1\n",
		new: "\tif false {\n\t\treturn after + 1\n"}}},
	{name: "leases: what a Clear has kept out is waited for", test: "TestLeaseWhatIsClearedIsNotAwaited",
		edits: []edit{{
			old: "return s.net.TakesAbove(a.Want.Key) > a.Want.Stamp }",
			new: "return false }"}}},
	{name: "leases: a Clear of a prefix doesn't say what isn't taken", test: "TestTakesAbove", edits: []edit{{
		old: "\t\tstamp = max(stamp, v.Stamp)\n",
		new: "\t\t_ = v\n"}}},

	// Asking anew.
	{name: "tokens: who asks anew joins a fill that has begun", test: "TestLoaderAnewJoinsNoOlderFill", edits: []edit{{
		old: "if !(r.Anew && ld.begun) && ld.Run.join() {",
		new: "if ld.Run.join() {"}}},
	{name: "tokens: who asks anew gets what is held", test: "TestLoaderAwaitsTokenInVain", edits: []edit{{
		old: "\tif k.Run.Anew {\n\t\treturn Result{}, false\n\t}\n",
		new: ""}}},
	{name: "tokens: who asks anew falls back on what is held", test: "TestLoaderAnewFails", edits: []edit{{
		old: "\t\tv = fill.VerdictFill // whatever is held\n",
		new: ""}}},
	{name: "tokens: who asks anew gets what the fence preferred", test: "TestLoaderAnewIsRefused", edits: []edit{{
		old: "\t\tif newer, ok := l.view.Live(k.Key); ok && !k.Run.Anew {\n\t\t\tk.",
		new: "\t\tif newer, ok := l.view.Live(k.Key); ok {\n\t\t\tk."}}},
	{name: "tokens: each Get of a request waits in vain", test: "TestLoaderAwaitsTokenInVain", edits: []edit{{
		old: "\tif c.vain.Load() {",
		new: "\tif false {"}}},
	{name: "tokens: who asks anew waits for a lease", test: "TestLoaderAnewTakesNoLease", edits: []edit{{
		old: "\tcase !k.loader.cfg.ClusterWide, k.Run.Anew:",
		new: "\tcase !k.loader.cfg.ClusterWide:"}}},

	// Isolation.
	{name: "isolation: what a neighbour says is lacking isn't waited for", edits: []edit{{
		old: "\t\tcase p.hearing.settled(h.state.vector):\n",
		new: "\t\tcase true:\n"}}},
	{name: "isolation: dots on their way don't count", test: "TestHearingYoungDots", edits: []edit{{
		old: "mine.minus(theirs, mine.Last())) == 0 {",
		new: "mine.minus(theirs, mine.overdue(theirs))) == 0 {"}}},
	{name: "isolation: what is arriving counts as processed", edits: []edit{{
		old: "owed := slices.Clone(ask.claims)\n",
		new: "owed := slices.Clone(ask.claims[:0])\n"}}},
	{name: "isolation: a word is as young as its answer", edits: []edit{{
		old: "i.note(word{peer, at})",
		new: "i.note(word{peer, now.Mono})"}}},
	{name: "isolation: any answer will do", edits: []edit{{
		old: "if !ok || !same || a.Flags&wire.PongExact == 0 || len(a.Lacks) > wire.MaxLacks {",
		new: "if !ok || !same || len(a.Lacks) > wire.MaxLacks {"}}},
	{name: "isolation: origins that aren't listed may differ", test: "TestHearingUnlistedOrigins", edits: []edit{{
		old: "if q.Flags&wire.PingExact != 0 && flags&wire.PongAll == 0 {",
		new: "if q.Flags&wire.PingExact != 0 {"}}},
	{name: "isolation: short suspensions make the bound longer", test: "TestIsolationShortSuspensions", edits: []edit{{
		old: "\t\ti.slept += jump\n",
		new: ""}}},
	{name: "isolation: a suspended machine is trusted", edits: []edit{{
		old: "jumped := i.looked && (jump > clockJump || jump < -clockJump)",
		new: "jumped := false"}}},
	{name: "isolation: what was asked before a suspension counts", test: "TestIsolationClockJumps", edits: []edit{{
		old: "if at < i.from || i.closed {",
		new: "if i.closed {"}}},
	{name: "isolation: one node counts twice", edits: []edit{{
		old: "return o.peer == w.peer })\n\tif at < 0 && len(i.heard)",
		new: "return false })\n\tif at < 0 && len(i.heard)"}}},
	{name: "isolation: local values live as long as others", edits: []edit{{
		old: "\tif rec.Deadline == 0 || rec.Deadline > ends {\n",
		new: "\tif false {\n"}}},
	{name: "isolation: local values may be stale for longer", test: "TestIsolationCutsDeadlines", edits: []edit{{
		old: "rec.StaleUntil = min(rec.StaleUntil, ends); ",
		new: ""}}},
	{name: "isolation: provisional values of before are served", edits: []edit{{
		old: "\ts.Epochs.next()\n\ts.Clears.Hide(hide)\n",
		new: "\ts.Clears.Hide(hide)\n"}}},
	{name: "isolation: what is found to be current is kept in a later epoch", test: "TestHide", edits: []edit{{
		old: "delta.Version{Stamp: epoch, Origin: rec.Origin}",
		new: "delta.Version{Stamp: k.Epochs.Now(), Origin: rec.Origin}"}}},
	{name: "isolation: stale values are served", test: "TestHide", edits: []edit{{
		old: "return !x.hidesLocked(c, e) && (!c.hidden.Load() || e.isProvisional())",
		new: "return !x.hidesLocked(c, e)"}}},
	{name: "isolation: an offer is accepted", test: "TestIsolationRefusesOffers", edits: []edit{{
		old: "return !x.writes.closed && !x.isolation.Is() && o.To",
		new: "return !x.writes.closed && o.To"}}},
	{name: "isolation: whoever comes joins an old fill", test: "TestIsolationForgetsFills", edits: []edit{{
		old: "\ti.forgot = now.Mono\n\ti.forget()\n",
		new: "\ti.forgot = now.Mono\n"}}},
	{name: "isolation: what fills bring is written", test: "TestIsolatedFills", edits: []edit{{
		old: "if x.isolation.Is() {\n\t\tif scope = FillBeside;",
		new: "if x.isolation.Is() {\n\t\tif scope = FillForAll;"}}},
	{name: "isolation: who has a Filler gets what is hidden", test: "TestIsolatedFills", edits: []edit{{
		old: "is(rec, ok) && !b.store.Clears.Hidden() {",
		new: "is(rec, ok) {"}}},
	{name: "isolation: leases are asked for", test: "TestLeaseIsolatedFillsAlone", edits: []edit{{
		old: "if s.none || s.net.Alone() || len(",
		new: "if s.none || len("},
		{old: "\tif s.net.Alone() {\n\t\ts.withdraw(now, a)\n\t\ts.goAlone(a)\n\t\treturn\n\t}\n",
			new: ""}}},
	{name: "isolation: an idle cluster isn't asked", test: "TestHearingIdle", edits: []edit{{
		old: "r.pinger.rounds.most = min(",
		new: "_ = min("}}},
	{name: "isolation: nobody is asked after a jump", test: "TestIsolatedAfterSuspension", edits: []edit{{
		old: "i.unasked, i.reached = false, now.Mono",
		new: "asks, i.unasked, i.reached = false, false, now.Mono"}}},
	{name: "isolation: nobody watches", test: "TestIsolatedNodeMisses", edits: []edit{{
		old: "\t\tp.wg.Go(p.watch)\n",
		new: ""}}},

	// Clears with selectors.
	{name: "Clears: a shard vouches for what was found before it was cleared", test: "TestReadersWhileAShardIsCleared", edits: []edit{
		{old: "v := viewOf(&s.Clears, e, by)",
			new: "v := viewOf(&s.Clears, e, sh.clearance.by.Load())"},
	}},
	{name: "Clears: readers remove what they find", test: "TestReadersDontClearMuch", edits: []edit{
		{old: "case len(due) <= numRecent && slices.ContainsFunc(due, sh.entries.tagged.has):",
			new: "case false:"},
	}},
	{name: "Clears: readers don't see that more came than are listed", test: "TestRecentClears", edits: []edit{
		{old: "if l.number-from >= numRecent {",
			new: "if l.number-from >= numRecent+1 {"},
	}},
	{name: "Clears: what others are about is spared by a list that is too short", test: "TestSpare", edits: []edit{
		{old: "l.number-by <= numRecent && e.Stamp",
			new: "l.number-by <= numRecent+1 && e.Stamp"},
	}},
	{name: "Clears: what is below a Clear of a prefix, or of all, is spared", test: "TestSpare", edits: []edit{
		{old: "e.Stamp > l.plain && ", new: ""},
	}},
	{name: "Clears: a provisional value is spared", test: "TestSpare", edits: []edit{
		{old: "l.plain && !e.isProvisional() &&", new: "l.plain &&"},
	}},
	{name: "Clears: half of a tag's bits spare an entry", test: "TestSpare", edits: []edit{
		{old: "return (a|-a)&(b|-b)>>63 != 0", new: "return a&b != 0"},
	}},
	{name: "Clears: who compares without the lock forgets the Clear of everything", edits: []edit{
		{old: "case !e.isProvisional() && (c.last.covers(e.Stamp) || c.hidden.Load()):",
			new: "case false:"},
	}},
	{name: "Clears: what is selected is judged by time", edits: []edit{
		{old: "} else if e.Stamp > x.Stamp {",
			new: "} else if delta.StampWall(e.Stamp) > x.Wall {"},
		{old: "\t\"sync/atomic\"\n)\n\n// A clearance",
			new: "\t\"sync/atomic\"\n\n\t\"github.com/iwanbk/bcache/internal/delta\"\n)\n\n// A clearance"},
	}},
	{name: "Clears: what comes late is taken", edits: []edit{
		{old: "case sh.Clears.coversSome(rec):",
			new: "case false:"},
	}},
	{name: "Clears: no floor stands for what comes late", edits: []edit{
		{old: "case sh.Clears.coversSome(rec):\n\t\to = outcomeCleared",
			new: "case sh.Clears.coversSome(rec):\n\t\treturn nil, outcomeCleared"},
	}},
	{name: "Clears: no floor stands for what goes", edits: []edit{
		{old: "sh.floors.raise(e.bucket(), e.Stamp)",
			new: "_ = e.bucket()", in: "func (x *clearance) removeLocked("},
	}},
	{name: "Clears: floors stay as they are when one is forgotten", edits: []edit{
		{old: "\traise(stamp)\n",
			new: "\t_ = stamp\n"},
	}},
	{name: "Clears: the floor of tags stays as it is when one is forgotten", test: "TestLateAfterClears", edits: []edit{
		{old: "\t\t\tc.RaiseTagFloor(e.Stamp)\n",
			new: ""},
	}},
	{name: "Clears: one is forgotten before all shards are cleared by it", edits: []edit{
		{old: "return due, sh.clearance.catchUpLocked(sh, sweepBatch) == sweepBatch",
			new: "return due, false"},
	}},
	{name: "Clears: a full sync loses them", edits: []edit{
		{old: "c.Selected, s.selected = clears,",
			new: "s.selected ="},
	}},
	{name: "Clears: a full sync loses the floor of tags", test: "TestSyncTagFloor", edits: []edit{
		{old: "s.Store.Clears.RaiseTagFloor(c.TagFloor)",
			new: "_ = c.TagFloor"},
	}},
	{name: "Clears: a full sync leaves what the floor of tags is about", test: "TestSyncTagFloor", edits: []edit{
		{old: "if !e.mark.is(number) {",
			new: "if false {"},
	}},
	{name: "Clears: a full sync drops what has tags, though the server has it", test: "TestSyncKeepsTagged", edits: []edit{
		{old: "if !e.mark.is(number) {",
			new: "if e.mark != mark(number) {"},
	}},
	{name: "Clears: what a fill brings is kept though its tag was cleared meanwhile", edits: []edit{
		{old: "case !x.state.untouched(f) || x.state.clearedSince(f, rec):",
			new: "case !x.state.untouched(f):"},
		{old: "if x.writes.closed || !x.state.untouched(f) || x.state.clearedSince(f, rec) {",
			new: "if x.writes.closed || !x.state.untouched(f) {"},
	}},
	{name: "Clears: they leave provisional values", edits: []edit{
		{old: "if e.ofProvisional().isAfter(x.number) {",
			new: "if true {"},
	}},
	{name: "Clears: billions later they leave provisional values", test: "TestClearsOfLongAgo", edits: []edit{
		{old: "const unused = 64 - 40",
			new: "const unused = 64 - 32"},
	}},
	{name: "Clears: room for one more is made in one step", test: "TestClearRoomGoesInSteps", edits: []edit{
		{old: "r.next < end && !due; {",
			new: "r.next < end && (!due || true); {"},
	}},
	{name: "Clears: a shard is listed before it is cleared", test: "TestLiveClearsAShard", edits: []edit{
		{old: "for sh.clearance.catchUpLocked(sh, sweepBatch) == sweepBatch { // or each",
			new: "for false { // or each"},
	}},
	{name: "Clears: what others offer is accepted whatever was cleared", edits: []edit{
		{old: "s.Store.Clears.Known(&o.Rec, o.Seen, o.Knows)",
			new: "o.Seen > 0"},
	}},
	{name: "Clears: they are counted as one touch too early", edits: []edit{
		{old: "Touch: s.touches.Count + 1,",
			new: "Touch: s.touches.Count,"},
	}},
	{name: "Clears: what is forgotten is known to every fill that is offered", edits: []edit{
		{old: "if c.forgotten.Touch >= echo && c.forgotten.number > 0 {",
			new: "if false {"},
	}},
	{name: "Clears: what is forgotten came before every fill", edits: []edit{
		{old: "if f := &c.forgotten; f.number > number || f.number > 0 && f.At >= since {",
			new: "if f := &c.forgotten; f.number > number+1<<40 {"},
	}},
	{name: "Clears: a lag of the reads is no matter", edits: []edit{
		{old: "\tif f.settle == 0 { // what came",
			new: "\tif true { // what came"},
	}},
	{name: "Clears: one that is late is none if it is older than another one of its tag", edits: []edit{
		{old: "\tif held == x.Version {\n\t\treturn false",
			new: "\tif !held.Less(x.Version) {\n\t\treturn false"},
	}},
	{name: "Clears: the last that came counts, whatever its version", edits: []edit{
		{old: "\tif held.Less(x.Version) {\n\t\tif _, known",
			new: "\tif held != x.Version {\n\t\tif _, known"},
	}},
	{name: "Clears: Gets compare with the Clear of everything only", edits: []edit{
		{old: "max(c.last.stamp.Load(), c.newest.Stamp)\n",
			new: "c.last.stamp.Load()\n"},
	}},
	{name: "Clears: what has no tags is no matter of a prefix either", edits: []edit{
		{old: "max(c.last.stamp.Load(), c.prefixed), max(",
			new: "c.last.stamp.Load(), max("},
	}},
	{name: "Clears: a subscriber is told of what was written before, and told of after", test: "TestGroupsEventsAfterClears", edits: []edit{
		{old: "return w.store.Clears.Covers(&rec)",
			new: "return w.store.Clears.All().Stamp >= rec.Stamp"},
	}},
	{name: "Clears: a prefix leaves tombstones", test: "TestLateAfterClears", edits: []edit{
		{old: "if n < most && p.above(t.key, t.Stamp) {",
			new: "if false {"},
	}},
	{name: "Clears: of many of one tag the last one counts", test: "TestManyClearsOfOneTag", edits: []edit{
		{old: "\t\tif e.Version.Less(each[i].Version) {\n\t\t\te.Version",
			new: "\t\tif false {\n\t\t\te.Version"},
	}},

	// What the tests of nodes in processes rest on.
	{name: "rounds in which a node wasn't asked aren't noted", test: "TestProbeSummary", edits: []edit{{
		old: "if n >= 0 && runs[n].To+1 < r.From {",
		new: "if false {"}}},
	{name: "a process doesn't tell of errors", test: "TestProcesses", edits: []edit{{
		old: "\tif err != nil {\n\t\ta.Err = err.Error()\n",
		new: "\tif err != nil {\n", in: "func Reply("}}},
}

// touchOnlyIf has a write end a provisional value, and be noted by fills, only under a condition;
// held and ok are what is held of its key.
func touchOnlyIf(condition string) edit {
	return edit{old: "\tgone := sh.touchLocked(now.Wall, hash, rec.Key)\n",
		new: "\tvar gone *Entry\n\tif _, held, ok := sh.heldLocked(hash, rec.Key); " + condition + " {\n" +
			"\t\tgone = sh.touchLocked(now.Wall, hash, rec.Key)\n\t}\n"}
}
