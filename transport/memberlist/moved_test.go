package memberlist

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
)

// A mover counts what is said to move.
type mover struct {
	*testkit.Handler
	moved, bulk atomic.Int32
}

func (m *mover) Moved(_ uint64, bulk bool) {
	m.moved.Add(1)
	if bulk {
		m.bulk.Add(1)
	}
}

// That the system has taken a small frame, or one of memberlist's packets, says nothing of the node: one that
// is frozen takes it too. That parts of a large frame go does: the system takes only so many.
func TestMoved(t *testing.T) {
	a, b := bare(t, 1, Config{}), start(t, 2, Config{})
	a.cfg.Join = []string{b.Addr()}
	m := &mover{Handler: a.Handler}
	testkit.Ok(t, a.Start(a.node(1), m))
	t.Cleanup(func() { a.Close() })
	until(t, "they are joined", func() bool { return full([]*place{a, b}) })

	send := func(frame []byte, bulk bool) {
		t.Helper()
		testkit.Ok(t, a.Send(2, frame, bulk))
		until(t, "the frame has come", func() bool { return b.Got(1, frame) })
	}
	for i := range 20 {
		send([]byte(fmt.Sprint("small ", i)), i%2 == 0)
	}
	if n := m.moved.Load(); n > 0 {
		t.Errorf("small frames moved %d times", n)
	}
	until(t, "a large frame moves", func() bool {
		send(make([]byte, 10*pieceSize), true)
		return m.bulk.Load() > 0
	})
}
