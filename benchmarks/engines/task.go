package engines

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

const (
	taskEnv  = "BCACHE_ENGINES_TASK"
	loopback = "127.0.0.1:0"
)

// A task is what a child process does.
type task struct {
	Do      string // one of tasks
	Engine  string
	Cluster string // the ClusterName of nodes: ports were others' before, who may dial them still
	URL     string // of the engine's server
	First   string // the node to join
	Nodes   int
	For     time.Duration // of a soak
	Plan    Plan
}

// work is what a child does. What it answers is up to it.
type work func(context.Context, *parent, task) error

var tasks = map[string]work{
	"server":  runServer,
	"node":    runNode,
	"cluster": measuring(measureCluster),
	"burst":   measuring(measureBurst),
	"guest":   measuring(measureGuest),
	"kill":    measuring(losing((*child).kill, false)),
	"freeze":  measuring(losing((*child).freeze, true)),
	"idle":    measuring(losing((*child).freeze, false)),
	"steady":  measuring(soakSteady),
	"churn":   measuring(soakChurn),
}

// An answer is a line of JSON on a child's standard output.
type answer struct {
	Value any
	Err   string
}

// Child does the work of a child and ends the process, if it is one. main calls it first; so does
// TestMain.
func Child() {
	text := os.Getenv(taskEnv)
	if text == "" {
		return
	}
	os.Unsetenv(taskEnv) // its own children have tasks of their own
	p := &parent{in: json.NewDecoder(os.Stdin), out: json.NewEncoder(os.Stdout)}
	var t task
	err := json.Unmarshal([]byte(text), &t)
	if err == nil {
		do, known := tasks[t.Do]
		if !known {
			err = fmt.Errorf("there is no task %q", t.Do)
		} else {
			err = do(context.Background(), p, t)
		}
	}
	if err != nil {
		p.answer(nil, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A parent is the other side of a child.
type parent struct {
	in  *json.Decoder
	out *json.Encoder
}

// answer ends the process if nobody listens any more.
func (p *parent) answer(value any, err error) {
	a := answer{Value: value}
	if err != nil {
		a.Err = err.Error()
	}
	if p.out.Encode(a) != nil {
		os.Exit(1)
	}
}

// asks waits for a question, and returns false if the parent has ended, or wants no more.
func (p *parent) asks() (question string, ok bool) {
	return question, p.in.Decode(&question) == nil
}
