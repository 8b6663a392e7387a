package bcachehttp

import (
	"fmt"
	"slices"
	"testing"

	"github.com/iwanbk/bcache"
)

func TestBounds(t *testing.T) {
	c := well()
	c.node.Config.MaxKeys, c.node.Config.LogSize, c.node.Config.MaxPending = 200, 1000, 2<<20
	c.node.Config.MaxConns = 2
	c.now.stats = bcache.Stats{
		Keys: 50, Bytes: 3 << 20, Tombstones: 512, LogRecords: 2000, Outbox: 7, Origins: 3,
		ClearsRemembered: 1024,
	}
	show := func() (all []string) {
		for _, b := range bounds(c) {
			all = append(all, fmt.Sprintf("%s: %s of %s, %d %v %s", b.Name, b.Has, b.Most, b.Part, b.Width,
				b.Class))
		}
		return all
	}
	want := []string{
		"Keys: 50 of 200, 25 25 good",
		"Bytes: 3 MiB of no limit, -1 0 good",
		"Deleted keys remembered: 512 of 1,024, 50 50 good",
		"Clears of prefixes and tags remembered: 1,024 of 4,096, 25 25 good",
		"Writes in the log: 2,000 of 1,000, 100 100 good",
		"Writes that wait to be sent: 7 of 2 MiB of them, -1 0 good",
		"Connections: 2 of 2, 100 100 note",
		"Lives of nodes kept track of: 3 of 4,096, 0 0.1 good",
	}
	if got := show(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	c.node.Config.MaxBytes, c.node.Config.MaxKeys, c.node.Addr = 4<<20, 1<<30, ""
	want = []string{
		"Keys: 50 of 1,073,741,824, 0 0 good", "Bytes: 3 MiB of 4 MiB, 75 75 good",
		"Deleted keys remembered: 512 of 1,048,576, 0 0 good",
		"Clears of prefixes and tags remembered: 1,024 of 4,096, 25 25 good",
	}
	if got := show(); !slices.Equal(got, want) {
		t.Errorf("without a network: %q", got)
	}
}
