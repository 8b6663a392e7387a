// Command e2e runs a node over an engine of another module, or the server that the engine nats needs. It
// is for the tests in internal/e2e:
//
//	e2e              # a node; package nodeprocess says what it is told, and how
//	e2e serve ADDR   # a nats-server at host:port, until standard input ends
package main

import (
	"fmt"
	"os"

	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/transport"
	"github.com/iwanbk/bcache/transport/memberlist"
	"github.com/iwanbk/bcache/transport/nats"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		serve(os.Args[2])
		return
	}
	nodeprocess.Run(os.Getenv(nodeprocess.Env), place)
}

// place makes an engine.
func place(e nodeprocess.Engine) (transport.Transport, error) {
	switch e.Name {
	case "memberlist":
		return memberlist.New(memberlist.Config{BindAddr: e.Addr, Join: e.Join})
	case "nats":
		return nats.New(nats.Config{Servers: e.Join})
	}
	return nil, fmt.Errorf("there is no engine %q", e.Name)
}
