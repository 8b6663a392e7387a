package memberlist

import (
	"errors"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
)

// A node that is frozen, whose connections last, is given up by the others, and is back once it goes on.
func TestFrozenNode(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	var all []*bcache.Bcache
	for i := range 2 {
		cfg := Config{BindAddr: "127.0.0.1:0"}
		if i > 0 {
			cfg.Join = []string{all[0].Addr()}
		}
		tr, err := New(cfg)
		testkit.Must(t, err)
		if i > 0 {
			tr.through = g.through
		}
		b, err := bcache.New(bcache.Config{MaxKeys: 100, Transport: tr})
		testkit.Must(t, err)
		t.Cleanup(func() { b.Close() })
		all = append(all, b)
	}
	members := func(n int) func() error {
		return func() error {
			if len(all[0].Members()) != n {
				return errors.New("it has another number of members")
			}
			return nil
		}
	}
	testkit.Within(t, patience, members(1))
	thaw := g.freeze()
	began := time.Now()
	testkit.Within(t, patience, members(0))
	t.Logf("that took %v", time.Since(began))
	thaw()
	testkit.Within(t, patience, members(1))
}
