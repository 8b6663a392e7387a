package bcache

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
)

var promiseSeeds = flag.Int("promise", testkit.Rounds(4), "seeds of TestPromise")

// What callers are promised of a cluster in which all goes wrong at random, by what they see of it.
//
//   - With MissWhenIsolated: once N-1-MinPeers others have processed a write, as Await says, and the
//     bound has passed, no node serves what was before it: no record, and nothing that a Fill brought.
//   - Once a node has processed a write, it serves nothing that was there before.
//   - When Confirm returns nil, every node that was within reach lately has processed the write.
//   - When nothing goes wrong any more, all are ready.
func TestPromise(t *testing.T) {
	for seed := range uint64(*promiseSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newPromise(t, seed).run() })
		})
	}
}

const (
	promiseStep  = 20 * time.Millisecond
	promiseSteps = 1500
	promiseKept  = 60 // writes of a key that are looked at: the last ones
)

// A promise is a cluster, and what is known of it.
type promise struct {
	t        *testing.T
	rng      *rand.Rand
	net      *memnet.Net
	bound    time.Duration
	minPeers int
	start    time.Time
	release  func() // ends a freeze; nil: there is none

	lives  []*promiseLife                // all there ever were
	nodes  []*promiseLife                // by PeerID, less 1; nil: it is dead
	linked map[[2]*promiseLife]time.Time // when two last could reach each other
	writes map[string][]*promiseWrite    // of a life's key, or of a row
	rows   map[string]*atomic.Int64      // the database
	calls  sync.WaitGroup

	served, missed, confirmed, unconfirmed int

	log []string
}

// A promiseLife is one of a node. Only it writes its key.
type promiseLife struct {
	id       uint64 // PeerID
	name     string
	b        *Bcache
	skew     atomic.Int64
	wide     *Loader // of rows
	local    *Loader // of rows, with LocalValues
	from, to time.Time
	n        int // writes of its key
}

func (l *promiseLife) key() string { return l.name + "/k" }

// A promiseWrite makes each value below n one that was there before.
type promiseWrite struct {
	n         int
	by        *promiseLife
	at        time.Time
	token     Token
	processed map[*promiseLife]time.Time
	sure      chan error // what Confirm returned, if it was called
}

func newPromise(t *testing.T, seed uint64) *promise {
	rng := rand.New(rand.NewPCG(seed, 7))
	n := 2 + rng.IntN(4)
	p := &promise{
		t: t, rng: rng, net: memnet.New(), start: time.Now(),
		bound: time.Duration(3+rng.IntN(3)) * time.Second, minPeers: 1 + rng.IntN(n-1),
		nodes: make([]*promiseLife, n), linked: map[[2]*promiseLife]time.Time{},
		writes: map[string][]*promiseWrite{}, rows: map[string]*atomic.Int64{"row0": {}, "row1": {}},
	}
	for i := range p.nodes {
		p.begin(i)
	}
	p.allReady()
	return p
}

func (p *promise) allReady() {
	p.t.Helper()
	for _, l := range p.nodes {
		waitSynced(p.t, l.b, time.Minute)
	}
}

func (p *promise) since() time.Duration { return time.Since(p.start) }

func (p *promise) say(format string, v ...any) {
	p.log = append(p.log, fmt.Sprintf("%v: ", p.since())+fmt.Sprintf(format, v...))
}

// begin begins a life of a node that is dead.
func (p *promise) begin(i int) {
	id := uint64(i + 1)
	l := &promiseLife{id: id, name: fmt.Sprintf("n%d-%d", id, len(p.lives)), from: time.Now()}
	l.b = memNodeAt(p.t, p.net, id, &l.skew, hides(p.minPeers), func(c *Config) {
		c.IsolatedAfter, c.MaxClockSkew = p.bound, time.Minute
	})
	l.wide = newLoader(p.t, l.b, p.fill, func(c *LoaderConfig) {
		c.TTL, c.StaleFor, c.StaleOnErrorFor, c.RefreshAhead = 20*time.Second, time.Hour, time.Hour, 0.3
		c.ClusterWide = p.minPeers%2 == 0
	})
	l.local = newLoader(p.t, l.b, p.fill, func(c *LoaderConfig) { c.TTL, c.LocalValues = time.Hour, true })
	p.nodes[i] = l
	p.lives = append(p.lives, l)
	p.say("%s begins", l.name)
}

// end ends one: it dies, or closes.
func (p *promise) end(i int) {
	l, kill := p.nodes[i], p.rng.IntN(3) > 0
	p.say("%s ends, killed: %v", l.name, kill)
	if kill {
		p.net.Kill(l.id)
	}
	_ = l.b.Close()
	l.to = time.Now()
	p.nodes[i] = nil
}

// fill reads a row at once, and returns it later.
func (p *promise) fill(_ context.Context, key string) (Loaded, error) {
	n := p.rows[key[2:]].Load()
	time.Sleep(time.Duration(n%7) * 100 * time.Millisecond)
	return Loaded{Value: fmt.Sprint(n), Tags: []string{"rows"}}, nil
}

