//go:build linux

package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

// A node in a process of its own is this test binary, started again with its setup in the environment.
func TestMain(m *testing.M) {
	if setup := os.Getenv(nodeprocess.Env); setup != "" {
		nodeprocess.Run(setup, nil)
		return
	}
	defer func() { os.RemoveAll(built) }() // nothing, if nothing was built
	m.Run()
}

// got is what a node answers to "get".
type got struct {
	Value string
	Found bool
}

// A process is a node that runs in a process of its own, in one life after the other.
type process struct {
	t       *testing.T
	name    string
	cfg     bcache.Config
	engine  nodeprocess.Engine
	command []string // is put before the command that starts it
	program string   // what runs in it; "" is this test
	args    []string // of the program
	db      string   // URL of the test's database, if the program has a use for it
	log     *os.File
	lives   int

	mu      sync.Mutex // one question at a time
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan []byte // closed when the process has ended
}

// newProcess describes a node. Its log is shown if the test fails.
func newProcess(t *testing.T, name string, cfg bcache.Config, command ...string) *process {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(t.TempDir(), "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	testkit.Ok(t, err)
	p := &process{t: t, name: name, cfg: cfg, command: command, log: log}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the log of %s:\n%s", name, text[max(0, len(text)-32<<10):])
		}
		log.Close()
	})
	return p
}

// life is the name that is in what the node writes in this life.
func (p *process) life() string { return fmt.Sprint(p.name, ".", p.lives) }

// start begins a life, and returns when the node listens.
func (p *process) start() error {
	p.lives++
	fmt.Fprintf(p.log, "=== %s\n", p.life())
	program := p.program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return err
		}
	}
	setup, err := json.Marshal(nodeprocess.Setup{
		Name: p.life(), Config: p.cfg, Engine: p.engine, Database: p.db,
	})
	if err != nil {
		return err
	}
	args := slices.Concat(p.command, []string{program}, p.args)
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), nodeprocess.Env+"="+string(setup))
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // not even a panic of the test leaves it
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	answers := make(chan []byte, 1)
	p.answers = answers
	go func() {
		defer close(answers)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			answers <- line
		}
	}()
	return p.answer(nil)
}

// ask sends a command, and waits for the answer, which goes to into unless that is nil.
func (p *process) ask(into any, command ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := fmt.Fprintln(p.in, command...); err != nil {
		return fmt.Errorf("%s, asked to %v: %w", p.name, command[0], err)
	}
	if err := p.answer(into); err != nil {
		return fmt.Errorf("%s, asked to %v: %w", p.name, command[0], err)
	}
	return nil
}

func (p *process) answer(into any) error {
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	select {
	case line, alive := <-p.answers:
		if !alive {
			return errors.New("the process has ended")
		}
		a := nodeprocess.Answer{Value: into}
		if err := json.Unmarshal(line, &a); err != nil {
			return err
		}
		if a.Err != "" {
			return errors.New(a.Err)
		}
		return nil
	case <-timeout.C:
		return errors.New("no answer")
	}
}

// must is ask, and ends the test if it fails.
func (p *process) must(into any, command ...any) {
	p.t.Helper()
	testkit.Ok(p.t, p.ask(into, command...))
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	testkit.Ok(p.t, p.cmd.Process.Signal(s))
}

// kill ends the process, without a chance to say good-bye, if there is one.
func (p *process) kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	p.cmd.Process.Kill()
	for range p.answers { // until all of its output is read
	}
	p.cmd.Wait()
	p.cmd = nil
}

// close has the node close, and ends the process.
func (p *process) close() error {
	err := p.ask(nil, "close")
	p.kill()
	return err
}

// rss returns how much memory the process has.
func (p *process) rss() (bytes int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm is %q", text)
	}
	pages, err := strconv.Atoi(fields[1])
	return pages * os.Getpagesize(), err
}

// lists says which other nodes p is directly connected to, by PeerID.
func (p *process) lists() (map[uint64]bool, error) {
	var members []bcache.Member
	err := p.ask(&members, "members")
	direct := map[uint64]bool{}
	for _, m := range members {
		if m.Direct {
			direct[m.ID] = true
		}
	}
	return direct, err
}

