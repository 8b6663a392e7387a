package bcachetest_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
)

func get(t *testing.T, b *bcache.Bcache, key, want string) {
	t.Helper()
	if got, ok := b.Get(key); !ok || got != want {
		t.Errorf("Get(%q) = %q, %v, want %q", key, got, ok, want)
	}
}

func miss(t *testing.T, b *bcache.Bcache, key string) {
	t.Helper()
	if got, ok := b.Get(key); ok {
		t.Errorf("Get(%q) = %q, want a miss", key, got)
	}
}

func set(t *testing.T, b *bcache.Bcache, key, val string) {
	t.Helper()
	if err := b.Set(key, val, 3600); err != nil {
		t.Fatal(err)
	}
}

// inBubble runs a test with a cluster in virtual time.
func inBubble(t *testing.T, n int, test func(t *testing.T, c *bcachetest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, bcachetest.New(t, n, bcache.Config{MaxKeys: 1000}))
	})
}

func TestClusterReplicates(t *testing.T) {
	for n := 1; n <= 5; n++ {
		inBubble(t, n, func(t *testing.T, c *bcachetest.Cluster) {
			for i := range n {
				if m := len(c.Node(i).Members()); m != n-1 {
					t.Errorf("of %d nodes, node %d knows %d", n, i, m)
				}
				set(t, c.Node(i), fmt.Sprint("k", i), "v")
			}
			c.WaitAll()
			for i := range n {
				for j := range n {
					get(t, c.Node(i), fmt.Sprint("k", j), "v")
				}
			}
		})
	}
}

// It works outside a bubble too.
func TestClusterInRealTime(t *testing.T) {
	c := bcachetest.New(t, 2, bcache.Config{MaxKeys: 1000})
	set(t, c.Node(0), "k", "v")
	c.WaitAll()
	get(t, c.Node(1), "k", "v")
}

func TestPartition(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, c *bcachetest.Cluster) {
		set(t, c.Node(0), "k", "old")
		c.WaitAll()
		c.Partition([]int{0, 1}, []int{2, 3}) // and node 4 by itself
		c.WaitConnected()
		set(t, c.Node(0), "k", "new")
		c.WaitAll()
		get(t, c.Node(1), "k", "new")
		for i := 2; i < 5; i++ {
			get(t, c.Node(i), "k", "old")
		}
		c.Partition([]int{0, 2}, []int{1, 3, 4})
		c.WaitConnected()
		c.WaitAll()
		get(t, c.Node(2), "k", "new")
		get(t, c.Node(3), "k", "new") // by node 1
		c.Heal()
		c.WaitConnected()
		c.WaitAll()
		for i := range 5 {
			get(t, c.Node(i), "k", "new")
		}
	})
}

// What a node wrote last, and the others hadn't got when it died, is gone.
func TestKillAndRestart(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *bcachetest.Cluster) {
		set(t, c.Node(2), "k", "v")
		c.WaitAll()
		c.Delay(time.Second)
		set(t, c.Node(2), "lost", "v")
		c.Kill(2)
		c.Kill(2) // it is dead
		c.Delay(0)
		if err := c.Node(2).Set("k", "dead", 60); err != bcache.ErrClosed {
			t.Errorf("a dead node's Set returns %v", err)
		}
		c.WaitConnected()
		if m := c.Node(0).Members(); len(m) != 1 {
			t.Errorf("node 0 knows %v", m)
		}
		c.WaitAll()
		set(t, c.Node(0), "meanwhile", "v")
		c.Restart(2)
		c.WaitConnected()
		c.WaitAll()
		for i := range c.Len() {
			get(t, c.Node(i), "k", "v")
			get(t, c.Node(i), "meanwhile", "v")
			miss(t, c.Node(i), "lost")
		}
		c.Restart(0) // it lives
		c.WaitConnected()
		get(t, c.Node(0), "k", "v")
	})
}

// What a node wrote last, the others have when it has stopped.
// What the dead wrote before something that has arrived never comes: nobody waits for that.
func TestKillLeavesAGap(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *bcachetest.Cluster) {
		c.Delay(10 * time.Millisecond)
		c.Loss(1)
		set(t, c.Node(0), "lost", "v")
		time.Sleep(time.Millisecond)
		c.Loss(0)
		set(t, c.Node(0), "k", "v")
		time.Sleep(11 * time.Millisecond)
		c.Kill(0)
		c.WaitAll()
		for i := 1; i <= 2; i++ {
			get(t, c.Node(i), "k", "v")
			miss(t, c.Node(i), "lost")
		}
		set(t, c.Node(1), "later", "v")
		c.WaitAll()
		get(t, c.Node(2), "later", "v")
	})
}

func TestStop(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *bcachetest.Cluster) {
		c.Delay(100 * time.Millisecond)
		set(t, c.Node(2), "last", "v")
		for range 2 { // the second time it is stopped
			if err := c.Stop(2); err != nil {
				t.Error(err)
			}
		}
		get(t, c.Node(0), "last", "v")
		c.Delay(0)
		c.WaitConnected()
		c.WaitAll()
		c.Restart(2)
		c.WaitConnected()
		c.WaitAll()
		get(t, c.Node(2), "last", "v")
	})
}

