package main

import (
	"strings"
	"testing"
	"time"
)

func TestHot(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var stdout, stderr syncBuffer
	if code := run(t.Context(), strings.Fields("-hot -duration 2s"), &stdout, &stderr); code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	lines := strings.Split(stdout.String(), "\n")
	for _, mode := range hotModes {
		found := false
		for _, line := range lines {
			found = found || strings.HasPrefix(line, "  "+mode.name+" ")
		}
		if !found {
			t.Errorf("no line for %s in\n%s", mode.name, stdout.String())
		}
	}
	row := func(name string) []string {
		for _, line := range lines {
			if rest, ok := strings.CutPrefix(line, "  "+name+"  "); ok {
				return strings.Fields(rest)
			}
		}
		return make([]string, 9)
	}
	if r := row("ClusterWide, StaleFor"); r[5] != "0.0" {
		t.Errorf("with StaleFor, GETs fail: %q", r)
	}
	if r := row("no cache"); r[5] != "100.0" {
		t.Errorf("without a cache and a database, not all GETs fail: %q", r)
	}
}

func TestHotTable(t *testing.T) {
	var p hotPhase
	p.took.add(20 * time.Millisecond)
	p.queries, p.failed = 1234, 1
	var out strings.Builder
	writeHot(&out, 3*time.Second, []hotRow{{"mode", p, p}})
	if !strings.Contains(out.String(), "1,234") || !strings.Contains(out.String(), "100.0 %") || !strings.Contains(out.String(), "database works, 3s") {
		t.Error(out.String())
	}
}
