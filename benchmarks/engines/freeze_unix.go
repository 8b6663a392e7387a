//go:build unix

package engines

import "syscall"

const canFreeze = true

// freeze stops the process, but leaves its connections.
func (c *child) freeze() {
	_ = c.cmd.Process.Signal(syscall.SIGSTOP) // the error is that it has ended
}
