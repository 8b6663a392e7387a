package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/transport/memberlist"
	"github.com/iwanbk/bcache/transport/nats"
)

// The engines: what carries the frames between the nodes.
const (
	engineMesh       = "mesh" // bcache's own
	engineMemberlist = "memberlist"
	engineNATS       = "nats"
)

var engineNames = []string{engineMesh, engineMemberlist, engineNATS}

// connect sets what a Config says of the network. This is the only place that knows which engine it is.
func (o options) connect(cfg *bcache.Config) (err error) {
	switch o.engine {
	case "", engineMesh:
		cfg.ListenAddr, cfg.Peers, cfg.Secret = o.listen, o.peers, o.secret
	case engineMemberlist:
		cfg.Transport, err = memberlist.New(memberlist.Config{
			BindAddr: o.listen, Join: o.peers, Keys: o.keys(),
		})
	case engineNATS:
		cfg.Transport, err = nats.New(nats.Config{Servers: []string{o.nats}})
	default:
		err = fmt.Errorf("there is no engine %q", o.engine)
	}
	return err
}

// keys makes of the secret what memberlist wants: a key of 32 bytes. In production, draw one by chance.
func (o options) keys() [][]byte {
	if o.secret == "" {
		return nil
	}
	key := sha256.Sum256([]byte(o.secret))
	return [][]byte{key[:]}
}

// engineArgs are the flags of a node that is started like this.
func (o options) engineArgs() []string {
	if o.engine == engineNATS {
		return []string{"-engine", o.engine, "-nats", o.nats}
	}
	return []string{
		"-engine", cmp.Or(o.engine, engineMesh), "-listen", o.listen, "-peers", strings.Join(o.peers, ","),
	}
}
