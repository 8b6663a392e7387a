//go:build linux

package e2e_test

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
)

// The tests whose names begin with TestNetns run each node in a process and a network
// namespace of its own, and cut off, kill and stop them. What they log is a report.
var withNetns = flag.Bool("netns", false,
	"run the tests in network namespaces: they need root, ip, iptables, ip6tables, and minutes")

// A network is a namespace with a bridge, to which the nodes' namespaces are connected.
// Nothing leads out of it.
type network struct {
	t      *testing.T
	family family
	prefix string // of the names of its namespaces
	hosts  int
}

// A family is that of a network's addresses.
type family struct {
	ip     string // an address's format
	bits   int    // of the network's part
	tables string // the command that filters
}

var (
	ipv4 = family{"10.77.0.%d", 24, "iptables"}
	ipv6 = family{"fd00:77::%d", 64, "ip6tables"}
)

// addr is the address of a host's port.
func (f family) addr(host, port int) string {
	return net.JoinHostPort(fmt.Sprintf(f.ip, host), strconv.Itoa(port))
}

// Each node listens at one port for mesh, and at the other one for another engine.
const meshPort, enginePort = 7000, 7001

// A host is a namespace for a node.
type host struct {
	t      *testing.T
	family family
	ns     string
	n      int // the last part of its address
}

// networks counts those of this process.
var networks atomic.Int64

func newNetwork(t *testing.T, f family) *network {
	t.Helper()
	testkit.SkipIfMeshRaces(t)
	if !*withNetns {
		t.Skip("needs root and minutes: go test -run Netns -v ./internal/e2e -netns")
	}
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, tool := range []string{"ip", f.tables} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("network namespaces need %s: %v", tool, err)
		}
	}
	if _, err := os.Stat("/proc/net/if_inet6"); f == ipv6 && err != nil {
		t.Skipf("the system has no IPv6: %v", err)
	}
	sweepNamespaces(t)
	prefix := fmt.Sprintf("bcache%d-%d-", os.Getpid(), networks.Add(1))
	if out, err := exec.Command("ip", "netns", "add", prefix+"try").CombinedOutput(); err != nil {
		t.Skipf("root may not make network namespaces here: %s", out)
	}
	command(t, "ip", "netns", "del", prefix+"try")
	n := &network{t: t, family: f, prefix: prefix}
	n.namespace("switch")
	n.ip("-n", n.prefix+"switch", "link", "add", "name", "bridge", "type", "bridge")
	n.ip("-n", n.prefix+"switch", "link", "set", "bridge", "up")
	return n
}

var sweeping sync.Mutex

// sweepNamespaces removes what a killed test left: its processes die with it, but its
// namespaces don't.
func sweepNamespaces(t *testing.T) {
	t.Helper()
	sweeping.Lock() // others do the same
	defer sweeping.Unlock()
	names, _ := filepath.Glob("/run/netns/bcache*-*")
	for _, name := range names {
		ns := filepath.Base(name)
		pid := regexp.MustCompile(`^bcache(\d+)-`).FindStringSubmatch(ns)
		if pid == nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid[1]); os.IsNotExist(err) {
			t.Logf("removing the namespace %s, which a killed test left", ns)
			command(t, "ip", "netns", "del", ns)
		}
	}
}

// namespace makes a namespace and sees to its end: with it go its interfaces, the other
// ends of their pairs and its rules.
func (n *network) namespace(name string) string {
	n.t.Helper()
	ns := n.prefix + name
	n.ip("netns", "add", ns)
	n.t.Cleanup(func() {
		if pids := command(n.t, "ip", "netns", "pids", ns); pids != "" {
			n.t.Errorf("left in the namespace %s: %s", ns, pids)
		}
		command(n.t, "ip", "netns", "del", ns)
	})
	return ns
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	command(n.t, "ip", args...)
}

// host connects another namespace.
func (n *network) host() *host {
	n.t.Helper()
	n.hosts++
	port := fmt.Sprint("port", n.hosts)
	h := &host{t: n.t, family: n.family, ns: n.namespace(fmt.Sprint("host", n.hosts)), n: n.hosts}
	n.ip("link", "add", "name", port, "netns", n.prefix+"switch", "type", "veth", "peer", "name", "eth0", "netns", h.ns)
	n.ip("-n", n.prefix+"switch", "link", "set", port, "master", "bridge", "up")
	ip := fmt.Sprintf(n.family.ip+"/%d", h.n, n.family.bits)
	addr := []string{"-n", h.ns, "addr", "add", ip, "dev", "eth0"}
	if n.family == ipv6 {
		addr = append(addr, "nodad") // nobody else has it, and to ask takes a second
	}
	n.ip(addr...)
	n.ip("-n", h.ns, "link", "set", "eth0", "up")
	n.ip("-n", h.ns, "link", "set", "lo", "up")
	return h
}

func (h *host) addr(port int) string { return h.family.addr(h.n, port) }

// inside is the command that runs another one in the namespace. It doesn't fork.
func (h *host) inside() []string { return []string{"ip", "netns", "exec", h.ns} }

func (h *host) iptables(args ...string) {
	h.t.Helper()
	command(h.t, "ip", append(h.inside()[1:], append([]string{h.family.tables, "-w"}, args...)...)...)
}

// cut drops whatever comes in or goes out. Connections survive it: TCP sends again what
// was lost, unless somebody gives up before the cut heals.
func (h *host) cut() {
	h.t.Helper()
	h.iptables("-A", "INPUT", "!", "-i", "lo", "-j", "DROP")
	h.iptables("-A", "OUTPUT", "!", "-o", "lo", "-j", "DROP")
}

// refuse answers whatever comes in or goes out with a reset: connections end.
func (h *host) refuse() {
	h.t.Helper()
	// The resets themselves must get out.
	reject := []string{"-p", "tcp", "!", "--tcp-flags", "RST", "RST", "-j", "REJECT", "--reject-with", "tcp-reset"}
	h.iptables(append([]string{"-A", "INPUT", "!", "-i", "lo"}, reject...)...)
	h.iptables(append([]string{"-A", "OUTPUT", "!", "-o", "lo"}, reject...)...)
}

// hide drops what others send to the node's ports: it can't be dialled, but can dial.
func (h *host) hide() {
	h.t.Helper()
	ports := fmt.Sprint(meshPort, ":", enginePort)
	h.iptables("-A", "INPUT", "!", "-i", "lo", "-p", "tcp", "--dport", ports, "-j", "DROP")
}

// heal ends cut, refuse and hide.
func (h *host) heal() {
	h.t.Helper()
	h.iptables("-F")
}

// command runs a command that mustn't fail, and returns what it prints.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