// allConnected waits until each node lists all the others.
func allConnected(t *testing.T, nodes []*process) {
	t.Helper()
	for _, p := range nodes {
		testkit.Within(t, 20*time.Second, func() error {
			direct, err := p.lists()
			if err == nil && len(direct) != len(nodes)-1 {
				err = fmt.Errorf("%s is connected to %v", p.name, direct)
			}
			return err
		})
	}
}

// replicates waits until a node shows a value, and returns how long it took.
func replicates(from, to *process, key, val string) (time.Duration, error) {
	start := time.Now()
	if err := from.ask(nil, "set", key, val); err != nil {
		return 0, err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		var g got
		if err := to.ask(&g, "get", key); err != nil || g == (got{val, true}) {
			return time.Since(start), err
		}
		if time.Since(start) > 5*time.Second {
			return 0, fmt.Errorf("%s doesn't show what %s wrote", to.name, from.name)
		}
		<-tick.C
	}
}

// The harness itself, on loopback: every command, and every way to end.
func TestProcesses(t *testing.T) {
	testkit.SkipIfMeshRaces(t)
	addrs := []string{testkit.FreeAddr(t), testkit.FreeAddr(t)}
	var nodes []*process
	for i, addr := range addrs {
		p := newProcess(t, string(rune('a'+i)), bcache.Config{PeerID: uint64(i + 1), ListenAddr: addr, Peers: addrs, MaxKeys: 1000})
		testkit.Ok(t, p.start())
		nodes = append(nodes, p)
	}
	allConnected(t, nodes)
	a, b := nodes[0], nodes[1]

	o := newOracle()
	a.must(nil, "sets", "k-", 0, 20, "v")
	a.must(nil, "deletes", "k-", 10, 20)
	a.must(nil, "delete", "k-9")
	o.sets("k-", 0, 9, "v")
	o.deletes("k-", 9, 20)
	a.must(nil, "load", "l-", 100, 5000, 10)
	b.must(nil, "probe", "k-", 20)
	_, err := replicates(b, a, "x", "y")
	testkit.Ok(t, err)
	testkit.Within(t, 10*time.Second, func() error {
		var r nodeprocess.LoadReport
		if err := a.ask(&r, "loaded", "l-"); err != nil || r.Count < 200 {
			return fmt.Errorf("%+v, %v", r, err)
		}
		return nil
	})
	var r nodeprocess.LoadReport
	a.must(&r, "stop", "l-")
	o.load(a.life(), "l-", 100, r.Count)
	testkit.Within(t, 10*time.Second, func() error {
		var dumps [2]map[string]string
		if err := errors.Join(a.ask(&dumps[0], o.dump()), b.ask(&dumps[1], o.dump())); err != nil {
			return err
		}
		return o.check(dumps[:], true)
	})
	var runs []nodeprocess.ProbeRun
	b.must(&runs, "probed", "k-")
	if len(runs) == 0 {
		t.Error("nothing was probed")
	}
	var stats bcache.Stats
	var n int
	a.must(&stats, "stats")
	a.must(&n, "len")
	if stats.Sets == 0 || stats.Keys != n || n == 0 {
		t.Errorf("len %d, %+v", n, stats)
	}
	for _, p := range nodes { // they started together: one of them has to be the first
		testkit.Within(t, 20*time.Second, func() error { return p.ask(nil, "ready") })
	}
	if err := a.ask(nil, "nonsense"); err == nil {
		t.Error("nonsense was obeyed")
	}
	if bytes, err := a.rss(); err != nil || bytes < 1<<20 {
		t.Errorf("rss %d, %v", bytes, err)
	}

	testkit.Ok(t, b.close())
	testkit.Ok(t, b.start())
	allConnected(t, nodes)
	a.kill()
	if err := a.ask(nil, "len"); err == nil {
		t.Error("a dead node answered")
	}
	testkit.Within(t, 10*time.Second, func() error {
		if direct, err := b.lists(); err != nil || len(direct) != 0 {
			return fmt.Errorf("the killed node is listed: %v, %v", direct, err)
		}
		return nil
	})
}
