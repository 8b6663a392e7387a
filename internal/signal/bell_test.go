package signal

import (
	"sync"
	"sync/atomic"
	"testing"
)

// A ring wakes all who wait, and nobody who comes after it.
func TestBellWakesAll(t *testing.T) {
	var b Bell
	b.Ring() // nobody waits
	first, second := b.Next(), b.Next()
	if first != second {
		t.Error("two who wait for the same ring wait on two channels")
	}
	select {
	case <-first:
		t.Fatal("it rang before it was rung")
	default:
	}
	b.Ring()
	<-first
	next := b.Next()
	select {
	case <-next:
		t.Fatal("who comes after a ring is woken by it")
	default:
	}
	b.Ring()
	b.Ring()
	<-next
}

// Nobody misses the ring that follows what he waits for.
func TestBellMissesNothing(t *testing.T) {
	const steps, waiters = 2000, 4
	var b Bell
	var step atomic.Int64
	var wg sync.WaitGroup
	for range waiters {
		wg.Go(func() {
			for want := int64(1); want <= steps; want++ {
				for {
					rung := b.Next()
					if step.Load() >= want {
						break
					}
					<-rung
				}
			}
		})
	}
	for range steps {
		step.Add(1)
		b.Ring()
	}
	wg.Wait()
}

func BenchmarkBellNobodyWaits(b *testing.B) {
	var bell Bell
	b.ReportAllocs()
	for b.Loop() {
		bell.Ring()
	}
}
