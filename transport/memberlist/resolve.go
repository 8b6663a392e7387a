package memberlist

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	lookupLimit = 2 * time.Second
	srvPrefix   = "srv+"
	maxAddrs    = 256 // of a name
)

var (
	errNoAddress = errors.New("the name stands for no address")
	errSRVName   = errors.New("must be like srv+_service._tcp.domain")
)

// A target is an address of Join, or of Discover: a host and port, or the name of an SRV record.
type target struct {
	srv  string
	host string
	port uint16
}

// parseTarget reads an address.
func parseTarget(text string) (t target, err error) {
	if name, ok := strings.CutPrefix(text, srvPrefix); ok {
		if !strings.HasPrefix(name, "_") || strings.Count(name, ".") < 2 || len(name) > 253 {
			return t, errSRVName
		}
		return target{srv: name}, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return t, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return t, errors.New("the port must be a number of 1 to 65535")
	}
	if len(host) > 253 {
		return t, errors.New("the host is too long")
	}
	if host == "" {
		host = "localhost"
	}
	return target{host: host, port: uint16(n)}, nil
}

// lookup returns all addresses that a text stands for.
func lookup(ctx context.Context, r Resolver, text string) ([]netip.AddrPort, error) {
	t, err := parseTarget(text)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	if t.srv == "" {
		return t.lookup(ctx, r)
	}
	_, records, err := r.LookupSRV(ctx, "", "", t.srv)
	if err != nil {
		return nil, err
	}
	var all []netip.AddrPort
	for _, rec := range records[:min(len(records), maxAddrs)] {
		one := target{host: strings.TrimSuffix(rec.Target, "."), port: rec.Port}
		var some []netip.AddrPort
		if some, err = one.lookup(ctx, r); err == nil {
			all = append(all, some...)
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	if err == nil {
		err = errNoAddress
	}
	return nil, err
}

func (t target) lookup(ctx context.Context, r Resolver) ([]netip.AddrPort, error) {
	if ip, err := netip.ParseAddr(t.host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), t.port)}, nil
	}
	ips, err := r.LookupNetIP(ctx, "ip", t.host)
	if err == nil && len(ips) == 0 {
		err = errNoAddress
	}
	if err != nil {
		return nil, err
	}
	ips = ips[:min(len(ips), maxAddrs)]
	all := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		all[i] = netip.AddrPortFrom(ip.Unmap(), t.port)
	}
	return all, nil
}

// advertise returns the address at which others reach a node that listens on bound, as text and as an IP.
func advertise(ctx context.Context, r Resolver, want string, bound netip.AddrPort) (string, netip.AddrPort) {
	ip := netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	if want == "" {
		if ip.Addr().IsUnspecified() {
			ip = netip.AddrPortFrom(ownIP(), ip.Port())
		}
		return ip.String(), ip
	}
	host, port, _ := net.SplitHostPort(want) // it was checked
	if port == "0" {
		port = strconv.Itoa(int(bound.Port()))
	}
	text := net.JoinHostPort(host, port)
	if all, err := lookup(ctx, r, text); err == nil {
		return text, all[0]
	}
	if ip.Addr().IsUnspecified() {
		ip = netip.AddrPortFrom(ownIP(), ip.Port())
	}
	return text, ip // the others look the name up
}

// ownIP returns an address of this machine that others are likely to reach: a private one if there is one.
func ownIP() netip.Addr {
	best := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		switch {
		case err != nil || !p.Addr().IsGlobalUnicast():
		case p.Addr().IsPrivate() && p.Addr().Is4():
			return p.Addr()
		case best.IsLoopback():
			best = p.Addr()
		}
	}
	return best
}
