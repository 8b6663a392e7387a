package main

import (
	"encoding/json"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

// What commands print of the answers in testdata.
func TestTables(t *testing.T) {
	ctl := example(t)
	for name, args := range map[string][]string{
		"node": nil, "members": nil, "stats": nil, "loaders": nil, "hot": nil, "refused": nil, "slow": nil,
		"warnings": nil, "why": {"user:1"}, "watch": {"-n", "1"}, "delete": {"user:1"}, "clear": {"--yes"},
	} {
		r := ctl.run(t, append([]string{name}, args...)...)
		code := map[string]int{"warnings": exitNotReady, "why": exitDisagree}[name]
		if r.code != code || r.stderr != "" {
			t.Errorf("%s ends with %d instead of %d: %s", name, r.code, code, r.stderr)
		}
		golden(t, name+".golden", r.stdout)
		for line := range strings.Lines(r.stdout) {
			if line != strings.TrimRight(line, " \n")+"\n" {
				t.Errorf("%s has blanks at the end of %q", name, line)
			}
		}
	}
	golden(t, "stats-all.golden", ctl.must(t, exitOK, "stats", "--all").stdout)
}

// With -o json it is what the node said; the exit code is the same.
func TestJSON(t *testing.T) {
	ctl := example(t)
	for _, name := range []string{
		"node", "members", "stats", "loaders", "hot", "refused", "slow", "warnings", "why", "watch", "delete",
		"clear",
	} {
		args := []string{name, "-o", "json"}
		file := name
		switch name {
		case "why", "delete":
			args = append(args, "user:1")
		case "clear":
			args = append(args, "--yes")
		case "watch":
			args, file = append(args, "-n", "1"), "overview"
		}
		r := ctl.run(t, args...)
		if code := map[string]int{"warnings": exitNotReady, "why": exitDisagree}[name]; r.code != code {
			t.Errorf("%s ends with %d", name, r.code)
		}
		var got, want any
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
			t.Fatalf("%s prints %q: %v", name, r.stdout, err)
		}
		if err := json.Unmarshal([]byte(testdata(t, file+".json")), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s prints something else than what came: %s", name, r.stdout)
		}
		if n := strings.Count(r.stdout, "\n"); name == "watch" && n != 1 {
			t.Errorf("a block of watch has %d lines in JSON", n)
		}
	}
}

// Styles are there on a terminal that wants them, and nowhere else.
func TestColour(t *testing.T) {
	ctl := example(t)
	ctl.shows = true
	const escape = "\x1b"
	if r := ctl.run(t, "warnings"); !strings.Contains(r.stdout, "\x1b[31m! relayed: ") {
		t.Errorf("a grave warning isn't red: %q", r.stdout)
	}
	for _, env := range []map[string]string{{"NO_COLOR": "1"}, {"TERM": "dumb"}} {
		ctl.env = env
		if r := ctl.run(t, "warnings"); strings.Contains(r.stdout, escape) {
			t.Errorf("with %v it has colours: %q", env, r.stdout)
		}
	}
	ctl.env = nil
	if r := ctl.run(t, "members", "-o", "json"); strings.Contains(r.stdout, escape) {
		t.Errorf("JSON has colours: %q", r.stdout)
	}
}

// Whatever a server sends, and whatever a key is, to the terminal goes text alone.
func TestHostile(t *testing.T) {
	evil := "\x1b]0;title\x07\x1b[2J\u202e\u0085\u200b\U000e0001\x7f\r"
	coded, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	raw := strings.ReplaceAll(string(coded), `\u001b`, `\u001b\u001b`)
	for _, status := range []int{http.StatusOK, http.StatusForbidden, http.StatusInternalServerError} {
		ctl := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", jsonType)
			if strings.HasSuffix(r.URL.Path, "z") {
				w.Header().Set("Content-Type", "text/plain")
			}
			w.WriteHeader(status)
			for _, name := range []string{
				"node", "members", "stats", "loaders", "hot", "refused", "slow", "warnings", "why", "overview",
				"delete", "clear",
			} {
				if strings.HasSuffix(r.URL.Path, "/api/"+name) {
					_, _ = w.Write([]byte(infect(t, testdata(t, name+".json"), evil, raw)))
					return
				}
			}
			_, _ = w.Write([]byte(evil))
		})
		for _, output := range []string{"table", "json"} {
			for _, args := range [][]string{
				{"node"}, {"members"}, {"stats", "--all"}, {"loaders"}, {"hot"}, {"refused"}, {"slow"}, {"warnings"},
				{"why", evil}, {"watch", "-n", "1"}, {"delete", evil}, {"clear", "--yes"},
				{"clear", "--yes", "--prefix", evil}, {"clear", "--tag", evil}, {"health"}, {"ready"},
				{"why", "--key-base64", evil}, {evil}, {"members", "--" + evil}, {"members", "--addr", evil},
				{"members", "--addr", "http://" + evil}, {"members", "--cacert", evil}, {"-o", evil},
			} {
				r := ctl.run(t, append([]string{"-o", output}, args...)...)
				for _, c := range r.stdout + r.stderr {
					if c != '\n' && !unicode.IsPrint(c) {
						t.Errorf("%q has the terminal get %q: %q%q", args, c, r.stdout, r.stderr)
						break
					}
				}
				if r.stdout+r.stderr == "" {
					t.Errorf("%q says nothing", args)
				}
			}
		}
	}
}

