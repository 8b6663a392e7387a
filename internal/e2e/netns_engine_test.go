//go:build linux

package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

// The engines. All but mesh are of other modules, and run in a program of transport/e2e.
const (
	mesh       = "mesh"
	memberlist = "memberlist"
	nats       = "nats"
)

var engine = flag.String("engine", mesh, "the `engine` of TestNetns: mesh, memberlist or nats")

// unnoticed is for how long a node may be taken to be there after its process was killed. A connection
// ends at once, but nats has none between nodes: there a node is gone when its heartbeats don't come.
func unnoticed() time.Duration {
	if *engine == nats {
		return 8 * time.Second
	}
	return 2 * time.Second
}

// place has all nodes run over these engines, of which one may be mesh, and one another.
func (c *netnsCluster) place(engines ...string) {
	c.t.Helper()
	for i := range c.nodes {
		c.placeNode(i, engines...)
	}
}

func (c *netnsCluster) placeNode(i int, engines ...string) {
	c.t.Helper()
	p, h := c.nodes[i], c.hosts[i]
	p.cfg.ListenAddr, p.cfg.Peers, p.engine, p.program = "", nil, nodeprocess.Engine{}, ""
	for _, e := range engines {
		switch e {
		case mesh:
			p.cfg.ListenAddr, p.cfg.Peers = h.addr(meshPort), c.addrs(meshPort)
		case memberlist:
			p.engine = nodeprocess.Engine{Name: e, Addr: h.addr(enginePort), Join: c.addrs(enginePort)}
		case nats:
			p.engine = nodeprocess.Engine{Name: e, Join: []string{c.server()}}
		default:
			c.t.Fatalf("there is no engine %q", e)
		}
	}
	if p.engine.Name != "" {
		p.program = c.program()
	}
}

func (c *netnsCluster) addrs(port int) (all []string) {
	for _, h := range c.hosts {
		all = append(all, h.addr(port))
	}
	return all
}

// seeks has a node look for others at these hosts' addresses only.
func (c *netnsCluster) seeks(p *process, hosts ...int) {
	port, where := meshPort, &p.cfg.Peers
	if p.engine.Name != "" {
		port, where = enginePort, &p.engine.Join
	}
	*where = nil
	for _, n := range hosts {
		*where = append(*where, c.net.family.addr(n, port))
	}
}

const serverPort = 4222

// server starts the server of the engine nats, once, in a namespace of its own. It returns its address.
func (c *netnsCluster) server() string {
	c.t.Helper()
	if c.nats == nil {
		h := c.net.host()
		c.nats = newProcess(c.t, "server", bcache.Config{}, h.inside()...)
		c.nats.program, c.nats.args = c.program(), []string{"serve", h.addr(serverPort)}
		testkit.Ok(c.t, c.nats.start())
	}
	return c.nats.args[1]
}

// program builds the program of transport/e2e, once.
func (c *netnsCluster) program() string {
	c.t.Helper()
	path, err := buildProgram()
	testkit.Ok(c.t, err)
	return path
}

var buildProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "bcache-e2e")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "node")
	out, err := exec.Command("go", "build", "-C", "../../transport/e2e", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("the program of transport/e2e: %w: %s", err, out)
	}
	return path, nil
})

// built is the folder of what was built; it goes when all tests have run.
var built string
