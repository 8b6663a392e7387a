package memberlist

import (
	"net"
	"sync"
)

// kill ends a node as if its process had died.
func kill(t *Transport) {
	if r := t.run.Load(); r != nil {
		_ = r.listener.Close()
	}
	t.life.end()
}

// A gate lets nothing through while it is shut, and ends no connection.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while it is open
}

func (g *gate) freeze() (thaw func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
	return func() { close(g.open) }
}

func (g *gate) through(c net.Conn) net.Conn {
	return &gated{TCPConn: c.(*net.TCPConn), gate: g, closed: make(chan struct{})}
}

type gated struct {
	*net.TCPConn
	gate   *gate
	once   sync.Once
	closed chan struct{}
}

func (c *gated) pass() {
	c.gate.mu.Lock()
	open := c.gate.open
	c.gate.mu.Unlock()
	select {
	case <-open:
	case <-c.closed:
	}
}

func (c *gated) Read(b []byte) (int, error) {
	c.pass()
	n, err := c.TCPConn.Read(b)
	c.pass()
	return n, err
}

func (c *gated) Write(b []byte) (int, error) {
	c.pass()
	return c.TCPConn.Write(b)
}

func (c *gated) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.TCPConn.Close()
}
