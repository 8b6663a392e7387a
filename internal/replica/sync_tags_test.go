package replica

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// put sets a value with tags.
func (w *network) put(id uint64, key, val string, tags ...string) {
	w.t.Helper()
	packed, _ := delta.MakeTags(tags)
	testkit.Must(w.t, w.nodes[id].SetRecord(w.now, &delta.Record{Key: key, Val: val, Tags: packed}))
	w.now.Wall++
}

func (w *network) clear(id uint64, by delta.Selector) {
	w.t.Helper()
	testkit.Must(w.t, w.nodes[id].Clear(w.now, by))
	w.now.Wall++
}

// Who joins learns by the floor of tags of Clears that its server has forgotten: what it holds itself goes,
// and what is late is refused, also where the server has streamed an older record of the key. What no Clear
// was about comes, though it is older.
func TestSyncTagFloor(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true, func(c *Config) { c.Store.MaxClears = 1; c.Store.GroupKeys = 1 })
	w.add(2, false)
	w.set(1, "k", "old")
	w.set(1, "late", "old")
	for i := range 20 {
		w.put(1, fmt.Sprint("kept", i), "kept", "u")
	}
	w.put(2, "k", "own", "t")
	tags, _ := delta.MakeTags([]string{"t"})
	late := delta.Record{Key: "late", Val: "late", Tags: tags, Version: delta.Version{Stamp: delta.StampOf(w.now.Wall), Origin: 999}}
	w.now.Wall++
	w.clear(1, delta.SelectTag("t"))
	w.clear(1, delta.SelectTag("other")) // and the first is forgotten
	if st := &w.nodes[1].Store.Clears; st.TagFloor() == 0 || st.Len() != 1 {
		t.Fatalf("%d Clears are remembered, the floor of tags is %d", st.Len(), st.TagFloor())
	}
	w.connect(1, 2)
	w.pass(10 * time.Second)
	if n := w.nodes[2].repair.client.counts.SyncsReceived; n != 1 {
		t.Fatalf("%d full syncs", n)
	}
	w.misses(2, "k")
	for i := range 20 {
		w.holds(2, fmt.Sprint("kept", i), "kept")
	}
	frame := wire.AppendDelta(nil, 999, 1, []delta.Record{late})
	for id := range w.nodes {
		testkit.Must(t, w.nodes[id].Receive(w.now, 3-id, frame))
		w.misses(id, "late")
	}
}

// A full sync has all Clears that are remembered, however many, in frames that lines take.
func TestSyncManyClears(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true, func(c *Config) { c.Store.GroupKeys = 1000 })
	w.add(2, false)
	const n = 900
	long := strings.Repeat("p", delta.MaxPrefixLen-8)
	selector := func(i int) delta.Selector { return delta.SelectPrefix(fmt.Sprintf("%08d", i) + long) }
	for i := range n {
		w.set(2, fmt.Sprintf("%08d", i)+long, "own")
	}
	w.set(1, "large", strings.Repeat("v", delta.MaxRecordSize*4/5))
	w.now.Wall += 10
	for i := range n {
		w.clear(1, selector(i))
	}
	w.lost = func(_, _ uint64, frame []byte) bool {
		if len(frame) > wire.MaxFrame+wire.FrameSlack {
			t.Errorf("a frame of %d bytes", len(frame))
		}
		return false
	}
	w.connect(1, 2)
	w.pass(20 * time.Second)
	if c := w.nodes[2].repair.client.counts; c.SyncsReceived != 1 {
		t.Fatalf("%+v", c)
	}
	if got := w.nodes[2].Store.Clears.Len(); got != n {
		t.Errorf("%d Clears have come of %d", got, n)
	}
	for i := range n {
		w.misses(2, fmt.Sprintf("%08d", i)+long)
	}
	w.holds(2, "large", strings.Repeat("v", delta.MaxRecordSize*4/5))
}

// A Clear from the future isn't applied: whatever it selects, all that was written before is given up, once.
// When its time has come, it clears what it selects.
func TestFutureClearOfATag(t *testing.T) {
	w := newNetwork(t)
	r := w.add(1, true)
	w.put(1, "tagged", "old", "t")
	w.put(1, "other", "old")
	early := delta.Record{Key: string(delta.SelectTag("t")), Kind: delta.KindClear,
		Version: delta.Version{Stamp: delta.StampOf(w.now.Wall + 10_000), Origin: 999}}
	frame := wire.AppendDelta(nil, 999, 1, []delta.Record{early})
	for i := range 2 {
		if err := r.Receive(w.now, 2, frame); !errors.Is(err, ErrFuture) {
			t.Errorf("%v", err)
		}
		if r.Store.Clears.Len() != 0 || r.state.vector.Get(999).Has(1) {
			t.Error("it is applied")
		}
		if i == 0 {
			w.misses(1, "tagged")
			w.misses(1, "other")
			w.now.Wall += 2000
			w.put(1, "tagged", "new", "t")
			w.put(1, "other", "new")
		}
		w.holds(1, "tagged", "new") // and stays when it comes again
	}
	w.now.Wall += 10_000
	testkit.Must(t, r.Receive(w.now, 2, frame))
	w.misses(1, "tagged")
	w.holds(1, "other", "new")
}

