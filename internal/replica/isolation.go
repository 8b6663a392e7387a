package replica

import (
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// clockJump is by how much the wall clock and the monotonic one may come to differ between two looks.
// More means that the machine was suspended, in which the monotonic clock stands still, or that the wall
// clock was set.
const clockJump = time.Second

// clockSlip is by how much the wall clock gets ahead of the monotonic one between two looks if the machine
// was suspended for a moment. Less is a clock that is slowly set right.
const clockSlip = time.Millisecond

// maxIsolationNotices is how many of them wait to be logged.
const maxIsolationNotices = 4

// An Isolation says whether this node is isolated, and hides what it holds while it is. It isn't as long
// as it has heard from enough other nodes within a bound. What it means to hear from one, hearing.go
// says.
//
// It has a lock of its own, which is held for moments: who watches the clocks mustn't wait for the
// replica's. That one may be held by its callers. A nil Isolation never is.
type Isolation struct {
	bound  time.Duration
	enough int        // nodes
	hide   func(bool) // what the store holds
	forget func()     // has later callers join no fill that has begun before
	reach  func(now delta.Instant)

	mu       sync.Mutex
	heard    []word        // the last of each node, of the nodes heard last: no more than are enough
	from     time.Duration // words that are older count for nothing, as clocks have jumped since
	clock    time.Duration // the wall clock less the monotonic one, at the last look
	looked   bool
	slept    time.Duration // in suspensions too short for a jump: what was heard is older by that
	isolated bool
	since    time.Duration
	forgot   time.Duration // when that was last done
	unasked  bool          // the others are to be asked at once,
	reached  time.Duration // and were so last
	count    uint64        // how often it has come to that
	notices  []IsolationNotice
	closed   bool
}

// A word is the last time at which this node knew all that another one did, by Isolation.time.
type word struct {
	peer uint64 // PeerID
	at   time.Duration
}

// An IsolationNotice says that an isolation has begun, or has ended.
type IsolationNotice struct {
	Begun bool
	Heard int           // from so many nodes within the bound
	Took  time.Duration // how long it has lasted
	Jump  time.Duration // by how much the clocks have jumped, if that is why; 0: it isn't
}

// newIsolation returns one that hasn't heard from anybody.
func newIsolation(bound time.Duration, enough int, hide func(bool), forget func()) *Isolation {
	hide(true)
	return &Isolation{bound: bound, enough: enough, hide: hide, forget: forget, isolated: true}
}

// Watch looks at the clocks, and has the other nodes asked if an isolation has begun. It wants to be
// called often: an isolation that begins because nothing happens is noticed by nobody else. The caller
// doesn't hold the replica's lock.
func (i *Isolation) Watch(now delta.Instant) {
	i.mu.Lock()
	i.lookLocked(now)
	asks := i.unasked && now.Mono-i.reached >= exactAgain
	if asks {
		i.unasked, i.reached = false, now.Mono
	}
	i.mu.Unlock()
	if asks {
		i.reach(now)
	}
}

// look is Watch for who holds the replica's lock: the others aren't asked. It returns the time.
func (i *Isolation) look(now delta.Instant) time.Duration {
	if i == nil {
		return now.Mono
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lookLocked(now)
	return i.time(now)
}

// time is that of the monotonic clock, and what it has missed in short suspensions.
func (i *Isolation) time(now delta.Instant) time.Duration { return now.Mono + i.slept }

// lookLocked notices that clocks have jumped, or that too few words are young enough.
func (i *Isolation) lookLocked(now delta.Instant) {
	clock := time.Duration(now.UnixMicro())*time.Microsecond - now.Mono
	jump := clock - i.clock
	jumped := i.looked && (jump > clockJump || jump < -clockJump)
	if i.looked && !jumped && jump >= clockSlip {
		i.slept += jump
	}
	i.clock, i.looked = clock, true
	switch {
	case i.closed:
	case jumped:
		i.forgetWords(now)
		i.unasked = true
		i.begin(now, jump)
	case !i.isolated && i.young(now) < i.enough:
		i.unasked = true
		i.begin(now, 0)
	case i.isolated && now.Mono-i.forgot >= i.bound/2:
		i.forgetFills(now)
	}
}

// young is from how many nodes this one has heard within the bound.
func (i *Isolation) young(now delta.Instant) (n int) {
	for _, w := range i.heard {
		if i.time(now)-w.at < i.bound {
			n++
		}
	}
	return n
}

// begin begins an isolation. If there is one, what was kept in it goes: its time may have been measured
// by a clock that has jumped.
func (i *Isolation) begin(now delta.Instant, jump time.Duration) {
	i.hide(true)
	i.forgetFills(now)
	if i.isolated {
		return
	}
	i.isolated, i.since = true, now.Mono
	i.count++
	i.notice(IsolationNotice{Begun: true, Heard: i.young(now), Jump: jump})
}

// forgetFills has nobody who comes now get what a fill has read long ago. Where no write is processed,
// nothing else would.
func (i *Isolation) forgetFills(now delta.Instant) {
	i.forgot = now.Mono
	i.forget()
}

// hear notes that this node has processed all that another one had at some time, which is one that look has
// returned. The replica's lock is held.
func (i *Isolation) hear(now delta.Instant, peer uint64, at time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lookLocked(now)
	if at < i.from || i.closed {
		return
	}
	i.note(word{peer, at})
	if n := i.young(now); i.isolated && n >= i.enough {
		i.isolated = false
		i.hide(false)
		i.notice(IsolationNotice{Heard: n, Took: now.Mono - i.since})
	}
}

// note keeps the latest word of each node, of as many nodes as are enough: the others change nothing.
func (i *Isolation) note(w word) {
	at := slices.IndexFunc(i.heard, func(o word) bool { return o.peer == w.peer })
	if at < 0 && len(i.heard) < i.enough {
		i.heard = append(i.heard, w)
		return
	}
	if at < 0 {
		at = 0
		for j := range i.heard {
			if i.heard[j].at < i.heard[at].at {
				at = j
			}
		}
	}
	if i.heard[at].at < w.at {
		i.heard[at] = w
	}
}

// doubt takes back all that was heard: what this node has processed isn't what it was taken for.
func (i *Isolation) doubt(now delta.Instant) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.forgetWords(now)
	i.lookLocked(now)
}

// forgetWords takes back what was heard, and what others will answer to what they were asked before. Who
// read the clock first may come second.
func (i *Isolation) forgetWords(now delta.Instant) {
	i.heard, i.from = nil, max(i.from, i.time(now))
}

// notice has a line logged.
func (i *Isolation) notice(n IsolationNotice) {
	if len(i.notices) == maxIsolationNotices {
		i.notices = slices.Delete(i.notices, 0, 1)
	}
	i.notices = append(i.notices, n)
}

// TakeNotices returns what is to be logged.
func (i *Isolation) TakeNotices() (ns []IsolationNotice) {
	i.mu.Lock()
	defer i.mu.Unlock()
	ns, i.notices = i.notices, nil
	return ns
}

// Is reports whether the node is isolated.
func (i *Isolation) Is() bool {
	if i == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.isolated
}

// Stats are whether it is, how often it has come to that, and from how many of those that are enough the
// node has heard within the bound.
func (i *Isolation) Stats(now delta.Instant) (is bool, count uint64, heard int) {
	if i == nil {
		return false, 0, 0
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.isolated, i.count, i.young(now)
}

// Close hides all for ever: nobody watches the clocks any more.
func (i *Isolation) Close() {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed = true; !i.isolated {
		i.isolated = true
		i.hide(true)
	}
}

// asksAfter is the time from which on what the others are asked counts.
func (i *Isolation) asksAfter() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.from
}

// cut gives what a fill brings to an isolated node a deadline that is no later than the bound after the
// database may have shown that. It reports whether it lies ahead.
func (i *Isolation) cut(now delta.Instant, f *Fill, rec *delta.Record) bool {
	left := f.began - f.settle + i.bound - i.look(now)
	ends := now.Wall + left.Milliseconds()
	if left < time.Millisecond {
		return false
	}
	if rec.Deadline == 0 || rec.Deadline > ends {
		rec.Deadline = ends
	}
	if rec.StaleUntil = min(rec.StaleUntil, ends); rec.StaleUntil <= rec.Deadline {
		rec.StaleUntil = 0
	}
	if rec.RefreshFrom >= rec.Deadline {
		rec.RefreshFrom = 0
	}
	return true
}
