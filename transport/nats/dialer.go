package nats

import (
	"context"
	"net"
	"sync"

	"github.com/nats-io/nats.go"
)

// A dialer connects to servers, and can cut what it has connected: nats.go may wait for a server that
// takes nothing, or doesn't answer.
type dialer struct {
	ctx   context.Context // to dial
	own   net.Dialer
	other nats.CustomDialer // of the user; nil: own

	mu   sync.Mutex
	last net.Conn
	over bool
}

func newDialer(ctx context.Context, o *nats.Options) *dialer {
	d := &dialer{ctx: ctx, own: net.Dialer{Timeout: o.Timeout}, other: o.CustomDialer}
	if o.Dialer != nil {
		d.own = *o.Dialer
	}
	return d
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	if err := d.ctx.Err(); err != nil {
		return nil, err
	}
	var c net.Conn
	var err error
	if d.other != nil {
		c, err = d.other.Dial(network, address)
	} else {
		c, err = d.own.DialContext(d.ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	d.last = c
	return c, nil
}

// SkipTLSHandshake is looked for by nats.go: a dialer of the user may do that itself.
func (d *dialer) SkipTLSHandshake() bool {
	other, ok := d.other.(interface{ SkipTLSHandshake() bool })
	return ok && other.SkipTLSHandshake()
}

// cut ends the connection, and lets none be made.
func (d *dialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.last != nil {
		_ = d.last.Close()
	}
}
