package measure

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/iwanbk/bcache/benchmarks/workload"
)

// An Echo is a bare TCP connection whose other end sends back what it gets.
type Echo struct {
	conn net.Conn
	done chan error
	buf  []byte
}

// NewEcho connects one on loopback.
func NewEcho() (*Echo, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	e := &Echo{done: make(chan error, 1), buf: make([]byte, workload.Payload)}
	if e.conn, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, err
	}
	other, err := acceptFrom(l, e.conn.LocalAddr())
	if err != nil {
		return nil, errors.Join(err, e.conn.Close())
	}
	go func() { e.done <- answer(other) }()
	return e, nil
}

// acceptFrom leaves out strangers: somebody may dial again and again who had the port before.
func acceptFrom(l net.Listener, addr net.Addr) (net.Conn, error) {
	for {
		c, err := l.Accept()
		if err != nil || c.RemoteAddr().String() == addr.String() {
			return c, err
		}
		c.Close()
	}
}

func answer(c net.Conn) error {
	defer c.Close()
	_, err := io.CopyBuffer(onlyWriter{c}, onlyReader{c}, make([]byte, 4096))
	return err
}

// Without these, Copy would leave the bytes to the kernel.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// RoundTrip is for one goroutine at a time.
func (e *Echo) RoundTrip() (time.Duration, error) {
	start := time.Now()
	if _, err := e.conn.Write(e.buf); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(e.conn, e.buf)
	return time.Since(start), err
}

// Close ends both ends.
func (e *Echo) Close() error {
	return errors.Join(e.conn.Close(), <-e.done)
}
