package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/trace"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// traceOf is a trace of keys with a comma between them.
func traceOf(t *testing.T, keys string) *trace.Trace {
	t.Helper()
	lines := strings.ReplaceAll(keys, ",", "\n")
	tr, err := trace.Read(strings.NewReader(lines), trace.Keys, trace.MaxAccesses)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// A diary is a cache that keeps everything, and notes what is done to it.
type diary struct {
	held  map[string]string
	notes []string
}

func (d *diary) Get(key string) (string, bool) {
	val, ok := d.held[key]
	d.notes = append(d.notes, "get "+key)
	return val, ok
}

func (d *diary) Set(key, val string) {
	d.held[key] = val
	d.notes = append(d.notes, fmt.Sprintf("set %s %d", key, len(key)+len(val)))
}

func (d *diary) Settle()      { d.notes = append(d.notes, "settle") }
func (d *diary) Len() int     { return len(d.held) }
func (d *diary) Close() error { return nil }

func TestPlay(t *testing.T) {
	d := &diary{held: make(map[string]string)}
	kind := caches.Kind{New: func(int) (caches.Cache, error) { return d, nil }}
	ratio, err := scriptOf(traceOf(t, "a,b,a")).play(kind, 1)
	if err != nil {
		t.Fatal(err)
	}
	if ratio != 1./3 {
		t.Errorf("%v hit", ratio)
	}
	set := fmt.Sprint(" ", workload.Payload)
	want := []string{"get a", "set a" + set, "settle", "get b", "set b" + set, "settle", "get a", "settle"}
	if !slices.Equal(d.notes, want) {
		t.Errorf("it was %q", d.notes)
	}
}

// Accesses that warm the cache up don't count. Its queues are worked off after several of them.
func TestPlayWarm(t *testing.T) {
	d := &diary{held: make(map[string]string)}
	kind := caches.Kind{New: func(int) (caches.Cache, error) { return d, nil }}
	s := script{
		key:  func(i int) string { return fmt.Sprint(i % 3) },
		val:  func(int) string { return "" },
		warm: 4, counted: 5, settle: 4,
	}
	ratio, err := s.play(kind, 1)
	if err != nil {
		t.Fatal(err)
	}
	if ratio != 1 {
		t.Errorf("%v hit", ratio)
	}
	want := []string{
		"get 0", "set 0 1", "get 1", "set 1 1", "get 2", "set 2 1", "get 0", "settle",
		"get 1", "get 2", "get 0", "get 1", "settle", "get 2",
	}
	if !slices.Equal(d.notes, want) {
		t.Errorf("it was %q", d.notes)
	}
}

// Round and round over more keys than fit, exact LRU never hits, and over what fits always.
func TestPlayTraces(t *testing.T) {
	var keys []string
	for key := range 1000 {
		keys = append(keys, fmt.Sprint(key%100))
	}
	few := traceOf(t, "a,b,c,a")
	played, err := PlayTraces(t.Context(), []*trace.Trace{traceOf(t, strings.Join(keys, ",")), few},
		func(string, float64) {})
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for _, p := range played[0].Points {
		at = append(at, p.Part, p.Capacity)
		if hit := p.HitRatio.Median(caches.GolangLRU); hit != 0 {
			t.Errorf("%d entries: %v hit", p.Capacity, hit)
		}
		if slices.Contains(p.HitRatio.Subjects, "freecache") {
			t.Errorf("freecache can't be of %d entries", p.Capacity)
		}
	}
	if !slices.Equal(at, []int{1, 1, 5, 5, 10, 10, 25, 25, 50, 50}) {
		t.Errorf("parts and capacities %v", at)
	}
	// All parts of three keys are one entry.
	if n := len(played[1].Points); n != 1 || played[1].Points[0].Capacity != 1 {
		t.Errorf("%d points", n)
	}
	hit, err := scriptOf(played[0].Trace).play(kindOf(t, caches.GolangLRU), 100)
	if hit != .9 || err != nil {
		t.Errorf("where all keys fit, %v hit, %v", hit, err)
	}
}

func kindOf(t *testing.T, name string) caches.Kind {
	t.Helper()
	for _, k := range caches.Bounded() {
		if k.Name == name {
			return k
		}
	}
	t.Fatalf("there is no %s", name)
	return caches.Kind{}
}

func TestPlayTracesInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := PlayTraces(ctx, []*trace.Trace{traceOf(t, "a")}, func(string, float64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
