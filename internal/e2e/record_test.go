package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/env"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
	"github.com/iwanbk/bcache/transport"
)

var recordAs = flag.String("record", "", "record what nodes of this version say, under this `name`")

// A session of three nodes has every type of frame in it. With -record it is kept: later versions must
// read it, see TestRecordedFrames and TestRecordedSession.
func TestRecord(t *testing.T) {
	var r recording
	synctest.Test(t, func(t *testing.T) { r = record(t) })
	types := map[byte]int{}
	shapes := map[string]bool{}
	for _, e := range r.events {
		if e.What != eventFrame {
			continue
		}
		typ, err := wire.FrameType(e.Frame)
		testkit.Ok(t, err)
		types[typ]++
		meaning, err := meaningOf(e.Frame)
		testkit.Ok(t, err)
		shape := fmt.Sprint(typ, shapeOf(meaning))
		if !shapes[shape] && len(e.Frame) < 4<<10 {
			r.frames = append(r.frames, meant{e.Frame, meaning})
		}
		shapes[shape] = true
	}
	t.Logf("%d events; frames by type: %v; %d shapes", len(r.events), types, len(shapes))
	for typ := wire.FrameDelta; typ <= wire.FrameReport; typ++ {
		if types[typ] == 0 {
			t.Errorf("no frame of type %d was sent", typ)
		}
	}
	if *recordAs != "" {
		testkit.Ok(t, r.write(filepath.Join(recordedDir, *recordAs)))
	}
}

// A recorder starts nodes on a network in memory, and notes what they are told.
type recorder struct {
	t     *testing.T
	net   *memnet.Net
	fails atomic.Bool // fills of keys that begin with "old" fail

	mu     sync.Mutex
	events []event
}

// note adds an event of now.
func (r *recorder) note(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.At = time.Now().UnixMicro()
	r.events = append(r.events, e)
}

// A tap is a node's place in the network, which notes what the node is told.
type tap struct {
	transport.Transport
	recorder *recorder
	id       uint64
}

func (t tap) Start(n transport.Node, h transport.Handler) error {
	return t.Transport.Start(n, tapped{h, t})
}

type tapped struct {
	transport.Handler
	tap
}

func (t tapped) Receive(from uint64, frame []byte) {
	t.recorder.note(event{Node: t.id, What: eventFrame, From: from, Frame: frame})
	t.Handler.Receive(from, frame)
}

func (t tapped) Joined(peer, origin uint64) {
	t.recorder.note(event{Node: t.id, What: eventJoined, From: peer, Origin: origin})
	t.Handler.Joined(peer, origin)
}

func (t tapped) Left(peer uint64) {
	t.recorder.note(event{Node: t.id, What: eventLeft, From: peer})
	t.Handler.Left(peer)
}

// A recordedNode is a cache with two Loaders.
type recordedNode struct {
	*bcache.Bcache
	seen env.Node
	own  *bcache.Loader // all times, and negatives; prefix "p:"
	wide *bcache.Loader // leases; prefix "w:"
}

// start starts a node. A node that has peers waits for a full sync.
func (r *recorder) start(id uint64, edit func(*bcache.Config)) *recordedNode {
	r.t.Helper()
	n := &recordedNode{}
	place := func(id, origin uint64, _ *linelog.Log) (transport.Transport, error) {
		r.note(event{Node: id, What: eventStarts, Origin: origin})
		return tap{r.net.Transport(id, origin), r, id}, nil
	}
	cfg := bcache.Config{
		PeerID: id, ListenAddr: "127.0.0.1:1", Peers: []string{"127.0.0.1:1"}, MaxKeys: 1000,
		Env: env.New(time.Now, place, func(seen env.Node) { n.seen = seen }),
	}
	if edit != nil {
		edit(&cfg)
	}
	var err error
	n.Bcache, err = bcache.New(cfg)
	testkit.Ok(r.t, err)
	r.t.Cleanup(func() { _ = n.Close() })
	n.own, err = bcache.NewLoader(n.Bcache, bcache.LoaderConfig{
		Prefix: "p:", TTL: time.Hour, StaleFor: time.Minute, RefreshAhead: 0.2, NegativeTTL: time.Minute,
		Fill: r.fill,
	})
	testkit.Ok(r.t, err)
	n.wide, err = bcache.NewLoader(n.Bcache, bcache.LoaderConfig{
		Prefix: "w:", TTL: time.Hour, StaleOnErrorFor: time.Hour, ClusterWide: true, Fill: r.fill,
	})
	testkit.Ok(r.t, err)
	return n
}

