package memberlist

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A noted is a log that tests read.
type noted struct {
	mu sync.Mutex
	at []string
}

func (l *noted) note(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = append(l.at, fmt.Sprintf(format, v...))
}

func (l *noted) Errorf(_ uint64, format string, v ...any) { l.note("E "+format, v...) }
func (l *noted) Printf(_ uint64, format string, v ...any) { l.note("P "+format, v...) }
func (l *noted) Debugf(_ uint64, format string, v ...any) { l.note("D "+format, v...) }

// has reports whether a line has come with all of these.
func (l *noted) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
lines:
	for _, line := range l.at {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue lines
			}
		}
		return true
	}
	return false
}

func (l *noted) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.at, "\n")
}

// A place is a node of a test.
type place struct {
	*Transport
	*testkit.Handler
	id  uint64
	log *noted
}

// bare makes a node's place, which hasn't started.
func bare(t testing.TB, id uint64, cfg Config) *place {
	t.Helper()
	if cfg.BindAddr == "" {
		cfg.BindAddr = "127.0.0.1:0"
	}
	tr, err := New(cfg)
	testkit.Ok(t, err)
	return &place{tr, &testkit.Handler{}, id, &noted{}}
}

func (p *place) node(origin uint64) transport.Node {
	return transport.Node{
		PeerID: p.id, Origin: origin, ClusterName: "test", MaxPending: 64 << 20,
		MaxClockSkew: time.Minute, Now: time.Now, Log: p.log,
	}
}

// start starts a node, which is closed with the test.
func start(t testing.TB, id uint64, cfg Config) *place {
	t.Helper()
	p := bare(t, id, cfg)
	testkit.Ok(t, p.Start(p.node(id<<8|1), p.Handler))
	t.Cleanup(func() { p.Close() })
	return p
}

// together starts n nodes, all of which know the first.
func together(t testing.TB, n int, cfg func(i int) Config) (all []*place) {
	t.Helper()
	for i := range n {
		c := cfg(i)
		if i > 0 {
			c.Join = append(c.Join, all[0].Addr())
		}
		all = append(all, start(t, uint64(i+1), c))
	}
	until(t, "all are joined", func() bool { return full(all) })
	return all
}

// full reports whether each of the nodes has joined each.
func full(all []*place) bool {
	for _, p := range all {
		if len(p.roster.all()) != len(all)-1 || len(p.Members()) != len(all)-1 {
			return false
		}
	}
	return true
}

func plain(int) Config { return Config{} }

// patience is for a machine that has much else to do.
const patience = 2 * time.Minute

// until waits for something that must come.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testkit.Within(t, patience, func() error {
		if !ok() {
			return errors.New("in vain: " + what)
		}
		return nil
	})
}

// testPipe returns the two ends of a connection.
func testPipe(t testing.TB) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Ok(t, err)
	defer l.Close()
	here, err = net.Dial("tcp", l.Addr().String())
	testkit.Ok(t, err)
	there, err = l.Accept()
	testkit.Ok(t, err)
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}
