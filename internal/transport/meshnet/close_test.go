package meshnet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// Close while everything else is under way: Start, broadcasts, sends, handlers that
// answer, connections from others, and other calls of Close.
func TestMeshCloseRaces(t *testing.T) {
	leaks(t)
	addr := freeAddr(t)
	b := start(t, 0xb, meshPeers(addr))
	c := start(t, 0xc, meshPeers(addr, b.Addr()))
	frame := make([]byte, 10_000)
	for i := range 12 {
		a := meshNew(t, 0xa, func(cfg *Config) {
			cfg.ListenAddr, cfg.Origin, cfg.Peers = addr, uint64(0xa00+i), []string{b.Addr(), c.Addr()}
		})
		var late sync.Once
		closed := make(chan struct{})
		a.h.On = func(from uint64, frame []byte) {
			select {
			case <-closed:
				late.Do(func() { t.Error("a callback after Close") })
			default:
			}
			a.Broadcast(frame)
			_ = a.Send(from, frame, false)
		}
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for _, n := range []*testNode{a, b, c} {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						n.Broadcast(frame)
						_ = n.Send(0xb, frame, false)
						n.Members()
						runtime.Gosched()
					}
				}
			})
		}
		started := make(chan struct{})
		wg.Go(func() {
			if err := a.Start(transport.Node{}, a.h); err != nil && !errors.Is(err, transport.ErrClosed) && i%3 != 0 {
				t.Errorf("Start: %v", err)
			}
			close(started)
		})
		if i%3 != 0 {
			<-started
		}
		if i%3 == 2 {
			wait(t, "a joins", func() bool { return a.h.Count("+") > 0 })
		}
		begin := time.Now()
		for range 2 {
			wg.Go(func() {
				if err := a.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		close(closed)
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("Close took %v", d)
		}
		if err := a.Send(0xb, frame, false); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Errorf("the port isn't free: %v", err)
		} else {
			l.Close()
		}
		close(stop)
		wg.Wait()
	}
	linked(t, b, c)
	closeAll(t, b, c)
}

// Nodes come and go on one port, and nothing grows.
func TestMeshCycles(t *testing.T) {
	leaks(t)
	cycles := 100
	if os.Getenv("MESH_CYCLES") != "" {
		if _, err := fmt.Sscan(os.Getenv("MESH_CYCLES"), &cycles); err != nil {
			t.Fatal(err)
		}
	}
	addr := freeAddr(t)
	peer := start(t, 0xb, nil)
	var before, after struct{ goroutines, fds, heap int }
	for i := range cycles {
		a := meshMake(t, 0xa, func(c *Config) {
			c.ListenAddr, c.Origin, c.Peers = addr, uint64(i+1), []string{peer.Addr()}
		})
		if err := a.Start(transport.Node{}, a.h); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		if i%10 == 0 {
			wait(t, "joined", func() bool { return a.h.Count("+") == 1 })
		}
		if err := a.Close(); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		switch i {
		case cycles / 5:
			before.goroutines, before.fds, before.heap = usage(t)
		case cycles - 1:
			after.goroutines, after.fds, after.heap = usage(t)
		}
	}
	t.Logf("goroutines, descriptors, heap: %v, then %v", before, after)
	if after.goroutines > before.goroutines+5 || after.fds > before.fds+5 ||
		after.heap > before.heap+2<<20 {
		t.Errorf("something grows: %v, then %v", before, after)
	}
	closeAll(t, peer)
}

func usage(t *testing.T) (goroutines, fds, heap int) {
	t.Helper()
	for range 3 {
		runtime.GC()
	}
	stays(t, "", 50*time.Millisecond, func() bool { return true })
	if dir, err := os.ReadDir("/dev/fd"); err == nil {
		fds = len(dir)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), fds, int(m.HeapAlloc)
}

// A panic in the handler is the handler's problem.
func TestMeshHandlerPanics(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	a.h.On = func(_ uint64, frame []byte) {
		if string(frame) == "boom" {
			panic("boom")
		}
	}
	linked(t, a, b)
	b.Broadcast([]byte("boom"))
	wait(t, "logged", func() bool { return a.log.count("E", "panic in Receive: boom") > 0 })
	talk(t, "still", a, b)
	closeAll(t, a, b)
}
