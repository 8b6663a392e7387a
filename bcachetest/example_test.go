package bcachetest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
)

// This is how a test of a service looks. The service reads users through a Loader on each node. While a
// node is cut off it serves what it has; when it is back it has what was written meanwhile.
func TestServiceIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := map[string]string{"1": "Ada"}
		fill := func(_ context.Context, id string) (bcache.Loaded, error) {
			return bcache.Loaded{Value: users[id]}, nil
		}
		c := bcachetest.New(t, 3, bcache.Config{MaxKeys: 1000})
		loaders := make([]*bcache.Loader, c.Len())
		for i := range loaders {
			l, err := bcache.NewLoader(c.Node(i), bcache.LoaderConfig{Prefix: "user:", TTL: time.Hour, Fill: fill})
			if err != nil {
				t.Fatal(err)
			}
			loaders[i] = l
		}
		name := func(node int) string {
			val, err := loaders[node].Get(t.Context(), "1")
			if err != nil {
				t.Fatal(err)
			}
			return val
		}
		name(0)
		c.WaitAll()

		c.Partition([]int{2}) // node 2 is cut off
		users["1"] = "Grace"
		if err := loaders[0].Delete("1"); err != nil { // commit, then delete
			t.Fatal(err)
		}
		c.WaitAll()
		if got := name(2); got != "Ada" { // it can't know
			t.Errorf("the node that is cut off serves %q", got)
		}
		c.Heal()
		c.WaitConnected()
		c.WaitAll()
		if got := name(2); got != "Grace" {
			t.Errorf("after the partition it serves %q", got)
		}
	})
}
