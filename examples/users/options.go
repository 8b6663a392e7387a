package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// secretVar is where the secret comes from when -secret isn't given. Other users
// of the machine can see a process's flags, but not its environment.
const secretVar = "BCACHE_SECRET"

// maxRate is the most requests a second: more isn't paced by a timer.
const maxRate = 100_000

const usage = `users is a small HTTP service in front of an SQL database, read through bcache.

Demo: three nodes in one process, real HTTP requests, a table of what happened.
("users" stands for "go run ./examples/users".)

  users
  users -duration 20s -clients 16 -updates 20
  users -dsn postgres://user:password@localhost/test

Hot: five nodes, one user that everybody asks for, a database that is stopped for a while; a
table of what each way to fill the cache costs the database.

  users -hot

Deploy: three processes under a steady load, while one of them is killed and all are restarted; it
exits with 1 if a request failed or a read was stale.

  users -deploy
  users -deploy -wide=false

One node: three terminals make a cluster. They share the database; a missing
SQLite file or table is created and filled.

  users -node -listen 127.0.0.1:7001 -peers 127.0.0.1:7002,127.0.0.1:7003 -http 127.0.0.1:8001 -db /tmp/users.db
  users -node -listen 127.0.0.1:7002 -peers 127.0.0.1:7001,127.0.0.1:7003 -http 127.0.0.1:8002 -db /tmp/users.db
  users -node -listen 127.0.0.1:7003 -peers 127.0.0.1:7001,127.0.0.1:7002 -http 127.0.0.1:8003 -db /tmp/users.db

  curl -i http://127.0.0.1:8001/users/7
  curl -i -X PUT -d '{"name": "Ada"}' http://127.0.0.1:8002/users/7
  curl -i http://127.0.0.1:8003/users/7
  curl http://127.0.0.1:8003/stats
  curl http://127.0.0.1:8003/metrics

and in a browser http://127.0.0.1:8003/cache/

Engine: each of these connects the nodes by memberlist, or NATS, with -engine. A demo starts a NATS
server in itself.

  users -engine memberlist
  users -engine nats
  users -node -engine nats -nats nats://127.0.0.1:4222 -http 127.0.0.1:8001 -db /tmp/users.db

Flags:
`

// options are the parsed command line.
type options struct {
	node, hot, deploy bool
	engine            string // what connects the nodes
	nats              string // URL of the server, for that engine; "" starts one for a demo
	dsn               string // PostgreSQL; "" means SQLite
	wide              bool   // ClusterWide

	// With -node only.
	listen, http, db, secret string
	peers                    []string

	// Without -node only.
	duration time.Duration
	clients  int

	updates float64 // demo: the part of the requests, in percent

	// With -deploy only.
	users      int
	gets, puts float64 // a second
}

// The modes, as people know them.
const (
	modeDemo   = "the demo"
	modeNode   = "-node"
	modeHot    = "-hot"
	modeDeploy = "-deploy"
)

// flagModes says which modes a flag is for. One that isn't here is for all of them.
var flagModes = map[string][]string{
	"listen":   {modeNode},
	"peers":    {modeNode},
	"http":     {modeNode},
	"db":       {modeNode},
	"secret":   {modeNode},
	"wide":     {modeDemo, modeNode, modeDeploy},
	"duration": {modeDemo, modeHot, modeDeploy},
	"clients":  {modeDemo, modeDeploy},
	"updates":  {modeDemo},
	"users":    {modeDeploy},
	"gets":     {modeDeploy},
	"puts":     {modeDeploy},
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
	fs.BoolVar(&o.deploy, "deploy", false,
		"run three processes, of which one is killed and all are restarted, instead of the demo")
	fs.StringVar(&o.engine, "engine", engineMesh,
		"`what` connects the nodes: "+strings.Join(engineNames, ", ")+"; the same on each")
	fs.StringVar(&o.nats, "nats", "",
		"with -engine nats: `URL` of the server; the demos start one if it isn't given")
	fs.StringVar(&o.dsn, "dsn", "", "PostgreSQL `URL` to use instead of SQLite; the table is "+table)
	fs.BoolVar(&o.wide, "wide", true,
		"one fill of a user at a time in all nodes together (ClusterWide); -wide=false is one in each node")
	fs.StringVar(&o.listen, "listen", "",
		"with -node: `host:port` for the other nodes; port 0 picks a free one")
	fs.StringVar(&peers, "peers", "", "with -node: `host:port,...` of other nodes; none for the first one")
	fs.StringVar(&o.http, "http", "", "with -node: `host:port` for HTTP clients")
	fs.StringVar(&o.db, "db", "", "with -node: SQLite `file`, shared by the nodes of this machine")
	fs.StringVar(&o.secret, "secret", "",
		"with -node: encrypts the traffic between nodes, the same on each; "+
			"at least 16 bytes\n(default: the environment variable "+secretVar+")")
	fs.DurationVar(&o.duration, "duration", 5*time.Second,
		"how long the requests last; with -deploy 1m if it isn't given")
	fs.IntVar(&o.clients, "clients", 8,
		"how many clients send requests at once; with -deploy 64 if it isn't given")
	fs.Float64Var(&o.updates, "updates", 5, "demo: `percent` of the requests that are updates")
	fs.IntVar(&o.users, "users", 1000, "with -deploy: how many users are asked for")
	fs.Float64Var(&o.gets, "gets", 2000, "with -deploy: GETs a `second`")
	fs.Float64Var(&o.puts, "puts", 90, "with -deploy: updates a `second`")

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
	if o.deploy && !given["duration"] {
		o.duration = time.Minute
	}
	if o.deploy && !given["clients"] {
		o.clients = 64
	}
	return o, o.validate(given, fs.Args())
}

