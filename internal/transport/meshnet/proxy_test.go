package meshnet

import (
	"net"
	"sync"
	"testing"
)

// A proxy is a TCP proxy in front of a node. It can stop reading, as a node does that
// is stopped, and it can refuse and cut connections, as a network does.
type proxy struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	to      string
	flows   chan struct{} // closed while bytes flow
	refuses bool
	conns   map[*net.TCPConn]bool
	bytes   int // that have passed
	most    int // then it stops, if it isn't 0
}

// proxyTo starts a proxy that leads to an address, which may be set later.
func proxyTo(t testing.TB, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(l, to)
	t.Cleanup(p.end)
	return p
}

// newProxy starts a proxy that accepts from a listener.
func newProxy(l net.Listener, to string) *proxy {
	p := &proxy{listener: l, to: to, flows: make(chan struct{}), conns: make(map[*net.TCPConn]bool)}
	close(p.flows)
	p.wg.Go(p.accept)
	return p
}

// end ends the proxy and all that goes by it.
func (p *proxy) end() {
	p.listener.Close()
	p.refuse(true)
	p.resume()
	p.wg.Wait()
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) lead(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

// stop has the proxy read nothing any more.
func (p *proxy) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flows = make(chan struct{})
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flows:
	default:
		close(p.flows)
	}
}

// refuse cuts all connections, and new ones at once, until it is told otherwise.
func (p *proxy) refuse(refuses bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses = refuses; refuses {
		for c := range p.conns {
			c.Close()
		}
		clear(p.conns)
	}
}

// flow returns what is closed while bytes flow, and where to.
func (p *proxy) flow() (<-chan struct{}, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flows, p.to
}

// keep notes a connection, or closes it.
func (p *proxy) keep(c *net.TCPConn) bool {
	_ = c.SetLinger(0) // its end is a reset
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Close()
	delete(p.conns, c)
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		if in := in.(*net.TCPConn); p.keep(in) {
			p.wg.Go(func() { p.forward(in) })
		}
	}
}

func (p *proxy) forward(in *net.TCPConn) {
	defer p.drop(in)
	flows, to := p.flow()
	<-flows
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	out := conn.(*net.TCPConn)
	if !p.keep(out) {
		return
	}
	defer p.drop(out)
	p.wg.Go(func() { p.pump(in, out) })
	p.pump(out, in)
}

// stopAfter has the proxy stop when so many more bytes have come.
func (p *proxy) stopAfter(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes, p.most = 0, bytes
}

func (p *proxy) count(bytes int) {
	p.mu.Lock()
	p.bytes += bytes
	stop := p.most > 0 && p.bytes > p.most
	if stop {
		p.most = 0
	}
	p.mu.Unlock()
	if stop {
		p.stop()
	}
}

// passed returns how many bytes have come since stopAfter, and whether it has stopped for that.
func (p *proxy) passed() (bytes int, stopped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes, p.most == 0
}

func (p *proxy) pump(to, from *net.TCPConn) {
	defer p.drop(to)
	defer p.drop(from)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.count(n)
		flows, _ := p.flow()
		<-flows
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}
