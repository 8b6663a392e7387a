package bcache

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// Each node says which tags a value has, and which ClearTag or ClearPrefix hides it or keeps it out.
func TestWhyOfGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		testkit.Advance(5 * time.Second)
		testkit.Must(t, nodes[1].Put("user:1", "v", time.Hour, "team:8", "team:7"))
		synctest.Wait()
		for _, r := range why(t, nodes[0], "user:1", false, 1, 2, 3) {
			if r.Held == nil || !slices.Equal(r.Held.Tags, []string{"team:7", "team:8"}) || r.KeyClear != nil {
				t.Fatalf("node %x: %+v, %+v", r.Node, r, r.Held)
			}
		}
		testkit.Advance(1300 * time.Millisecond) // not when they sweep
		at := time.Now()
		testkit.Must(t, nodes[2].ClearTag("team:7"))
		synctest.Wait()
		for _, r := range why(t, nodes[0], "user:1", false, 1, 2, 3) {
			x := r.KeyClear
			if x == nil || x.Tag != "team:7" || x.Prefix != "" || x.Version.Node != 3 || !x.At.Equal(at) ||
				!r.Cleared || r.Held == nil || !r.Clear.IsZero() {
				t.Errorf("node %x: %+v, %+v", r.Node, r, x)
			}
		}
		testkit.Must(t, nodes[0].ClearPrefix("user:"))
		testkit.Advance(time.Minute) // they have swept
		for _, r := range why(t, nodes[1], "user:1", false, 2, 1, 3) {
			if x := r.KeyClear; x == nil || x.Prefix != "user:" || x.Tag != "" || x.Version.Node != 1 || r.Held != nil {
				t.Errorf("node %x: %+v, %+v", r.Node, r, x)
			}
			if len(r.Decisions) != 1 || !strings.Contains(r.Decisions[0].What, "a Clear of a prefix") {
				t.Errorf("node %x: the decisions are %+v", r.Node, r.Decisions)
			}
		}
	})
}

// A provisional value that a ClearTag came after counts as not held.
func TestWhyOfAProvisionalValueThatIsCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		testkit.Advance(5 * time.Second)
		b := nodes[0]
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
			return Loaded{Value: "v", Tags: []string{"team:7"}}, nil
		})
		testkit.Must(t, b.Delete("k"))
		l.Get(t.Context(), "k")
		if r := why(t, b, "k", false, 1, 2, 3)[0]; r.Provisional == nil || r.ProvisionalCleared ||
			!slices.Equal(r.Provisional.Tags, []string{"team:7"}) {
			t.Fatalf("got %+v, %+v", r, r.Provisional)
		}
		testkit.Must(t, b.ClearTag("team:7"))
		if r := why(t, b, "k", false, 1, 2, 3)[0]; r.Provisional == nil || !r.ProvisionalCleared ||
			r.KeyClear == nil || r.KeyClear.Tag != "team:7" {
			t.Errorf("got %+v", r)
		}
	})
}

// A node that is isolated says so of what it holds.
func TestWhyOfAnIsolatedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := hiding(t, 2, 1)
		b := nodes[0]
		testkit.Must(t, b.Set("k", "v", 3600))
		synctest.Wait()
		for _, r := range why(t, b, "k", false, 1, 2) {
			if r.Isolated || r.Held == nil {
				t.Errorf("node %x: %+v", r.Node, r)
			}
		}
		cut(net, 2)
		testkit.Advance(2 * isolatedAfter)
		if r := why(t, b, "k", false, 1)[0]; !r.Isolated || r.Held == nil || r.Cleared {
			t.Errorf("isolated: %+v", r)
		}
	})
}

// What has no version is counted, with what LocalValues keeps.
func TestStatsOfProvisionalValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		testkit.Advance(5 * time.Second)
		b := nodes[0]
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, nil },
			func(c *LoaderConfig) { c.LocalValues = true })
		testkit.Must(t, b.Set("set", "v", 60))
		for _, key := range []string{"a", "b"} {
			l.Get(t.Context(), key)
		}
		synctest.Wait()
		if s := b.Stats(); s.Provisional != 2 || s.Keys != 3 {
			t.Errorf("%d of %d", s.Provisional, s.Keys)
		}
		if s := nodes[1].Stats(); s.Provisional != 0 || s.Keys != 1 {
			t.Errorf("at another node %d of %d", s.Provisional, s.Keys)
		}
		testkit.Must(t, nodes[1].Delete("a"))
		synctest.Wait()
		if s := b.Stats(); s.Provisional != 1 {
			t.Errorf("after a Delete %d", s.Provisional)
		}
	})
}

// What another node says of tags and Clears makes no report that can't be shown.
func TestWhyOfNonsenseAboutGroups(t *testing.T) {
	const most = 1<<64 - 1
	for _, n := range []uint64{most, 1 << 63, 1<<63 - 1} {
		v := delta.Version{Stamp: n, Origin: n}
		r := lives(nil).report(1, &wire.Report{
			Flags: n, TagFloor: n, KeyClear: &wire.KeyClear{Version: v, Wall: int64(n)},
		})
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%x: %+v, %v", n, r, err)
		}
	}
}

// Stats tell Clears of everything, of prefixes and of tags apart, and what these removed.
func TestStatsOfGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		testkit.Advance(5 * time.Second)
		b := nodes[0]
		testkit.Must(t, b.Put("user:1", "v", time.Hour, "team:7"))
		testkit.Must(t, b.Put("page:1", "v", time.Hour, "team:7"))
		testkit.Must(t, b.Put("page:2", "v", time.Hour))
		synctest.Wait()
		testkit.Must(t, b.ClearPrefix("user:"))
		testkit.Must(t, b.ClearTag("team:7"))
		testkit.Must(t, b.ClearTag("team:8"))
		testkit.Must(t, b.ClearPrefix("none:"))
		testkit.Advance(time.Minute)
		for i, b := range nodes {
			s := b.Stats()
			if s.Cleared != 2 || s.ClearsRemembered != 4 || s.Keys != 1 || s.DroppedClears != 0 {
				t.Errorf("node %d: %d cleared, %d remembered, %d dropped, %d keys", i, s.Cleared, s.ClearsRemembered,
					s.DroppedClears, s.Keys)
			}
		}
		testkit.Must(t, b.ClearPrefix("")) // that is everything
		testkit.Must(t, b.Clear())
		if s := b.Stats(); s.Clears != 2 || s.ClearPrefixes != 2 || s.ClearTags != 2 {
			t.Errorf("%d of everything, %d of prefixes, %d of tags", s.Clears, s.ClearPrefixes, s.ClearTags)
		}
		if s := nodes[1].Stats(); s.Clears+s.ClearPrefixes+s.ClearTags != 0 {
			t.Errorf("another node counts them too: %+v", s)
		}
	})
}
