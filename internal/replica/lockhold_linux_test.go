package replica

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// How long replica.mu is held where there is much of everything: 4,096 origins and a log of 1,048,576
// records. Local writes wait for as long.

// lockLimit is what nothing may take.
const lockLimit = 5 * time.Millisecond

var lockNow = delta.Instant{Wall: 1_700_000_000_000, Mono: time.Hour}

// A lockWorld is a replica in a situation, and what is done to it.
type lockWorld struct {
	name string
	make func() (r *Replica, do []func())
}

const lockLog = 1 << 20

func lockReplica(first bool) *Replica {
	return New(Config{
		ID: 1, Origin: 7, MaxSkew: 500 * time.Millisecond, LogSize: lockLog,
		First: first, SyncTimeout: time.Hour,
		Wake: func() {}, Changed: func(string, delta.Kind) {},
		Store: store.Config{MaxKeys: 1 << 20, DeletionDelay: time.Hour},
	})
}

// lockLives gives a replica as many departed lives as it may have, of so many dots each, with gaps
// between them if there are to be some. The log knows some of them, or it is full of something else.
func lockLives(r *Replica, dotBytes, gaps uint64, logged bool) {
	key := "k"
	for i := range uint64(dots.MaxOrigins - 2) {
		s := &dots.Set{Covered: dotBytes, Newest: delta.StampOf(lockNow.Wall-1000) + i, Heard: dots.LongAgo}
		s.Settled, s.Recent = delta.MaxSeq, delta.MaxSeq
		for g := range gaps {
			s.Ahead = append(s.Ahead, dots.Interval{From: dotBytes + 2*g + 1, To: dotBytes + 2*g + 2})
		}
		r.state.vector.Origins[1000+i] = s
		for seq := uint64(1); logged && seq <= s.Last() && seq <= lockLog/dots.MaxOrigins; seq++ {
			r.state.log.Put(1000+i, seq, &delta.Record{Key: key, Version: delta.Version{Stamp: s.Newest, Origin: 1000 + i}})
		}
	}
	for seq := uint64(1); !logged && seq <= lockLog; seq++ {
		r.state.log.Put(8, seq, &delta.Record{Key: key, Version: delta.Version{Stamp: delta.StampOf(lockNow.Wall-500) + seq, Origin: 8}})
	}
	r.Joined(lockNow, 2, 99)
	r.Flush(lockNow)
}

func lockPing(r *Replica, flags uint64, entries []dots.Entry) []func() {
	q := wire.Ping{ID: 5, Origin: 99, Wall: lockNow.Wall, Flags: wire.PingContext | wire.PingAll | flags, Entries: entries}
	return []func(){func() { r.pings.receivePing(lockNow, 2, q) }, func() { r.Flush(lockNow) }}
}

func receives(r *Replica, frame []byte) func() {
	return func() {
		if err := r.Receive(lockNow, 2, frame); err != nil {
			panic(err)
		}
	}
}

// lockEntries is a context that has other gaps than that of lockLives.
func lockEntries(dotBytes, gaps uint64) (entries []dots.Entry) {
	for i := range uint64(dots.MaxOrigins - 2) {
		e := dots.Entry{Origin: 1000 + i, Set: dots.Set{Covered: dotBytes / 2, Newest: delta.StampOf(lockNow.Wall-1000) + i}}
		for g := range gaps {
			e.Ahead = append(e.Ahead, dots.Interval{From: dotBytes + 4*g, To: dotBytes + 4*g + 1})
		}
		entries = append(entries, e)
	}
	return entries
}

