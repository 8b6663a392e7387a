package bcache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
)

func peers(c *Config) { c.Peers = []string{"somebody:1"} }

func waitSynced(t *testing.T, b *Bcache, within time.Duration) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	start := time.Now()
	testkit.Must(t, b.WaitSynced(ctx))
	testkit.Must(t, b.Ready())
	return time.Since(start)
}

func TestReadyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local, err := New(Config{MaxKeys: 1})
		testkit.Must(t, err)
		defer local.Close()
		testkit.Must(t, local.Ready())
		first := memNode(t, memnet.New(), 1, 0)
		if waitSynced(t, first, time.Second) != 0 {
			t.Error("a node that waits for nobody waited")
		}
	})
}

func TestReadyAlone(t *testing.T) {
	for _, timeout := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b := memNode(t, memnet.New(), 1, 0, peers, func(c *Config) { c.SyncTimeout = timeout })
			err := b.Ready()
			if !errors.Is(err, ErrNotSynced) || !strings.Contains(err.Error(), "no other node is reached") {
				t.Errorf("Ready = %v", err)
			}
			want := timeout
			if want == 0 {
				want = replica.DefaultSyncTimeout
			}
			if took := waitSynced(t, b, time.Minute); took < want || took > want+replica.TickEvery {
				t.Errorf("ready after %v", took)
			}
		})
	}
}

func TestReadyAfterASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a := memNode(t, net, 1, 0)
		for i := range 500 {
			testkit.Must(t, a.Set(fmt.Sprint(i), "v", 3600))
		}
		b := memNode(t, net, 2, 0, peers)
		if err := b.Ready(); !errors.Is(err, ErrNotSynced) {
			t.Errorf("Ready = %v", err)
		}
		if took := waitSynced(t, b, time.Minute); took > 100*time.Millisecond {
			t.Errorf("ready after %v", took)
		}
		synctest.Wait()
		if b.Len() != 500 {
			t.Errorf("ready with %d entries", b.Len())
		}
		if s := b.Stats(); s.SyncsReceived != 1 || s.SyncRecords != 500 || s.SyncBytesIn == 0 || a.Stats().SyncsServed != 1 || a.Stats().SyncBytesOut != s.SyncBytesIn {
			t.Errorf("%+v", s)
		}

		// It stays so, whatever happens to the connections.
		testkit.Must(t, a.Close())
		testkit.Advance(time.Minute)
		testkit.Must(t, b.Ready())
	})
}

// Five that start together, each with the others as its Peers.
func TestReadyTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		var nodes []*Bcache
		for id := range 5 {
			nodes = append(nodes, memNode(t, net, uint64(id+1), 0, peers))
			testkit.Must(t, nodes[id].Set(fmt.Sprint(id), "v", 3600))
		}
		for i, b := range nodes {
			if took := waitSynced(t, b, time.Minute); took > replica.ElectAfter+3*time.Second {
				t.Errorf("node %d was ready after %v", i, took)
			}
		}
		testkit.Advance(5 * time.Second)
		for _, b := range nodes {
			if b.Len() != 5 {
				t.Errorf("%d entries", b.Len())
			}
			if n := b.Stats().SyncsReceived; n > 1 {
				t.Errorf("%d full syncs", n)
			}
		}
	})
}

func TestWaitSyncedErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memNode(t, memnet.New(), 1, 0, peers)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := b.WaitSynced(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNotSynced) || !strings.Contains(err.Error(), "no other node is reached") {
			t.Errorf("WaitSynced = %v", err)
		}
		cancelled, cancelWith := context.WithCancelCause(context.Background())
		cause := errors.New("because")
		cancelWith(cause)
		if err := b.WaitSynced(cancelled); !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
			t.Errorf("WaitSynced = %v", err)
		}
		closed := make(chan error)
		go func() { closed <- b.WaitSynced(context.Background()) }()
		synctest.Wait()
		testkit.Must(t, b.Close())
		if err := <-closed; !errors.Is(err, ErrClosed) {
			t.Errorf("WaitSynced during Close = %v", err)
		}
		if err := b.Ready(); !errors.Is(err, ErrClosed) {
			t.Errorf("Ready after Close = %v", err)
		}
		if err := b.WaitSynced(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("WaitSynced after Close = %v", err)
		}
		if err := b.Clear(); !errors.Is(err, ErrClosed) {
			t.Errorf("Clear after Close = %v", err)
		}
	})
}

// Clear reaches those who are there and those who come; what is written after it stays.
func TestClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		for i := range 300 {
			testkit.Must(t, nodes[i%3].Set(fmt.Sprint(i), "v", 3600))
		}
		testkit.Must(t, nodes[0].Delete("7"))
		synctest.Wait()
		testkit.Must(t, nodes[1].Clear())
		miss(t, nodes[1], "1") // at once, here
		testkit.Must(t, nodes[1].Set("after", "v", 3600))
		synctest.Wait()
		late := memNode(t, net, 4, 0, peers)
		waitSynced(t, late, time.Minute)
		synctest.Wait()
		for _, b := range append(nodes, late) {
			for i := range 300 {
				miss(t, b, fmt.Sprint(i))
			}
			get(t, b, "after", "v")
		}
		testkit.Advance(6 * time.Second)
		for _, b := range append(nodes, late) {
			if b.Len() != 1 {
				t.Errorf("Len = %d", b.Len())
			}
		}
		if n := nodes[1].Stats().Clears; n != 1 {
			t.Errorf("Clears = %d", n)
		}

		// An old frame brings nothing back, also where Clear came with the sync.
		old := delta.Record{Key: "1", Val: "old", Version: delta.Version{Stamp: delta.StampOf(time.Now().Add(-7 * time.Second).UnixMilli()), Origin: 77}}
		net.Node(4).Inject(1, wire.AppendDelta(nil, 77, 1, []delta.Record{old}))
		synctest.Wait()
		miss(t, late, "1")
	})
}

// A Clear that was missed is repaired.
func TestClearIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		testkit.Must(t, nodes[0].Set("k", "v", 3600))
		synctest.Wait()
		lose := losing(net, 3)
		lose.Store(true)
		testkit.Must(t, nodes[0].Clear())
		synctest.Wait()
		get(t, nodes[2], "k", "v")
		lose.Store(false)
		testkit.Advance(5 * time.Second)
		miss(t, nodes[2], "k")
	})
}

// A fill that began before a Clear isn't cached.
func TestClearFencesFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		val, err := nodes[0].GetWithFiller("k", func(string) (string, error) {
			return "old", nodes[1].Clear()
		}, 60)
		if val != "old" || err != nil {
			t.Errorf("GetWithFiller = %q, %v", val, err)
		}
		synctest.Wait()
		for _, b := range nodes {
			miss(t, b, "k")
		}
	})
}
