package meshnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/signal"
)

const (
	dialRound  = 3 * time.Second // names are resolved again
	dialLookup = 2 * time.Second
	dialNames  = 64 // learnt names that are resolved in a round
)

var errNoAddress = errors.New("the name stands for no address")

// A resolver keeps the addresses to dial up to date: all that a name stands for,
// again and again, because nodes come and go behind a name.
type resolver struct {
	cfg     *Config
	scope   *scope
	router  *router
	peers   *peerTable
	book    *book
	targets *dialTargets

	look    chan struct{} // something was learnt
	checked bool          // loop's: the own address was compared with those of Peers
}

func (r *resolver) resolveNow() { signal.Notify(r.look) }

func (r *resolver) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	known := make(map[string][]netip.AddrPort) // what names stood for when they could last be resolved
	for {
		select {
		case <-timer.C:
		case <-r.look:
		case <-r.scope.Open.Done():
			return
		}
		r.resolve(known)
		r.checkLoopback(known)
		timer.Reset(dialRound)
	}
}

func (r *resolver) resolve(known map[string][]netip.AddrPort) {
	named := make(map[string]dialName)
	for id, e := range r.book.dialable(time.Now()) {
		named[e.addr] = dialName{peer: id}
	}
	for _, addr := range r.cfg.Peers {
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
			known[addr], _ = r.lookup(addr)
			continue
		case !from.configured:
			if r.peers.connected(from.peer) {
				continue
			}
			if learnt++; learnt > dialNames {
				continue // next time: the order is random
			}
		}
		names = append(names, addr)
	}
	r.aim(named, known) // literals don't wait for names

	found, errs := make([][]netip.AddrPort, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			if found[i], errs[i] = r.lookup(name); errs[i] != nil {
				r.scope.log.Debugf(0, "can't resolve %s: %v",
					linelog.Field("addr", name), linelog.Field("err", errs[i]))
			}
		})
	}
	wg.Wait()
	r.targets.noteUnresolved(named, names, errs, time.Now())
	for i, name := range names {
		if len(found[i]) > 0 { // otherwise what was known of it stays
			known[name] = found[i]
		}
	}
	r.aim(named, known)
}

func (r *resolver) aim(named map[string]dialName, known map[string][]netip.AddrPort) {
	r.targets.aim(named, known, ownAddrs(r.router.listensOn()))
}

// checkLoopback tells people when this node is at an address of the loopback interface,
// whatever name it goes by, while one of its Peers isn't: that one can't dial it. It does so
// once.
func (r *resolver) checkLoopback(known map[string][]netip.AddrPort) {
	own, name := r.router.advertised(), "ListenAddr "+r.cfg.ListenAddr
	if host, _, err := net.SplitHostPort(own); r.checked || err != nil || host == "" {
		return
	}
	if r.cfg.AdvertiseAddr != "" {
		name = "AdvertiseAddr " + r.cfg.AdvertiseAddr
	}
	for _, peer := range r.cfg.Peers {
		for _, ap := range known[peer] {
			if ap.Addr().IsLoopback() {
				continue
			}
			aps, err := r.lookup(own)
			if r.checked = err == nil; r.checked && allLoopback(aps) {
				r.scope.log.Errorf(0, "%s means %s, where only its own machine reaches this node, "+
					"but %s of Peers is %s, elsewhere", name, linelog.Field("addr", aps[0]), peer, ap)
			}
			return
		}
	}
}

// lookup returns all addresses that a host:port stands for.
func (r *resolver) lookup(addr string) ([]netip.AddrPort, error) {
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
	ctx, cancel := context.WithTimeout(r.scope.Open, dialLookup)
	defer cancel()
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, err
	}
	ips, err := r.cfg.Resolve(ctx, host)
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

func isLiteral(addr string) bool {
	_, err := netip.ParseAddrPort(addr)
	return err == nil
}

func allLoopback(aps []netip.AddrPort) bool {
	return !slices.ContainsFunc(aps, func(ap netip.AddrPort) bool { return !ap.Addr().IsLoopback() })
}
