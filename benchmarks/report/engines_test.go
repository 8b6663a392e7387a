package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/benchmarks/engines"
)

func TestMain(m *testing.M) {
	engines.Child() // the measurements of the engines are this program, started again
	os.Exit(m.Run())
}

// Everything is measured with each engine, and goes into the document, of which nothing else changes.
func TestEngines(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a quarter of a minute for each engine")
	}
	out := t.TempDir()
	file := filepath.Join(out, "engines.md")
	const head, foot = "# Engines\n\n<!-- engines:begin -->\n", "<!-- engines:end -->\n\nMore.\n"
	if err := os.WriteFile(file, []byte(head+"yesterday\n"+foot), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout strings.Builder
	args := []string{"-engines", "-quick", "-out", out}
	if err := run(t.Context(), args, &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	kept := strings.HasPrefix(text, head) && strings.HasSuffix(text, foot)
	if !kept || strings.Contains(text, "yesterday") {
		t.Errorf("the document is\n%s", text)
	}
	for _, e := range engines.All {
		if !strings.Contains(text, " "+e.Name()+" |") {
			t.Errorf("%s is missing", e.Name())
		}
	}
	for _, bad := range []string{"NaN", "%!", "Inf", "couldn't"} {
		if strings.Contains(text, bad) {
			t.Errorf("there is a %q:\n%s", bad, text)
		}
	}
	// What a small cluster can show is there for each engine.
	for line := range strings.Lines(text) {
		quick := strings.HasPrefix(line, "| 3 nodes") || strings.HasPrefix(line, "| a ") ||
			strings.HasPrefix(line, "| replication")
		if quick && strings.Contains(line, missing) && !strings.Contains(line, "server") {
			t.Errorf("there is no figure in %s", line)
		}
	}
}

// A short soak of each kind, over the engine that is soonest there: nothing is cut, and it says so.
func TestSoaks(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a quarter of a minute for each engine")
	}
	for _, args := range [][]string{{}, {"-churn"}} {
		var stdout strings.Builder
		args = append([]string{"-engines", "-engine", "memberlist", "-soak", "1s", "-nodes", "4"}, args...)
		if err := run(t.Context(), args, &stdout, io.Discard); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		if !strings.Contains(stdout.String(), "memberlist, 4 nodes, 1s: ") {
			t.Errorf("what is said is %q", stdout.String())
		}
	}
}

// A measurement that fails costs its figures, and says why.
func TestEngineThatFails(t *testing.T) {
	r := &engines.Results{Plan: engines.Quick, Engines: []*engines.Measured{
		{Name: "mesh", Failed: []string{"burst: no\nnetwork"}},
		{Name: "nats", Killed: noticedIn(8), Frozen: noticedIn(6)},
		{Name: "other", Killed: noticedIn(5)},
	}}
	text := engineTables(r, machine{})
	for _, want := range []string{
		"mesh couldn't be measured with burst: no network",
		"| kill -9 noticed | 100 ms; NATS: 7 s | – | **8,000 ms** | **5,000 ms** |",
		"| a frozen node noticed, while others write | 7 s | – | 6.00 s | – |",
		"| Sets/s on all of 3 nodes | 500,000 | – | – | – |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
}

func noticedIn(seconds time.Duration) *engines.Loss {
	return &engines.Loss{Nodes: 9, Noticed: seconds * time.Second}
}

func TestBetween(t *testing.T) {
	for _, bad := range []string{
		"", "<!-- x:begin -->\n", "<!-- x:end -->", "<!-- x:end --> <!-- x:begin -->\n",
	} {
		if _, err := between(bad, "x", "new"); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	got, err := between("a\n<!-- x:begin -->\nb\n<!-- x:end -->\nc", "x", "new\n")
	if want := "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nc"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestEngineArguments(t *testing.T) {
	for args, want := range map[string]string{
		"-engines -short":                  "-quick",
		"-quick":                           "for -engines",
		"-engines -engine nonsense":        "nonsense",
		"-engines -nodes 5":                "-soak",
		"-engines -churn":                  "-soak",
		"-engines -soak -1s":               "positive",
		"-engines -soak 1s -nodes 2":       "4 or more",
		"-engines -soak 1s -quick":         "-quick",
		"-engines -out /nonexistent/place": "engines.md",
	} {
		err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to mention %q", args, err, want)
		}
	}
}
