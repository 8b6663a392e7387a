package main

import "time"

// A pace says when a client's requests are due: at a steady rate, however long the answers take.
type pace struct {
	next  time.Time
	every time.Duration
}

// wait waits until the next request is due, and returns from when on its latency counts: from
// then if the answer before was late, so that a slow node can't hide behind requests that were
// never sent. It returns false when stop is closed.
func (p *pace) wait(stop <-chan struct{}) (start time.Time, ok bool) {
	due := p.next
	p.next = due.Add(p.every)
	ahead := time.Until(due)
	if ahead <= 0 {
		select {
		case <-stop:
			return due, false
		default:
			return due, true
		}
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-stop:
		return due, false
	case <-timer.C:
		return time.Now(), true
	}
}
