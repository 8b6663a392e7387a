package bcachetest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
)

var tokenPairs = flag.Int("pairs", 2000, "how many writes TestTokens follows to another node")

const (
	tokenNodes   = 4
	tokenClients = 16
	tokenKeys    = 24 // in much use, by all clients
)

// A tokenTest is users of a service of several nodes, each of whom writes on one and reads on another,
// while what nodes send is late or lost, and nodes are cut off, killed and started again.
type tokenTest struct {
	*testing.T
	cluster *bcachetest.Cluster
	loaders [tokenNodes]atomic.Pointer[bcache.Loader]

	mu   sync.Mutex
	rows map[string]int // the database: how often each was changed

	made                                                     atomic.Int64 // pairs
	older, asked, waited, inVain, lost, sets, deletes, wrong atomic.Int64
}

// commit changes a row, and returns which change that is.
func (x *tokenTest) commit(key string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows[key]++
	return x.rows[key]
}

// read takes its time before and after it has read.
func (x *tokenTest) read(key string) string {
	x.asked.Add(1)
	time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	x.mu.Lock()
	row := x.rows[key]
	x.mu.Unlock()
	time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	return strconv.Itoa(row)
}

// start makes the Loader of a node's life.
func (x *tokenTest) start(i int) {
	l, err := bcache.NewLoader(x.cluster.Node(i), bcache.LoaderConfig{
		Fill: func(_ context.Context, key string) (bcache.Loaded, error) {
			return bcache.Loaded{Value: x.read(key), Tags: []string{key}}, nil
		},
		FillMany: func(_ context.Context, keys []string) (map[string]bcache.Loaded, error) {
			rows := map[string]bcache.Loaded{}
			for _, key := range keys {
				rows[key] = bcache.Loaded{Value: x.read(key), Tags: []string{key}}
			}
			return rows, nil
		},
		TTL: 2 * time.Second, RefreshAhead: 0.3, StaleFor: time.Second, ClusterWide: i%2 == 0,
		AwaitToken: 300 * time.Millisecond,
	})
	if err != nil {
		x.Fatal(err)
	}
	x.loaders[i].Store(l)
}

// weather has things happen until all pairs are made. Clocks differ by less than MaxClockSkew.
func (x *tokenTest) weather(done <-chan struct{}) (cuts, kills int) {
	rng := rand.New(rand.NewPCG(1, 2))
	for {
		select {
		case <-done:
			return cuts, kills
		case <-time.After(time.Duration(rng.IntN(1000)) * time.Millisecond):
		}
		switch rng.IntN(8) {
		case 0:
			x.cluster.Loss(float64(rng.IntN(6)) / 10)
		case 1, 2:
			x.cluster.Delay(time.Duration(rng.IntN(150)) * time.Millisecond)
		case 3:
			cuts++
			x.cluster.Partition([]int{rng.IntN(tokenNodes)})
		case 4:
			x.cluster.Heal()
			x.cluster.Loss(0)
		case 5:
			x.cluster.Skew(rng.IntN(tokenNodes), time.Duration(rng.IntN(200)-100)*time.Millisecond)
		case 6:
			if rng.IntN(5) == 0 {
				i := rng.IntN(tokenNodes)
				x.cluster.Kill(i)
				time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
				x.cluster.Restart(i)
				kills++
				x.start(i)
			}
		case 7:
			_ = x.cluster.Node(rng.IntN(tokenNodes)).Clear()
		}
	}
}

// A tokenClient is one of the users, with a cookie.
type tokenClient struct {
	*tokenTest
	id  int
	rng *rand.Rand
	had bcache.Token // of its last writes of a key of its own
}

func (c *tokenClient) run() {
	for c.made.Load() < int64(*tokenPairs) {
		if c.pair() {
			c.made.Add(1)
		}
		time.Sleep(time.Duration(c.rng.IntN(50)) * time.Millisecond)
	}
}

// pair writes on one node, and reads on another, and reports whether it could.
func (c *tokenClient) pair() bool {
	writer := c.rng.IntN(tokenNodes)
	reader := (writer + 1 + c.rng.IntN(tokenNodes-1)) % tokenNodes
	key := fmt.Sprint("k", c.rng.IntN(tokenKeys))
	own := c.rng.IntN(4) == 0
	switch {
	case own:
		key = fmt.Sprint("own", c.id)
	case c.rng.IntN(4) == 0:
		key = fmt.Sprint("tagged", c.rng.IntN(tokenKeys))
	}
	cache := c.cluster.Node(writer)
	version, ok := c.write(cache, key, own)
	if !ok {
		return false
	}
	token := cache.Token()
	if own {
		if merged, err := bcache.MergeTokens(c.had, token); err == nil {
			token = merged
		} // otherwise they are of more lives than a Token has
		c.had = token
	}
	if c.rng.IntN(2) == 0 {
		time.Sleep(time.Duration(c.rng.IntN(100)) * time.Millisecond)
	}
	if got, held := c.cluster.Node(reader).Get(key); held && c.number(got) < version {
		c.older.Add(1) // who comes without the Token
	}
	start := time.Now()
	got, held, ok := c.get(reader, key, token)
	if time.Since(start) > 0 {
		c.waited.Add(1)
	}
	if held && c.number(got) < version {
		c.wrong.Add(1)
		c.Errorf("client %d wrote change %d of %s on node %d, and reads change %s on node %d",
			c.id, version, key, writer, got, reader)
	}
	return ok
}

