package bcacheprom

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
	"go.yaml.in/yaml/v2"
)

var needsPromtool = flag.Bool("promtool", false, "fail without promtool, instead of skipping its tests")

// promtool runs that program of Prometheus.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		if *needsPromtool {
			t.Fatal(err)
		}
		t.Skip("no promtool, which is in Debian's package prometheus; with -promtool that is a failure")
	}
	if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// A dashboard is what a test wants to know of it.
type dashboard struct {
	Panels []struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ H, W, X, Y int }
		Targets []struct {
			Expr       string
			Datasource struct{ UID string }
		}
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	b, err := os.ReadFile("dashboard.json")
	testkit.Ok(t, err)
	testkit.Ok(t, json.Unmarshal(b, &d))
	return d
}

// A rule is one of alerts.yaml.
type rule struct {
	Alert       string
	Expr        string
	Annotations map[string]string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	b, err := os.ReadFile("alerts.yaml")
	testkit.Ok(t, err)
	testkit.Ok(t, yaml.Unmarshal(b, &file))
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) == 0 {
		t.Fatalf("got %+v", file)
	}
	return file.Groups[0].Rules
}

// seriesNames are the names that queries may use, and the labels of each.
func seriesNames() map[string][]string {
	names := map[string][]string{}
	for _, f := range families {
		labels := append([]string{"cache", "job", "instance"}, f.labels...)
		switch f.kind {
		case histogram:
			names[f.name+"_bucket"] = append(labels, "le")
			names[f.name+"_sum"], names[f.name+"_count"] = labels, labels
		case summary:
			names[f.name] = append(labels, "quantile")
			names[f.name+"_sum"], names[f.name+"_count"] = labels, labels
		default:
			names[f.name] = labels
		}
	}
	return names
}

var (
	metricName = regexp.MustCompile(`\bbcache_\w+`)
	selector   = regexp.MustCompile(`\b(bcache_\w+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
)

// checkQuery says which metrics and labels of a query don't exist.
func checkQuery(query string) (used []string, wrong error) {
	names := seriesNames()
	for _, name := range metricName.FindAllString(query, -1) {
		if names[name] == nil {
			return nil, fmt.Errorf("there is no %s", name)
		}
		used = append(used, name)
	}
	for _, s := range selector.FindAllStringSubmatch(query, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(names[s[1]], m[1]) {
				return nil, fmt.Errorf("%s has no label %s", s[1], m[1])
			}
		}
	}
	if len(used) == 0 {
		return nil, fmt.Errorf("it asks for nothing")
	}
	return used, nil
}

func TestRulesCheckQuery(t *testing.T) {
	for query, good := range map[string]bool{
		`bcache_entries{cache="c"}`:                     true,
		`rate(bcache_propagation_seconds_bucket[5m])`:   true,
		`bcache_peer_propagation_seconds{quantile="1"}`: true,
		`bcache_propagation_seconds`:                    false, // a histogram
		`bcache_none`:                                   false,
		`bcache_entries{result="hit"}`:                  false,
		`up`:                                            false,
	} {
		if _, err := checkQuery(query); (err == nil) != good {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// Every metric of a panel is one that there is, and every metric has a panel.
func TestRulesOfDashboard(t *testing.T) {
	d := readDashboard(t)
	shown := map[string]bool{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if (p.Type == "row") != (len(p.Targets) == 0) || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d is %+v", p.ID, p)
		}
		for _, target := range p.Targets {
			used, err := checkQuery(target.Expr)
			if err != nil {
				t.Errorf("panel %q: %s: %v", p.Title, target.Expr, err)
			}
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q has the data source %q", p.Title, target.Datasource.UID)
			}
			for _, s := range strings.SplitAfter(target.Expr, "bcache_")[1:] {
				_, rest, _ := strings.Cut(s, "{")
				if !strings.HasPrefix(rest, `cache=~"$cache",instance=~"$instance"`) {
					t.Errorf("panel %q doesn't go by the variables: %s", p.Title, target.Expr)
				}
			}
			for _, name := range used {
				shown[strings.TrimSuffix(name, "_bucket")] = true
			}
		}
	}
	for _, f := range families {
		if !shown[f.name] {
			t.Errorf("no panel shows %s", f.name)
		}
	}
	for i, name := range []string{"datasource", "cache", "instance"} {
		v := d.Templating.List[i]
		if v.Name != name {
			t.Errorf("variable %d is %s", i, v.Name)
		}
		if v.Type == "query" {
			if _, err := checkQuery(v.Definition); err != nil {
				t.Errorf("variable %s: %v", name, err)
			}
		}
	}
}

// Prometheus can read what the panels ask for.
func TestRulesOfDashboardParse(t *testing.T) {
	type record struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var records []record
	variables := strings.NewReplacer("$__rate_interval", "1m", "$cache", "c", "$instance", "i")
	for _, p := range readDashboard(t).Panels {
		for i, target := range p.Targets {
			expr := variables.Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("an unknown variable: %s", target.Expr)
			}
			records = append(records, record{fmt.Sprintf("panel:%d:%d", p.ID, i), expr})
		}
	}
	group := map[string]any{"name": "panels", "rules": records}
	b, err := yaml.Marshal(map[string]any{"groups": []any{group}})
	testkit.Ok(t, err)
	file := filepath.Join(t.TempDir(), "panels.yaml")
	testkit.Ok(t, os.WriteFile(file, b, 0o600))
	promtool(t, "check", "rules", file)
}

// Every metric of an alert is one that there is, and every alert says what to do, and where to read on.
func TestRulesOfAlerts(t *testing.T) {
	const page = "https://github.com/iwanbk/bcache/blob/HEAD/docs/operations.md#"
	operations, err := os.ReadFile("../../docs/operations.md")
	testkit.Ok(t, err)
	tested, err := os.ReadFile("alerts_test.yaml")
	testkit.Ok(t, err)
	headings := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(string(operations), -1) {
		headings[strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")] = true
	}
	for _, r := range readRules(t) {
		if _, err := checkQuery(r.Expr); err != nil {
			t.Errorf("%s: %v", r.Alert, err)
		}
		for _, name := range []string{"summary", "description", "action"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		if anchor, ok := strings.CutPrefix(r.Annotations["runbook_url"], page); !ok || !headings[anchor] {
			t.Errorf("%s leads to %s", r.Alert, r.Annotations["runbook_url"])
		}
		if !strings.Contains(string(operations), "`"+r.Alert+"`") {
			t.Errorf("docs/operations.md doesn't name %s", r.Alert)
		}
		fires := regexp.MustCompile("alertname: " + r.Alert + "\n +exp_alerts:\n").Match(tested)
		if !fires || !strings.Contains(string(tested), "alertname: "+r.Alert+"\n        exp_alerts: []") {
			t.Errorf("alerts_test.yaml doesn't have %s both fire and not", r.Alert)
		}
	}
	named := regexp.MustCompile("`(Bcache[A-Z]\\w+)`")
	for _, name := range named.FindAllStringSubmatch(string(operations), -1) {
		if !slices.ContainsFunc(readRules(t), func(r rule) bool { return r.Alert == name[1] }) {
			t.Errorf("docs/operations.md names %s, which isn't an alert", name[1])
		}
	}
}

func TestRulesWithPromtool(t *testing.T) {
	promtool(t, "check", "rules", "alerts.yaml")
	promtool(t, "test", "rules", "alerts_test.yaml")
}
