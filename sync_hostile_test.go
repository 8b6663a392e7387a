package bcache

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A node that takes part and means harm, or is broken, can lie about what it holds. It must not
// take another one's memory, nor hold it up for ever.

const hostilePeer, hostileOrigin = 7, 107

// A hostileRig is a replica and the node that it talks to, played by the test.
type hostileRig struct {
	*testing.T
	*replica
	now instant
}

func newHostileRig(t *testing.T, edit func(*replicaConfig)) *hostileRig {
	c := replicaConfig{
		id: 1, origin: 101, maxSkew: 500 * time.Millisecond, logSize: 1024, syncTimeout: time.Hour,
		wake: func() {}, changed: func(string, kind) {},
		store: storeConfig{maxKeys: 1000, deletionDelay: time.Hour},
	}
	if edit != nil {
		edit(&c)
	}
	h := &hostileRig{t, newReplica(c), instant{wall: wireWall, mono: time.Second}}
	h.joined(h.now, hostilePeer, hostileOrigin)
	return h
}

// get delivers a frame.
func (h *hostileRig) get(frame []byte) error { return h.receive(h.now, hostilePeer, frame) }

func (h *hostileRig) pass(d time.Duration) {
	h.now.mono += d
	h.now.wall += d.Milliseconds()
	h.tend(h.now)
}

// sayHello has the peer say that it is synced.
func (h *hostileRig) sayHello(hor horizon) {
	if err := h.get(appendPing(nil, ping{id: 1, origin: hostileOrigin, flags: pingContext | pingAll | pingSynced, horizon: hor})); err != nil {
		h.Fatal(err)
	}
}

// beSynced returns the session that the replica begins then.
func (h *hostileRig) beSynced(hor horizon) uint64 {
	if h.sayHello(hor); h.client.session == nil {
		h.Fatal("no full sync begins")
	}
	return h.client.session.id
}

