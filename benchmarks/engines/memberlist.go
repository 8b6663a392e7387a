package engines

import (
	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/transport/memberlist"
)

// gossiped is the engine on hashicorp/memberlist.
type gossiped struct{}

func (gossiped) Name() string { return "memberlist" }

// Most is 100: all nodes of the measurement are in one process, and 200 would need 39,800 descriptors.
func (gossiped) Most() int { return 100 }

func (gossiped) Serve() (url string, stop func(), err error) { return "", func() {}, nil }

func (gossiped) Config(_, first string) (c bcache.Config, err error) {
	m := memberlist.Config{BindAddr: loopback}
	if first != "" {
		m.Join = []string{first}
	}
	c.Transport, err = memberlist.New(m)
	return c, err
}