// infect puts something into each string of a document, also into names of fields that hold figures; and
// has an error, for answers that are none.
func infect(t *testing.T, document, evil, raw string) string {
	var v map[string]any
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		t.Error(err)
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case string:
			return v + evil
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			for name, of := range v {
				v[name] = walk(of)
			}
			if of, ok := v["gauges"].(map[string]any); ok {
				of[evil] = 1
			}
		}
		return v
	}
	walk(v)
	v["error"] = evil
	b, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	coded, err := json.Marshal(evil)
	if err != nil {
		t.Error(err)
	}
	// What JSON doesn't have to escape comes as it is.
	infected := strings.ReplaceAll(string(b), string(coded[1:len(coded)-1]), raw[1:len(raw)-1])
	return strings.ReplaceAll(infected, `\u007f`, "\x7f")
}

// A document stays what it is for a program, whatever is in it.
func TestDocument(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{"k": rapid.String().Draw(t, "value")}
		b, err := json.MarshalIndent(want, "\t", "\r\n ")
		if err != nil {
			t.Fatal(err)
		}
		oneLine := rapid.Bool().Draw(t, "one line")
		var out strings.Builder
		p := &printer{w: &out}
		p.document(b, oneLine)
		var got map[string]string
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got["k"] != want["k"] {
			t.Fatalf("%q became %q: %v", b, out.String(), err)
		}
		if oneLine && strings.Count(out.String(), "\n") != 1 {
			t.Fatalf("%q isn't a line", out.String())
		}
	})
}

// Keys can be told apart by what is shown of them, and it is all printable.
func TestVisible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := string(rapid.SliceOf(rapid.Byte()).Draw(t, "a"))
		b := string(rapid.SliceOf(rapid.Byte()).Draw(t, "b"))
		if a != "" && b != "" && a != b && visible(a) == visible(b) {
			t.Fatalf("%q and %q are both %q", a, b, visible(a))
		}
		if clean(visible(a)) != visible(a) {
			t.Fatalf("%q isn't clean", visible(a))
		}
	})
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{number(0), "0"}, {number(999), "999"}, {number(1000), "1,000"}, {number(1234567), "1,234,567"},
		{number(0.25), "0.2"}, {number(-1234), "-1,234"}, {number(1e300), "1e+300"}, {number(123.4), "123"},
		{bytesText(0), "0 B"}, {bytesText(1023), "1,023 B"}, {bytesText(1024), "1 KiB"},
		{bytesText(1536), "1.5 KiB"}, {bytesText(1 << 30), "1 GiB"}, {bytesText(1e300), "9.095e+287 TiB"},
		{span(0), "0 s"}, {span(1e-9), "0 µs"}, {span(0.0000015), "1.5 µs"}, {span(0.0125), "13 ms"},
		{span(2.5), "2.5 s"}, {span(59.96), "1 min"}, {span(61), "1 min 1 s"}, {span(3599.6), "1 h"},
		{span(3661), "1 h 1 min"}, {span(90000), "1 d 1 h"}, {span(-2), "-2 s"}, {span(86399), "1 d"},
		{percent(1, 0), "-"}, {percent(1, 3), "33.3 %"}, {percent(99999, 100000), "99.9 %"},
		{percent(1, 1), "100.0 %"},
		{ago("", ""), "-"}, {ago("x", "y"), "x"}, {clock("x"), "x"},
		{ago("2026-05-01T10:04:08Z", "2026-05-01T10:04:03Z"), "in 5 s"},
		{cut("abc", 3), "abc"}, {cut("abcd", 3), "ab…"},
		{limitText(0), "no limit"},
	} {
		if c.got != c.want {
			t.Errorf("%q instead of %q", c.got, c.want)
		}
	}
	for _, f := range []float64{math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64} {
		for _, text := range []string{number(f), bytesText(f), span(f), percent(f, 1)} {
			if len(text) > 400 {
				t.Errorf("%g is %q", f, text)
			}
		}
	}
}

// However much comes, what is printed isn't a multiple of it.
func TestWide(t *testing.T) {
	var body strings.Builder
	body.WriteString(`{"members":[{"id":"` + strings.Repeat("x", 100_000) + `"}`)
	for range 1000 {
		body.WriteString(`,{}`)
	}
	body.WriteString(`]}`)
	r := says(t, http.StatusOK, jsonType, body.String()).must(t, exitOK, "members")
	if len(r.stdout) > 300_000 {
		t.Errorf("%d bytes came, and %d are printed", body.Len(), len(r.stdout))
	}
}
