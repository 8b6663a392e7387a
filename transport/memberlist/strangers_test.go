package memberlist

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
)

// However many strangers connect and say nothing, no more than MaxStrangers stay, and nodes still join.
func TestStrangersAreBounded(t *testing.T) {
	const most, many = 8, 100
	host := bare(t, 1, Config{MaxStrangers: most})
	d := &doorman{conns: make(map[string]*watched)}
	host.through = d.through
	testkit.Must(t, host.Start(host.node(1), host.Handler))
	t.Cleanup(func() { host.Close() })
	var conns []net.Conn
	for range many {
		c, err := net.Dial("tcp", host.Addr())
		testkit.Must(t, err)
		defer c.Close()
		conns = append(conns, c)
	}
	guest := start(t, 2, Config{Join: []string{host.Addr()}})
	until(t, "a node joins", func() bool { return full([]*place{host, guest}) })
	// Who came before the guest was let in before it.
	if came, stay := d.count(conns); came != many || stay > most {
		t.Errorf("of %d strangers %d have come, and %d stay", many, came, stay)
	}
	told := make(chan int)
	for _, c := range conns {
		go func() {
			n, _ := c.Read(make([]byte, 1))
			told <- n
		}()
	}
	for range conns { // their time ends, too
		if <-told > 0 {
			t.Fatal("a stranger is told something")
		}
	}
}

// A doorman remembers who has come, and whether it was shown out.
type doorman struct {
	mu    sync.Mutex
	conns map[string]*watched // by the address of the other side
}

type watched struct {
	net.Conn
	closed atomic.Bool
}

func (w *watched) Close() error {
	w.closed.Store(true)
	return w.Conn.Close()
}

func (d *doorman) through(c net.Conn) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := &watched{Conn: c}
	d.conns[c.RemoteAddr().String()] = w
	return w
}

// count returns how many of these have come, and how many of them stay.
func (d *doorman) count(conns []net.Conn) (came, stay int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range conns {
		if w := d.conns[c.LocalAddr().String()]; w != nil {
			came++
			if !w.closed.Load() {
				stay++
			}
		}
	}
	return came, stay
}

// A stranger that talks and talks is cut off.
func TestStrangersAreCutShort(t *testing.T) {
	for what, cfg := range map[string]Config{"clear": {}, "keys": keyed(0)} {
		host := start(t, 1, cfg)
		c, err := net.Dial("tcp", host.Addr())
		testkit.Must(t, err)
		defer c.Close()
		head := []byte{msgHello, 0, 3, 0} // some more of it is to come
		if cfg.Keys != nil {
			head = []byte{0x16, 3, 1, 64, 0}
		}
		_, _ = c.Write(head)
		n, err := c.Write(make([]byte, 1<<20))
		for err == nil && n < 64<<20 {
			var m int
			m, err = c.Write(make([]byte, 1<<20))
			n += m
		}
		if err == nil {
			t.Errorf("%s: %d bytes are taken", what, n)
		}
	}
	// The bound itself.
	here, there := testPipe(t)
	go func() { _, _ = there.Write(make([]byte, 100)) }()
	m := &measured{Conn: here, left: 10}
	if b, err := io.ReadAll(m); len(b) != 10 || err != errTalk {
		t.Errorf("%d bytes are read: %v", len(b), err)
	}
}
