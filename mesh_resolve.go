package bcache

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

var errNoAddress = errors.New("the name stands for no address")

// resolveLoop keeps the addresses to dial up to date: all that a name stands for,
// again and again, because nodes come and go behind a name.
func (d *meshDialer) resolveLoop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	known := make(map[string][]netip.AddrPort) // what names stood for when they could last be resolved
	for {
		select {
		case <-timer.C:
		case <-d.look:
		case <-d.t.scope.ctx.Done():
			return
		}
		d.resolve(known)
		d.checkLoopback(known)
		timer.Reset(dialRound)
	}
}

func (d *meshDialer) resolve(known map[string][]netip.AddrPort) {
	named := make(map[string]dialName)
	for id, e := range d.t.book.dialable(time.Now()) {
		named[e.addr] = dialName{peer: id}
	}
	for _, addr := range d.t.cfg.Peers {
		named[addr] = dialName{configured: true, peer: named[addr].peer}
	}
	for addr := range known {
		if _, ok := named[addr]; !ok {
			delete(known, addr)
		}
	}
	var names []string
	learnt := 0
	for addr, from := range named {
		switch {
		case isLiteral(addr):
			known[addr], _ = d.lookup(addr)
			continue
		case !from.configured:
			if d.t.connected(from.peer) {
				continue
			}
			if learnt++; learnt > dialNames {
				continue // next time: the order is random
			}
		}
		names = append(names, addr)
	}
	d.aim(named, known) // literals don't wait for names

	found, errs := make([][]netip.AddrPort, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			if found[i], errs[i] = d.lookup(name); errs[i] != nil {
				d.t.log.Debugf(0, "can't resolve %s: %v", name, errs[i])
			}
		})
	}
	wg.Wait()
	d.noteUnresolved(named, names, errs, time.Now())
	for i, name := range names {
		if len(found[i]) > 0 { // otherwise what was known of it stays
			known[name] = found[i]
		}
	}
	d.aim(named, known)
}

// checkLoopback tells people when this node is at an address of the loopback interface,
// whatever name it goes by, while one of its Peers isn't: that one can't dial it. It does so
// once.
func (d *meshDialer) checkLoopback(known map[string][]netip.AddrPort) {
	own, name := d.t.advertised(), "ListenAddr "+d.t.cfg.ListenAddr
	if host, _, err := net.SplitHostPort(own); d.checked || err != nil || host == "" {
		return
	}
	if d.t.cfg.AdvertiseAddr != "" {
		name = "AdvertiseAddr " + d.t.cfg.AdvertiseAddr
	}
	for _, peer := range d.t.cfg.Peers {
		for _, ap := range known[peer] {
			if ap.Addr().IsLoopback() {
				continue
			}
			aps, err := d.lookup(own)
			if d.checked = err == nil; d.checked && allLoopback(aps) {
				d.t.log.Errorf(0, "%s means %s, where only its own machine reaches this node, but %s of Peers is %s, elsewhere",
					name, aps[0], peer, ap)
			}
			return
		}
	}
}

func allLoopback(aps []netip.AddrPort) bool {
	return !slices.ContainsFunc(aps, func(ap netip.AddrPort) bool { return !ap.Addr().IsLoopback() })
}

// noteUnresolved notes which names couldn't be resolved, and forgets those that nobody
// asks for any more.
func (d *meshDialer) noteUnresolved(named map[string]dialName, names []string, errs []error, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.unresolved {
		if _, ok := named[name]; !ok {
			delete(d.unresolved, name)
		}
	}
	for i, name := range names {
		if errs[i] == nil {
			delete(d.unresolved, name)
			continue
		}
		if d.unresolved[name] == nil {
			d.unresolved[name] = &dialTrouble{}
		}
		d.unresolved[name].note(errs[i], now)
	}
}

// A dialName is why an address is dialled.
type dialName struct {
	configured bool
	peer       uint64
}

// aim sets the targets.
func (d *meshDialer) aim(named map[string]dialName, known map[string][]netip.AddrPort) {
	own := ownAddrs(d.t.Addr())
	throng := 0
	for addr := range named {
		throng += len(known[addr])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	keep := make(map[netip.AddrPort]bool)
	for _, configured := range []bool{true, false} { // the configured ones have the room
		for addr, from := range named {
			if from.configured != configured {
				continue
			}
			for _, ap := range known[addr] {
				if own(ap) || len(keep) >= dialTargets {
					continue
				}
				g := d.targets[ap]
				if g == nil {
					g = &dialTarget{next: d.firstDial(from, throng)}
					d.targets[ap] = g
				}
				if !keep[ap] {
					g.name, g.configured = addr, configured
				}
				keep[ap] = true
				if from.peer != 0 && (g.peer == 0 || !d.t.connected(g.peer)) {
					g.peer = from.peer
				}
			}
		}
	}
	for ap, g := range d.targets {
		if !keep[ap] && !g.busy {
			delete(d.targets, ap)
		}
	}
	d.wakeLoop()
}

func isLiteral(addr string) bool {
	_, err := netip.ParseAddrPort(addr)
	return err == nil
}

// firstDial is when a new address is dialled. Nodes that start together, or learn of each
// other, do so at the same time: the more there are, the more they spread their dials, so
// that one of two nodes is first.
func (d *meshDialer) firstDial(from dialName, throng int) time.Time {
	wait := rand.N(time.Duration(throng+1) * dialSpread)
	if !from.configured && from.peer < d.t.cfg.PeerID {
		wait += time.Second
	}
	return time.Now().Add(wait)
}

// lookup returns all addresses that a host:port stands for.
func (d *meshDialer) lookup(addr string) ([]netip.AddrPort, error) {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}, nil
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(d.t.scope.ctx, dialLookup)
	defer cancel()
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, err
	}
	ips, err := d.t.cfg.Resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, errNoAddress
	}
	aps := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		aps[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return aps, nil
}