// clearMany clears so many tags that most of these Clears are forgotten.
func (w *network) clearMany(id uint64, tags string) {
	for i := range 40 {
		w.clear(id, delta.SelectTag(fmt.Sprint(tags, i)))
	}
	if st := &w.nodes[id].Store.Clears; st.TagFloor() == 0 || st.Len() > 8 {
		w.t.Fatalf("%d Clears are remembered, the floor of tags is %d", st.Len(), st.TagFloor())
	}
}

func fewClears(c *Config) { c.LogSize, c.Store.MaxClears, c.Store.GroupKeys = 16, 8, 4 }

// A node that was cut off keeps what its server has streamed, whoever had told it of that before. What a
// forgotten Clear may have been about goes, where the server has something older.
func TestSyncKeepsTaggedThatItHad(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true, fewClears)
	w.add(2, false, fewClears)
	w.connect(1, 2)
	w.pass(5 * time.Second)
	keys := 0
	puts := func(by ...uint64) {
		for range 20 {
			for _, id := range by {
				keys++
				w.put(id, fmt.Sprint("kept", keys), "v", "u", "v")
			}
		}
	}
	puts(1, 2)
	w.put(1, "cleared", "v", "x5")
	w.set(1, "rewritten", "old")
	w.pass(5 * time.Second)
	w.nodes[1].Left(w.now, 2)
	w.nodes[2].Left(w.now, 1)
	puts(1)
	w.put(2, "rewritten", "new", "x5")
	w.clearMany(1, "x")
	puts(1)
	before := w.nodes[2].repair.client.counts.SyncsReceived
	w.connect(1, 2)
	w.pass(20 * time.Second)
	if n := w.nodes[2].repair.client.counts.SyncsReceived - before; n != 1 {
		t.Fatalf("%d full syncs", n)
	}
	for i := range keys {
		for id := range w.nodes {
			w.holds(id, fmt.Sprint("kept", 1+i), "v")
		}
	}
	w.misses(2, "cleared")
	w.misses(2, "rewritten")
}

// A node that joins keeps what is streamed to it, also if the dot of that comes meanwhile, by another
// way.
func TestSyncKeepsTaggedThatComesTwice(t *testing.T) {
	const n = 60
	for _, first := range []string{"the dot", "the stream"} {
		t.Run(first, func(t *testing.T) {
			w := newNetwork(t)
			w.add(1, true, fewClears)
			seqs, recs := map[string]uint64{}, map[string]delta.Record{}
			for i := range n {
				key := fmt.Sprint("kept", i)
				w.put(1, key, "v", "u")
				seqs[key], recs[key] = w.nodes[1].state.seq, peek(w.nodes[1], key)
			}
			w.clearMany(1, "x")
			r := w.add(3, false, fewClears)
			w.connect(1, 3)
			told := 0
			for w.step() {
				for key := range seqs {
					_, held := r.Store.Peek(key)
					if r.repair.client.session == nil || held != (first == "the stream") {
						continue
					}
					frame := wire.AppendDelta(nil, 101, seqs[key], []delta.Record{recs[key]})
					testkit.Must(t, r.Receive(w.now, 1, frame))
					delete(seqs, key)
					told++
				}
			}
			w.pass(5 * time.Second)
			if c := r.repair.client.counts; c.SyncsReceived != 1 || c.SyncsFailed != 0 || told < n/2 {
				t.Fatalf("%+v, %d dots came meanwhile", c, told)
			}
			for i := range n {
				w.holds(3, fmt.Sprint("kept", i), "v")
			}
		})
	}
}

func peek(r *Replica, key string) delta.Record {
	rec, _ := r.Store.Peek(key)
	return rec
}

// Sessions that don't end leave marks. When their numbers begin anew nothing of one before is taken for
// streamed.
func TestSyncMarksBeginAnew(t *testing.T) {
	w, r := joining(t)
	if mark := peek(r, "k00").Mark; mark != 1 {
		t.Fatalf("mark %d", mark)
	}
	w.kill(1)
	r.repair.client.mark = store.MaxMark
	w.connect(2, 3)
	w.pass(5 * time.Second)
	if !r.standing.ready.synced || r.repair.client.mark != 1 {
		t.Fatalf("synced %v, mark %d", r.standing.ready.synced, r.repair.client.mark)
	}
	if held := peek(r, "k00"); held.Val == "unique" {
		t.Error("node 3 holds what only the dead node had")
	}
	w.holds(3, "k01", "two")
}

// Also where the session with the first of these numbers never begins, as the other node refuses it, or
// nothing comes of it.
func TestSyncMarksBeginAnewWithALaterSession(t *testing.T) {
	w, r := joining(t)
	w.kill(1)
	w.now.Wall++
	left := delta.Record{Key: "left", Val: "unique", Mark: 2} // by the second session
	left.Version = delta.Version{Stamp: delta.StampOf(w.now.Wall), Origin: 101}
	r.Store.Apply(w.now, &left, false)
	r.repair.client.mark = store.MaxMark
	w.lost = func(from, _ uint64, _ []byte) bool {
		return from == 2 && r.repair.client.session != nil && r.repair.client.mark == 1
	}
	w.connect(2, 3)
	w.pass(SyncStall + 20*time.Second)
	if !r.standing.ready.synced || r.repair.client.mark != 2 {
		t.Fatalf("synced %v, mark %d", r.standing.ready.synced, r.repair.client.mark)
	}
	w.misses(3, "left")
	w.holds(3, "k01", "two")
}
