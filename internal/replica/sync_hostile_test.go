package replica

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// A node that takes part and means harm, or is broken, can lie about what it holds. It must not
// take another one's memory, nor hold it up for ever.

const hostilePeer, hostileOrigin = 7, 107

// A hostileRig is a replica and the node that it talks to, played by the test.
type hostileRig struct {
	*testing.T
	*Replica
	now delta.Instant
}

func newHostileRig(t *testing.T, edit func(*Config)) *hostileRig {
	c := Config{
		ID: 1, Origin: 101, MaxSkew: 500 * time.Millisecond, LogSize: 1024, SyncTimeout: time.Hour,
		Wake: func() {}, Changed: func(string, delta.Kind) {},
		Store: store.Config{MaxKeys: 1000, DeletionDelay: time.Hour},
	}
	if edit != nil {
		edit(&c)
	}
	h := &hostileRig{t, New(c), delta.Instant{Wall: testkit.Wall, Mono: time.Second}}
	h.Joined(h.now, hostilePeer, hostileOrigin)
	return h
}

// get delivers a frame.
func (h *hostileRig) get(frame []byte) error { return h.Receive(h.now, hostilePeer, frame) }

func (h *hostileRig) pass(d time.Duration) {
	h.now.Mono += d
	h.now.Wall += d.Milliseconds()
	h.tend(h.now)
}

// sayHello has the peer say that it is synced.
func (h *hostileRig) sayHello(hor dots.Horizon) {
	if err := h.get(wire.AppendPing(nil, wire.Ping{ID: 1, Origin: hostileOrigin, Flags: wire.PingContext | wire.PingAll | wire.PingSynced, Horizon: hor})); err != nil {
		h.Fatal(err)
	}
}

// beSynced returns the session that the replica begins then.
func (h *hostileRig) beSynced(hor dots.Horizon) uint64 {
	if h.sayHello(hor); h.repair.client.session == nil {
		h.Fatal("no full sync begins")
	}
	return h.repair.client.session.id
}

// What doesn't follow from the chunks before ends the session.
func TestSyncChunksThatMakeNoSense(t *testing.T) {
	rec := delta.Record{Key: "k", Val: "v", Version: delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: hostileOrigin}}
	done := wire.SyncChunk{Flags: wire.ChunkDone}
	for name, c := range map[string]struct {
		chunks []wire.SyncChunk // after a head with 2 groups
		ok     bool
	}{
		"both groups":             {[]wire.SyncChunk{done, {Flags: wire.ChunkDone | wire.ChunkLast, Group: 1}}, true},
		"other groups than first": {[]wire.SyncChunk{{Flags: wire.ChunkDone, Groups: 8}, {Flags: wire.ChunkDone | wire.ChunkLast, Group: 1}}, true},
		"in two parts":            {[]wire.SyncChunk{{Records: []delta.Record{rec}}, done, {Flags: wire.ChunkDone | wire.ChunkLast, Group: 1}}, true},
		"the second group first":  {[]wire.SyncChunk{{Flags: wire.ChunkDone, Group: 1}}, false},
		"a group too many":        {[]wire.SyncChunk{done, {Flags: wire.ChunkDone, Group: 1}}, false},
		"a group that isn't":      {[]wire.SyncChunk{{Flags: wire.ChunkDone, Group: 2}}, false},
		"back to the first":       {[]wire.SyncChunk{done, {Flags: wire.ChunkDone}}, false},
		"the last too early":      {[]wire.SyncChunk{{Flags: wire.ChunkDone | wire.ChunkLast}}, false},
		"a floor of another":      {[]wire.SyncChunk{{Flags: wire.ChunkDone, Floors: []delta.BucketFloor{{Bucket: 1, Stamp: 1}}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostileRig(t, nil)
			session := h.beSynced(dots.Horizon{})
			var err error
			for i, chunk := range append([]wire.SyncChunk{{Groups: 2}}, c.chunks...) {
				if err != nil {
					t.Fatalf("chunk %d: %v", i-1, err)
				}
				chunk.Session, chunk.Number = session, uint64(i)
				err = h.get(wire.AppendChunk(nil, &chunk))
			}
			if c.ok && (err != nil || !h.standing.ready.synced || h.repair.client.counts.SyncsReceived != 1) {
				t.Errorf("synced: %v, %v", h.standing.ready.synced, err)
			}
			if !c.ok && (!errors.Is(err, wire.ErrMalformed) || h.standing.ready.synced || h.repair.client.counts.SyncsFailed != 1) {
				t.Errorf("synced: %v, %d failed, %v", h.standing.ready.synced, h.repair.client.counts.SyncsFailed, err)
			}
		})
	}
}

