package caches

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A redisServer is a redis-server of our own: on loopback, on a free port, with nothing kept.
type redisServer struct {
	addr string
	cmd  *exec.Cmd
	dir  string
	done chan struct{} // closed when it has ended
}

// FindRedis returns the path of a redis-server and what it says about its version; "" if there
// is none.
func FindRedis() (path, version string) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", ""
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", ""
	}
	for field := range strings.FieldsSeq(string(out)) {
		if v, ok := strings.CutPrefix(field, "v="); ok {
			version = v
		}
	}
	return path, version
}

func startRedis(path string) (*redisServer, error) {
	// The port is free when it is drawn, and may be taken when the server wants it.
	var errs error
	for range 3 {
		s, err := tryRedis(path)
		if err == nil {
			return s, nil
		}
		errs = errors.Join(errs, err)
	}
	return nil, errs
}

func tryRedis(path string) (*redisServer, error) {
	addr, port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "redis-")
	if err != nil {
		return nil, err
	}
	s := &redisServer{addr: addr, dir: dir, done: make(chan struct{})}
	s.cmd = exec.Command(path, "--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning")
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting redis-server: %w", err), os.RemoveAll(dir))
	}
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // that we killed it is no news
	}()
	if err := s.ready(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func freePort() (addr, port string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer l.Close()
	addr = l.Addr().String()
	_, port, err = net.SplitHostPort(addr)
	return addr, port, err
}

// ready waits until the server accepts connections.
func (s *redisServer) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.done:
			return errors.New("redis-server ended at once")
		case <-ctx.Done():
			return fmt.Errorf("redis-server doesn't answer: %w", err)
		case <-tick.C:
		}
	}
}

func (s *redisServer) stop() error {
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending redis-server: %w", err)
	}
	<-s.done
	return os.RemoveAll(s.dir)
}
