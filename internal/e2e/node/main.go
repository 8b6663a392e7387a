// Command node runs one node of a cluster for TestMixed, which builds it twice: with this version of
// bcache, and, with the tag "before", within the source of the release before. So it may use only what
// both have; what only this version has is in a file that the tag leaves out.
//
// It takes its setup from the environment, and obeys commands on its standard input, a line each. It
// answers each with a line of JSON. Its log goes to standard error. It ends with its standard input.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/iwanbk/bcache"
)

// setupEnv is the variable that has the setup.
const setupEnv = "BCACHE_TEST_NODE"

// A setup says what node it is to be.
type setup struct {
	Config   bcache.Config
	Database string // URL
}

// An answer is what a command is answered with.
type answer struct {
	Value any
	Err   string
}

// A node is a cache, a Loader in front of the test's database, and a load that runs over both.
type node struct {
	cache  *bcache.Bcache
	loader *bcache.Loader
	db     *database
	load   *load // nil: none runs
}

func main() {
	n, err := start(os.Getenv(setupEnv))
	reply("", err) // it listens
	if err != nil {
		os.Exit(1)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		reply(n.do(strings.Fields(in.Text())))
	}
}

func start(text string) (*node, error) {
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("%s: %w", setupEnv, err)
	}
	level := &slog.HandlerOptions{Level: slog.LevelDebug}
	s.Config.Logger = bcache.NewSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, level)))
	cache, err := bcache.New(s.Config)
	if err != nil {
		return nil, err
	}
	n := &node{cache: cache, db: newDatabase(s.Database)}
	n.loader, err = bcache.NewLoader(cache, bcache.LoaderConfig{
		ClusterWide: true, TTL: time.Hour, NegativeTTL: time.Hour, Fill: n.db.fill,
	})
	return n, err
}

func reply(value any, err error) {
	a := answer{Value: value}
	if err != nil {
		a.Err = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(a) // nobody reads it any more: then stdin ends too
}

// do runs one command.
func (n *node) do(words []string) (any, error) {
	if len(words) == 0 {
		return nil, errors.New("no command")
	}
	c, known := commands[words[0]]
	args := words[1:]
	want := len(strings.Fields(c.args))
	if !known || len(args) != want && !strings.HasSuffix(c.args, "...") {
		return nil, fmt.Errorf("%q isn't a command such as %s %s", words, words[0], c.args)
	}
	return c.run(n, args)
}
