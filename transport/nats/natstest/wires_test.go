package natstest

import (
	"net"
	"sync"

	natsgo "github.com/nats-io/nats.go"

	"github.com/iwanbk/bcache/transport/nats"
)

// wires are the connections of a node to servers, which can be cut, and stopped.
type wires struct {
	mu     sync.Mutex
	flows  *sync.Cond
	open   []net.Conn
	frozen bool
	cut    bool
}

func newWires() *wires {
	w := &wires{}
	w.flows = sync.NewCond(&w.mu)
	return w
}

// Dial implements nats.CustomDialer.
func (w *wires) Dial(network, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, net.ErrClosed
	}
	c, err := net.DialTimeout(network, address, limit)
	if err != nil {
		return nil, err
	}
	w.open = append(w.open, c)
	return &wire{Conn: c, of: w}, nil
}

// kill ends all connections, and has none be made.
func (w *wires) kill() {
	w.mu.Lock()
	w.cut = true
	w.mu.Unlock()
	w.reset()
}

// reset ends all connections.
func (w *wires) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		_ = c.Close()
	}
	w.open = nil
}

// freeze stops what goes over the connections, both ways.
func (w *wires) freeze(frozen bool) {
	w.mu.Lock()
	w.frozen = frozen
	w.flows.Broadcast()
	w.mu.Unlock()
}

// wait waits while the wires are frozen, unless the connection is closed.
func (w *wires) wait(closed *bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.frozen && !*closed {
		w.flows.Wait()
	}
}

// A wire is one connection.
type wire struct {
	net.Conn
	of     *wires
	closed bool
}

func (c *wire) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.of.wait(&c.closed)
	return n, err
}

func (c *wire) Write(b []byte) (int, error) {
	c.of.wait(&c.closed)
	return c.Conn.Write(b)
}

func (c *wire) Close() error {
	c.of.mu.Lock()
	c.closed = true
	c.of.flows.Broadcast()
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// with has the node of a config use wires.
func with(cfg nats.Config, w *wires) nats.Config {
	cfg.Options = append(cfg.Options, natsgo.SetCustomDialer(w))
	return cfg
}
