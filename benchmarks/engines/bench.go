package engines

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/benchmarks/measure"
)

// A bench is what a measurement works with. The nodes of its process are the only ones in it.
type bench struct {
	engine Engine
	task
	server *child // nil if the engine has none
}

// measuring makes a task of a measurement: its figures are the answer.
func measuring[T any](do func(context.Context, *bench) (T, error)) work {
	return func(ctx context.Context, p *parent, t task) error {
		e, err := Named(t.Engine)
		if err != nil {
			return err
		}
		go func() { // nobody waits for figures any more
			p.asks()
			os.Exit(1)
		}()
		t.Cluster = fmt.Sprint("engines-", os.Getpid())
		b := &bench{engine: e, task: t}
		if err := b.serve(ctx); err != nil {
			return err
		}
		figures, err := do(ctx, b)
		if b.server != nil {
			b.server.kill()
		}
		if err != nil {
			return err
		}
		p.answer(figures, nil)
		return nil
	}
}

// serve starts the engine's server, if it has one.
func (b *bench) serve(ctx context.Context) error {
	c, err := startChild(ctx, task{Do: "server", Engine: b.Engine})
	if err != nil {
		return err
	}
	if err := c.ask("", &b.URL); err != nil || b.URL == "" {
		c.kill()
		return err
	}
	b.server = c
	return nil
}

// node starts a node in this process.
func (b *bench) node(first string, maxKeys int) (*bcache.Bcache, error) {
	return startNode(b.engine, b.joining(first), maxKeys)
}

// joining is the task of a node in a process of its own.
func (b *bench) joining(first string) task {
	return task{Do: "node", Engine: b.Engine, Cluster: b.Cluster, URL: b.URL, First: first}
}

func startNode(e Engine, t task, maxKeys int) (*bcache.Bcache, error) {
	c, err := e.Config(t.URL, t.First)
	if err != nil {
		return nil, err
	}
	c.ClusterName, c.MaxKeys = t.Cluster, maxKeys
	c.LogSize = maxKeys // a soak fills the log in half of its time: then nothing grows
	return bcache.New(c)
}

// used is the CPU time of this process and of the server up to now.
func (b *bench) used() (u Use, err error) {
	u.Nodes, _ = measure.CPUTime()
	if b.server != nil {
		err = b.server.ask("cpu", &u.Server)
	}
	return u, err
}

// since is the CPU time from an earlier time on.
func (b *bench) since(before Use) (u Use, err error) {
	u, err = b.used()
	u.Nodes -= before.Nodes
	u.Server -= before.Server
	return u, err
}

// heap is what this process holds on to, stacks included, and how many goroutines it has.
func heap() (bytes float64, goroutines int) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
}

// await asks each tick until the answer is yes.
func await(ctx context.Context, each time.Duration, yes func() bool) error {
	for !yes() {
		if err := measure.Sleep(ctx, each); err != nil {
			return err
		}
	}
	return nil
}