// fill is a database. The first word of a key says how it behaves.
func (r *recorder) fill(ctx context.Context, key string) (bcache.Loaded, error) {
	how, _, _ := strings.Cut(key, "-")
	switch how {
	case "none":
		return bcache.Loaded{}, bcache.ErrNotFound
	case "slow", "uncached", "bad", "old":
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return bcache.Loaded{}, ctx.Err()
		}
	}
	switch {
	case how == "bad" || how == "old" && r.fails.Load():
		return bcache.Loaded{}, errors.New("the database is down")
	case how == "uncached":
		return bcache.Loaded{Value: key, TTL: -1}, nil
	case how == "old":
		return bcache.Loaded{Value: key, TTL: time.Second}, nil
	}
	return bcache.Loaded{Value: "value of " + key}, nil
}

// record runs the session. It is called in a bubble, where time costs nothing.
func record(t *testing.T) recording {
	r := &recorder{t: t, net: memnet.New()}
	small := func(c *bcache.Config) { c.MaxKeys, c.DeletionDelay = 60, 5 }
	a := r.start(1, func(c *bcache.Config) { small(c); c.Peers = nil })
	b := r.start(2, small)
	testkit.Advance(4 * time.Second) // all are synced
	r.beforeTheJoin(a, b)
	c := r.start(subject, nil)
	testkit.Advance(5 * time.Second)
	testkit.Ok(t, c.Ready())
	r.writes(a, b)
	r.loss(a)
	r.fills(a, b)
	r.leases(a, b, c)
	testkit.Ok(t, b.Close())
	testkit.Advance(3 * time.Second)
	r.net.Partition(map[uint64]int{1: 1})
	b = r.start(2, small) // another life, which has a full sync from the subject
	testkit.Advance(5 * time.Second)
	testkit.Ok(t, b.Ready())
	testkit.Ok(t, a.Set("apart", "a's", 3600))
	r.net.Heal()
	testkit.Advance(5 * time.Second)
	testkit.Ok(t, b.Set("last", "value", 3600))
	testkit.Advance(70 * time.Second) // no lease is left, and what expires has
	r.inquire(a)
	synctest.Wait()
	end := ending{Keys: c.Len()}
	var settled bool
	if end.Processed, settled = c.seen.Processed(); !settled {
		t.Error("the session ends with a gap")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return recording{events: r.events, end: end}
}

// beforeTheJoin leaves records of all kinds, floors and a Clear behind, which only a full sync tells.
func (r *recorder) beforeTheJoin(a, b *recordedNode) {
	for i := range 20 {
		testkit.Ok(r.t, a.Set(fmt.Sprint("cleared-", i), "value", 3600))
	}
	testkit.Ok(r.t, b.Clear())
	for i := range 70 { // some are evicted, and leave floors
		testkit.Ok(r.t, a.Set(fmt.Sprint("early-", i), fmt.Sprint("value ", i), 3600))
	}
	testkit.Ok(r.t, a.Delete("early-69"))
	testkit.Ok(r.t, b.SetWithTTL("for ever", strings.Repeat("x", 300), bcache.NoExpiry))
	testkit.Ok(r.t, b.Set("short", "it expires", 20))
	r.get(a.own, "times")
	r.get(a.own, "none")
	testkit.Advance(time.Second)
}

// writes come as deltas.
func (r *recorder) writes(a, b *recordedNode) {
	testkit.Ok(r.t, a.Set("k0", "a's", 3600))
	testkit.Advance(10 * time.Millisecond)
	testkit.Ok(r.t, b.Set("k0", "b's", 3600))
	testkit.Ok(r.t, b.Set("k1", "value", 3600))
	testkit.Ok(r.t, a.Set("both", "a's", 3600)) // at the same time as the next one
	testkit.Ok(r.t, b.Set("both", "b's", 3600))
	testkit.Ok(r.t, a.Delete("early-68"))
	testkit.Ok(r.t, a.Clear())
	testkit.Advance(10 * time.Millisecond)
	testkit.Ok(r.t, a.Set("k2", "after the Clear", 3600))
	testkit.Ok(r.t, b.DeleteMany([]string{"k3", "k4"}))
	r.get(b.own, "times-2")
	r.get(b.own, "none-2")
	testkit.Advance(3 * time.Second)
}

// loss: the subject misses writes, and asks for them.
func (r *recorder) loss(a *recordedNode) {
	r.net.Filter(func(_, to uint64, frame []byte) bool {
		typ, _ := wire.FrameType(frame)
		return to != subject || typ != wire.FrameDelta
	})
	for i := range 3 {
		testkit.Ok(r.t, a.Set("lost", fmt.Sprint("value ", i), 3600))
		testkit.Ok(r.t, a.Set(fmt.Sprint("lost-", i), "value", 3600))
		testkit.Ok(r.t, a.Delete("lost-1"))
	}
	testkit.Advance(10 * time.Millisecond)
	r.net.Filter(nil)
	testkit.Ok(r.t, a.Set("not lost", "value", 3600)) // it shows the gap
	testkit.Advance(12 * time.Second)
}

// fills right after Deletes are offered.
func (r *recorder) fills(a, b *recordedNode) {
	for _, key := range []string{"offered", "none-offered"} {
		testkit.Ok(r.t, b.own.Delete(key))
		testkit.Advance(20 * time.Millisecond)
		r.get(a.own, key)
	}
	testkit.Advance(20 * time.Millisecond)
	r.get(a.own, "dropped") // nobody has deleted it: a write
	testkit.Ok(r.t, b.own.Delete("dropped"))
	testkit.Advance(20 * time.Millisecond)
	r.get(a.own, "dropped")
	testkit.Advance(20 * time.Millisecond)
	testkit.Ok(r.t, a.own.Delete("dropped")) // ends the provisional value
	testkit.Advance(3 * time.Second)
}

// recordedKeys is for how many keys the same is done, so that each node grants the leases of some.
const recordedKeys = 6

// leases: several nodes want to fill the same keys. The subject comes late, and fills nothing itself.
func (r *recorder) leases(a, b, c *recordedNode) {
	var all sync.WaitGroup
	get := func(n *recordedNode, key string, limit time.Duration) {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			_, _ = n.wide.Get(ctx, key) // some fail
		})
	}
	for i := range recordedKeys {
		key := fmt.Sprint("slow-", i)
		get(a, key, time.Minute)
		testkit.Advance(20 * time.Millisecond)
		get(b, key, time.Minute)
		get(c, key, time.Minute)
	}
	all.Wait()
	for i := range recordedKeys {
		for _, how := range []string{"uncached", "bad"} {
			get(a, fmt.Sprint(how, "-", i), time.Minute)
			testkit.Advance(20 * time.Millisecond)
			get(b, fmt.Sprint(how, "-", i), time.Minute)
		}
		get(a, fmt.Sprint("slow-late-", i), 200*time.Millisecond)
		testkit.Advance(20 * time.Millisecond)
		get(b, fmt.Sprint("slow-late-", i), 150*time.Millisecond)
		get(a, fmt.Sprint("old-", i), time.Minute)
		testkit.Ok(r.t, b.wide.Delete(fmt.Sprint("offered-", i)))
		testkit.Advance(20 * time.Millisecond)
		get(a, fmt.Sprint("offered-", i), time.Minute)
		get(b, fmt.Sprint("offered-", i), time.Minute)
	}
	all.Wait()
	testkit.Advance(2 * time.Second) // the old ones are old
	r.fails.Store(true)
	for i := range recordedKeys {
		get(a, fmt.Sprint("old-", i), time.Minute)
		testkit.Advance(20 * time.Millisecond)
		get(b, fmt.Sprint("old-", i), time.Minute)
	}
	all.Wait()
	testkit.Advance(5 * time.Second)
}

// inquire asks all nodes for all keys.
func (r *recorder) inquire(a *recordedNode) {
	keys := []string{
		"for ever", "short", "k0", "k1", "k2", "k3", "both", "early-0", "early-1", "early-68", "early-69",
		"cleared-1", "lost", "lost-0", "lost-1", "lost-2", "not lost", "apart", "last",
		"nothing",
	}
	for _, key := range strings.Fields("times none times-2 none-2 offered none-offered dropped") {
		keys = append(keys, "p:"+key)
	}
	for i := range recordedKeys {
		for _, how := range []string{"slow-", "old-", "offered-"} {
			keys = append(keys, fmt.Sprint("w:", how, i))
		}
	}
	for _, key := range keys {
		reports, err := a.Inspect().Why(context.Background(), key, true)
		testkit.Ok(r.t, err)
		for _, of := range reports {
			testkit.Ok(r.t, of.Err)
		}
	}
}

func (r *recorder) get(l *bcache.Loader, key string) {
	r.t.Helper()
	if _, err := l.Get(context.Background(), key); err != nil && !errors.Is(err, bcache.ErrNotFound) {
		r.t.Fatal(err)
	}
}