func (p *promise) run() {
	for range promiseSteps {
		testkit.Advance(promiseStep)
		p.step()
		p.look()
		if p.t.Failed() {
			p.t.Fatal(strings.Join(p.log, "\n"))
		}
	}
	if p.release != nil {
		p.release()
	}
	p.net.Filter(nil)
	p.net.Loss(0)
	p.net.Delay(0)
	p.net.Heal()
	for i, l := range p.nodes {
		if l == nil {
			p.begin(i)
		} else {
			l.skew.Store(0)
		}
	}
	p.allReady()
	testkit.Advance(2 * time.Minute)
	for _, l := range p.nodes {
		isIsolated(p.t, l.b, false)
	}
	p.look()
	p.calls.Wait()
	testkit.Advance(5 * time.Second) // fills that nobody waits for
	p.t.Logf("%d nodes, MinPeers %d, bound %v: %d lives; %d values, %d misses; %d confirmed, %d not",
		len(p.nodes), p.minPeers, p.bound, len(p.lives), p.served, p.missed, p.confirmed, p.unconfirmed)
}

// step writes, or has something go wrong, or right.
func (p *promise) step() {
	i := p.rng.IntN(len(p.nodes))
	l := p.nodes[i]
	switch x := p.rng.IntN(1000); {
	case x < 6:
		side := map[uint64]int{}
		for i := range p.nodes {
			side[uint64(i+1)] = p.rng.IntN(2)
		}
		p.say("partition %v", side)
		p.net.Partition(side)
	case x < 12:
		p.say("heal")
		p.net.Heal()
	case x < 15:
		p.net.Loss(p.rng.Float64() / 2)
	case x < 17:
		p.net.Loss(0)
	case x < 19:
		p.net.Delay(time.Duration(p.rng.IntN(400)) * time.Millisecond)
	case x < 21:
		p.net.Delay(0)
	case x < 27:
		from, to, writes := uint64(i+1), p.rng.Uint64N(uint64(len(p.nodes)))+1, p.rng.IntN(2) > 0
		p.say("from %d to %d nothing arrives, or only no writes: %v", from, to, writes)
		p.net.Filter(func(f, o uint64, frame []byte) bool {
			typ, _ := wire.FrameType(frame)
			return f != from || o != to || writes && typ != wire.FrameDelta
		})
	case x < 29:
		p.net.Filter(nil)
	case x < 32 && l != nil && p.release == nil:
		p.say("%s hears nothing for a while", l.name)
		p.release = p.net.Hold(l.id)
	case x < 40 && p.release != nil:
		p.say("it goes on")
		p.release()
		p.release = nil
	case x < 43 && l != nil && p.alive() > 1 && p.release == nil:
		p.end(i)
	case x < 52 && l == nil:
		p.begin(i)
	case x < 56 && l != nil:
		// Not back by less than a second: nobody notices, and what fills have brought is kept for longer.
		d := time.Duration(p.rng.IntN(900)) * time.Millisecond
		switch by := 1100*time.Millisecond + 9*d; p.rng.IntN(6) {
		case 0:
			d = by
		case 1, 2:
			d = -by
		}
		p.say("the clock of %s is set by %v", l.name, d)
		l.skew.Add(int64(d))
	case x < 152 && l != nil:
		p.write(l)
	case x < 252 && l != nil:
		p.commit(l)
	}
}

func (p *promise) alive() (n int) {
	for _, l := range p.nodes {
		if l != nil {
			n++
		}
	}
	return n
}

// write changes a life's own key.
func (p *promise) write(l *promiseLife) {
	l.n++
	var err error
	switch p.rng.IntN(4) {
	case 0:
		err = l.b.Delete(l.key())
	case 1:
		err = l.b.ClearPrefix(l.name + "/")
	case 2:
		err = l.b.Put(l.key(), fmt.Sprint(l.n), NoExpiry, "own")
	default:
		err = l.b.SetWithTTL(l.key(), fmt.Sprint(l.n), NoExpiry)
	}
	testkit.Must(p.t, err)
	p.wrote(l.key(), l.n, l)
}

// commit changes a row, and tells the caches.
func (p *promise) commit(l *promiseLife) {
	row := fmt.Sprint("row", p.rng.IntN(len(p.rows)))
	n := p.rows[row].Add(1)
	var err error
	switch p.rng.IntN(4) {
	case 0:
		err = l.b.ClearTag("rows")
	case 1:
		err = l.b.Clear()
	default:
		err = l.b.DeleteMany([]string{"w:" + row, "l:" + row})
	}
	testkit.Must(p.t, err)
	p.wrote(row, int(n), l)
}

// wrote notes a write, and sometimes calls Confirm.
func (p *promise) wrote(key string, n int, by *promiseLife) {
	w := &promiseWrite{n: n, by: by, at: time.Now(), token: by.b.Token(),
		processed: map[*promiseLife]time.Time{}}
	p.say("%s writes %s %d", by.name, key, n)
	if p.rng.IntN(3) == 0 {
		w.sure = make(chan error, 1)
		p.calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 4*p.bound)
			defer cancel()
			w.sure <- by.b.Confirm(ctx)
		})
	}
	ws := append(p.writes[key], w)
	p.writes[key] = ws[max(0, len(ws)-promiseKept):]
}

