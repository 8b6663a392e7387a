package main

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	stopTimeout  = 20 * time.Second // from SIGTERM to the end of a process
	readyTimeout = 30 * time.Second // from the start of a process until it is ready
)

// A process is a node in a process of its own, in one life after the other. Its methods are for
// one goroutine at a time.
type process struct {
	name    string
	command []string
	url     string      // of its HTTP server
	failed  func(error) // told when it ends though nobody ended it

	life *life // the last one; nil before the first
}

type life struct {
	cmd    *exec.Cmd
	log    tail
	ending atomic.Bool   // somebody ends it
	ended  chan struct{} // closed when it has ended
	err    error         // how, from then on
}

// start begins a life.
func (p *process) start() error {
	l := &life{cmd: exec.Command(p.command[0], p.command[1:]...), ended: make(chan struct{})}
	l.cmd.Stderr = &l.log
	tie(l.cmd)
	if err := l.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.life = l
	go func() {
		l.err = l.cmd.Wait()
		if !l.ending.Load() {
			p.failed(fmt.Errorf("%s ended by itself: %v\n%s", p.name, l.err, &l.log))
		}
		close(l.ended)
	}()
	return nil
}

// ready waits until the node has what the others hold.
func (p *process) ready(ctx context.Context, c client) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout,
		fmt.Errorf("%s wasn't ready within %v", p.name, readyTimeout))
	defer cancel()
	for {
		err := c.read(ctx, p.url+"/ready", nil)
		if err == nil {
			return nil
		}
		if cause := pause(ctx, 10*time.Millisecond); cause != nil {
			return fmt.Errorf("%w: %w\n%s", cause, err, &p.life.log)
		}
	}
}

// kill ends the life as a crash does: the node can't do anything about it.
func (p *process) kill() {
	l := p.life
	if l == nil {
		return
	}
	l.ending.Store(true)
	_ = l.cmd.Process.Kill() // the error is that it has ended
	<-l.ended
}

// stop ends the life as a deployment does: it asks the node to end, and waits.
func (p *process) stop() error {
	l := p.life
	if l == nil {
		return nil
	}
	l.ending.Store(true)
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.kill() // it has ended, or this isn't Unix
		return nil
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-l.ended:
		if l.err != nil {
			return fmt.Errorf("stopping %s: %w\n%s", p.name, l.err, &l.log)
		}
		return nil
	case <-timeout.C:
		p.kill()
		return fmt.Errorf("%s didn't stop within %v\n%s", p.name, stopTimeout, &l.log)
	}
}

// A tail keeps the end of what is written to it: a log is only for the case that something fails.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
