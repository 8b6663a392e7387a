//go:build unix

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// start runs the command in a process.
func start(t *testing.T, ctl call, args ...string) (*exec.Cmd, *bufio.Reader, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stderr := new(bytes.Buffer)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "BCACHECTL_ADDR="+ctl.addr)
	cmd.Stderr = stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(pipe), stderr
}

// Signals end watch with 0.
func TestSignals(t *testing.T) {
	ctl := example(t)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd, stdout, stderr := start(t, ctl, "watch", "--every", "100ms")
		for range 2 {
			if _, err := stdout.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if _, err := stdout.WriteTo(new(bytes.Buffer)); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
			t.Errorf("%v ends it with %v: %s", signal, err, stderr)
		}
	}
}

// A pipe that is closed, as head does it, ends watch with 0, and without a word.
func TestClosedPipe(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, "watch", "--every", "100ms")
	cmd.Env = append(os.Environ(), asCommand+"=1", "BCACHECTL_ADDR="+example(t).addr)
	cmd.Stdout, cmd.Stderr = w, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil { // the command's own ends with it: a read doesn't wait for ever
		t.Fatal(err)
	}
	if _, err := bufio.NewReaderSize(r, 16).ReadString('\n'); err != nil {
		t.Fatalf("it writes nothing: %v; it ends with %v: %s", err, cmd.Wait(), &stderr)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("it ends with %v: %s", err, &stderr)
	}
}

// The completions are scripts that shells take, and know the commands.
func TestCompletion(t *testing.T) {
	ctl := call{addr: "http://127.0.0.1:1/"}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		script := ctl.must(t, exitOK, "completion", shell).stdout
		if !strings.Contains(script, "bcachectl") {
			t.Errorf("the script for %s is %q", shell, script)
		}
		path, err := exec.LookPath(shell)
		if err != nil || shell == "powershell" {
			continue // it isn't here
		}
		cmd := exec.CommandContext(t.Context(), path, "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s doesn't take its script: %v\n%s", shell, err, out)
		}
	}
	for args, want := range map[string]string{
		"__complete wa": "warnings\t", "__complete members -o ": "json\n", "__complete why ": ":4\n",
	} {
		if r := ctl.run(t, strings.Split(args, " ")...); !strings.Contains(r.stdout, want) {
			t.Errorf("%s gives %q", args, r.stdout)
		}
	}
}
