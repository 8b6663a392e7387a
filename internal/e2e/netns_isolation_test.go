//go:build linux

package e2e_test

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
)

const (
	netnsBound = 4 * time.Second
	netnsGrace = 500 * time.Millisecond // the machine may be busy; the bound is kept within 10 ms
	netnsWoken = 100 * time.Millisecond // likewise for who was stopped: it may go on serving for a moment
)

// A node is cut off, or frozen, while the others write on, or these are killed. It serves nothing that
// another value, which one other node has had for the bound, has replaced; as soon as it gets on it serves
// what is current.
func TestNetnsIsolation(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(c *netnsCluster, s *sequence) (began time.Time){
		"Cut": func(c *netnsCluster, s *sequence) time.Time {
			c.hosts[2].cut()
			began := time.Now()
			s.writeFor(4 * netnsBound)
			c.hosts[2].heal()
			return began
		},
		"CutShorterThanTheBound": func(c *netnsCluster, s *sequence) time.Time {
			c.hosts[2].cut()
			s.writeFor(netnsBound / 8)
			c.hosts[2].heal()
			return time.Time{}
		},
		"Refused": func(c *netnsCluster, s *sequence) time.Time {
			c.hosts[2].refuse()
			began := time.Now()
			s.writeFor(3 * netnsBound)
			c.hosts[2].heal()
			return began
		},
		"Frozen": func(c *netnsCluster, s *sequence) time.Time {
			c.nodes[2].signal(syscall.SIGSTOP)
			s.writeFor(3 * netnsBound)
			s.woken = time.Now()
			c.nodes[2].signal(syscall.SIGCONT)
			return s.woken.Add(-netnsBound)
		},
		"OthersKilled": func(c *netnsCluster, s *sequence) time.Time {
			c.nodes[0].kill()
			c.nodes[1].kill()
			began := time.Now()
			<-time.After(2 * netnsBound)
			testkit.Ok(c.t, c.nodes[0].start())
			testkit.Ok(c.t, c.nodes[1].start())
			return began
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newNetnsCluster(t, ipv4, 3, func(cfg *bcache.Config) {
				cfg.MinPeers, cfg.Isolation, cfg.IsolatedAfter = 1, bcache.MissWhenIsolated, netnsBound
			})
			c.start()
			s := &sequence{c: c, confirmed: map[int]time.Time{}}
			c.nodes[2].must(nil, "follow", "seq")
			s.writeFor(2 * time.Second)
			began := trouble(c, s)
			for _, p := range c.nodes {
				testkit.Within(t, mostReady, func() error { return p.ask(nil, "ready") })
			}
			testkit.Within(t, mostAgree, func() error {
				_, err := replicates(c.nodes[0], c.nodes[2], "mark", "again")
				return err
			})
			s.writeFor(time.Second)
			s.n++
			_, err := replicates(c.nodes[0], c.nodes[2], "seq", strconv.Itoa(s.n))
			testkit.Ok(t, err)
			var last map[string]time.Time
			c.nodes[2].must(&last, "followed", "seq")
			late := s.worst(t, last)
			var stats bcache.Stats
			c.nodes[2].must(&stats, "stats")
			if long := !began.IsZero(); long && (stats.Isolations == 0 || last[""].Before(began.Add(netnsBound))) {
				t.Errorf("isolated %d times; it last missed %v after the beginning", stats.Isolations, last[""].Sub(began))
			} // otherwise it is only if the machine is very busy
			if served := last[fmt.Sprint(s.n)]; served.IsZero() {
				t.Errorf("it didn't serve the last value, %d", s.n)
			}
			t.Logf("%d values, isolated %d times; a value was served for %v after another node had the next one, "+
				"at most; the bound is %v", s.n, stats.Isolations, late.Round(time.Millisecond), netnsBound)
		})
	}
}

// A sequence is a key to which the first node writes 1, 2, 3 and so on.
type sequence struct {
	c         *netnsCluster
	n         int
	confirmed map[int]time.Time // when the second node had it
	woken     time.Time         // when the third one went on, if it was stopped
}

// writeFor writes for so long.
func (s *sequence) writeFor(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		s.n++
		_, err := replicates(s.c.nodes[0], s.c.nodes[1], "seq", strconv.Itoa(s.n))
		testkit.Ok(s.c.t, err)
		s.confirmed[s.n] = time.Now()
	}
}

// worst returns for how long a value was served after another node had the next one, at most, and fails if
// that is beyond the bound.
func (s *sequence) worst(t *testing.T, last map[string]time.Time) (late time.Duration) {
	for val, at := range last {
		n, err := strconv.Atoi(val)
		next, written := s.confirmed[n+1]
		if err != nil || !written {
			continue
		}
		if after := at.Sub(s.woken); after > 0 && after < netnsWoken {
			continue
		}
		by := at.Sub(next)
		if late = max(late, by); by > netnsBound+netnsGrace {
			t.Errorf("%d was served %v after another node had %d", n, by, n+1)
		}
	}
	return late
}
