package env

import (
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport"
)

// An Env is what a node takes from the outside.
type Env struct {
	Now func() time.Time // nil: time.Now
	// Transport makes the node's place in a network; nil: mesh.
	Transport func(id, origin uint64, log *linelog.Log) (transport.Transport, error)
}