// write changes a row and tells the cache of it. What one client alone writes is Set too, on a node that
// has processed what that client wrote before: otherwise clocks would decide which of the two is newer.
func (c *tokenClient) write(cache *bcache.Bcache, key string, own bool) (version int, ok bool) {
	if own {
		ctx, cancel := context.WithTimeout(c.Context(), 100*time.Millisecond)
		defer cancel()
		if cache.Await(ctx, c.had) != nil { // lost, maybe, with a node that was killed
			time.Sleep(time.Second) // all clocks are beyond what it wrote
			c.had = bcache.Token{}
			return 0, false
		}
	}
	version = c.commit(key)
	var err error
	if own && c.rng.IntN(3) > 0 {
		c.sets.Add(1)
		err = cache.SetWithTTL(key, strconv.Itoa(version), 3*time.Second)
	} else {
		c.deletes.Add(1)
		switch c.rng.IntN(4) {
		case 0:
			err = cache.ClearPrefix(key) // and of longer keys
		case 1:
			if isTagged(key) {
				err = cache.ClearTag(key)
				break
			}
			fallthrough
		default:
			err = cache.Delete(key)
		}
	}
	return version, err == nil // or the node was killed
}

// get reads a key in one of the ways in which that can be done. ok is false if the Token is awaited in
// vain, and held is if nothing is there.
func (c *tokenClient) get(node int, key string, token bcache.Token) (val string, held, ok bool) {
	l, ctx := c.loaders[node].Load(), bcache.WithToken(c.Context(), token)
	switch c.rng.IntN(6) {
	case 0, 1:
		got, err := l.Get(ctx, key)
		return got, c.isRead(err), true
	case 2:
		r := l.GetResult(ctx, key)
		return r.Value, c.isRead(r.Err), true
	case 3:
		got, err := l.GetMany(ctx, []string{key, fmt.Sprint("k", c.rng.IntN(tokenKeys)), "k1", "k2"})
		return got[key], c.isRead(err), true
	}
	cache := c.cluster.Node(node)
	limit, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	switch err := cache.Await(limit, token); {
	case errors.Is(err, context.DeadlineExceeded):
		c.inVain.Add(1)
		return "", false, false
	case errors.Is(err, bcache.ErrTokenUnknown), errors.Is(err, bcache.ErrClosed):
		c.lost.Add(1)
		return "", false, false
	case err != nil:
		c.Errorf("Await = %v", err)
	}
	if isTagged(key) || c.rng.IntN(2) == 0 {
		val, held = cache.Get(key)
		return val, held, true
	}
	got, err := cache.GetWithFiller(key, func(key string) (string, error) { return c.tokenTest.read(key), nil }, 2)
	return got, c.isRead(err), true
}

// isTagged reports whether all values of a key have its tag: those of a Filler have none.
func isTagged(key string) bool { return strings.HasPrefix(key, "tagged") }

// isRead reports whether something was read: no Get should fail.
func (c *tokenClient) isRead(err error) bool {
	if err != nil {
		c.Errorf("a Get fails: %v", err)
	}
	return err == nil
}

func (c *tokenClient) number(val string) int {
	n, err := strconv.Atoi(val)
	if err != nil {
		c.Errorf("a value is %q", val)
	}
	return n
}

// Who writes on one node and comes to another one with a Token reads nothing that is older, whatever
// happens to the nodes and to what they send.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &tokenTest{T: t, rows: map[string]int{}, cluster: bcachetest.New(t, tokenNodes, bcache.Config{
			MaxKeys: 20, MaxClockSkew: 500 * time.Millisecond, LogSize: 200, SyncTimeout: 3 * time.Second,
		})}
		for i := range tokenNodes {
			x.start(i)
		}
		done := make(chan struct{})
		var wg sync.WaitGroup
		for i := range tokenClients {
			wg.Go((&tokenClient{tokenTest: x, id: i, rng: rand.New(rand.NewPCG(uint64(i), 3))}).run)
		}
		go func() { wg.Wait(); close(done) }()
		start := time.Now()
		cuts, kills := x.weather(done)
		x.Logf("%d pairs in %v (%d Sets, %d Deletes); %d partitions, %d kills; "+
			"%d of the reads waited, %d in vain, %d had unknown Tokens; %d queries; "+
			"without a Token %d reads would have been of an older value, with one %d were",
			x.made.Load(), time.Since(start).Round(time.Second), x.sets.Load(), x.deletes.Load(), cuts,
			kills, x.waited.Load(), x.inVain.Load(), x.lost.Load(), x.asked.Load(), x.older.Load(),
			x.wrong.Load())
		if x.older.Load() == 0 {
			t.Error("no node was ever behind: this test shows nothing")
		}
	})
}
