package engines

import (
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/transport/nats"
)

// served is the engine on NATS.
type served struct{}

func (served) Name() string { return "nats" }

func (served) Most() int { return 200 }

// Serve starts a NATS server on loopback, on a free port.
func (served) Serve() (url string, stop func(), err error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
	})
	if err != nil {
		return "", nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return "", nil, errors.New("the NATS server doesn't start")
	}
	return s.ClientURL(), s.Shutdown, nil
}

func (served) Config(url, first string) (c bcache.Config, err error) {
	c.Transport, err = nats.New(nats.Config{Servers: []string{url}, First: first == ""})
	return c, err
}
