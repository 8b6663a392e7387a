package meshnet

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
)

// fieldLog is a meshLog whose lines have fields.
type fieldLog struct{ meshLog }

func (l *fieldLog) LogFields(level slog.Level, msg string, fields ...slog.Attr) {
	l.Printf("%v %s %v", level, msg, fields)
}

// A line of a node that joins or leaves has its PeerID, its address and its origin; mesh's own have the
// address.
func TestMeshLinesHaveFields(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	at := a.Addr()
	log := &fieldLog{}
	b, err := New(Config{
		PeerID: 0xb, Origin: 0xb01, ListenAddr: "127.0.0.1:0", Peers: []string{at},
		MaxClockSkew: 500 * time.Millisecond, MaxConns: 256, Log: linelog.New(log, time.Now),
	})
	testkit.Must(t, err)
	t.Cleanup(func() { testkit.Must(t, b.Close()) })
	testkit.Must(t, b.Start(transport.Node{}, &testkit.Handler{}))
	says := func(line string) {
		t.Helper()
		wait(t, line, func() bool { return log.count("P", line) > 0 })
	}
	says(fmt.Sprintf("INFO node b listens on %s [addr=%[1]s]", b.Addr()))
	says(fmt.Sprintf("INFO node a (%s) joined [peer=a addr=%[1]s origin=a01]", at))
	says(fmt.Sprintf("DEBUG mesh: ->[%s] attempting connection [addr=%[1]s]", at))
	says(fmt.Sprintf("]: connection ready; using protocol version 2 [addr=%s]", at))
	closeAll(t, a)
	left := fmt.Sprintf("INFO node a (%s) left: ", at)
	says(left)
	log.mu.Lock()
	defer log.mu.Unlock()
	for _, line := range log.lines {
		if _, rest, ok := strings.Cut(line, left); ok {
			why, _, _ := strings.Cut(rest, " [")
			if want := fmt.Sprintf("%s [addr=%s reason=%[1]s origin=a01 peer=a]", why, at); rest != want {
				t.Errorf("got %q, want %q", rest, want)
			}
		}
	}
}

func TestMeshLinesHaveAnAddress(t *testing.T) {
	for _, tt := range []struct {
		format string
		args   []any
		want   string
	}{
		{"->[%s] connection accepted", []any{"1.2.3.4:5"}, "1.2.3.4:5"},
		{"->[%s] error during connection attempt: %v", []any{"1.2.3.4:5", errors.New("e")}, "1.2.3.4:5"},
		{"->[%s] without arguments", nil, ""},
		{"->[[::1]:5|00:00:00:00:00:0a(a|b)]: connection added", nil, "[::1]:5"},
		{"->[whoever]: something", nil, ""},
		{"[gossip topology]: ->[1.2.3.4:5|a]: x", nil, ""},
		{"%v", []any{errors.New("e")}, ""},
		{"", nil, ""},
	} {
		if got := addrOf(tt.format, tt.args); got != tt.want {
			t.Errorf("%q %v: got %q, want %q", tt.format, tt.args, got, tt.want)
		}
	}
}

// A node that finds no room is told so, and who has none says so.
func TestMeshMaxConnsIsSaid(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, func(c *Config) { c.MaxConns = 1 })
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	c := start(t, 0xc, func(cfg *Config) {
		cfg.Peers, cfg.AdvertiseAddr = []string{a.Addr()}, "127.0.0.1:1"
	})
	const line = "MaxConns is reached: node a has 1 connections already"
	wait(t, "c is told", func() bool { return c.log.count("E", "refuses this node: "+line) > 0 })
	wait(t, "a says so", func() bool { return a.log.count("E", "is refused: "+line) > 0 })
	wait(t, "it stands among what isn't reached", func() bool {
		return strings.Contains(lines(c), line)
	})
	if a.h.Count("+c") > 0 || a.h.Count("-b") > 0 {
		t.Errorf("events %v", a.h.Events)
	}
	talk(t, "still", a, b)
	closeAll(t, b)
	linked(t, a, c) // there is room
	closeAll(t, a, c)
}

// Nodes that live and can't be dialled where they say to be are told so, and those that can
// aren't.
func TestMeshWrongAdvertise(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	wrong := func(addr string) func(*Config) {
		return func(c *Config) { c.Peers, c.AdvertiseAddr = []string{a.Addr()}, addr }
	}
	right := start(t, 0xb, meshPeers(a.Addr()))
	c := start(t, 0xc, wrong("127.0.0.1:1"))
	linked(t, a, right, c) // c can dial
	d := start(t, 0xd, wrong("127.0.0.1:2"))
	wait(t, "one of two that can't be dialled complains", func() bool {
		return c.log.count("E", "node d can't be reached at 127.0.0.1:2, which it advertises") > 0 ||
			d.log.count("E", "node c can't be reached at 127.0.0.1:1, which it advertises") > 0
	})
	wait(t, "the other one is told", func() bool {
		return c.log.count("E", "can't connect to 127.0.0.1:1, which this node advertises: ") > 0 ||
			d.log.count("E", "can't connect to 127.0.0.1:2, which this node advertises: ") > 0
	})
	for _, n := range []*testNode{a, right} {
		if n.log.count("E", "") > 0 {
			t.Errorf("node %x logs errors: %q", n.cfg.PeerID, n.log.lines)
		}
	}
	closeAll(t, a, right, c, d)
}

