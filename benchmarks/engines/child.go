package engines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A child is a process of this program that does a task.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
	log tail
}

// startChild starts one, and kills it when ctx ends. It must be ended, or killed.
func startChild(ctx context.Context, t task) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	setup, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), taskEnv+"="+string(setup))
	c.cmd.Stderr = &c.log
	c.cmd.WaitDelay = time.Second // a grandchild that outlives it has its standard error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", t.Do, err)
	}
	return c, nil
}

// ask sends a question, unless it is "", and takes the answer to into, unless that is nil.
func (c *child) ask(question string, into any) error {
	if question != "" {
		if err := json.NewEncoder(c.in).Encode(question); err != nil {
			return err
		}
	}
	a := answer{Value: into}
	if err := c.out.Decode(&a); err != nil {
		return fmt.Errorf("a child process doesn't answer: %w\n%s", err, &c.log)
	}
	if a.Err != "" {
		return errors.New(a.Err)
	}
	return nil
}

// end lets the process end, and waits.
func (c *child) end() error {
	c.in.Close()
	return c.cmd.Wait()
}

// kill ends it as a crash does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // the error is that it has ended
	_ = c.end()
}
