package main

import (
	"context"
	"fmt"
	"time"
)

// deadFor is how long a killed process stays away, unless the demo is so short that an eighth of
// it is less.
const deadFor = time.Second

// An event is something that was done to a process.
type event struct {
	at    time.Duration // since the load began
	what  string
	ready time.Duration // since the process was started again
}

// restarts kills one process after a quarter of the time and starts it again, and from the half
// on restarts all, one after the other, as orchestrators do: the next one when the last is ready.
// It returns when the time is up, or a little after the last restart if that is later.
func (d *deploy) restarts(ctx context.Context, users *ledger) error {
	after := func(quarters time.Duration) error {
		return pause(ctx, time.Until(d.began.Add(d.opts.duration*quarters/4)))
	}
	if err := after(1); err != nil {
		return err
	}
	victim := 1
	if err := d.figures.read(ctx, d.client, d.processes[victim].url); err != nil {
		return err
	}
	e := event{at: time.Since(d.began), what: d.processes[victim].name + " was killed"}
	users.killed.Store(&kill{time.Now(), victim})
	d.processes[victim].kill()
	if err := pause(ctx, min(deadFor, d.opts.duration/8)); err != nil {
		return err
	}
	if err := d.revive(ctx, d.processes[victim], e); err != nil {
		return err
	}

	if err := after(2); err != nil {
		return err
	}
	for _, p := range d.processes {
		if err := d.figures.read(ctx, d.client, p.url); err != nil {
			return err
		}
		e := event{at: time.Since(d.began)}
		begin := time.Now()
		if err := p.stop(); err != nil {
			return err
		}
		e.what = fmt.Sprintf("%s was stopped, which took %s", p.name, millis(time.Since(begin)))
		if err := d.revive(ctx, p, e); err != nil {
			return err
		}
	}
	// Long enough that what the last one doesn't know would show.
	if err := pause(ctx, min(2*staleAfter, d.opts.duration/4)); err != nil {
		return err
	}
	return after(4)
}

// revive starts a process again, and waits until it is ready and clients know that.
func (d *deploy) revive(ctx context.Context, p *process, e event) error {
	begin := time.Now()
	if err := p.start(); err != nil {
		return err
	}
	if err := p.ready(ctx, d.client); err != nil {
		return err
	}
	e.ready = time.Since(begin)
	d.events = append(d.events, e)

	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout,
		fmt.Errorf("the nodes didn't answer all within %v", readyTimeout))
	defer cancel()
	for !d.nodes.whole() {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