func TestKillAllAndRestart(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *bcachetest.Cluster) {
		set(t, c.Node(0), "k", "v")
		c.WaitAll()
		for i := range 3 {
			c.Kill(i)
		}
		for i := range 3 {
			c.Restart(i)
		}
		c.WaitConnected()
		for i := range 3 {
			miss(t, c.Node(i), "k")
		}
	})
}

// A deadline is told by the clock of the node that is asked.
func TestSkew(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *bcachetest.Cluster) {
		if err := c.Node(0).Set("k", "v", 10); err != nil {
			t.Fatal(err)
		}
		c.WaitAll()
		c.Skew(1, 5*time.Second)
		time.Sleep(6 * time.Second)
		get(t, c.Node(0), "k", "v")
		miss(t, c.Node(1), "k")
		c.Skew(1, -time.Minute)
		get(t, c.Node(0), "k", "v")
	})
}

func TestDelay(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *bcachetest.Cluster) {
		c.Delay(time.Second)
		set(t, c.Node(0), "k", "v")
		time.Sleep(time.Second - 1)
		synctest.Wait()
		miss(t, c.Node(1), "k")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		get(t, c.Node(1), "k", "v")
	})
}

func TestLoss(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *bcachetest.Cluster) {
		c.Loss(1)
		set(t, c.Node(0), "k", "v")
		synctest.Wait()
		miss(t, c.Node(1), "k")
		c.Loss(0.3)
		for i := range 100 {
			set(t, c.Node(i%3), fmt.Sprint(i), "v")
		}
		c.Loss(0)
		c.WaitAll()
		for n := range 3 {
			get(t, c.Node(n), "k", "v")
			for i := range 100 {
				get(t, c.Node(n), fmt.Sprint(i), "v")
			}
		}
	})
}

// A failing is a test that notes why it fails.
type failing struct {
	testing.TB
	says string
}

func (f *failing) Fatalf(format string, v ...any) {
	f.says = fmt.Sprintf(format, v...)
	runtime.Goexit()
}

// A wait that comes to no end fails the test, and says why.
func TestWaitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{TB: t}
		c := bcachetest.New(f, 2, bcache.Config{MaxKeys: 1000, SyncTimeout: time.Hour})
		for _, tt := range []struct {
			spoil func()
			wait  func()
			want  string
		}{
			{func() { c.Loss(1); set(t, c.Node(0), "k", "v") }, c.WaitAll, "nodes 0 and 1 have processed different writes"},
			{func() { c.Restart(1) }, c.WaitConnected, "node 1: bcache: not synced yet"},
		} {
			tt.spoil()
			f.says = ""
			done := make(chan struct{})
			go func() {
				defer close(done)
				tt.wait()
			}()
			<-done
			if !strings.Contains(f.says, tt.want) {
				t.Errorf("it says %q, want %q", f.says, tt.want)
			}
		}
	})
}

func TestConfigThatIsWrong(t *testing.T) {
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		bcachetest.New(f, 2, bcache.Config{})
	}()
	<-done
	if !strings.Contains(f.says, "MaxKeys") {
		t.Errorf("it says %q", f.says)
	}
}

// A clock that is set sets no timeouts: what is lost is repaired as soon as ever.
func TestSkewIsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bcachetest.New(t, 2, bcache.Config{MaxKeys: 1000, MaxClockSkew: time.Hour})
		c.Skew(1, -10*time.Minute)
		c.Loss(1)
		set(t, c.Node(0), "k", "v")
		synctest.Wait()
		c.Loss(0)
		start := time.Now()
		if c.WaitAll(); time.Since(start) > 20*time.Second {
			t.Errorf("it takes %v", time.Since(start))
		}
	})
}

// Whoever begins or ends lives of a node, does so one at a time.
func TestLivesDontOverlap(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *bcachetest.Cluster) {
		c.Delay(50 * time.Millisecond)
		set(t, c.Node(0), "k", "v")
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.Stop(0) })
		wg.Go(func() { c.Kill(0) })
		wg.Go(func() { c.Restart(0) })
		wg.Wait()
		c.Restart(0)
		c.WaitConnected()
		c.WaitAll()
		if m := c.Node(0).Members(); len(m) != 2 {
			t.Errorf("node 0 knows %v", m)
		}
	})
}

// Nobody is warned of what a test can't help.
func TestNothingIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &errorLog{t: t}
		bcachetest.New(t, 2, bcache.Config{MaxKeys: 1000, Logger: log, Secret: strings.Repeat("s", 32)})
	})
}

type errorLog struct{ t *testing.T }

func (l *errorLog) Errorf(format string, v ...any) { l.t.Errorf(format, v...) }
func (l *errorLog) Printf(string, ...any)          {}
func (l *errorLog) Debugf(string, ...any)          {}