// A node that closes says so; one that is gone otherwise doesn't.
func TestMeshHowNodesLeave(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	conn, _ := b.router.run.Load().router.Ourself.ConnectionTo(0xa)
	b.router.run.Load().guts.hangUp(conn) // as the kernel does for a process that was killed
	wait(t, "it broke", func() bool { return a.log.count("P", ") left: the connection broke: ") == 1 })
	wait(t, "again", func() bool { return a.h.Count("+b") == 2 && b.h.Count("+a") == 2 })
	a.Disconnect(0xb)
	wait(t, "a cut it", func() bool { return a.h.Count("-b") == 2 })
	wait(t, "again", func() bool { return a.h.Count("+b") == 3 && b.h.Count("+a") == 3 })
	c := start(t, 0xc, meshPeers(a.Addr())) // another one, as lines about b are held back now
	linked(t, a, b, c)
	closeAll(t, c)
	for _, n := range []*testNode{a, b} {
		wait(t, "c closed", func() bool {
			return n.log.count("P", "node c ("+c.Addr()+") left: it closed") == 1
		})
		if n.book.addrOf(0xc) != "" {
			t.Errorf("node %x doesn't forget who closed", n.cfg.PeerID)
		}
	}
	closeAll(t, a, b)
}

// A node that is told of others and reaches none says so, with what is wrong, once.
func TestMeshSaysThatItIsAlone(t *testing.T) {
	leaks(t)
	refuses := freeAddr(t)
	a := start(t, 0xa, meshPeers(refuses, "192.0.2.1:notaport"))
	b := start(t, 0xb, nil) // knows of nobody: that is no news
	const line = "no other node is reached: "
	wait(t, "a says so", func() bool { return a.log.count("P", line) > 0 })
	if a.log.count("P", refuses+": connect: connection refused") == 0 {
		t.Errorf("it doesn't say why: %q", a.log.lines)
	}
	c := start(t, 0xc, func(c *Config) { c.ListenAddr = refuses })
	linked(t, a, c)
	a.watcher.sayAlone()
	b.watcher.sayAlone()
	if a.log.count("P", line) != 1 || b.log.count("P", line) != 0 {
		t.Error("it says so again, or without Peers")
	}
	closeAll(t, a, b, c)
}

// An own name that means a loopback address is judged by the address.
func TestMeshNameIsLoopback(t *testing.T) {
	tests := []struct {
		listen, advertise, peer string
		want                    bool
	}{
		{"127.0.1.1:7000", "", "10.0.0.1:7000", true},
		{"127.0.0.1:7000", "host:7000", "10.0.0.1:7000", true},
		{":7000", "host:7000", "elsewhere:7000", true},
		{"[::ffff:127.0.0.1]:7000", "", "10.0.0.1:7000", true},
		{":7000", "host:7000", "127.0.0.1:7001", false}, // all on one machine
		{":7000", "", "10.0.0.1:7000", false},
		{":7000", "elsewhere:7000", "10.0.0.1:7000", false},
		{"127.0.0.1:7000", "10.0.0.2:7000", "10.0.0.1:7000", false}, // behind a proxy
		{":7000", "unknown:7000", "10.0.0.1:7000", false},
	}
	for _, test := range tests {
		var names names
		names.set("host", "127.0.1.1")
		names.set("elsewhere", "10.0.0.3")
		n := meshMake(t, 0xa, func(c *Config) {
			c.ListenAddr, c.AdvertiseAddr, c.Peers = test.listen, test.advertise, []string{test.peer}
			c.Resolve = names.resolve
		})
		known := make(map[string][]netip.AddrPort)
		for range 3 {
			n.resolver.resolve(known)
			n.resolver.checkLoopback(known)
		}
		n.cfg.Log.Close(t.Context())
		said := n.log.count("E", "where only its own machine reaches this node")
		if (said == 1) != test.want || said > 1 {
			t.Errorf("%+v: %d lines", test, said)
		}
	}
}

func TestLoopbackIsJudgedByTheAddress(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.0.1.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"localhost:1": true, "LOCALHOST.:1": true, "a.localhost:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "notlocalhost:1": false,
	} {
		if isLoopback(addr) != want {
			t.Errorf("%s: %v", addr, isLoopback(addr))
		}
	}
}
