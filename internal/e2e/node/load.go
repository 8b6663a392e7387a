package main

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/iwanbk/bcache"
)

const (
	sharedKeys = 40 // written by all nodes; "d-0" and so on
	ownKeys    = 20 // written by one node; its name, "-0", and so on
	readers    = 2
	maxTold    = 10 // values that were wrong and are told
)

// A load reads and writes as a service does, and checks what it reads. The shared keys are changed in
// the database and then deleted or cleared here, and read by the Loader: none may be older than what was
// committed before a Delete or Clear that has returned on this node. The own keys are Set and deleted,
// and read without a Loader: on no node may one go back, however old it is.
type load struct {
	node   *node
	name   string
	clears bool // shared keys are cleared, too, if this version has a Clear that selects them
	quit   chan struct{}
	done   sync.WaitGroup

	mu     sync.Mutex
	least  map[string]int // of a shared key: no version below is right any more
	result loadResult
}

// A loadResult says what there was, and what was wrong.
type loadResult struct {
	Reads, Hits, Writes int
	Wrong               []string
}

// clearPrefix is Bcache.ClearPrefix; nil: this version doesn't have it.
var clearPrefix func(b *bcache.Bcache, prefix string) error

func startLoad(n *node, name string, clears bool) *load {
	l := &load{
		node: n, name: name, clears: clears && clearPrefix != nil,
		quit: make(chan struct{}), least: map[string]int{},
	}
	l.every(5*time.Millisecond, l.writeShared)
	l.every(5*time.Millisecond, l.writeOwn)
	for range readers {
		l.every(time.Millisecond, l.readShared)
	}
	seen := map[string]int{}
	l.every(time.Millisecond, func(i int) { l.readOwn(i, seen) })
	return l
}

// every calls f again and again, one call at a time, with the number of the call.
func (l *load) every(d time.Duration, f func(i int)) {
	l.done.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				f(i)
			case <-l.quit:
				return
			}
		}
	})
}

func (l *load) stop() loadResult {
	close(l.quit)
	l.done.Wait()
	return l.result
}

func (l *load) soFar() loadResult {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.result
	r.Wrong = slices.Clone(r.Wrong)
	return r
}

// writeShared changes a key in the database, tells all caches, and asks for it at once; or some keys.
func (l *load) writeShared(i int) {
	keys, removes := []string{"d-" + strconv.Itoa(i*7%sharedKeys)}, i%11 == 10
	tell := func() error { return l.node.loader.Delete(keys[0]) }
	if l.clears && i%20 == 19 {
		keys, removes = []string{"d-1"}, false
		for n := range 10 {
			keys = append(keys, "d-1"+strconv.Itoa(n))
		}
		tell = func() error { return clearPrefix(l.node.cache, "d-1") }
	}
	versions := make([]int, len(keys))
	for i, key := range keys {
		var err error
		if versions[i], err = l.node.db.commit(key, removes); err != nil {
			l.wrote(err)
			return
		}
	}
	err := tell()
	if l.wrote(err); err != nil {
		return
	}
	l.mu.Lock()
	for i, key := range keys {
		l.least[key] = max(l.least[key], versions[i])
	}
	l.mu.Unlock()
	for _, key := range keys {
		l.readKey(key)
	}
}

func (l *load) readShared(i int) { l.readKey("d-" + strconv.Itoa(i%sharedKeys)) }

func (l *load) readKey(key string) {
	l.mu.Lock()
	least := l.least[key]
	l.mu.Unlock()
	value, err := l.node.fetch(key)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.result.Reads++; {
	case err != nil:
		l.wrong("%s: %v", key, err)
	case value.Found && versionOf(value.Value) < least:
		l.wrong("%s is %q, though version %d was committed before a Delete or Clear", key, value.Value, least)
	case value.Found:
		l.result.Hits++
	}
}

// writeOwn sets a key that nobody else writes, or deletes it.
func (l *load) writeOwn(i int) {
	key := l.name + "-" + strconv.Itoa(i%ownKeys)
	removes := i%7 == 6
	version, err := l.node.db.commit(key, removes)
	switch {
	case err != nil:
	case removes:
		err = l.node.cache.Delete(key)
	default:
		err = l.node.cache.SetWithTTL(key, fmt.Sprint(key, "#", version), bcache.NoExpiry)
	}
	l.wrote(err)
}

// readOwn reads the own keys of all nodes; seen are the versions that were read.
func (l *load) readOwn(i int, seen map[string]int) {
	for _, name := range []string{"a", "b", "c"} {
		key := name + "-" + strconv.Itoa(i%ownKeys)
		value, found := l.node.cache.Get(key)
		l.mu.Lock()
		switch l.result.Reads++; {
		case found && versionOf(value) < seen[key]:
			l.wrong("%s is %q, after version %d was read", key, value, seen[key])
		case found:
			l.result.Hits++
			seen[key] = versionOf(value)
		}
		l.mu.Unlock()
	}
}

func (l *load) wrote(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.result.Writes++; err != nil {
		l.wrong("a write: %v", err)
	}
}

// wrong notes what mustn't be. l.mu is held.
func (l *load) wrong(format string, v ...any) {
	if len(l.result.Wrong) < maxTold {
		l.result.Wrong = append(l.result.Wrong, fmt.Sprintf(format, v...))
	}
}
