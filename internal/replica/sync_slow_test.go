package replica

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
)

// Over a line that is slow but steady a full sync takes its time, and succeeds the first time.
func TestSyncOverASlowLine(t *testing.T) {
	for _, rate := range []int{100 << 10, 1 << 20} { // bytes per second
		w := newNetwork(t)
		w.add(1, true, func(c *Config) { c.Store.GroupKeys = 0; c.Store.MaxKeys = 10_000 })
		val := strings.Repeat("v", 1000)
		for i := range 5000 {
			w.set(1, fmt.Sprint(i), val)
		}
		w.pass(3 * time.Second)
		r := w.add(2, false, func(c *Config) { c.Store.MaxKeys = 10_000 })
		w.connect(1, 2)

		// What node 1 sends waits in line; the last frame on the way arrives when its bytes have.
		var line []parcelTo
		sent, on := 0, 0
		w.lost = func(from, to uint64, frame []byte) bool {
			if from != 1 {
				return false
			}
			line = append(line, parcelTo{from, to, frame})
			sent += len(frame)
			return true
		}
		seconds := 0
		for ; !r.standing.ready.synced && seconds < 300; seconds++ {
			for on += rate; len(line) > 0 && on >= len(line[0].frame); line = line[1:] {
				on -= len(line[0].frame)
				w.queue = append(w.queue, line[0])
				w.settle()
			}
			if len(line) == 0 {
				on = 0
			}
			w.pass(time.Second)
			if len(w.nodes[1].out.cuts)+len(r.out.cuts) > 0 {
				t.Fatalf("%d B/s: cut: %v %v", rate, w.nodes[1].out.cuts, r.out.cuts)
			}
		}
		if !r.standing.ready.synced || r.repair.client.counts.SyncsReceived != 1 || r.repair.client.counts.SyncsFailed != 0 || r.Store.Len() != 5000 {
			t.Fatalf("%d B/s: synced %v with %d entries after %d s, %d syncs, %d failed", rate, r.standing.ready.synced, r.Store.Len(), seconds, r.repair.client.counts.SyncsReceived, r.repair.client.counts.SyncsFailed)
		}
		if payload := 5000 * 1004; sent > payload*5/4 {
			t.Errorf("%d B/s: %d bytes sent for %d", rate, sent, payload)
		}
	}
}

// A node whose clock was an hour ahead when it wrote more than its log holds, and was set right,
// has what nobody takes now. That must not keep the others busy, nor keep joiners away.
func TestSyncAfterAClockWasSetBack(t *testing.T) {
	w := newNetwork(t)
	for id := uint64(1); id <= 3; id++ {
		w.add(id, true, func(c *Config) { c.LogSize = 64 })
	}
	w.connect(1, 2)
	w.connect(1, 3)
	w.connect(2, 3)
	for i := range 300 {
		w.set(2, fmt.Sprint("old", i), "v")
	}
	w.pass(5 * time.Second)
	right := w.now.Wall
	w.now.Wall += time.Hour.Milliseconds()
	r := w.nodes[1]
	for i := range 200 {
		testkit.Must(t, r.Set(w.now, fmt.Sprint("ahead", i), "v", 0))
	}
	w.now.Wall = right
	frames, bytes := 0, 0
	w.lost = func(_, _ uint64, frame []byte) bool { frames++; bytes += len(frame); return false }
	for _, o := range w.nodes { // the frames themselves are refused, and logged
		broadcasts, _ := r.Flush(w.now)
		for _, frame := range broadcasts {
			if o != r {
				_ = o.Receive(w.now, 1, frame)
			}
		}
	}
	w.pass(60 * time.Second)
	if frames > 60*3*8 || bytes > 200_000 {
		t.Errorf("%d frames of %d bytes in a minute", frames, bytes)
	}
	joiner := w.add(4, false)
	for id := uint64(1); id <= 3; id++ {
		w.connect(id, 4)
	}
	w.pass(5 * time.Second)
	if !joiner.standing.ready.synced || joiner.Store.Len() != 300 {
		t.Errorf("the joiner has %d entries: %s", joiner.Store.Len(), joiner.Unsynced(w.now))
	}
	w.now.Wall += time.Hour.Milliseconds() // its time has come
	w.pass(30 * time.Second)
	for id := uint64(2); id <= 4; id++ {
		if n := w.nodes[id].Store.Len(); n != 500 {
			t.Errorf("node %d has %d entries", id, n)
		}
	}
}

// While apply makes room, what it replaces may be given up, and the floor rise for it: then
// what is older than that floor must not be held.
func TestApplyWhileFloorsRise(t *testing.T) {
	now := delta.Instant{Wall: 1}
	for i := range 3000 {
		s := store.New(store.Config{MaxKeys: 1, DeletionDelay: time.Hour, Seed: uint64(i)})
		s.Apply(now, &delta.Record{Key: "other", Version: delta.Version{Stamp: 1, Origin: 1}}, false)
		s.Apply(now, &delta.Record{Key: "k", Kind: delta.KindTombstone, Version: delta.Version{Stamp: 1, Origin: 1}}, false)
		var wg sync.WaitGroup
		wg.Go(func() { s.Apply(now, &delta.Record{Key: "k", Version: delta.Version{Stamp: 2, Origin: 1}}, false) })
		wg.Go(func() {
			s.RaiseFloor(delta.BucketOf("k"), 3)
			s.GiveUp(now, "k", delta.Version{Stamp: 3, Origin: 9})
		})
		wg.Wait()
		if held, ok := s.Peek("k"); ok {
			t.Fatalf("%+v is held, and the floor is 3", held)
		}
	}
}
