package memberlist

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// However many strangers connect and say nothing, no more than MaxStrangers stay, and nodes still join.
func TestStrangersAreBounded(t *testing.T) {
	const most, many = 8, 100
	host := start(t, 1, Config{MaxStrangers: most})
	var conns []net.Conn
	for range many {
		c, err := net.Dial("tcp", host.Addr())
		testkit.Must(t, err)
		defer c.Close()
		conns = append(conns, c)
	}
	guest := start(t, 2, Config{Join: []string{host.Addr()}})
	until(t, "a node joins", func() bool { return full([]*place{host, guest}) })
	soon, stay := time.Now().Add(greetLimit/2), 0 // before their time is over
	for _, c := range conns {
		testkit.Must(t, c.SetReadDeadline(soon))
		switch _, err := c.Read(make([]byte, 1)); {
		case err == nil:
			t.Fatal("a stranger is told something")
		case errors.Is(err, os.ErrDeadlineExceeded):
			stay++
		}
	}
	if stay > most {
		t.Errorf("%d strangers stay", stay)
	}
	s := host.run.Load().greeter.strangers
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) > most {
		t.Errorf("%d strangers stay", len(s.conns))
	}
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
