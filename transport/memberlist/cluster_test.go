package memberlist_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport/memberlist"
)

// patience is for a machine that has much else to do.
const patience = 2 * time.Minute

// cluster starts so many nodes of bcache on this engine.
func cluster(t *testing.T, n int, cfg memberlist.Config) (all []*bcache.Bcache) {
	t.Helper()
	for i := range n {
		c := cfg
		c.BindAddr = "127.0.0.1:0"
		if i > 0 {
			c.Join = []string{all[0].Addr()}
		}
		tr, err := memberlist.New(c)
		testkit.Must(t, err)
		b, err := bcache.New(bcache.Config{PeerID: uint64(i + 1), MaxKeys: 1000, Transport: tr})
		testkit.Must(t, err)
		t.Cleanup(func() { b.Close() })
		all = append(all, b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, b := range all {
		testkit.Must(t, b.WaitSynced(ctx))
	}
	testkit.Within(t, patience, func() error {
		for i, b := range all {
			if m := len(b.Members()); m != n-1 {
				return fmt.Errorf("node %d has %d members", i+1, m)
			}
		}
		return nil
	})
	return all
}

// What is written on a node is on all of them, and what is deleted on none.
func TestCluster(t *testing.T) {
	for _, n := range []int{3, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			all := cluster(t, n, memberlist.Config{Keys: [][]byte{make([]byte, 32)}})
			for i, b := range all {
				testkit.Must(t, b.Set(fmt.Sprint("key ", i), "value", 60))
			}
			want := func(present bool) {
				t.Helper()
				testkit.Within(t, patience, func() error {
					for i, b := range all {
						for k := range all {
							if _, ok := b.Get(fmt.Sprint("key ", k)); ok != present {
								return fmt.Errorf("node %d has key %d: %v", i+1, k, ok)
							}
						}
					}
					return nil
				})
			}
			want(true)
			for i := range all {
				testkit.Must(t, all[(i+1)%n].Delete(fmt.Sprint("key ", i)))
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			testkit.Must(t, all[0].Confirm(ctx))
			want(false)
		})
	}
}
