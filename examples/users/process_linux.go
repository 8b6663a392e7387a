package main

import (
	"os/exec"
	"syscall"
)

// tie ends the process with this one, however that ends. It gets a group of its own, so that
// Ctrl-C reaches this process only, which then ends the others in order.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
