package dots

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// genDots draws a Set with seqs up to 60.
var genDots = rapid.Custom(func(t *rapid.T) *Set {
	s := &Set{}
	for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 60)).Draw(t, "seqs") {
		s.Add(seq)
	}
	return s
})

func TestVectorDropsTheOldest(t *testing.T) {
	const most = 100
	c := NewVector(7, most)
	c.live[1001] = true // connected, but quiet
	for i := range uint64(most - 1) {
		if c.Add(1000+i, 1, 1000+i, 0) != 0 {
			t.Fatal("dropped below the bound")
		}
	}
	c.Add(1000, 2, 5000, 0) // has written again
	d := NewVector(8, 2*most)
	for _, o := range []uint64{1002, 1003} {
		d.Add(o, 1, o, 0)
	}
	if c.Add(1, 1, 6000, 0) != 1 || len(c.Origins) != most {
		t.Errorf("%d origins", len(c.Origins))
	}
	if c.Origins[1002] != nil || c.Origins[1001] == nil || c.Origins[1000] == nil || c.Origins[7] == nil {
		t.Error("the wrong one was dropped")
	}
	if c.Admits(1002, 2, 1002) || !c.Admits(1002, 2, 7000) || !c.Admits(1001, 2, 1) {
		t.Error("dots behind the horizon are admitted, or others aren't")
	}
	if !d.matches(c.Horizon) || d.Origins[1002] != nil || d.Origins[1003] == nil || d.Horizon != c.Horizon {
		t.Error("another node doesn't follow")
	}
	e := NewVector(9, most)
	e.Add(1002, 2, 1002, 0) // has more of it
	if before := e.Horizon; e.matches(c.Horizon) || e.Origins[1002] == nil || e.Horizon != before {
		t.Error("a node that knows something else follows")
	}
}

// Who was a neighbour may be behind the horizon when it leaves. The next time something is
// dropped it goes too, and the fingerprint says so, as it does on a node that dropped it before.
func TestVectorDropsFormerNeighbours(t *testing.T) {
	c := NewVector(7, 4)
	c.live[1], c.live[2] = true, true
	for o, newest := range map[uint64]uint64{1: 10, 2: 20} {
		c.Add(o, 1, newest, 0)
	}
	for o := uint64(3); o <= 5; o++ { // 3 and 4 go, and the horizon is beyond 1 and 2
		c.Add(o, 1, 100+o, 0)
	}
	if c.Horizon.Stamp != 104 || c.Origins[1] == nil || c.Origins[2] == nil {
		t.Fatalf("horizon %v", c.Horizon)
	}
	delete(c.live, 1)
	delete(c.live, 2)
	c.Add(6, 1, 106, 0)
	var want uint64
	for o := uint64(1); o <= 4; o++ {
		want ^= (&Set{Covered: 1}).Print(o)
	}
	if c.Horizon != (Horizon{104, want}) || c.Origins[1] != nil || c.Origins[2] != nil || c.Origins[5] == nil || c.Origins[6] == nil {
		t.Errorf("horizon %v, want the fingerprint of all that went: %x", c.Horizon, want)
	}
}

// A list stays what it is when the context changes.
func TestVectorListIsOfItsMoment(t *testing.T) {
	c := NewVector(7, 100)
	for _, seq := range []uint64{1, 3, 5, 9, 12} {
		c.Add(1, seq, 1, 0)
	}
	want := []Interval{{2, 3}, {4, 5}, {8, 9}, {11, 12}}
	entries, _ := c.List(LongAgo)
	for _, seq := range []uint64{4, 10, 2, 11, 20} {
		c.Add(1, seq, 1, 0)
	}
	if e := entries[0]; e.Covered != 1 || !slices.Equal(e.Ahead, want) {
		t.Errorf("%+v", e)
	}
	if s := c.Get(1); s.Covered != 5 || !slices.Equal(s.Ahead, []Interval{{8, 12}, {19, 20}}) {
		t.Errorf("%+v", s)
	}
}

// A vector of many gaps is adopted in steps, each of which does about as much as its caller asks for.
func TestAdoptionGoesInSteps(t *testing.T) {
	const origins, most = 100, 50
	v := NewVector(1, 1000)
	var entries []Entry
	for o := range uint64(origins) {
		entries = append(entries, Entry{o + 2, Set{Covered: 1, Newest: 1}})
	}
	a := v.Adopt(entries, Horizon{}, 1, nil)
	steps := 1
	for known := 0; a.Step(most); steps++ {
		if n := len(v.Origins) - known; n > most {
			t.Fatalf("a step merges %d origins", n)
		}
		known = len(v.Origins)
	}
	if steps < origins*8/most/2 || len(v.Origins) < origins {
		t.Errorf("%d steps, %d origins", steps, len(v.Origins))
	}
}

// A vector lacks what another one has that it hasn't, gaps included; but not what is behind its horizon.
func TestVectorLacksOf(t *testing.T) {
	v := NewVector(7, 100)
	v.Keep(3)
	v.Horizon.Stamp = 10
	for _, seq := range []uint64{1, 2, 5} {
		v.Add(1, seq, seq, 0)
	}
	for what, c := range map[string]struct {
		has  Entry
		want bool
	}{
		"less":                    {Entry{1, Set{Covered: 1}}, false},
		"the same":                {Entry{1, Set{Covered: 2, Ahead: []Interval{{4, 5}}}}, false},
		"what is a gap here":      {Entry{1, Set{Covered: 3}}, true},
		"more, beyond a gap":      {Entry{1, Set{Covered: 2, Ahead: []Interval{{5, 6}}}}, true},
		"nothing":                 {Entry{2, Set{Newest: 11}}, false},
		"another origin":          {Entry{2, Set{Covered: 1, Newest: 11}}, true},
		"one that is dropped":     {Entry{2, Set{Covered: 1, Newest: 10}}, false},
		"it can't be had":         {Entry{3, Set{Covered: 1, Newest: 10}}, false},
		"of this node's own life": {Entry{7, Set{Covered: 9, Newest: 11}}, false},
	} {
		if got := v.LacksOf(&c.has); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