// What doesn't follow from the chunks before ends the session.
func TestSyncChunksThatMakeNoSense(t *testing.T) {
	rec := record{key: "k", val: "v", version: version{stampOf(wireWall), hostileOrigin}}
	done := syncChunk{flags: chunkDone}
	for name, c := range map[string]struct {
		chunks []syncChunk // after a head with 2 groups
		ok     bool
	}{
		"both groups":             {[]syncChunk{done, {flags: chunkDone | chunkLast, group: 1}}, true},
		"other groups than first": {[]syncChunk{{flags: chunkDone, groups: 8}, {flags: chunkDone | chunkLast, group: 1}}, true},
		"in two parts":            {[]syncChunk{{records: []record{rec}}, done, {flags: chunkDone | chunkLast, group: 1}}, true},
		"the second group first":  {[]syncChunk{{flags: chunkDone, group: 1}}, false},
		"a group too many":        {[]syncChunk{done, {flags: chunkDone, group: 1}}, false},
		"a group that isn't":      {[]syncChunk{{flags: chunkDone, group: 2}}, false},
		"back to the first":       {[]syncChunk{done, {flags: chunkDone}}, false},
		"the last too early":      {[]syncChunk{{flags: chunkDone | chunkLast}}, false},
		"a floor of another":      {[]syncChunk{{flags: chunkDone, floors: []bucketFloor{{1, 1}}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostileRig(t, nil)
			session := h.beSynced(horizon{})
			var err error
			for i, chunk := range append([]syncChunk{{groups: 2}}, c.chunks...) {
				if err != nil {
					t.Fatalf("chunk %d: %v", i-1, err)
				}
				chunk.session, chunk.number = session, uint64(i)
				err = h.get(appendChunk(nil, &chunk))
			}
			if c.ok && (err != nil || !h.ready.synced || h.client.counts.syncsReceived != 1) {
				t.Errorf("synced: %v, %v", h.ready.synced, err)
			}
			if !c.ok && (!errors.Is(err, errMalformed) || h.ready.synced || h.client.counts.syncsFailed != 1) {
				t.Errorf("synced: %v, %d failed, %v", h.ready.synced, h.client.counts.syncsFailed, err)
			}
		})
	}
}

// However many keys are streamed in a group, and however long: they aren't kept.
func TestSyncStreamedKeysAreBounded(t *testing.T) {
	h := newHostileRig(t, func(c *replicaConfig) { c.store.maxKeys, c.logSize = 10, 1 })
	session := h.beSynced(horizon{})
	if err := h.get(appendChunk(nil, &syncChunk{session: session, groups: 1})); err != nil {
		t.Fatal(err)
	}
	before := storeHeap()
	key := strings.Repeat("k", MaxRecordSize/2)
	for i := range 200 {
		rec := record{key: fmt.Sprint(i, key), version: version{stampOf(wireWall), hostileOrigin}}
		if err := h.get(appendChunk(nil, &syncChunk{session: session, number: uint64(i + 1), records: []record{rec}})); err != nil {
			t.Fatal(err)
		}
	}
	h.flush(h.now)
	if grown := storeHeap() - before; grown > 20*MaxRecordSize/2 {
		t.Errorf("200 keys of 512 KiB, 10 of which are held, take %d KiB", grown>>10)
	}

	h.client.session.records = syncGroup // and all the same key, for ever
	for i := range 2 {
		if h.client.session == nil || h.client.session.id != session {
			t.Fatalf("given up after %d chunks", i)
		}
		_ = h.get(appendChunk(nil, &syncChunk{session: session, number: uint64(201 + i), records: []record{{key: key, version: version{stampOf(wireWall), hostileOrigin}}}}))
	}
	if h.client.counts.syncsFailed != 1 {
		t.Error("a group has no end")
	}
}

// A server that sends just enough to look alive is given up; later and later, as it may be honest.
func TestSyncPatience(t *testing.T) {
	h := newHostileRig(t, nil)
	next := func() uint64 {
		for range 5 {
			h.pass(time.Second)
			h.sayHello(horizon{})
		}
		return h.beSynced(horizon{})
	}
	for _, patience := range []time.Duration{syncPatience, 2 * syncPatience} {
		session, began := next(), h.now.mono
		for n := uint64(0); h.client.session != nil && h.client.session.id == session; n++ {
			c := syncChunk{session: session, number: n, groups: 1}
			if n > 0 {
				c.records = []record{{key: fmt.Sprint(n), version: version{stampOf(wireWall), hostileOrigin}}}
			}
			if err := h.get(appendChunk(nil, &c)); err != nil {
				t.Fatal(err)
			}
			if h.pass(syncStall - time.Second); h.now.mono-began > 2*patience {
				t.Fatalf("it isn't given up after %v", h.now.mono-began)
			}
		}
		if took := h.now.mono - began; took < patience-syncStall || took > patience+syncStall {
			t.Errorf("it is given up after %v", took)
		}
	}
	session := next()
	for i, c := range []syncChunk{{groups: 1}, {flags: chunkDone | chunkLast}} {
		c.session, c.number = session, uint64(i)
		if err := h.get(appendChunk(nil, &c)); err != nil {
			t.Fatal(err)
		}
	}
	if !h.ready.synced || h.client.limit != syncPatience {
		t.Errorf("synced: %v, patience %v", h.ready.synced, h.client.limit)
	}
}

// A context from the future spoils no full sync: its dots are taken over, and its stamps as the latest
// that aren't from the future. By pings and pongs it isn't taken over at all.
func TestSyncContextFromTheFuture(t *testing.T) {
	soon, late := stampOf(wireWall+400), stampOf(wireWall+600)
	latest := stampOf(wireWall+500) | (1<<stampShift - 1)
	of := func(newest uint64) []vectorEntry {
		return []vectorEntry{{5, dotSet{covered: 1, newest: newest}}}
	}
	for name, c := range map[string]struct {
		head            syncChunk
		horizon, newest uint64
	}{
		"horizon":        {syncChunk{horizon: horizon{late, 1}}, latest, 0},
		"horizon 2^63":   {syncChunk{horizon: horizon{maxStamp, 1}}, latest, 0},
		"horizon, soon":  {syncChunk{horizon: horizon{soon, 1}}, soon, 0},
		"an origin":      {syncChunk{entries: of(late)}, 0, latest},
		"an origin 2^63": {syncChunk{entries: of(maxStamp)}, 0, latest},
		"an origin, now": {syncChunk{entries: of(soon)}, 0, soon},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostileRig(t, nil)
			session := h.beSynced(horizon{})
			c.head.groups = 1
			for i, c := range []syncChunk{c.head, {flags: chunkDone | chunkLast}} {
				c.session, c.number = session, uint64(i)
				if err := h.get(appendChunk(nil, &c)); err != nil {
					t.Fatal(err)
				}
			}
			if s := h.vector.get(5); !h.ready.synced || h.vector.horizon.stamp != c.horizon || s.newest != c.newest {
				t.Errorf("synced: %v, horizon %+v, %+v", h.ready.synced, h.vector.horizon, s)
			}
		})
	}
	t.Run("ping", func(t *testing.T) {
		h := newHostileRig(t, func(c *replicaConfig) { c.first = true })
		print := h.vector.printUpTo(maxStamp)
		for _, hor := range []horizon{{maxStamp, print}, {maxStamp, print + 1}, {late, print}} {
			if err := h.get(appendPing(nil, ping{id: 1, origin: hostileOrigin, flags: pingContext | pingSynced, horizon: hor})); err != nil {
				t.Fatal(err)
			}
			if err := h.get(appendPong(nil, pong{id: 1, origin: hostileOrigin, horizon: hor})); err != nil {
				t.Fatal(err)
			}
			if h.vector.horizon != (horizon{}) || h.neighbours.byID[hostilePeer].diverged || h.client.session != nil {
				t.Errorf("%+v: horizon %+v, apart: %v", hor, h.vector.horizon, h.neighbours.byID[hostilePeer].diverged)
			}
		}
	})
}

