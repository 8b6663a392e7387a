package meshnet

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/weaveworks/mesh"
)

// A start of many nodes is accepted at once, a flood isn't, and those who say nothing slow
// down what comes after them only as long as they are many.
func TestMeshAcceptPace(t *testing.T) {
	a := newMeshAccepts()
	now := time.Now()
	burst := int(acceptBurst / acceptEvery)
	for i := range burst {
		name := fmt.Sprint(i)
		if wait := a.begin(name, now); wait != 0 {
			t.Fatalf("connection %d of a burst waits for %v", i, wait)
		}
		a.end(name)
	}
	waits := time.Duration(0)
	for i := range 100 {
		wait := a.begin("flood", now)
		a.end("flood")
		if wait <= 0 || wait > 2*acceptEvery {
			t.Fatalf("connection %d of a flood waits for %v", i, wait)
		}
		now = now.Add(wait)
		waits += wait
	}
	if want := 100 * acceptEvery; waits != want {
		t.Errorf("100 connections of a flood wait for %v, want %v", waits, want)
	}

	now = now.Add(time.Hour)
	for i := range acceptCrowd {
		a.begin(fmt.Sprint("silent ", i), now)
	}
	now = now.Add(time.Hour) // which saves up no more than a burst
	waited := time.Duration(0)
	for i := range 100 {
		wait := a.begin(fmt.Sprint("more ", i), now)
		now = now.Add(wait)
		waited += wait
	}
	if least := 100*acceptCrowded - acceptBurst; waited != least {
		t.Errorf("100 connections beside a crowd wait for %v, want %v", waited, least)
	}
	for i := range 100 {
		a.end(fmt.Sprint("more ", i))
	}
	a.end("silent 0")
	if wait := a.begin("next", now.Add(acceptEvery)); wait != 0 {
		t.Errorf("once the crowd is gone, the next one waits for %v", wait)
	}
	if len(a.greeting) != acceptCrowd {
		t.Errorf("%d handshakes are under way", len(a.greeting))
	}
}

// mesh's own limit goes by the wall clock: once that is set back, nobody would be accepted. It
// is off: what it would wait for was centuries ago, however many were accepted.
func TestMeshAcceptsWhateverTheClock(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	next := a.router.run.Load().guts.accept.next
	begin := time.Now()
	const many = 200 // mesh would take 9 s
	for range many {
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, len(mesh.Protocol))); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("%d connections were accepted in %v", many, d)
	}
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	closeAll(t, b, a)
	if wait := time.Until(*next); wait > -100*365*24*time.Hour {
		t.Errorf("a clock that is set back by %v would stop it", -wait)
	}
	a.overlay.accepts.mu.Lock()
	defer a.overlay.accepts.mu.Unlock()
	if n := len(a.overlay.accepts.greeting); n > 0 {
		t.Errorf("%d handshakes never ended", n)
	}
}

// Close leaves no descriptor behind that only a garbage collection would close.
func TestMeshCloseDescriptors(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	descriptors := func() int {
		dir, err := os.ReadDir("/dev/fd")
		if err != nil {
			t.Skip("no /dev/fd here")
		}
		return len(dir)
	}
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "", "[::1]", "localhost"} {
		cycle := func() {
			a := start(t, 0xa, func(c *Config) { c.ListenAddr = host + ":0" })
			b := start(t, 0xb, func(c *Config) { c.ListenAddr, c.Peers = host+":0", []string{a.Addr()} })
			linked(t, a, b)
			closeAll(t, a, b)
			if a.router.dialled.Load() {
				t.Errorf("%q: the listener didn't end by itself", host)
			}
		}
		if host == "[::1]" {
			l, err := net.Listen("tcp", "[::1]:0")
			if err != nil {
				continue // no IPv6 here
			}
			l.Close()
		}
		cycle() // what Go opens once
		before := descriptors()
		for range 5 {
			cycle()
		}
		if after := descriptors(); after > before {
			t.Errorf("%q: %d descriptors, then %d", host, before, after)
		}
	}
}

// Where a listener can't be shut down, it is ended by a connection.
func TestMeshCloseByDialling(t *testing.T) {
	leaks(t)
	addr := freeAddr(t)
	for range 3 {
		a := start(t, 0xa, func(c *Config) { c.ListenAddr = addr })
		a.router.setAddr("localhost:" + addr[len("127.0.0.1:"):]) // by which it isn't found
		closeAll(t, a)
		if !a.router.dialled.Load() {
			t.Error("it was shut down all the same")
		}
	}
}
