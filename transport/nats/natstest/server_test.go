package natstest

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/iwanbk/bcache/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long tests wait for what takes moments.
const limit = 30 * time.Second

// A natsServer is a NATS server on this machine, at one address for all of its lives.
type natsServer struct {
	t    testing.TB
	opts server.Options
	*server.Server
}

// newServer starts a server, which ends with the test.
func newServer(t testing.TB, with ...func(*server.Options)) *natsServer {
	t.Helper()
	host, port, err := net.SplitHostPort(testkit.FreeAddr(t))
	testkit.Ok(t, err)
	s := &natsServer{t: t, opts: server.Options{Host: host, NoSigs: true, NoLog: true}}
	s.opts.Port, err = strconv.Atoi(port)
	testkit.Ok(t, err)
	for _, f := range with {
		f(&s.opts)
	}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *natsServer) start() {
	s.t.Helper()
	opts := s.opts
	var err error
	s.Server, err = server.NewServer(&opts)
	testkit.Ok(s.t, err)
	go s.Start()
	if !s.ReadyForConnections(limit) {
		s.t.Fatal("the server doesn't start")
	}
}

// addr is where the server listens, or would.
func (s *natsServer) addr() string { return net.JoinHostPort(s.opts.Host, strconv.Itoa(s.opts.Port)) }

func (s *natsServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
}
