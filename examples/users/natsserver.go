package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const natsTimeout = 10 * time.Second

// startNATS starts a NATS server in this process, for a demo: on loopback, on a free port.
func startNATS() (url string, stop func(), err error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
	})
	if err != nil {
		return "", nil, fmt.Errorf("starting a NATS server: %w", err)
	}
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	s.Start()
	if !s.ReadyForConnections(natsTimeout) {
		stop()
		return "", nil, errors.New("the NATS server didn't start")
	}
	return s.ClientURL(), stop, nil
}
