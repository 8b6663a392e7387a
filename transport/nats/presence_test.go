package nats

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Ticks are half a tick apart at most, of all nodes, by the wall clock: so what they say comes together.
func TestTicksOfAllNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Uint64().Draw(t, "id")
		now := time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "now"))
		p := presence{roster: &roster{self: life{id: id}}}
		wait := p.untilTick(now)
		if wait <= 0 || wait > tick {
			t.Fatalf("the next tick is in %v", wait)
		}
		if at := now.Add(wait).UnixNano() % int64(tick); at != int64(tick/2)*int64(id%2) {
			t.Errorf("the tick is %v after that of others", time.Duration(at))
		}
	})
}
