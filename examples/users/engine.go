package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/iwanbk/bcache"
)

// The engines: what carries the frames between the nodes.
const (
	engineMesh = "mesh" // bcache's own
)

var engineNames = []string{engineMesh}

// connect sets what a Config says of the network. This is the only place that knows which engine it is.
func (o options) connect(cfg *bcache.Config) (err error) {
	switch o.engine {
	case "", engineMesh:
		cfg.ListenAddr, cfg.Peers, cfg.Secret = o.listen, o.peers, o.secret
	default:
		err = fmt.Errorf("there is no engine %q", o.engine)
	}
	return err
}

// engineArgs are the flags of a node that is started like this.
func (o options) engineArgs() []string {
	return []string{"-engine", cmp.Or(o.engine, engineMesh), "-listen", o.listen, "-peers", strings.Join(o.peers, ",")}
}
