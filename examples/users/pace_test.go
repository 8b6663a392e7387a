package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p := pace{next: begin.Add(time.Second), every: time.Second}
		stop := make(chan struct{})
		wait := func(want time.Duration) {
			t.Helper()
			if start, ok := p.wait(stop); !ok || start.Sub(begin) != want {
				t.Errorf("due after %v, %v, want %v", start.Sub(begin), ok, want)
			}
		}
		wait(1 * time.Second)
		time.Sleep(2500 * time.Millisecond) // a slow answer: two requests are late
		wait(2 * time.Second)
		wait(3 * time.Second)
		if took := time.Since(begin); took != 3500*time.Millisecond {
			t.Errorf("late requests waited until %v", took)
		}
		wait(4 * time.Second)
		go func() { time.Sleep(time.Millisecond); close(stop) }()
		if _, ok := p.wait(stop); ok {
			t.Error("it goes on after its end")
		}
		time.Sleep(5 * time.Second)
		if _, ok := p.wait(stop); ok {
			t.Error("it goes on after its end")
		}
	})
}
