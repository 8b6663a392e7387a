//go:build linux

package e2e_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

// returned lists the keys that one life of a node showed again after it had missed them.
func returned(runs []nodeprocess.ProbeRun, keys int) (back []int) {
	for key := range keys {
		gone := false
		for _, r := range runs {
			if r.Missed == nil {
				continue
			}
			if gone && !r.Missing(key) {
				back = append(back, key)
				break
			}
			gone = gone || r.Missing(key)
		}
	}
	return back
}

// A probeSummary is about all nodes together.
type probeSummary struct {
	rounds int   // from the first to the last of any node
	unsure int   // rounds in which some node that was up wasn't asked: they are left out
	alone  int   // rounds in which no node was ready
	lost   []int // keys that all ready nodes missed in some round
	missed int   // misses of ready nodes, one by one
}

// summarise takes the runs of each node, those of all its lives.
func summarise(nodes [][]nodeprocess.ProbeRun, keys int) (s probeSummary) {
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, runs := range nodes {
		for _, r := range runs {
			first, last = min(first, r.From), max(last, r.To)
		}
	}
	lost := map[int]bool{}
	at := make([]int, len(nodes))
	for round := first; round <= last; round++ {
		s.rounds++
		var now []nodeprocess.ProbeRun // of the nodes that were up
		for n, runs := range nodes {
			for at[n] < len(runs) && runs[at[n]].To < round {
				at[n]++
			}
			if at[n] < len(runs) && runs[at[n]].From <= round {
				now = append(now, runs[at[n]])
			}
		}
		if slices.ContainsFunc(now, func(r nodeprocess.ProbeRun) bool { return r.Missed == nil }) {
			s.unsure++
			continue
		}
		now = slices.DeleteFunc(now, func(r nodeprocess.ProbeRun) bool { return !r.Ready })
		if len(now) == 0 {
			s.alone++
			continue
		}
		for key := range keys {
			missed := 0
			for _, r := range now {
				if r.Missing(key) {
					missed++
				}
			}
			s.missed += missed
			if missed == len(now) {
				lost[key] = true
			}
		}
	}
	s.lost = slices.Sorted(maps.Keys(lost))
	return s
}

func TestProber(t *testing.T) {
	b, err := bcache.New(bcache.Config{MaxKeys: 100})
	testkit.Ok(t, err)
	defer b.Close()
	testkit.Ok(t, b.Set("k0", "v", 60))
	testkit.Ok(t, b.Set("k1", "v", 60))
	p := nodeprocess.StartProber(b, "k", 2)
	misses := func() uint64 { return b.Stats().Misses }
	hits := func(n uint64) error {
		if h := b.Stats().Hits; h < n {
			return fmt.Errorf("%d hits", h)
		}
		return nil
	}
	testkit.Within(t, 10*time.Second, func() error { return hits(4) })
	testkit.Ok(t, b.Delete("k1"))
	testkit.Within(t, 10*time.Second, func() error {
		if misses() == 0 {
			return fmt.Errorf("no miss")
		}
		return nil
	})
	testkit.Ok(t, b.Set("k1", "v", 60))
	h := b.Stats().Hits
	testkit.Within(t, 10*time.Second, func() error { return hits(h + 4) })
	runs := p.Stop()
	if back := returned(runs, 2); !slices.Equal(back, []int{1}) {
		t.Errorf("%v returned: %+v", back, runs)
	}
}

// What a probe finds is found, and nothing else.
func TestProbeSummary(t *testing.T) {
	// A node's rounds from the first on: "." it missed nothing, "0" key 0, "1" key 1, "2"
	// both; "n" it wasn't ready and missed both; "x" it wasn't asked, "_" it was down.
	runs := func(rounds string) (all []nodeprocess.ProbeRun) {
		var life []nodeprocess.ProbeRun
		for i, c := range rounds {
			switch {
			case c == '_':
				all, life = append(all, life...), nil
			case c != 'x':
				missed := map[rune]byte{'.': 0, '0': 1, '1': 2, '2': 3, 'n': 3}[c]
				life = nodeprocess.AddRun(life, nodeprocess.ProbeRun{
					From: int64(i), To: int64(i), Ready: c != 'n', Missed: []byte{missed},
				})
			}
		}
		return append(all, life...)
	}
	for _, c := range []struct {
		nodes string
		want  probeSummary
	}{
		{".... ....", probeSummary{rounds: 4}},
		{"0... .0..", probeSummary{rounds: 4, missed: 2}},
		{".0.. .1..", probeSummary{rounds: 4, missed: 2}},
		{"..1. ..2.", probeSummary{rounds: 4, missed: 3, lost: []int{1}}},
		{".._. ..1.", probeSummary{rounds: 4, missed: 1, lost: []int{1}}},
		{"..n. ..1.", probeSummary{rounds: 4, missed: 1, lost: []int{1}}},
		{"..x. ..1.", probeSummary{rounds: 4, unsure: 1}},
		{".nn. ....", probeSummary{rounds: 4}},
		{".nn. .n..", probeSummary{rounds: 4, alone: 1}},
		{".nn. .__.", probeSummary{rounds: 4, alone: 2}},
		{".nn. .x_.", probeSummary{rounds: 4, alone: 2}},
		{".nn. .xx.", probeSummary{rounds: 4, unsure: 2}},
		{".__. .__.", probeSummary{rounds: 4, alone: 2}},
	} {
		var nodes [][]nodeprocess.ProbeRun
		for rounds := range strings.FieldsSeq(c.nodes) {
			nodes = append(nodes, runs(rounds))
		}
		if got := summarise(nodes, 2); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s: %+v, want %+v", c.nodes, got, c.want)
		}
	}
	for rounds, want := range map[string]string{"....": "[]", "..00": "[]", "nn..": "[0 1]", ".0.0": "[0]", "2x1.": "[0 1]", "1x22": "[]"} {
		if got := fmt.Sprint(returned(runs(rounds), 2)); got != want {
			t.Errorf("%s: %s, want %s", rounds, got, want)
		}
	}
}
