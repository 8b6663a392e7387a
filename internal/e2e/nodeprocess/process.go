// Package nodeprocess is a node in a process of its own, for tests. It takes its setup from the
// environment and obeys commands on standard input, a line each. It answers each with a line of JSON on
// standard output. Its log goes to standard error. It ends with its standard input.
//
// The tests in internal/e2e start such processes. A process is their own binary, over mesh, or the
// program in transport/e2e, over an engine of another module. Nothing else imports this package.
package nodeprocess

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/transport"
)

// Env is the variable of the environment that has the Setup, as JSON.
const Env = "BCACHE_TEST_NODE"

// A Setup says what node it is to be.
type Setup struct {
	Name     string // of this life of the node: it is in the values that it writes
	Config   bcache.Config
	Engine   Engine // beside mesh, if Config has a ListenAddr
	Database string // URL of the test's database, for programs that have a use for it
}

// An Engine is a network other than mesh.
type Engine struct {
	Name string   // "" is none
	Addr string   // host:port to listen on, if nodes listen
	Join []string // host:port of other nodes, or of servers
}

// An Answer is what a command is answered with, and the setup.
type Answer struct {
	Value any
	Err   string
}

// Run runs the node of a Setup until standard input ends. The first answer says that the node listens,
// or why it doesn't. It calls place to make an Engine; nil knows none.
func Run(setup string, place func(Engine) (transport.Transport, error)) {
	n, err := start(setup, place)
	Reply(os.Stdout, "", err)
	for in := bufio.NewScanner(os.Stdin); err == nil && in.Scan(); {
		value, err := n.do(strings.Fields(in.Text()))
		Reply(os.Stdout, value, err)
	}
}

func start(setup string, place func(Engine) (transport.Transport, error)) (*node, error) {
	var s Setup
	if err := json.Unmarshal([]byte(setup), &s); err != nil {
		return nil, fmt.Errorf("%s: %w", Env, err)
	}
	level := &slog.HandlerOptions{Level: slog.LevelDebug}
	s.Config.Logger = bcache.NewSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, level)))
	if s.Engine.Name != "" {
		if place == nil {
			return nil, fmt.Errorf("this program has no engine %q", s.Engine.Name)
		}
		var err error
		if s.Config.Transport, err = place(s.Engine); err != nil {
			return nil, err
		}
	}
	cache, err := bcache.New(s.Config)
	if err != nil {
		return nil, err
	}
	return newNode(s.Name, s.Config.PeerID, cache)
}

// Reply writes an Answer.
func Reply(to io.Writer, value any, err error) {
	a := Answer{Value: value}
	if err != nil {
		a.Err = err.Error()
	}
	_ = json.NewEncoder(to).Encode(a) // if nobody reads it any more, standard input ends too
}
