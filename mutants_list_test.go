package bcache_test

// The bugs that TestMutants plants.
var mutants = []mutant{
	// The merge.
	{name: "a tie keeps what is held", edits: []edit{{"cache.go",
		"if ok && !held.less(rec.version) {\n\t\tif held", "if ok && held.stamp >= rec.stamp {\n\t\tif held"}}},
	{name: "an older version replaces a newer one", edits: []edit{{"cache.go",
		"if ok && !held.less(rec.version) {\n\t\tif held", "if ok && held == rec.version {\n\t\tif held"}}},
	{name: "a forget compares stamps only", edits: []edit{{"cache.go",
		"if ok && !held.less(rec.version) {\n\t\tif held", "if ok && (!held.less(rec.version) || rec.kind == kindForget && held.stamp == rec.stamp) {\n\t\tif held"}}},
	{name: "a Merge changes its operand", test: "FrameBatch|Merge", edits: []edit{{"mesh_frames.go",
		"m := &frameBatch{count: b.count, own: b.own, frames: b.frames, size: b.size}", "m := b"}}},
	{name: "decoded strings alias the frame", edits: []edit{
		{"wire_read.go", "val:         string(r.val),", "val:         unsafe.String(unsafe.SliceData(r.val), len(r.val)),"},
		{"wire_read.go", "import (\n\t\"fmt\"", "import (\n\t\"unsafe\"\n\t\"fmt\""}}},
	{name: "the TTL is taken as what remains", edits: []edit{{"receive.go",
		"\tif rec.kind == but", "\tif rec.deadline != 0 {\n\t\trec.deadline += max(now.wall-stampWall(rec.stamp), 0)\n\t}\n\tif rec.kind == but"}}},
	{name: "what arrives expired is ignored", edits: []edit{{"cache.go",
		"case rec.ended(now.wall):\n\t\to = outcomeExpired", "case rec.ended(now.wall):\n\t\treturn nil, outcomeExpired"}}},
	{name: "the clock doesn't follow accepted stamps", edits: []edit{{"receive.go",
		"\tr.clock.observe(rec.stamp)\n\tif", "\tif"}}},

	// Forgetting.
	{name: "no floor after an eviction", edits: []edit{{"evict.go",
		"s.endLocked(sh, e, EventEvict)\n\ts.evictions.Add(1)", "s.unlinkLocked(sh, e)\n\ts.evictions.Add(1)"}}},
	{name: "no floor after an expiry", edits: []edit{{"evict.go",
		"\ts.endLocked(sh, e, EventExpire)\n", "\ts.unlinkLocked(sh, e)\n"}}},
	{name: "no floor after a tombstone was collected", edits: []edit{{"evict.go",
		"s.forgetLocked(sh, t.key, t.version)\n\t\ts.tombsCollected.Add(1)", "s.removeLocked(sh, t.key)\n\t\ts.tombsCollected.Add(1)"}}},
	{name: "floors aren't asked", edits: []edit{{"cache.go",
		"if !ok && rec.stamp <= s.floorOf(int(hash%numBuckets)) {", "if false {"}}},
	{name: "one entry too many", edits: []edit{{"evict.go",
		"return s.entries.Load()+n <= int64(s.maxKeys) &&", "return s.entries.Load()+n <= int64(s.maxKeys)+1 &&"}}},

	// Fills.
	{name: "a fill is stamped when it ends", edits: []edit{{"fill.go",
		"rec.version = version{f.stamp, r.origin}\n\tat :=", "rec.version = version{r.clock.tick(now.wall), r.origin}\n\tat :="}}},
	{name: "a fill trusts other clocks", edits: []edit{{"fill.go",
		"lag += r.maxSkew", "lag += 0"}}},
	{name: "a fill that reads behind commits isn't stamped back", edits: []edit{{"fill.go",
		"lag := ceilMs(settle)", "lag := ceilMs(settle) * 0"}}},

	{name: "the fence is ignored by a refresh", edits: []edit{{"fill.go",
		"\trec.version = version{f.stamp, r.origin}\n\tat :=", "\trec.version = version{f.stamp, r.origin}\n\tif held, ok := r.store.peek(rec.key); ok && (held.expired(now.wall) || held.refreshFrom != 0) {\n\t\tr.mu.Lock()\n\t\trec.version = version{r.clock.tick(now.wall), r.origin}\n\t\tr.mu.Unlock()\n\t}\n\tat :="}}},
	{name: "a negative entry survives a Set", edits: []edit{{"cache.go",
		"if ok && !held.less(rec.version) {\n\t\tif held", "if ok && (!held.less(rec.version) || e != nil && e.kind == kindNegative && rec.kind == kindValue) {\n\t\tif held"}}},
	{name: "the stale time moves", edits: []edit{{"receive.go",
		"\tif rec.kind == but", "\tif rec.staleUntil != 0 {\n\t\trec.staleUntil += max(now.wall-stampWall(rec.stamp), 0)\n\t}\n\tif rec.kind == but"}}},
	{name: "a stale value is swept at its deadline", test: "TestLoaderStaleFor$", edits: []edit{{"cache.go",
		"end := e.end()", "end := e.deadline"}}},
	{name: "a stale value is fresh", edits: []edit{{"store_load.go",
		"at := e.deadline\n", "at := e.end()\n"}}},
	{name: "a hit of a Loader is no use of its entry", test: "TestStoreSecondChance", edits: []edit{{"store_load.go",
		"case e.stamp > s.clearStamp.Load() && s.noteUse(e):", "case e.stamp > s.clearStamp.Load() && s.near(e):"}}},
	{name: "what is too stale is back when the clock is set back", test: "TestLoaderClockIsSetBack", edits: []edit{{"store_load.go",
		"\t\ts.expireLocked(sh, e)\n", ""}}},

	// Provisional fills: what ends them.
	{name: "provisional: a write that loses doesn't end it", edits: []edit{touchOnlyIf("!ok || held.less(rec.version)")}},
	{name: "provisional: a write that is refused doesn't end it", edits: []edit{
		touchOnlyIf("ok || held.stamp > 0 || rec.stamp > max(s.floorOf(at.bucket()), s.clearStamp.Load())")}},
	{name: "provisional: a forget doesn't end it", edits: []edit{touchOnlyIf("rec.kind != kindForget || ok && held.origin == 0")}},
	{name: "provisional: what arrives expired doesn't end it", edits: []edit{
		touchOnlyIf("!rec.ended(now.wall) || ok && held.origin == 0")}},
	{name: "provisional: what a full sync brings doesn't end it", edits: []edit{touchOnlyIf("rec.mark == 0 || ok && held.origin == 0")}},
	{name: "provisional: a local write doesn't end it", edits: []edit{touchOnlyIf("!local || ok && held.origin == 0")}},
	{name: "provisional: a remote write doesn't end it", edits: []edit{touchOnlyIf("local || ok && held.origin == 0")}},
	{name: "provisional: a write from the future doesn't end it", edits: []edit{{"cache.go",
		"\ts.tellGone(s.touchLocked(sh, hash, key), EventEvict)\n", ""}}},
	{name: "provisional: a Clear doesn't end it", edits: []edit{{"touch.go",
		"\tr.store.touchAll()\n", "\tif d == (dot{}) {\n\t\tr.store.touchAll()\n\t}\n"}}},
	{name: "provisional: a context that is adopted doesn't end it", edits: []edit{{"touch.go",
		"\tr.store.touchAll()\n", "\tif d != (dot{}) {\n\t\tr.store.touchAll()\n\t}\n"}}},
	{name: "provisional: it is served after its deadline", test: "TestProvisionalDeadline", edits: []edit{{"store_get.go",
		"p.kind == kindValue && p.livesAt(now) && s.noteUse(p)", "p.kind == kindValue && s.noteUse(p)"}}},
	{name: "provisional: it takes the tombstone's place", edits: []edit{{"cache.go",
		"\t\tif !e.provisional {\n\t\t\te.key = s.takeKeyLocked", "\t\t{\n\t\t\te.key = s.takeKeyLocked"}}},
	{name: "provisional: it is streamed", edits: []edit{{"store_sync.go",
		"\t\t\tcase e.provisional:", "\t\t\tcase e.provisional && e.key == \"\":"}}},

	// What keeps it from being kept.
	{name: "provisional: a write during the fill doesn't matter", edits: []edit{{"store_provisional.go",
		"if f != nil && f.touched ||", "if"}}},
	{name: "provisional: a Clear during the fill doesn't matter", edits: []edit{{"fill.go",
		"if f.epoch != r.store.epoch.Load() {", "if false {"}}},
	{name: "provisional: the next fill of the key forgets the touch", edits: []edit{{"store_provisional.go",
		"\tf.next = sh.fills[f.hash]\n", "\tf.next = sh.fills[f.hash]\n\tfor g := f.next; g != nil; g = g.next {\n\t\tg.touched = false\n\t}\n"}}},
	{name: "provisional: who comes after a write that loses joins a fill begun before", edits: []edit{{"touch.go",
		"\tr.changed(rec.key, rec.kind)\n", "\tif held, ok := r.store.peek(rec.key); !ok || held.version == rec.version {\n\t\tr.changed(rec.key, rec.kind)\n\t}\n"}}},
	{name: "provisional: what is touched within Settle before doesn't matter", edits: []edit{{"fill.go",
		"settled(time.Duration(r.touches.at[f.hash%numBuckets].Load()))", "f.settle > 0"}}},
	{name: "provisional: a Clear within Settle before doesn't matter", edits: []edit{{"fill.go",
		"settled(r.touches.all) && settled", "settled"}}},

	// What others accept.
	{name: "provisional: the echo as it is when the fill ends", edits: []edit{{"offer.go",
		"for _, e := range f.echoes {", "for _, e := range r.echoes(instant{}, 0) {"}}},
	{name: "provisional: echoes younger than Settle count", edits: []edit{{"echo.go", "if settle > 0 {", "if false {"}}},
	{name: "provisional: an offer for another life is accepted", test: "TestProvisionalOfAnotherLife", edits: []edit{{"offer.go",
		"if o.to != r.origin || !r.sees(o) {", "if !r.sees(o) {"}}},
	{name: "provisional: an echo of another life counts", test: "TestProvisionalOfAnotherLife", edits: []edit{{"echo.go", "\tif origin == p.origin {\n", "\tif origin != 0 {\n"}}},
	{name: "provisional: touches without a dot count as known", edits: []edit{{"touch.go", "\t\tg.old = count\n", ""}}},
	{name: "provisional: what has left the ring counts as known", test: "TestTouchRingLaws", edits: []edit{{"touch.go",
		"\tg.old = max(g.old, slot.count)\n", ""}}},
	{name: "provisional: the old count falls", test: "TestTouchRingLaws", edits: []edit{{"touch.go",
		"\tg.old = max(g.old, slot.count)\n", "\tg.old = slot.count\n"}}},
	{name: "provisional: the old count isn't compared with the echo", edits: []edit{{"touch.go",
		"\tif g.old >= echo {\n\t\treturn false\n\t}\n", ""}}},
	{name: "provisional: the ring isn't compared", edits: []edit{{"touch.go", "if t.count >= echo && !contains(dots, t.dot) {", "if t.count >= echo && false {"}}},
	{name: "provisional: Clears aren't compared", edits: []edit{{"offer.go", "r.touches.clears.known(o.seen, o.dots) &&", "true &&"}}},
	{name: "provisional: its deadline is renewed where it is accepted", edits: []edit{{"offer.go",
		"\to.rec.origin = o.origin\n", "\to.rec.origin = o.origin\n\tif o.rec.deadline != 0 {\n\t\to.rec.deadline = now.wall + 500\n\t}\n"}}},
	{name: "provisional: it is made a write", edits: []edit{{"offer.go",
		"\t\tr.changed(o.rec.key, o.rec.kind)\n", "\t\tr.write(now, &record{key: o.rec.key, val: o.rec.val}, placeOf(&o.rec))\n"}}},

	// Leases.
	{name: "a lease is granted twice without a fault", edits: []edit{{"lease.go",
		"case l.held(now) && l.holder.peer != from:", "case l.held(now) && l.holder.peer != from && len(l.queue) > 0:"}}},
	{name: "who gets no answer about a lease waits for ever", edits: []edit{{"lease_ask.go",
		"\t\tcase 0, turnFilled:", "\t\tcase turnFilled:"}}},
	{name: "a lease of a fill that nobody wants any more stays", test: "TestLeaseIsDeclined", edits: []edit{{"lease_ask.go",
		"if m.op == turnGranted { // it is waited for elsewhere", "if m.op == turnGranted && false {"}}},

	// Context and log.
	{name: "the context advances over a gap", edits: []edit{{"dots.go",
		"if seq == s.covered+1 {\n\t\ts.covered = seq\n\t\ts.absorb()", "if seq > s.covered {\n\t\ts.covered = seq\n\t\ts.absorb()"}}},
	{name: "the context has a dot before the store has it", edits: []edit{
		{"replica.go", "\tif r.store.applyAt(now, rec, true, at) != outcomeApplied {", "\tif r.late = append(r.late, *rec); false {"},
		{"replica.go", "\tsynced      bool\n", "\tsynced      bool\n\tlate        []record\n"},
		{"replica.go", "\tr.ctx.settle()\n", "\tr.ctx.settle()\n\tfor _, rec := range r.late {\n\t\tr.store.apply(now, &rec, true)\n\t}\n\tr.late = nil\n"}}},
	{name: "what is refused isn't logged", edits: []edit{{"receive.go",
		"\tr.log.put(d.origin, seq, rec)\n", "\tif held, ok := r.store.peek(rec.key); ok && held.version == rec.version {\n\t\tr.log.put(d.origin, seq, rec)\n\t}\n"}}},
	{name: "a write from the future is applied", edits: []edit{{"receive.go",
		"return stamp > stampOf(now.wall+r.maxSkew)|(1<<stampShift-1)", "return false"}}},
	{name: "a write from the future is covered", edits: []edit{{"receive.go",
		"\t\tr.giveUp(now, rec)\n\t\treturn false", "\t\tr.giveUp(now, rec)\n\t\treturn true"}}},
	{name: "what a write from the future replaces is served on", edits: []edit{{"receive.go",
		"\t\tr.n.refusedSkew++\n\t\tr.giveUp(now, rec)\n", "\t\tr.n.refusedSkew++\n"}}},
	{name: "a dot is used again after a restart", edits: []edit{{"sim_test.go",
		"origin: s.rng.Uint64() | 1,", "origin: uint64(1000 + id),"}}},

	// Repair.
	{name: "a lost tail isn't repaired", edits: []edit{{"dots.go",
		"return max(s.settled, t.last())", "return t.last()"}}},
	{name: "what lies beyond a gap isn't offered", edits: []edit{{"dots.go",
		"return append([]interval{{0, s.covered}}, s.ahead...)", "return []interval{{0, s.covered}}"}}},
	{name: "a repair skips what the log doesn't know", edits: []edit{{"pull.go",
		"\t\tif at != seq {\n\t\t\tcutFrame()\n\t\t\tseq = at\n\t\t}", "\t\tseq = at"}}},
	{name: "a repair doesn't say what is gone", edits: []edit{{"pull.go",
		"return record{key: slot.key, version: slot.version, kind: kindForget}", "return record{key: slot.key, version: version{1, slot.version.origin}, kind: kindForget}"}}},
	{name: "a repair sends what is held, whatever its version", test: "TestRepairSendsVeryVersions", edits: []edit{{"pull.go",
		"held, ok := r.store.peek(slot.key); ok && held.version == slot.version {", "held, ok := r.store.peek(slot.key); ok {"}}},
	{name: "a repair forgets Clear", edits: []edit{{"pull.go",
		"return record{version: slot.version, kind: kindClear}", "return record{version: slot.version, kind: kindForget}"}}},
	{name: "a node without a log of something asks nobody", edits: []edit{{"repair.go",
		"\t\t\t\tflags |= pongOld\n", "\t\t\t\tflags |= 0\n"}}},

	// Full sync.
	{name: "a full sync without floors", edits: []edit{{"store_sync.go",
		"if f := s.floorOf(b); f > after.stamp {", "if f := s.floorOf(b); f > after.stamp && false {"}}},
	{name: "floors that are read before the entries", edits: []edit{
		{"sync_out.go", "\thead syncChunk\n\n\t// flush's:", "\thead  syncChunk\n\tearly map[int][]bucketFloor\n\n\t// flush's:"},
		{"sync_out.go", "\treturn &syncOut{session: session,", "\tearly := map[int][]bucketFloor{}\n\tfor g := range r.store.groups() {\n\t\t_, _, early[g] = r.store.group(r.store.groups(), g)\n\t}\n\treturn &syncOut{early: early, session: session,"},
		{"sync_out.go", "c.clear, c.floors = out.clear, out.floors", "c.clear, c.floors = out.clear, out.early[int(c.group)]"}}},
	{name: "what wasn't streamed stays", edits: []edit{{"store_sync.go",
		"if !streamed.has(key) {", "if false {"}}},
	{name: "a full sync without Clear", edits: []edit{{"store_sync.go",
		"\tafter = s.clearVersion()\n", "\tafter = version{}\n"}}},
	{name: "an unsynced server", edits: []edit{
		{"sync_out.go", "return r.whole(now) && !r.closed &&", "return !r.closed &&"},
		{"sync_in.go", "func(p *peerState) bool { return p.synced && now.mono >= p.shy", "func(p *peerState) bool { return now.mono >= p.shy"}}},
	{name: "a server's gaps are taken as covered", edits: []edit{{"sync_in.go",
		"r.n.droppedIntervals += uint64(s.merge(&e.dotSet))", "r.n.droppedIntervals += uint64(s.merge(&dotSet{covered: e.last(), newest: e.newest}))"}}},
	{name: "what a server has beyond a gap isn't adopted", edits: []edit{{"sync_in.go",
		"r.n.droppedIntervals += uint64(s.merge(&e.dotSet))", "r.n.droppedIntervals += uint64(s.merge(&dotSet{covered: e.covered, newest: e.newest}))"}}},
	{name: "the context as it is when the session ends", edits: []edit{
		{"sync_out.go", "\t\tif out.group == groups {\n", "\t\tif out.group == groups {\n\t\t\tc.entries = out.now()\n"},
		{"sync_out.go", "\thead syncChunk\n\n\t// flush's:", "\thead syncChunk\n\tnow  func() []contextEntry\n\n\t// flush's:"},
		{"sync_out.go", "\treturn &syncOut{session: session,", "\treturn &syncOut{now: func() []contextEntry { r.mu.Lock(); defer r.mu.Unlock(); e, _ := r.ctx.list(longAgo); return e }, session: session,"},
		{"sync_in.go", "\tr.ask(now, 0)\n\tif c.flags&chunkLast", "\tr.ask(now, 0)\n\tif len(c.entries) > 0 {\n\t\tin.head.entries = c.entries\n\t}\n\tif c.flags&chunkLast"}}},
	{name: "chunks of another session are taken", test: "TestSyncIgnoresOtherSessions", edits: []edit{{"sync_in.go",
		"in.peer != from || in.session != c.session || in.applying", "in.peer != from || in.applying"}}},
	{name: "a lost chunk isn't noticed", edits: []edit{
		{"sync_in.go", "if c.number != in.next {", "if in.next = max(in.next, min(c.number, in.next+c.number)); c.number != in.next {"},
		{"sync_in.go", "if c.group != in.group || c.group", "if in.group = c.group; c.group"}}},
	{name: "a floor from the future is taken", test: "TestSyncFromTheFuture", edits: []edit{{"sync_in.go",
		"if r.future(now, f.stamp) {", "if r.future(now, f.stamp) && false {"}}},
	{name: "a sync with writes from the future counts", edits: []edit{{"sync_in.go",
		"\tif in.spoiled {\n\t\tr.abortSync", "\tif in.spoiled && false {\n\t\tr.abortSync"}}},
	{name: "what no session vouches for stays", test: "TestSyncDropsWhatNobodyVouchesFor", edits: []edit{{"store_sync.go",
		"\t\t\tdefault:\n\t\t\t\ts.forgetLocked(sh, e.key, e.version)\n\t\t\t\tdropped = append(dropped, e.key)", "\t\t\tdefault:\n\t\t\t\te.mark = 0"}}},

	// Departed origins.
	{name: "a horizon is taken over unseen", edits: []edit{{"context.go",
		"if h != c.horizon && c.printUpTo(h.stamp) != h.print {", "if false {"}}},
	{name: "what only this node knows behind a horizon isn't passed on", edits: []edit{{"sync_in.go",
		"\tif unique {\n", "\tif unique && false {\n"}}},
}

// touchOnlyIf has a write end a provisional value, and be noted by fills, only under a condition; held and
// ok are what is held of its key.
func touchOnlyIf(condition string) edit {
	return edit{"cache.go", "\tgone := s.touchLocked(sh, hash, rec.key)\n",
		"\tvar gone *entry\n\tif _, held, ok := sh.heldLocked(hash, rec.key); " + condition + " {\n" +
			"\t\tgone = s.touchLocked(sh, hash, rec.key)\n\t}\n"}
}
