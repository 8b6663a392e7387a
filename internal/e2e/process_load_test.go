//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

// What a load writes at last is what the harness computes from the count.
func TestLoad(t *testing.T) {
	b, err := bcache.New(bcache.Config{MaxKeys: 1000})
	testkit.Ok(t, err)
	defer b.Close()
	for _, rate := range []int{0, 5000} {
		prefix := fmt.Sprint("r", rate, "-")
		l := nodeprocess.StartLoad(b, "node", prefix, 50, rate, 100)
		testkit.Within(t, 10*time.Second, func() error {
			if r, err := l.Report(); err != nil || r.Count < 200 {
				return fmt.Errorf("%+v, %v", r, err)
			}
			return nil
		})
		l.Stop()
		r, err := l.Report()
		testkit.Ok(t, err)
		o := newOracle()
		o.load("node", prefix, 50, r.Count)
		held := map[string]string{}
		nodeprocess.EachKey(prefix, 0, 50, func(key string) error {
			if v, found := b.Get(key); found {
				held[key], _, _ = strings.Cut(v, " ")
			}
			return nil
		})
		testkit.Ok(t, o.check([]map[string]string{held}, true))
	}
}