// However many keys are streamed in a group, and however long: they aren't kept.
func TestSyncStreamedKeysAreBounded(t *testing.T) {
	h := newHostileRig(t, func(c *Config) { c.Store.MaxKeys, c.LogSize = 10, 1 })
	session := h.beSynced(dots.Horizon{})
	if err := h.get(wire.AppendChunk(nil, &wire.SyncChunk{Session: session, Groups: 1})); err != nil {
		t.Fatal(err)
	}
	before := testkit.Heap()
	key := strings.Repeat("k", delta.MaxRecordSize/2)
	for i := range 200 {
		rec := delta.Record{Key: fmt.Sprint(i, key), Version: delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: hostileOrigin}}
		if err := h.get(wire.AppendChunk(nil, &wire.SyncChunk{Session: session, Number: uint64(i + 1), Records: []delta.Record{rec}})); err != nil {
			t.Fatal(err)
		}
	}
	h.Flush(h.now)
	if grown := testkit.Heap() - before; grown > 20*delta.MaxRecordSize/2 {
		t.Errorf("200 keys of 512 KiB, 10 of which are held, take %d KiB", grown>>10)
	}

	h.repair.client.session.records = syncGroup // and all the same key, for ever
	for i := range 2 {
		if h.repair.client.session == nil || h.repair.client.session.id != session {
			t.Fatalf("given up after %d chunks", i)
		}
		_ = h.get(wire.AppendChunk(nil, &wire.SyncChunk{Session: session, Number: uint64(201 + i), Records: []delta.Record{{Key: key, Version: delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: hostileOrigin}}}}))
	}
	if h.repair.client.counts.SyncsFailed != 1 {
		t.Error("a group has no end")
	}
}

// A server that sends just enough to look alive is given up; later and later, as it may be honest.
func TestSyncPatience(t *testing.T) {
	h := newHostileRig(t, nil)
	next := func() uint64 {
		for range 5 {
			h.pass(time.Second)
			h.sayHello(dots.Horizon{})
		}
		return h.beSynced(dots.Horizon{})
	}
	for _, patience := range []time.Duration{syncPatience, 2 * syncPatience} {
		session, began := next(), h.now.Mono
		for n := uint64(0); h.repair.client.session != nil && h.repair.client.session.id == session; n++ {
			c := wire.SyncChunk{Session: session, Number: n, Groups: 1}
			if n > 0 {
				c.Records = []delta.Record{{Key: fmt.Sprint(n), Version: delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: hostileOrigin}}}
			}
			if err := h.get(wire.AppendChunk(nil, &c)); err != nil {
				t.Fatal(err)
			}
			if h.pass(SyncStall - time.Second); h.now.Mono-began > 2*patience {
				t.Fatalf("it isn't given up after %v", h.now.Mono-began)
			}
		}
		if took := h.now.Mono - began; took < patience-SyncStall || took > patience+SyncStall {
			t.Errorf("it is given up after %v", took)
		}
	}
	session := next()
	for i, c := range []wire.SyncChunk{{Groups: 1}, {Flags: wire.ChunkDone | wire.ChunkLast}} {
		c.Session, c.Number = session, uint64(i)
		if err := h.get(wire.AppendChunk(nil, &c)); err != nil {
			t.Fatal(err)
		}
	}
	if !h.standing.ready.synced || h.repair.client.limit != syncPatience {
		t.Errorf("synced: %v, patience %v", h.standing.ready.synced, h.repair.client.limit)
	}
}