var lockWorlds = []lockWorld{
	{"a joiner's ping, lives that the log has nothing of", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 1_000_000, 0, false)
		return r, lockPing(r, 0, nil)
	}},
	{"a joiner's ping, 128 gaps each", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 64, dots.MaxIntervals, true)
		return r, lockPing(r, 0, nil)
	}},
	{"a ping with other gaps", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 64, dots.MaxIntervals, true)
		return r, lockPing(r, 0, lockEntries(64, 60))
	}},
	{"a ping, one page each", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 60, 0, true)
		return r, lockPing(r, 0, nil)
	}},
	{"a pull, a dot each", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 1, 0, true)
		return r, lockPing(r, wire.PingPull, nil)
	}},
	{"a pull, 128 gaps each", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 64, dots.MaxIntervals, true)
		return r, lockPing(r, wire.PingPull, nil)
	}},
	{"a pull, a full page of a million dots each", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 1_000_000, 0, true)
		return r, lockPing(r, wire.PingPull, nil)
	}},
	{"a full sync is asked for, 128 gaps each", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 64, dots.MaxIntervals, true)
		return r, []func(){receives(r, wire.AppendAsk(nil, wire.SyncAsk{Session: 1})), func() { r.Flush(lockNow) }}
	}},
	{"a context is adopted, 128 gaps each", func() (*Replica, []func()) {
		r := lockReplica(false)
		lockLives(r, 64, dots.MaxIntervals, true)
		hello := wire.Ping{ID: 1, Origin: 99, Flags: wire.PingContext | wire.PingSynced}
		if err := r.Receive(lockNow, 2, wire.AppendPing(nil, hello)); err != nil || r.repair.client.session == nil {
			panic(fmt.Sprint("no full sync: ", err))
		}
		var do []func()
		head := wire.SyncChunk{Groups: 1, Entries: lockEntries(64, 60), Horizon: dots.Horizon{Stamp: 1, Print: 1}}
		for i, c := range []wire.SyncChunk{head, {Flags: wire.ChunkDone | wire.ChunkLast}} {
			c.Session, c.Number = r.repair.client.session.id, uint64(i)
			do = append(do, func() {
				if err := r.chunks.receive(lockNow, 2, &c, wire.ChunkReader{}, 1); err != nil {
					panic(err)
				}
			})
		}
		return r, append(do, func() {
			if !r.standing.ready.synced {
				panic("not synced")
			}
		})
	}},
	{"a tick with 50 neighbours, all lives active, 128 gaps each", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 64, dots.MaxIntervals, true)
		for _, s := range r.state.vector.Origins {
			s.Heard = lockNow.Mono
		}
		for i := range uint64(50) {
			r.Joined(lockNow, 3+i, 100+i)
		}
		r.Flush(lockNow)
		later := delta.Instant{Wall: lockNow.Wall + 60_000, Mono: lockNow.Mono + time.Minute - time.Second}
		return r, []func(){func() { r.Tick(later) }}
	}},
	{"a new life when there are too many", func() (*Replica, []func()) {
		r := lockReplica(true)
		lockLives(r, 64, dots.MaxIntervals, true)
		var do []func()
		for i := range uint64(10) {
			rec := delta.Record{Key: "k", Val: "v", Version: delta.Version{Stamp: delta.StampOf(lockNow.Wall), Origin: 90_000 + i}}
			do = append(do, receives(r, wire.AppendDelta(nil, rec.Origin, 1, []delta.Record{rec})))
		}
		return r, do
	}},
	{"Clear of a million keys", func() (*Replica, []func()) {
		r := lockReplica(true)
		for i := range 1 << 20 {
			if err := r.Set(lockNow, fmt.Sprint(i), "v", 0); err != nil {
				panic(err)
			}
		}
		return r, []func(){func() {
			if err := r.Clear(lockNow, ""); err != nil {
				panic(err)
			}
		}}
	}},
}

// longestHold is for how long the lock is held at most while something is done: processor time of this
// thread from one moment at which it is given up to the next. So what else the machine does doesn't
// count.
func longestHold(r *Replica, do []func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nor does the collector
	used := func() time.Duration {
		const threadCPU = 3 // CLOCK_THREAD_CPUTIME_ID
		var ts syscall.Timespec
		at := uintptr(unsafe.Pointer(&ts))
		if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadCPU, at, 0); err != 0 {
			panic(err)
		}
		return time.Duration(ts.Nano())
	}
	most, last := time.Duration(0), used()
	r.mu.between = func() {
		most = max(most, used()-last)
		last = used()
	}
	for _, f := range do {
		last = used()
		f()
		most = max(most, used()-last)
	}
	r.mu.between = nil
	return most
}

func TestLockIsntHeldForLong(t *testing.T) {
	if testing.Short() {
		t.Skip("it fills logs of a million records")
	}
	limit := 4 * lockLimit // other machines are slower
	if testkit.RaceDetector {
		limit *= 10
	}
	for _, w := range lockWorlds {
		t.Run(w.name, func(t *testing.T) {
			least := time.Hour
			for try := 0; try < 3 && least > lockLimit; try++ {
				r, do := w.make()
				runtime.GC()
				least = min(least, longestHold(r, do))
			}
			if t.Logf("%v", least); least > limit {
				t.Errorf("it is held for %v", least)
			}
		})
	}
}

// BenchmarkLockHold reports for how long the lock is held at most, in milliseconds of processor time.
func BenchmarkLockHold(b *testing.B) {
	for _, w := range lockWorlds {
		b.Run(w.name, func(b *testing.B) {
			total := time.Duration(0)
			for range b.N {
				b.StopTimer()
				r, do := w.make()
				runtime.GC()
				b.StartTimer()
				total += longestHold(r, do)
			}
			b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "ms-held")
		})
	}
}
