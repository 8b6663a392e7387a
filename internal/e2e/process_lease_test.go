//go:build linux

package e2e_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

// The node that has the lease, or that grants it, is killed or closes while a key is filled: the
// others have a value soon, with no more than a query of each that waited, and nobody waits for ever.
func TestProcessLease(t *testing.T) {
	testkit.SkipIfMeshRaces(t)
	const hot = "hot"
	for _, who := range []string{"holder", "granter"} {
		for _, how := range []string{"killed", "closes"} {
			t.Run(who+" "+how, func(t *testing.T) {
				t.Parallel()
				var nodes []*process
				addrs := []string{testkit.FreeAddr(t), testkit.FreeAddr(t), testkit.FreeAddr(t), testkit.FreeAddr(t)}
				for i, addr := range addrs {
					p := newProcess(t, fmt.Sprint("n", i), bcache.Config{PeerID: uint64(i + 1), ListenAddr: addr, Peers: addrs, MaxKeys: 1000})
					testkit.Ok(t, p.start())
					nodes = append(nodes, p)
				}
				allConnected(t, nodes)
				var granter uint64
				testkit.Within(t, 40*time.Second, func() error { // all are synced and know that of all
					for _, p := range nodes {
						if err := errors.Join(p.ask(nil, "ready"), p.ask(&granter, "granter", hot)); err != nil {
							return err
						}
					}
					return agreed(nodes, hot, granter)
				})
				g := nodes[granter-1]
				var holder *process
				var waiting []*process
				for _, p := range nodes {
					switch {
					case p == g:
					case holder == nil:
						holder = p
					default:
						waiting = append(waiting, p)
					}
				}
				victim := g
				if who == "holder" {
					victim = holder
				}
				holder.must(nil, "slow", 3000)
				holder.must(nil, "fill", hot)
				testkit.Within(t, 5*time.Second, func() error { return fillsAre(holder, 1) })
				for _, p := range waiting {
					p.must(nil, "slow", 200)
					p.must(nil, "fill", hot)
				}
				if how == "killed" {
					victim.kill()
				} else {
					testkit.Ok(t, victim.ask(nil, "close"))
				}
				start := time.Now()
				queries := 0
				for _, p := range waiting {
					testkit.Within(t, 10*time.Second, func() error {
						var r nodeprocess.FillResult
						if err := p.ask(&r, "filled", hot); err != nil || !r.Done || r.Err != "" {
							return fmt.Errorf("%s: %+v, %v", p.name, r, err)
						}
						return nil
					})
					var n int
					p.must(&n, "fills")
					queries += n
				}
				took := time.Since(start)
				t.Logf("%d more queries, all have a value %v after", queries, took.Round(time.Millisecond))
				if queries > 2 || took > 4*time.Second {
					t.Errorf("%d queries, %v", queries, took)
				}
			})
		}
	}
}

// agreed says who would ask another node than the granter.
func agreed(nodes []*process, key string, granter uint64) error {
	for _, p := range nodes {
		var id uint64
		if err := p.ask(&id, "granter", key); err != nil || id == 0 || id != granter {
			return fmt.Errorf("%s would ask %d, another one %d, %v", p.name, id, granter, err)
		}
	}
	return nil
}

func fillsAre(p *process, want int) error {
	var n int
	if err := p.ask(&n, "fills"); err != nil || n != want {
		return fmt.Errorf("%d fills, %v", n, err)
	}
	return nil
}
