package striped

import (
	"sync"
	"testing"
)

func TestCounter(t *testing.T) {
	var c Counter
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				c.Add1()
			}
		})
	}
	wg.Wait()
	if n := c.Load(); n != 8000 {
		t.Errorf("counted %d, want 8000", n)
	}
}
