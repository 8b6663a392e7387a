package browser

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// A browser that isn't there is a reason to skip; one that doesn't start never is.
func TestMissingChromium(t *testing.T) {
	none := func(string) (string, error) { return "", exec.ErrNotFound }
	_, err := findChromium(none)
	if err == nil || !strings.Contains(err.Error(), "chromium-browser") {
		t.Errorf("it isn't there: %v", err)
	}
	if !verdict(err, "") || verdict(err, "required") || verdict(errors.New("it doesn't start"), "") {
		t.Error("skipped is what shouldn't be")
	}
	last := func(name string) (string, error) {
		if name == "chrome" {
			return "/opt/chrome", nil
		}
		return "", exec.ErrNotFound
	}
	if path, err := findChromium(last); path != "/opt/chrome" || err != nil {
		t.Errorf("got %q, %v", path, err)
	}
}

// orphanEnv has a process of the tests start a browser and die.
const orphanEnv = "BCACHE_BROWSER_ORPHAN"

// orphan starts a browser, says where, and waits until it is killed.
func orphan() {
	c, err := startChromium()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.dir)
	select {}
}

// If the process of the tests is killed, which runs no Cleanup, no process of the browser stays.
func TestKilledTestLeavesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked for in /proc")
	}
	browser(t) // or it is skipped
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	dir, err := bufio.NewReader(out).ReadString('\n')
	dir = strings.TrimSpace(dir)
	there := processes(dir)
	if killed := cmd.Process.Kill(); killed != nil {
		t.Error(killed)
	}
	_ = cmd.Wait()
	if err != nil || !strings.Contains(dir, "bcache-browser-") || len(there) < 2 {
		t.Fatalf("it has %d processes in %q: %v", len(there), dir, err)
	}
	defer os.RemoveAll(dir)
	if err := within(limit, func() error {
		if left := processes(dir); len(left) > 0 {
			return fmt.Errorf("of %v there are still %v", there, left)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
