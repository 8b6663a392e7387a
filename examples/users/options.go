package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// secretVar is where the secret comes from when -secret isn't given. Other users
// of the machine can see a process's flags, but not its environment.
const secretVar = "BCACHE_SECRET"

const usage = `users is a small HTTP service in front of an SQL database, read through bcache.

Demo: three nodes in one process, real HTTP requests, a table of what happened.
("users" stands for "go run ./examples/users".)

  users
  users -duration 20s -clients 16
  users -dsn postgres://user:password@localhost/test

Hot: five nodes, one user that everybody asks for, a database that is stopped for a while; a
table of what each way to fill the cache costs the database.

  users -hot

One node: three terminals make a cluster. They share the database; a missing
SQLite file or table is created and filled.

  users -node -listen 127.0.0.1:7001 -peers 127.0.0.1:7002,127.0.0.1:7003 -http 127.0.0.1:8001 -db /tmp/users.db
  users -node -listen 127.0.0.1:7002 -peers 127.0.0.1:7001,127.0.0.1:7003 -http 127.0.0.1:8002 -db /tmp/users.db
  users -node -listen 127.0.0.1:7003 -peers 127.0.0.1:7001,127.0.0.1:7002 -http 127.0.0.1:8003 -db /tmp/users.db

  curl -i http://127.0.0.1:8001/users/7
  curl -i -X PUT -d '{"name": "Ada"}' http://127.0.0.1:8002/users/7
  curl -i http://127.0.0.1:8003/users/7
  curl http://127.0.0.1:8003/stats

Flags:
`

// options are the parsed command line.
type options struct {
	node bool
	hot  bool
	dsn  string // PostgreSQL; "" means SQLite

	// With -node only.
	listen, http, db, secret string
	peers                    []string

	// Without -node only.
	duration time.Duration
	clients  int
}

// parseOptions parses and checks args. It writes the help to out, and returns
// flag.ErrHelp, if that is what is asked for.
func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	var peers string
	fs := flag.NewFlagSet("users", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are returned, and printed once
	fs.BoolVar(&o.node, "node", false, "run one node until interrupted, instead of the demo")
	fs.BoolVar(&o.hot, "hot", false, "show what one hot key costs the database, instead of the demo")
	fs.StringVar(&o.dsn, "dsn", "", "PostgreSQL `URL` to use instead of SQLite; the table is "+table)
	fs.StringVar(&o.listen, "listen", "", "with -node: `host:port` for the other nodes; port 0 picks a free one")
	fs.StringVar(&peers, "peers", "", "with -node: `host:port,...` of other nodes; none for the first one")
	fs.StringVar(&o.http, "http", "", "with -node: `host:port` for HTTP clients")
	fs.StringVar(&o.db, "db", "", "with -node: SQLite `file`, shared by the nodes of this machine")
	fs.StringVar(&o.secret, "secret", "", "with -node: encrypts the traffic between nodes, the same on each; at least 16 bytes\n(default: the environment variable "+secretVar+")")
	fs.DurationVar(&o.duration, "duration", 5*time.Second, "demo: how long the requests last")
	fs.IntVar(&o.clients, "clients", 8, "demo: how many clients send requests at once")

	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, usage)
		fs.SetOutput(out)
		fs.PrintDefaults()
	}
	if err != nil {
		return o, err
	}

	if o.secret == "" && o.node {
		o.secret = os.Getenv(secretVar)
	}
	for peer := range strings.SplitSeq(peers, ",") {
		if peer = strings.TrimSpace(peer); peer != "" {
			o.peers = append(o.peers, peer)
		}
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return o, o.validate(given, fs.Args())
}

// validate reports everything that is wrong, at once.
func (o options) validate(given map[string]bool, rest []string) error {
	var errs []error
	fail := func(format string, v ...any) { errs = append(errs, fmt.Errorf(format, v...)) }

	if len(rest) > 0 {
		fail("unexpected argument %q", rest[0])
	}
	if o.node {
		for _, name := range []string{"duration", "clients", "hot"} {
			if given[name] {
				fail("-%s is for the demo, not for -node", name)
			}
		}
		if o.listen == "" {
			fail("-node needs -listen, such as -listen 127.0.0.1:7001")
		}
		if o.http == "" {
			fail("-node needs -http, such as -http 127.0.0.1:8001")
		}
		if (o.db == "") == (o.dsn == "") {
			fail("-node needs either -db (SQLite) or -dsn (PostgreSQL)")
		}
		return errors.Join(errs...)
	}

	if o.hot && given["clients"] {
		fail("-clients is for the demo, not for -hot")
	}
	for _, name := range []string{"listen", "peers", "http", "db", "secret"} {
		if given[name] {
			fail("-%s needs -node", name)
		}
	}
	if o.duration <= 0 {
		fail("-duration is %v, but must be positive", o.duration)
	}
	if o.clients < 1 || o.clients > 1000 {
		fail("-clients is %d, but must be 1 to 1000", o.clients)
	}
	return errors.Join(errs...)
}
