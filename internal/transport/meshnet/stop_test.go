//go:build unix

package meshnet

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
)

const childEnv = "BCACHE_TEST_MESH_CHILD"

// TestMeshChild is the other process of TestMeshDisconnectStopped: a node that answers.
func TestMeshChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("it is run by another test")
	}
	n := meshNew(t, 0xd, nil)
	n.h.On = func(from uint64, frame []byte) {
		if string(frame) == "ping" {
			_ = n.Send(from, []byte("pong"), false)
		}
	}
	if err := n.Start(transport.Node{}, n.h); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString(n.Addr() + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the other process closes it
}

// child starts a node with PeerID d in another process.
func child(t *testing.T) (addr string, process *os.Process) {
	t.Helper()
	testkit.SkipIfMeshRaces(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestMeshChild$")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	in, err := cmd.StdinPipe()
	testkit.Must(t, err)
	out, err := cmd.StdoutPipe()
	testkit.Must(t, err)
	testkit.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	})
	addr, err = bufio.NewReader(out).ReadString('\n')
	testkit.Must(t, err)
	return strings.TrimSpace(addr), cmd.Process
}

// A process that is stopped keeps its connections, and the kernel takes new ones for it.
func TestMeshDisconnectStopped(t *testing.T) {
	leaks(t)
	addr, process := child(t)
	a := start(t, 0xa, func(c *Config) { c.Peers, c.MaxPending = []string{addr}, 8<<20 })
	c := start(t, 0xc, meshPeers(a.Addr(), addr))
	for _, n := range []*testNode{a, c} {
		wait(t, "all are connected", func() bool { return len(n.direct()) == 2 })
	}
	signal := func(s os.Signal) func() {
		return func() { testkit.Must(t, process.Signal(s)) }
	}
	stuck(t, a, c, 0xd, signal(syscall.SIGSTOP), signal(syscall.SIGCONT))
	testkit.Must(t, a.Send(0xd, []byte("ping"), false))
	wait(t, "an answer", func() bool { return a.h.Got(0xd, []byte("pong")) })
	closeAll(t, a, c)
}

// An address from which nothing comes back costs 2 seconds.
func TestMeshDialTimeout(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	testkit.Must(t, err)
	defer syscall.Close(fd)
	testkit.Must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	testkit.Must(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	testkit.Must(t, err)
	addr := sockAddr(name)
	for i := 0; ; i++ { // a listener whose queue is full doesn't answer
		conn, err := net.DialTimeout("tcp", addr.String(), 100*time.Millisecond)
		if err != nil {
			break
		}
		defer conn.Close()
		if i == 20 {
			t.Skip("the queue of a listener is never full here")
		}
	}
	n := meshMake(t, 0xa, nil)
	begin := time.Now()
	err = n.dials.probe(addr)
	var timeout net.Error
	if took := time.Since(begin); !errors.As(err, &timeout) || !timeout.Timeout() || took < time.Second ||
		took > 3*time.Second {
		t.Errorf("it took %v: %v", took, err)
	}
}
