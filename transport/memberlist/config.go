package memberlist

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// ErrConfig is wrapped by every error about a [Config] that can't work. Such an error names everything
// that is wrong, a line each.
var ErrConfig = errors.New("bcache: invalid config of memberlist")

const (
	defaultMaxConns     = 1024
	defaultMaxStrangers = 128
)

// Config describes a node's place in the network. Only BindAddr has to be set. A negative number is an
// error. [New] copies the Config: changing it afterwards has no effect.
type Config struct {
	// BindAddr is the host:port to listen on, by TCP. There is no other port, and no UDP. Port 0 picks a
	// free one, see [Transport.Addr]. An empty or unspecified host (":7946", "0.0.0.0:7946") means all
	// interfaces. An IPv6 address stands in brackets: "[::1]:7946".
	BindAddr string

	// AdvertiseAddr is the host:port at which the others reach this node. Port 0 means the one that it
	// listens on. "" means the address that it listens on; if that is all interfaces, the first private
	// address of the machine. Behind a NAT, set it to the address outside.
	AdvertiseAddr string

	// Join are addresses of other nodes. One that can be reached suffices: the others are found through it.
	// Each is a host:port, or the name of an SRV record as "srv+_bcache._tcp.example". Names are looked up
	// again and again, and all their addresses are tried. The node's own address does no harm.
	Join []string

	// Discover returns such addresses too: of Kubernetes, Consul, a cloud. It is called every few seconds,
	// on a goroutine of its own and one call at a time, and must return when ctx is done: Close waits for
	// it. An error is logged, and the addresses of the last call stay. nil means that Join is all.
	Discover func(ctx context.Context) ([]string, error)

	// Keys are what nodes prove to each other that they belong to the cluster with; then all traffic is
	// encrypted, by TLS 1.3. The first is the one that this node proves itself with. It accepts all of them.
	// Each has 16, 24 or 32 random bytes. See [Transport.AddKey] for how to replace one while the cluster
	// runs. None means that there is no such proof.
	Keys [][]byte

	// TLS has nodes show each other certificates; then all traffic is encrypted. nil, without Keys, means
	// open: whoever reaches the port can join.
	TLS *TLS

	// MaxConns is how many nodes are connected at most. 0 means 1024. A node that finds no room is refused,
	// and both nodes log it.
	MaxConns int

	// MaxStrangers is how many connections there are at most of those that have not yet shown that they
	// belong to the cluster. If there is one more, the oldest is closed. Each is given 5 s and 16 KiB. 0
	// means 128.
	MaxStrangers int

	// Resolver looks up names. nil means net.DefaultResolver.
	Resolver Resolver
}

// A Resolver looks up names. A *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// complete checks a Config and puts the defaults in.
func (c *Config) complete() error {
	var errs []error
	wrong := func(format string, v ...any) { errs = append(errs, fmt.Errorf(format, v...)) }
	if _, _, err := net.SplitHostPort(c.BindAddr); err != nil {
		wrong("BindAddr %q: %w", c.BindAddr, err)
	}
	if c.AdvertiseAddr != "" {
		host, port, err := net.SplitHostPort(c.AdvertiseAddr)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			wrong("AdvertiseAddr %q: %w", c.AdvertiseAddr, err)
		} else if !advertisable(host) || len(c.AdvertiseAddr) > maxAddr {
			wrong("AdvertiseAddr %q: must name a host, in %d plain characters at most", c.AdvertiseAddr, maxAddr)
		}
	}
	for _, addr := range c.Join {
		if _, err := parseTarget(addr); err != nil {
			wrong("Join %q: %w", addr, err)
		}
	}
	for i, key := range c.Keys {
		if err := checkKey(key); err != nil {
			wrong("Keys[%d]: %w", i, err) // never the key itself
		}
	}
	if c.TLS != nil {
		for _, err := range c.TLS.check() {
			wrong("TLS: %w", err)
		}
	}
	for _, n := range []struct {
		name  string
		value *int
		other int
	}{{"MaxConns", &c.MaxConns, defaultMaxConns}, {"MaxStrangers", &c.MaxStrangers, defaultMaxStrangers}} {
		if *n.value < 0 {
			wrong("%s is %d: must not be negative", n.name, *n.value)
		} else if *n.value == 0 {
			*n.value = n.other
		}
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	c.Join = slices.Clone(c.Join)
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrConfig, errors.Join(errs...))
	}
	return nil
}

// advertisable reports whether a host says where a node is.
func advertisable(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host != "" && printable(host) && (err != nil || !ip.IsUnspecified())
}