// A requester that only says that it is still there doesn't keep its place.
func TestSyncServingEnds(t *testing.T) {
	h := newHostileRig(t, func(c *replicaConfig) { c.first, c.chunkBytes = true, 1 })
	for i := range 20 {
		if err := h.set(h.now, fmt.Sprint(i), "v", 0); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(next, flags uint64) int {
		if err := h.get(appendAsk(nil, syncAsk{session: 9, next: next, flags: flags})); err != nil {
			t.Fatal(err)
		}
		h.flush(h.now)
		h.pass(time.Second)
		return len(h.server.sessions)
	}
	for i := range 20 {
		if ask(uint64(i), 0) != 1 {
			t.Fatalf("forgotten after %d chunks", i)
		}
	}
	for range syncForget/time.Second - 1 {
		if ask(19, askAgain) != 1 {
			t.Fatal("forgotten too early")
		}
	}
	if ask(19, askAgain); ask(19, askAgain) != 0 {
		t.Error("a session without progress isn't forgotten")
	}
}

// A context that was taken over may have any number of dots; what the log has of them is found.
func TestPullOfAHugeContext(t *testing.T) {
	h := newHostileRig(t, func(c *replicaConfig) { c.first = true })
	for i, seq := range []uint64{3, 1 << 40, 1<<62 - 1} {
		rec := record{key: fmt.Sprint(i), kind: kindTombstone, version: version{stampOf(wireWall) + uint64(i), 5}}
		h.log.put(5, seq, &rec)
	}
	h.vector.origins[5] = &dotSet{covered: 1 << 62, settled: 1 << 62, newest: maxStamp}
	if err := h.get(appendPing(nil, ping{id: 1, origin: hostileOrigin, flags: pingContext | pingAll})); err != nil {
		t.Fatal(err)
	}
	if err := h.get(appendPing(nil, ping{id: 2, origin: hostileOrigin, flags: pingContext | pingAll | pingPull})); err != nil {
		t.Fatal(err)
	}
	var got []uint64
	_, sends := h.flush(h.now)
	for _, m := range sends {
		if d, err := openDelta(m.frame); err == nil && d.origin == 5 && d.count == 1 {
			got = append(got, d.first)
		}
	}
	if !slices.Equal(got, []uint64{1<<62 - 1, 1 << 40, 3}) {
		t.Errorf("dots %v", got)
	}
}
