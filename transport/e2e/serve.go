package main

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
)

// serve runs a nats-server until standard input ends. Its answer says that it listens, or why not.
func serve(addr string) {
	s, err := listen(addr)
	nodeprocess.Reply(os.Stdout, "", err)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
}

func listen(addr string) (*server.Server, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(&server.Options{Host: host, Port: n, NoSigs: true})
	if err != nil {
		return nil, err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, errors.New("the nats-server doesn't listen")
	}
	return s, nil
}
