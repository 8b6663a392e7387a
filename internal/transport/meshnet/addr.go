package meshnet

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const maxAddrSize = 262 // of a host name, a colon and a port

// splitAddr splits host:port, with a numeric port, as it travels between nodes.
func splitAddr(addr string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%.10q isn't a port", p)
	}
	if len(addr) > maxAddrSize || strings.ContainsFunc(host, notInHost) {
		return "", 0, fmt.Errorf("%.20q isn't a host", host)
	}
	return host, uint16(n), nil
}

// notInHost tells what occurs neither in host names nor in IP literals.
func notInHost(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"'/\[]|@`, r)
}

func joinAddr(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// usableAddr returns a host:port with a host that isn't empty, or "".
func usableAddr(b []byte) string {
	if len(b) > maxAddrSize {
		return ""
	}
	host, port, err := splitAddr(string(b))
	if err != nil || host == "" {
		return ""
	}
	return joinAddr(host, port)
}

// completeAddr checks an address that a node advertises, and fills in the IP that it
// was seen with if it names none. It returns "" if the address is no use.
func completeAddr(addr string, seen netip.Addr) string {
	host, port, err := splitAddr(addr)
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = seen.Unmap().String()
	}
	return joinAddr(host, port)
}

func isLoopback(addr string) bool {
	host, _, err := splitAddr(addr)
	return err == nil && LoopbackHost(host)
}

// LoopbackHost reports whether a host is on the loopback interface. The name localhost means the own
// machine everywhere (RFC 6761, section 6.3).
func LoopbackHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// withPort gives an address that is advertised with port 0 the port of listen.
func withPort(addr, listen string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != "0" {
		return addr
	}
	_, port, err = net.SplitHostPort(listen)
	if err != nil {
		return addr
	}
	return net.JoinHostPort(host, port)
}

// boundTo is the address that a listener of listen has; without a host that is all interfaces.
func boundTo(listen string) (netip.AddrPort, error) {
	if host, port, err := net.SplitHostPort(listen); err == nil && host == "" {
		listen = net.JoinHostPort("::", port)
	}
	return netip.ParseAddrPort(listen)
}

// dialTo is an address by which the own machine reaches a listener of listen.
func dialTo(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch ip, _ := netip.ParseAddr(host); {
	case host == "" || ip.Is4() && ip.IsUnspecified():
		return net.JoinHostPort("127.0.0.1", port)
	case ip.IsUnspecified():
		return net.JoinHostPort("::1", port)
	}
	return listen
}

// localOf is the address that a node which listens on listen dials from; nil leaves it to the system.
func localOf(listen string) net.Addr {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.IsUnspecified() {
		return nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0))
}

// ownAddrs returns a func that recognises the addresses of the node that listens on listen. Others
// that lead to it, by a proxy say, show when mesh dials them.
func ownAddrs(listen string) func(netip.AddrPort) bool {
	host, port, err := splitAddr(listen)
	if err != nil {
		return func(netip.AddrPort) bool { return false }
	}
	ip, err := netip.ParseAddr(host)
	if host != "" && err == nil && !ip.IsUnspecified() {
		return func(ap netip.AddrPort) bool { return ap.Port() == port && ap.Addr() == ip.Unmap() }
	}
	local := make(map[netip.Addr]bool)
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				local[prefix.Addr().Unmap()] = true
			}
		}
	}
	return func(ap netip.AddrPort) bool {
		at := ap.Addr()
		return ap.Port() == port && (at.IsLoopback() || at.IsUnspecified() || local[at.WithZone("")])
	}
}