// modes returns the modes that are asked for: one, if all is well.
func (o options) modes() (modes []string) {
	for mode, asked := range map[string]bool{modeNode: o.node, modeHot: o.hot, modeDeploy: o.deploy} {
		if asked {
			modes = append(modes, mode)
		}
	}
	if modes == nil {
		return []string{modeDemo}
	}
	slices.Sort(modes)
	return modes
}

// validate reports everything that is wrong, at once.
func (o options) validate(given map[string]bool, rest []string) error {
	var errs []error
	fail := func(format string, v ...any) { errs = append(errs, fmt.Errorf(format, v...)) }

	if len(rest) > 0 {
		fail("unexpected argument %q", rest[0])
	}
	modes := o.modes()
	if len(modes) > 1 {
		fail("%s exclude each other", strings.Join(modes, " and "))
		return errors.Join(errs...)
	}
	for _, name := range slices.Sorted(maps.Keys(flagModes)) {
		of := flagModes[name]
		if given[name] && !slices.Contains(of, modes[0]) {
			fail("-%s is for %s, not for %s", name, strings.Join(of, " and "), modes[0])
		}
	}
	if !slices.Contains(engineNames, o.engine) {
		fail("-engine is %q, but must be one of %s", o.engine, strings.Join(engineNames, ", "))
	}
	if o.nats != "" && o.engine != engineNATS {
		fail("-nats is for -engine nats, not for -engine %s", o.engine)
	}
	if o.node && o.engine == engineNATS {
		if o.nats == "" {
			fail("-node -engine nats needs -nats, such as -nats nats://127.0.0.1:4222")
		}
		for _, name := range []string{"listen", "peers", "secret"} {
			if given[name] {
				fail("-%s isn't for -engine nats: the server connects the nodes", name)
			}
		}
	}
	if o.node {
		if o.listen == "" && o.engine != engineNATS {
			fail("-node needs -listen, such as -listen 127.0.0.1:7001")
		}
		if o.http == "" {
			fail("-node needs -http, such as -http 127.0.0.1:8001")
		}
		if (o.db == "") == (o.dsn == "") {
			fail("-node needs either -db (SQLite) or -dsn (PostgreSQL)")
		}
	}
	if o.duration <= 0 {
		fail("-duration is %v, but must be positive", o.duration)
	}
	if o.clients < 1 || o.clients > 1000 {
		fail("-clients is %d, but must be 1 to 1000", o.clients)
	}
	if !(o.updates >= 0 && o.updates <= 100) {
		fail("-updates is %v, but must be 0 to 100", o.updates)
	}
	if o.users < 1 || o.users > userCount {
		fail("-users is %d, but must be 1 to %d", o.users, userCount)
	}
	if !(o.gets > 0 && o.gets <= maxRate) {
		fail("-gets is %v, but must be more than 0, and at most %d", o.gets, maxRate)
	}
	if !(o.puts > 0 && o.puts <= maxRate) {
		fail("-puts is %v, but must be more than 0, and at most %d", o.puts, maxRate)
	}
	return errors.Join(errs...)
}