// look notes who has processed what by now, and checks what all serve.
func (p *promise) look() {
	now := time.Now()
	for _, l := range p.nodes {
		for _, o := range p.nodes {
			if l != nil && o != nil && p.net.Linked(l.id, o.id) {
				p.linked[[2]*promiseLife{l, o}] = now
			}
		}
	}
	for key, ws := range p.writes {
		for _, w := range ws {
			p.follow(key, w)
		}
		for _, l := range p.nodes {
			if l == nil {
				continue
			}
			if !strings.HasPrefix(key, "row") {
				val, ok := l.b.Get(key)
				p.check(l, key, val, ok)
				continue
			}
			p.read(l, l.wide, key, "w:"+key)
			p.read(l, l.local, key, "l:"+key)
		}
	}
}

// follow notes who has processed a write, and checks that it is everybody if Confirm says so.
func (p *promise) follow(key string, w *promiseWrite) {
	sure := false
	select {
	case err := <-w.sure:
		if sure = err == nil; sure {
			p.confirmed++
		} else {
			p.unconfirmed++
		}
	default:
	}
	now := time.Now()
	for _, l := range p.nodes {
		if l == nil || !w.processed[l].IsZero() {
			continue
		}
		if l.b.Await(expired(), w.token) == nil {
			w.processed[l] = now
			continue
		}
		near := now.Sub(p.linked[[2]*promiseLife{l, w.by}]) < p.bound-time.Second
		if sure && near && now.Sub(l.from) > time.Second {
			p.t.Errorf("%v: %s %d of %s is confirmed, and %s hasn't processed it", p.since(), key, w.n,
				w.by.name, l.name)
		}
	}
}

// read asks for a row as callers do, and sometimes waits for it.
func (p *promise) read(l *promiseLife, loader *Loader, row, key string) {
	val, ok := l.b.Get(key)
	p.check(l, row, val, ok)
	r := loader.GetResult(expired(), key) // what is cached
	p.check(l, row, r.Value, r.Err == nil)
	if p.rng.IntN(20) == 0 {
		p.calls.Go(func() { _, _ = loader.Get(context.Background(), key) })
	}
}

// check checks that a node may serve a value.
func (p *promise) check(l *promiseLife, key, val string, ok bool) {
	if !ok {
		p.missed++
		return
	}
	p.served++
	var n int
	fmt.Sscan(val, &n)
	since := time.Now().Add(-p.bound - 2*watchEvery)
	for _, w := range p.writes[key] {
		switch {
		case w.n <= n:
		case !w.processed[l].IsZero():
			p.t.Errorf("%v: %s serves %s %d, and has processed %d", p.since(), l.name, key, n, w.n)
			return
		case w.at.Before(since) && p.unaware(l, w, since) < p.minPeers:
			p.t.Errorf("%v: %s serves %s %d, and enough others had processed %d a bound ago", p.since(),
				l.name, key, n, w.n)
			return
		}
	}
}

// unaware is how many others, of those that were there since then, hadn't processed a write by then.
func (p *promise) unaware(l *promiseLife, w *promiseWrite, since time.Time) (n int) {
	for _, o := range p.lives {
		if o == l || !o.to.IsZero() && o.to.Before(since) {
			continue
		}
		if at := w.processed[o]; at.IsZero() || at.After(since) {
			n++
		}
	}
	return n
}

// Where MinPeers is at least half of the others, nobody serves what was before a write once it is
// confirmed, not even nodes that are cut off together. These confirm nothing.
func TestPromiseOfConfirm(t *testing.T) {
	for n, minPeers := range map[int]int{3: 1, 4: 2, 5: 2} {
		synctest.Test(t, func(t *testing.T) {
			net, nodes := hiding(t, n, minPeers)
			a := nodes[0]
			testkit.Must(t, a.SetWithTTL("k", "old", NoExpiry))
			confirmed(t, a, time.Second)
			few := nodes[minPeers+1:]
			side := map[uint64]int{}
			for i := range few {
				side[uint64(minPeers+2+i)] = 1
			}
			net.Partition(side)
			testkit.Must(t, a.SetWithTTL("k", "new", NoExpiry))
			get(t, few[0], "k", "old")
			testkit.Must(t, a.Confirm(t.Context()))
			for _, b := range nodes[:minPeers+1] {
				get(t, b, "k", "new")
			}
			for _, b := range few {
				miss(t, b, "k")
				testkit.Must(t, b.Delete("other"))
				_, err := confirm(b, time.Minute)
				if !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, ErrIsolated) {
					t.Errorf("Confirm = %v", err)
				}
			}
			get(t, a, "k", "new")
			net.Heal()
			allReady(t, nodes)
			for _, b := range nodes {
				get(t, b, "k", "new")
				confirmed(t, b, time.Second)
			}
		})
	}
}
