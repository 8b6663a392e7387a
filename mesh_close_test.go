package bcache

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Close while everything else is under way: Start, broadcasts, sends, handlers that
// answer, connections from others, and other calls of Close.
func TestMeshCloseRaces(t *testing.T) {
	meshLeaks(t)
	addr := meshFreeAddr(t)
	b := meshStart(t, 0xb, meshPeers(addr))
	c := meshStart(t, 0xc, meshPeers(addr, b.Addr()))
	frame := make([]byte, 10_000)
	for i := range 12 {
		a := meshNew(t, 0xa, func(cfg *meshConfig) {
			cfg.ListenAddr, cfg.Origin, cfg.Peers = addr, uint64(0xa00+i), []string{b.Addr(), c.Addr()}
		})
		var late sync.Once
		closed := make(chan struct{})
		a.h.on = func(from uint64, frame []byte) {
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
		for _, n := range []*meshTestNode{a, b, c} {
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
			if err := a.Start(a.h); err != nil && !errors.Is(err, ErrClosed) && i%3 != 0 {
				t.Errorf("Start: %v", err)
			}
			close(started)
		})
		if i%3 != 0 {
			<-started
		}
		if i%3 == 2 {
			meshWait(t, "a joins", func() bool { return a.h.count("+") > 0 })
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
		if err := a.Send(0xb, frame, false); !errors.Is(err, ErrClosed) {
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
	meshLinked(t, b, c)
	meshCloseAll(t, b, c)
}

// Nodes come and go on one port, and nothing grows.
func TestMeshCycles(t *testing.T) {
	meshLeaks(t)
	cycles := 100
	if os.Getenv("MESH_CYCLES") != "" {
		if _, err := fmt.Sscan(os.Getenv("MESH_CYCLES"), &cycles); err != nil {
			t.Fatal(err)
		}
	}
	addr := meshFreeAddr(t)
	peer := meshStart(t, 0xb, nil)
	var before, after struct{ goroutines, fds, heap int }
	for i := range cycles {
		a := meshMake(t, 0xa, func(c *meshConfig) {
			c.ListenAddr, c.Origin, c.Peers = addr, uint64(i+1), []string{peer.Addr()}
		})
		if err := a.Start(a.h); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		if i%10 == 0 {
			meshWait(t, "joined", func() bool { return a.h.count("+") == 1 })
		}
		if err := a.Close(); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		switch i {
		case cycles / 5:
			before.goroutines, before.fds, before.heap = meshUsage(t)
		case cycles - 1:
			after.goroutines, after.fds, after.heap = meshUsage(t)
		}
	}
	t.Logf("goroutines, descriptors, heap: %v, then %v", before, after)
	if after.goroutines > before.goroutines+5 || after.fds > before.fds+5 ||
		after.heap > before.heap+2<<20 {
		t.Errorf("something grows: %v, then %v", before, after)
	}
	meshCloseAll(t, peer)
}

func meshUsage(t *testing.T) (goroutines, fds, heap int) {
	t.Helper()
	for range 3 {
		runtime.GC()
	}
	meshStays(t, "", 50*time.Millisecond, func() bool { return true })
	if dir, err := os.ReadDir("/dev/fd"); err == nil {
		fds = len(dir)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), fds, int(m.HeapAlloc)
}

// A panic in the handler is the handler's problem.
func TestMeshHandlerPanics(t *testing.T) {
	meshLeaks(t)
	a := meshStart(t, 0xa, nil)
	b := meshStart(t, 0xb, meshPeers(a.Addr()))
	a.h.on = func(_ uint64, frame []byte) {
		if string(frame) == "boom" {
			panic("boom")
		}
	}
	meshLinked(t, a, b)
	b.Broadcast([]byte("boom"))
	meshWait(t, "logged", func() bool { return a.log.count("E", "panic in Receive: boom") > 0 })
	meshTalk(t, "still", a, b)
	meshCloseAll(t, a, b)
}