// A context from the future spoils no full sync: its dots are taken over, and its stamps as the latest
// that aren't from the future. By pings and pongs it isn't taken over at all.
func TestSyncContextFromTheFuture(t *testing.T) {
	soon, late := delta.StampOf(testkit.Wall+400), delta.StampOf(testkit.Wall+600)
	latest := delta.StampOf(testkit.Wall+500) | (1<<delta.StampShift - 1)
	of := func(newest uint64) []dots.Entry {
		return []dots.Entry{{Origin: 5, Set: dots.Set{Covered: 1, Newest: newest}}}
	}
	for name, c := range map[string]struct {
		head            wire.SyncChunk
		horizon, newest uint64
	}{
		"horizon":        {wire.SyncChunk{Horizon: dots.Horizon{Stamp: late, Print: 1}}, latest, 0},
		"horizon 2^63":   {wire.SyncChunk{Horizon: dots.Horizon{Stamp: delta.MaxStamp, Print: 1}}, latest, 0},
		"horizon, soon":  {wire.SyncChunk{Horizon: dots.Horizon{Stamp: soon, Print: 1}}, soon, 0},
		"an origin":      {wire.SyncChunk{Entries: of(late)}, 0, latest},
		"an origin 2^63": {wire.SyncChunk{Entries: of(delta.MaxStamp)}, 0, latest},
		"an origin, now": {wire.SyncChunk{Entries: of(soon)}, 0, soon},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostileRig(t, nil)
			session := h.beSynced(dots.Horizon{})
			c.head.Groups = 1
			for i, c := range []wire.SyncChunk{c.head, {Flags: wire.ChunkDone | wire.ChunkLast}} {
				c.Session, c.Number = session, uint64(i)
				if err := h.get(wire.AppendChunk(nil, &c)); err != nil {
					t.Fatal(err)
				}
			}
			if s := h.state.vector.Get(5); !h.standing.ready.synced || h.state.vector.Horizon.Stamp != c.horizon || s.Newest != c.newest {
				t.Errorf("synced: %v, horizon %+v, %+v", h.standing.ready.synced, h.state.vector.Horizon, s)
			}
		})
	}
	t.Run("ping", func(t *testing.T) {
		h := newHostileRig(t, func(c *Config) { c.First = true })
		sum := h.state.vector.PrintUpTo(delta.MaxStamp)
		for _, hor := range []dots.Horizon{{Stamp: delta.MaxStamp, Print: sum}, {Stamp: delta.MaxStamp, Print: sum + 1}, {Stamp: late, Print: sum}} {
			if err := h.get(wire.AppendPing(nil, wire.Ping{ID: 1, Origin: hostileOrigin, Flags: wire.PingContext | wire.PingSynced, Horizon: hor})); err != nil {
				t.Fatal(err)
			}
			if err := h.get(wire.AppendPong(nil, wire.Pong{ID: 1, Origin: hostileOrigin, Horizon: hor})); err != nil {
				t.Fatal(err)
			}
			if h.state.vector.Horizon != (dots.Horizon{}) || h.neighbours.byID[hostilePeer].diverged || h.repair.client.session != nil {
				t.Errorf("%+v: horizon %+v, apart: %v", hor, h.state.vector.Horizon, h.neighbours.byID[hostilePeer].diverged)
			}
		}
	})
}

// A requester that only says that it is still there doesn't keep its place.
func TestSyncServingEnds(t *testing.T) {
	h := newHostileRig(t, func(c *Config) { c.First, c.chunkBytes = true, 1 })
	for i := range 20 {
		if err := h.Set(h.now, fmt.Sprint(i), "v", 0); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(next, flags uint64) int {
		if err := h.get(wire.AppendAsk(nil, wire.SyncAsk{Session: 9, Next: next, Flags: flags})); err != nil {
			t.Fatal(err)
		}
		h.Flush(h.now)
		h.pass(time.Second)
		return len(h.server.sessions)
	}
	for i := range 20 {
		if ask(uint64(i), 0) != 1 {
			t.Fatalf("forgotten after %d chunks", i)
		}
	}
	for range syncForget/time.Second - 1 {
		if ask(19, wire.AskAgain) != 1 {
			t.Fatal("forgotten too early")
		}
	}
	if ask(19, wire.AskAgain); ask(19, wire.AskAgain) != 0 {
		t.Error("a session without progress isn't forgotten")
	}
}

// A context that was taken over may have any number of dots; what the log has of them is found.
func TestPullOfAHugeContext(t *testing.T) {
	h := newHostileRig(t, func(c *Config) { c.First = true })
	for i, seq := range []uint64{3, 1 << 40, 1<<62 - 1} {
		rec := delta.Record{Key: fmt.Sprint(i), Kind: delta.KindTombstone, Version: delta.Version{Stamp: delta.StampOf(testkit.Wall) + uint64(i), Origin: 5}}
		h.state.log.Put(5, seq, &rec)
	}
	h.state.vector.Origins[5] = &dots.Set{Covered: 1 << 62, Settled: 1 << 62, Newest: delta.MaxStamp}
	if err := h.get(wire.AppendPing(nil, wire.Ping{ID: 1, Origin: hostileOrigin, Flags: wire.PingContext | wire.PingAll})); err != nil {
		t.Fatal(err)
	}
	if err := h.get(wire.AppendPing(nil, wire.Ping{ID: 2, Origin: hostileOrigin, Flags: wire.PingContext | wire.PingAll | wire.PingPull})); err != nil {
		t.Fatal(err)
	}
	var got []uint64
	_, sends := h.Flush(h.now)
	for _, m := range sends {
		if d, err := wire.OpenDelta(m.Frame); err == nil && d.Origin == 5 && d.Count == 1 {
			got = append(got, d.First)
		}
	}
	if !slices.Equal(got, []uint64{1<<62 - 1, 1 << 40, 3}) {
		t.Errorf("dots %v", got)
	}
}
