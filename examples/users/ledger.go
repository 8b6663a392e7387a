package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// lostWithin is for how long an update may be known to one process only. One that was
// acknowledged so shortly before its process was killed may be lost: the cache says so.
const lostWithin = 100 * time.Millisecond

// A ledger is what the clients know of the users: which versions were acknowledged, and when. It
// is the judge of what is stale.
type ledger struct {
	run      string // told from earlier ones by the names that it gives
	accounts []account
	killed   atomic.Pointer[kill]
}

// An account is one user's.
type account struct {
	updating sync.Mutex // one update at a time: the versions' order is that of the commits

	mu   sync.Mutex
	acks []ack // that of version v is at v-1
}

// An ack is an update that a node said is done; the zero one wasn't acknowledged.
type ack struct {
	at   time.Time
	node int
}

type kill struct {
	at   time.Time
	node int
}

func newLedger(users int, run string) *ledger {
	return &ledger{run: run, accounts: make([]account, users)}
}

// update gives a user a new version by the function, which returns the node that did it.
func (l *ledger) update(id int64, rename func(name string) (node int, err error)) error {
	a := &l.accounts[id-1]
	a.updating.Lock()
	defer a.updating.Unlock()
	node, err := rename(l.name(len(a.acks) + 1))
	var done ack
	if err == nil {
		done = ack{time.Now(), node}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acks = append(a.acks, done)
	return err
}

func (l *ledger) name(version int) string { return fmt.Sprintf("%s %d", l.run, version) }

// version is what a name says; 0 for a name from before.
func (l *ledger) version(name string) int {
	text, ok := strings.CutPrefix(name, l.run+" ")
	if !ok {
		return 0
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return v
}

// behind returns for how long, when a GET began, a newer version had been acknowledged than the
// one that it brought: 0 if it is the newest. With lost, only by a process that was killed then.
func (l *ledger) behind(u User, began time.Time) (age time.Duration, lost bool) {
	a, version := &l.accounts[u.ID-1], l.version(u.Name)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, newer := range a.acks[min(version, len(a.acks)):] {
		switch {
		case newer.at.IsZero() || !newer.at.Before(began):
		case !l.lost(newer):
			return began.Sub(newer.at), false
		case age == 0:
			age, lost = began.Sub(newer.at), true
		}
	}
	return age, lost
}

// lost tells whether an update may be unknown to all because its process was killed. Its answer
// may have been read a little after that.
func (l *ledger) lost(a ack) bool {
	k := l.killed.Load()
	return k != nil && a.node == k.node && a.at.Sub(k.at).Abs() < lostWithin
}
