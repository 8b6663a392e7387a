package main

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/measure"
)

// tiny is everything, but as little of it as there can be.
var tiny = measure.Plan{
	Name: "tiny", Rounds: 2, Slot: time.Millisecond,
	Keys: 1 << 10, Goroutines: []int{1, 2},
	Entries: 5000, Cycles: 1, LoadAtMost: time.Second,
	Expire: []string{"go-cache"}, ExpireAfter: 100 * time.Millisecond,
	Universe: 1 << 12, Capacities: []int{512, 1024}, Trace: 1 << 13,
	Nodes: []int{2, 3}, Sets: 2000, Visible: 5, Paced: 10 * time.Millisecond,
	Joins: []int{1000, 2000}, JoinRounds: []int{1, 1},
	IdleKeys: []int{0, 100}, IdleSettle: time.Millisecond, Idle: 10 * time.Millisecond,
}

func TestEndToEnd(t *testing.T) {
	out := t.TempDir()
	var stdout strings.Builder
	if err := report(t.Context(), tiny, out, false, &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, k := range caches.Local() {
		if !strings.Contains(text, "| "+k.Name+" |") {
			t.Errorf("%s is missing", k.Name)
		}
	}
	for _, target := range allTargets(tiny) {
		if !strings.Contains(text, "| "+target.measure+" |") || !strings.Contains(stdout.String(), target.measure) {
			t.Errorf("the result of %q is missing", target.measure)
		}
	}
	if strings.Contains(strings.ToLower(text), "target") {
		t.Error("the document speaks of targets: it has results only")
	}
	plots, err := filepath.Glob(filepath.Join(out, plotDir, "*.svg"))
	if err != nil || len(plots) != 10 {
		t.Errorf("%d plots, %v", len(plots), err)
	}
	for _, p := range plots {
		if !strings.Contains(text, "("+plotDir+"/"+filepath.Base(p)+")") {
			t.Errorf("%s isn't shown", filepath.Base(p))
		}
	}
	for _, bad := range []string{"NaN", "%!", "Inf"} {
		if strings.Contains(text, bad) {
			t.Errorf("there is a %q", bad)
		}
	}
}

func TestWhatIsBad(t *testing.T) {
	ratio := ratioTarget("ratio", .5, nil)
	figure := target{limit: 100}
	least := target{limit: 100, atLeast: true}
	for _, tt := range []struct {
		name     string
		target   target
		value    float64
		met, bad bool
	}{
		{"a ratio that is met", ratio, .5, true, false},
		{"one that isn't", ratio, .9, false, false},
		{"just three times", ratio, 1.5, false, false},
		{"worse than that", ratio, 1.51, false, true},
		{"one that wasn't measured", ratio, math.NaN(), false, true},
		{"a figure of the machine", figure, 1000, false, false},
		{"one that is met", figure, 99, true, false},
		{"a lower bound that is met", least, 101, true, false},
		{"one that isn't met", least, 10, false, false},
	} {
		if met, bad := tt.target.met(tt.value), tt.target.bad(tt.value); met != tt.met || bad != tt.bad {
			t.Errorf("%s: met %t, bad %t", tt.name, met, bad)
		}
	}
}

// The check names the ratio that is bad, and only that.
func TestCheckNames(t *testing.T) {
	r := good()
	if err := checkTargets(r); err != nil {
		t.Fatalf("a good run: %v", err)
	}
	r.Speeds[measure.GetHot] = speedOf(130)
	err := checkTargets(r)
	if err == nil || !strings.Contains(err.Error(), measure.GetHot) || strings.Contains(err.Error(), measure.GetOne) {
		t.Errorf("a bad run: %v", err)
	}
	if err := checkTargets(r, good()); err != nil {
		t.Errorf("a bad run and a good one: %v", err)
	}
	if err := checkTargets(r, r); err == nil {
		t.Error("two bad runs pass")
	}
}

// good has a figure for every ratio: bcache takes 10 and all else 100.
func good() *measure.Results {
	r := &measure.Results{
		Kinds: caches.Local(), Speeds: make(map[string]*measure.Speed), Filler: &measure.Speed{},
	}
	for _, name := range speedOrder {
		r.Speeds[name] = speedOf(10)
	}
	r.Filler.Ns.Add(measure.Get, 10)
	r.Filler.Ns.Add(measure.GetWithFiller, 10)
	r.Filler.Ns.Add(measure.TypedShared, 10)
	for _, cache := range []string{caches.Bcache, "sturdyc", caches.Otter} {
		r.Filler.Ns.Add(measure.LoaderOf(cache), 10)
	}
	r.Peers.Add(measure.Paced, 10)
	r.Peers.Add(measure.OtterSet, 100)
	r.Latency.Add(measure.Visible, 10)
	r.Latency.Add(measure.RawTCP, 100)
	r.GCShare.Add(caches.Bcache, 10)
	r.GCShare.Add(caches.Otter, 100)
	r.Overhead.Add(caches.Bcache, 10)
	r.Overhead.Add(caches.Otter, 100)
	return r
}

// The fastest is one of the others, and has a TTL.
func TestFastestOther(t *testing.T) {
	r := good()
	s := &r.Speeds[measure.GetHit].Ns
	fastest := fastestTarget(measure.GetHit, .95)
	for _, tt := range []struct {
		cache string
		ns    float64
		want  float64
	}{
		{"theine", 50, .2}, // otter takes 100
		{caches.GolangLRU, 1, .2},
		{"sturdyc", 20, .5},
		{"go-cache", 40, .5},
	} {
		s.Add(tt.cache, tt.ns)
		if v := fastest.value(r); v != tt.want {
			t.Errorf("with %s it is %v", tt.cache, v)
		}
	}
	if v := fastest.value(&measure.Results{Kinds: r.Kinds, Speeds: map[string]*measure.Speed{
		measure.GetHit: {},
	}}); !math.IsNaN(v) {
		t.Errorf("without figures it is %v", v)
	}
}

func speedOf(bcache float64) *measure.Speed {
	s := &measure.Speed{}
	s.Ns.Add(caches.Bcache, bcache)
	s.Ns.Add(caches.BcacheNoTTL, bcache)
	s.Ns.Add(caches.Otter, 100)
	s.Ns.Add(caches.OtterNoTTL, 100)
	return s
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00", 1.234: "1.23", 12.34: "12.3", 1234.5: "1,235", -3: "-3.00", math.Inf(1): "never",
	} {
		if got := number(v); got != want {
			t.Errorf("%v is shown as %q", v, got)
		}
	}
	if number(math.NaN()) != missing || times(math.NaN()) != missing || percent(math.NaN()) != missing {
		t.Error("what wasn't measured has a number")
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"full"}, {"-shorter"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q are accepted", args)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range [][2]float64{{0, 560}, {0, 3}, {59, 89}, {0, 870_000}, {0, 100}} {
		if n := len(evenTicks{}.Ticks(tt[0], tt[1])); n < 4 || n > 11 {
			t.Errorf("%d ticks from %v to %v", n, tt[0], tt[1])
		}
	}
}

func TestLongBarsAreCutOff(t *testing.T) {
	list := []bar{{"a", 90}, {"b", 100}, {"c", 110}, {"d", 300}, {"e", 20_000}}
	if c := cutoff(list); c != 300 {
		t.Errorf("cut off at %v", c)
	}
}
