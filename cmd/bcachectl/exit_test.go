package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// What goes wrong has its exit code, and a line on stderr that says what to do.
func TestExitCodes(t *testing.T) {
	ok := example(t)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	gone := call{addr: closed.URL + "/cache/"}
	status := func(status int) call { return says(t, status, jsonType, `{"error": "because"}`) }
	html := says(t, http.StatusOK, "text/html", "<html>")
	document := func(text string) call { return says(t, http.StatusOK, jsonType, text) }
	busy, closing := status(http.StatusTooManyRequests), status(http.StatusServiceUnavailable)
	away := says(t, http.StatusServiceUnavailable, "text/html", "<html>")
	full := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"error": "because"}`))
	})
	for _, c := range []struct {
		ctl  call
		code int
		text string // part of stderr
		args string
	}{
		{ok, exitUsage, `unknown command "nothing"`, "nothing"},
		{ok, exitUsage, "unknown flag: --nothing", "members --nothing"},
		{ok, exitUsage, "Did you mean this? members: see", "member"},
		{ok, exitUsage, "accepts 1 arg(s), received 0", "why"},
		{ok, exitUsage, "accepts 1 arg(s), received 2", "delete a b"},
		{ok, exitUsage, `unknown command "x"`, "members x"},
		{ok, exitUsage, "--output is table or json", "members -o yaml"},
		{ok, exitUsage, "--timeout must be more than 0", "members --timeout 0s"},
		{ok, exitUsage, "invalid argument", "members --timeout soon"},
		{ok, exitUsage, "such as http://localhost:8080/cache/", "members --addr localhost:8080"},
		{ok, exitUsage, "such as http://localhost:8080/cache/", "members --addr ftp://x/"},
		{ok, exitUsage, "without ? and #", "members --addr http://x/?a=b"},
		{ok, exitUsage, "isn't a URL", "members --addr http://user:secret@x:port/"},
		{ok, exitUsage, "--cacert: ", "members --cacert /nothing/there"},
		{ok, exitUsage, "there is no certificate in rig_test.go", "members --cacert rig_test.go"},
		{ok, exitUsage, "'Name: value'", "members --header Secret"},
		{ok, exitUsage, "'Name: value'", "members --header Sec(ret:x"},
		{ok, exitUsage, "--every must be at least 100ms", "watch --every 1ms"},
		{ok, exitUsage, "--times can't be negative", "watch -n -1"},
		{ok, exitUsage, "byte 2 is wrong", "why --key-base64 ab!"},
		{ok, exitUsage, "--yes says that you mean it", "clear"},
		{ok, exitUsage, "all that has the tag team:7 on all nodes: --yes", "clear --tag team:7"},
		{ok, exitUsage, "either a --prefix or a --tag", "clear --yes --tag t --prefix p"},
		{ok, exitUsage, "either a --prefix or a --tag", "clear --yes --tag= --prefix p"},
		{ok, exitUsage, "can't be empty", "clear --yes --prefix="},
		{ok, exitUsage, "can't be empty", "clear --yes --tag="},
		{status(http.StatusBadRequest), exitUsage, "because (400)", "why k"},
		{status(http.StatusRequestURITooLong), exitUsage, "because (414)", "why k"},
		{status(http.StatusRequestEntityTooLarge), exitUsage, "because (413)", "delete k"},
		{gone, exitUnreachable, "does the service run?", "members"},
		{gone, exitUnreachable, "does the service run?", "watch"},
		{gone, exitUnreachable, "does the service run?", "ready"},
		{status(http.StatusUnauthorized), exitRefused, "BCACHECTL_TOKEN", "members"},
		{status(http.StatusForbidden), exitRefused, "BCACHECTL_TOKEN", "clear --yes"},
		{status(http.StatusForbidden), exitRefused, "BCACHECTL_TOKEN", "health"},
		{status(http.StatusMethodNotAllowed), exitRefused, "doesn't allow it", "delete k"},
		{status(http.StatusNotFound), exitRefused, "doesn't allow that", "delete k"},
		{says(t, http.StatusNotFound, "text/plain", "none"), exitFailure, "404 Not Found", "members"},
		{closing, exitFailure, "because (503): ask another node, or this one when it runs again", "members"},
		{full, exitFailure, "because (503): try again in a second", "members"},
		{away, exitFailure, "503 Service Unavailable: try again in a second", "clear --yes"},
		{busy, exitFailure, "because (429): try again in a second", "why k"},
		{status(http.StatusInternalServerError), exitFailure, "see the log of the service", "members"},
		{html, exitFailure, "isn't that of a cache's page", "members"},
		{html, exitFailure, "isn't that of a cache's page", "ready"},
		{document(`{"members": 1}`), exitFailure, "isn't that of a cache's page", "members"},
		{document(`[]`), exitFailure, "isn't that of a cache's page", "members -o json"},
		{document(`{"a": 1`), exitFailure, "isn't that of a cache's page", "node -o json"},
		{document(strings.Repeat(" ", maxAnswer+1)), exitFailure, "more than 8 MiB", "node"},
	} {
		args := strings.Fields(c.args)
		r := c.ctl.must(t, c.code, args...)
		if !strings.Contains(r.stderr, c.text) || !strings.HasPrefix(r.stderr, "bcachectl: ") {
			t.Errorf("%v: %q lacks %q", args, r.stderr, c.text)
		}
		if r.stdout != "" {
			t.Errorf("%v prints to stdout: %q", args, r.stdout)
		}
		if strings.Contains(strings.ToLower(r.stderr), "secret") || strings.Contains(r.stderr, "Sec(ret") {
			t.Errorf("%v tells a secret: %q", args, r.stderr)
		}
	}

	words := strings.Repeat("no ", 100_000)
	long := says(t, http.StatusInternalServerError, jsonType, `{"error": "`+words+`"}`)
	if r := long.must(t, exitFailure, "members"); len(r.stderr) > 1100 {
		t.Errorf("a message has %d bytes", len(r.stderr))
	}

	unready := says(t, http.StatusServiceUnavailable, "text/plain", "it syncs\n")
	for _, name := range []string{"ready", "health"} {
		if r := unready.must(t, exitNotReady, name); r.stdout != "it syncs\n" || r.stderr != "" {
			t.Errorf("%s prints %q, %q", name, r.stdout, r.stderr)
		}
		const want = `{"ok":false,"text":"it syncs"}` + "\n"
		if r := unready.must(t, exitNotReady, name, "-o", "json"); r.stdout != want {
			t.Errorf("%s prints %q", name, r.stdout)
		}
	}
}

// The codes that README.md and --help have are those that there are.
func TestExitCodesAreDocumented(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(string(readme), -1)
	lines := regexp.MustCompile(`(?m)^  (\d+) `).FindAllStringSubmatch(exitCodes, -1)
	all := []int{
		exitOK, exitFailure, exitUsage, exitUnreachable, exitNotReady, exitRefused, exitDisagree,
		exitInterrupted,
	}
	if len(rows) != len(all) || len(lines) != len(all) {
		t.Fatalf("there are %d codes, %d in README.md and %d in --help", len(all), len(rows), len(lines))
	}
	for i, code := range all {
		if rows[i][1] != strconv.Itoa(code) || lines[i][1] != strconv.Itoa(code) {
			t.Errorf("code %d is %s in README.md and %s in --help", code, rows[i][1], lines[i][1])
		}
	}
}

// A server that hangs is waited for as long as --timeout says, and Ctrl-C ends the wait.
func TestHanging(t *testing.T) {
	asked := make(chan struct{}, 2)
	ctl := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	r := ctl.must(t, exitUnreachable, "members", "--timeout", "20ms")
	if !strings.Contains(r.stderr, "within 20ms") {
		t.Errorf("it says %q", r.stderr)
	}
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	var stdout, stderr bytes.Buffer
	s := surroundings{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: os.Getenv}
	args := []string{"members", "--addr", ctl.addr, "--timeout", "1h"}
	if code := run(ctx, args, s); code != exitInterrupted ||
		stderr.String() != "bcachectl: interrupted\n" {
		t.Errorf("it ends with %d: %s", code, &stderr)
	}
}

// Who is asked at the terminal, and says nothing, can leave by Ctrl-C.
func TestInterruptedWhileAsked(t *testing.T) {
	for _, args := range [][]string{{"clear"}, {"why", "-"}} {
		stdin, typist := net.Pipe() // somebody who never types
		ctx, cancel := context.WithCancel(t.Context())
		var stderr bytes.Buffer
		s := surroundings{
			stdin: readerFunc(func(b []byte) (int, error) {
				cancel()
				return stdin.Read(b)
			}),
			stdout: &stderr, stderr: &stderr, getenv: func(string) string { return "" }, asks: true,
		}
		if code := run(ctx, args, s); code != exitInterrupted {
			t.Errorf("%v ends with %d: %s", args, code, &stderr)
		}
		if err := errors.Join(typist.Close(), stdin.Close()); err != nil {
			t.Error(err)
		}
	}
}

// Whoever clears by a prefix or a tag doesn't send what clears all to a node that doesn't know these.
func TestClearSome(t *testing.T) {
	var got url.Values
	ctl := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		got = r.PostForm
		_, _ = w.Write([]byte(`{"done": "cleared"}`))
	})
	for _, c := range []struct {
		args []string
		want url.Values
	}{
		{[]string{"--prefix", "page:"}, url.Values{"prefix": {"page:"}}},
		{[]string{"--prefix", "\xff"}, url.Values{"prefix_base64": {"/w=="}}},
		{[]string{"--tag", "a b&c"}, url.Values{"tag": {"a b&c"}}},
		{[]string{"--tag=\xff"}, url.Values{"tag_base64": {"/w=="}}},
		{nil, url.Values{"confirm": {"clear"}}},
	} {
		ctl.must(t, exitOK, append([]string{"clear", "--yes"}, c.args...)...)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q sends %v", c.args, got)
		}
	}
	for said, code := range map[string]int{"clear\n": exitOK, "team:7\n": exitFailure} {
		var out bytes.Buffer
		s := surroundings{
			stdin: strings.NewReader(said), stdout: &out, stderr: &out, asks: true,
			getenv: func(string) string { return "" },
		}
		if got := run(t.Context(), []string{"clear", "--tag", "team:7", "--addr", ctl.addr}, s); got != code ||
			!strings.HasPrefix(out.String(), "This deletes all that has the tag team:7 on all nodes of ") {
			t.Errorf("%q: %d, %s", said, got, &out)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// Clear is done if somebody says so, and otherwise isn't even asked for.
func TestConfirm(t *testing.T) {
	var asked int
	ctl := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Method != "POST" || r.URL.Path != "/cache/api/clear" || r.FormValue("confirm") != "clear" {
			t.Errorf("clear asks for %s %s", r.Method, r.URL)
		}
		_, _ = w.Write([]byte(`{"done": "cleared"}`))
	})
	answer := func(said string) (code int, stderr string) {
		var stdout, messages bytes.Buffer
		code = run(t.Context(), []string{"clear", "--addr", ctl.addr}, surroundings{
			stdin: strings.NewReader(said), stdout: &stdout, stderr: &messages, asks: true,
			getenv: func(string) string { return "" },
		})
		return code, messages.String()
	}
	for _, said := range []string{
		"", "\n", "yes\n", "CLEAR\n", "clearly\n", strings.Repeat(" ", 5000) + "clear\n",
	} {
		code, stderr := answer(said)
		if code != exitFailure {
			t.Errorf("%.10q clears: %d", said, code)
		}
		if !strings.HasSuffix(stderr, "Type clear to do that: bcachectl: nothing was deleted\n") {
			t.Errorf("it says %q", stderr)
		}
	}
	if asked > 0 {
		t.Fatal("clear asks the node without having been confirmed")
	}
	if code, _ := answer("clear\n"); code != exitOK || asked != 1 {
		t.Errorf("with a confirmation it ends with %d", code)
	}
}

// The token and the headers go to the page, and to nobody else.
func TestSecrets(t *testing.T) {
	var got []*http.Request
	ctl := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r)
		_, _ = w.Write([]byte(`{}`))
	})
	ctl.env = map[string]string{"BCACHECTL_TOKEN": " secret\n"}
	ctl.must(t, exitOK, "members", "--header", "X-One: 1", "--header", "x-one:2", "--header", "Host: other")
	ctl.must(t, exitOK, "members", "--header", "Authorization: Basic xyz")
	h := got[0].Header
	if h.Get("Authorization") != "Bearer secret" || len(h["X-One"]) != 2 || got[0].Host != "other" {
		t.Errorf("the headers are %v", h)
	}
	if h := got[1].Header["Authorization"]; len(h) != 1 || h[0] != "Basic xyz" {
		t.Errorf("Authorization is %q", h)
	}
	ctl.env["BCACHECTL_TOKEN"] = "a\x00b"
	ctl.must(t, exitUsage, "members")

	n := len(got)
	for _, status := range []int{http.StatusFound, http.StatusSeeOther, http.StatusPermanentRedirect} {
		other := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, ctl.addr+"api/members", status) // another port is another host
		})
		other.env = map[string]string{"BCACHECTL_TOKEN": "secret"}
		r := other.must(t, exitFailure, "members", "--header", "X-Key: secret")
		if !strings.Contains(r.stderr, "it redirects to "+ctl.addr+"api/members") {
			t.Errorf("it says %q", r.stderr)
		}
		other.must(t, exitFailure, "delete", "k")
	}
	if len(got) != n {
		t.Error("a redirect to another host is followed")
	}
}

// Redirects on the page's host are followed, a few of them.
func TestRedirects(t *testing.T) {
	ctl := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/clear"):
			http.Redirect(w, r, "/elsewhere", http.StatusFound) // asks for a GET, and so would do nothing
		case strings.HasPrefix(r.URL.Path, "/cache/"):
			http.Redirect(w, r, "/new"+r.URL.Path, http.StatusPermanentRedirect)
		case strings.HasSuffix(r.URL.Path, "/loaders"):
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		case r.Method == http.MethodPost && r.FormValue("key") == "k", r.Method == http.MethodGet:
			_, _ = w.Write([]byte(`{}`))
		default:
			t.Errorf("it asks for %s %s", r.Method, r.URL)
		}
	})
	ctl.must(t, exitOK, "members")
	ctl.must(t, exitOK, "delete", "k")
	if r := ctl.must(t, exitFailure, "clear", "--yes"); !strings.Contains(r.stderr, "isn't followed") {
		t.Errorf("it says %q", r.stderr)
	}
	if r := ctl.must(t, exitFailure, "loaders"); !strings.Contains(r.stderr, "again and again") {
		t.Errorf("it says %q", r.stderr)
	}
}

// Certificates are verified, by those of a file if there is one.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{}`))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it would complain of those who don't trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	ctl := call{addr: s.URL}
	if r := ctl.must(t, exitUnreachable, "members"); !strings.Contains(r.stderr, "isn't trusted") {
		t.Errorf("it says %q", r.stderr)
	}
	for code, certificate := range map[int][]byte{
		exitOK: s.Certificate().Raw, exitUnreachable: anotherCertificate(t),
	} {
		file := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(file, pemOf(certificate), 0o600); err != nil {
			t.Fatal(err)
		}
		ctl.must(t, code, "members", "--cacert", file)
	}
}

// A key is asked for by its bytes, wherever it comes from.
func TestKeys(t *testing.T) {
	var got url.Values
	ctl := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.Query()
		_, _ = w.Write([]byte(`{"summary": {"agree": true}}`))
	})
	for _, c := range []struct {
		stdin       string
		args        []string
		name, value string
	}{
		{"", []string{"user:1&n=2 %+#\n"}, "key", "user:1&n=2 %+#\n"},
		{"", []string{""}, "key", ""},
		{"", []string{"\xff"}, "key_base64", "/w=="},
		{"", []string{"--key-base64", "/w=="}, "key_base64", "/w=="},
		{"", []string{"--key-base64", "YQ=="}, "key", "a"},
		{"", []string{"--", "-x"}, "key", "-x"},
		{"from stdin\n", []string{"-"}, "key", "from stdin"},
		{"two lines\n\n", []string{"-"}, "key", "two lines\n"},
		{"none", []string{"-"}, "key", "none"},
		{" /w== \n", []string{"--key-base64", "-"}, "key_base64", "/w=="},
	} {
		ctl.stdin = c.stdin
		ctl.must(t, exitOK, append([]string{"why"}, c.args...)...)
		if len(got) != 1 || got.Get(c.name) != c.value {
			t.Errorf("%q asks for %v", c.args, got)
		}
	}
	ctl.stdin = strings.Repeat("k", maxStdin+1)
	ctl.must(t, exitUsage, "why", "-")
	ctl.must(t, exitOK, "why", "--values", "k")
	if got.Get("values") != "1" {
		t.Errorf("--values asks for %v", got)
	}
}

// Who doesn't read any more ends it, with no complaint; what can't be written is one.
func TestWriting(t *testing.T) {
	ctl := example(t)
	for code, err := range map[int]error{exitOK: syscall.EPIPE, exitFailure: syscall.ENOSPC} {
		for _, args := range [][]string{
			{"members"}, {"watch"}, {"members", "-o", "json"}, {"help"}, {"version"},
		} {
			var stderr bytes.Buffer
			s := surroundings{
				stdin: strings.NewReader(""), stdout: failing{err}, stderr: &stderr,
				getenv: func(string) string { return "" },
			}
			got := run(t.Context(), append(args, "--addr", ctl.addr), s)
			if got != code || (code == exitOK) != (stderr.Len() == 0) {
				t.Errorf("%v ends with %d at %v: %q", args, got, err, &stderr)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What is there to be found out without a node.
func TestVersionAndHelp(t *testing.T) {
	gone := call{addr: "http://user:secret@nowhere.invalid/"}
	version := regexp.MustCompile(`^bcachectl \S+, go1\S+\n$`)
	if r := gone.must(t, exitOK, "version"); !version.MatchString(r.stdout) {
		t.Errorf("version prints %q", r.stdout)
	}
	if r := gone.must(t, exitOK, "version", "-o", "json"); !strings.HasPrefix(r.stdout, `{"go":"go1`) {
		t.Errorf("version prints %q", r.stdout)
	}
	for _, args := range [][]string{nil, {"help"}, {"--help"}, {"why", "--help"}} {
		r := gone.must(t, exitOK, args...)
		if !strings.Contains(r.stdout, "Usage:") || strings.Contains(r.stdout, "secret") {
			t.Errorf("%v prints %q", args, r.stdout)
		}
	}
	start := time.Now()
	gone.must(t, exitUnreachable, "members", "--addr", "http://127.0.0.1:1", "--timeout", "5s")
	if took := time.Since(start); took > 6*time.Second {
		t.Errorf("it takes %v to find out", took)
	}
}

// README.md has all commands and flags.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{out: &printer{w: io.Discard}}
	root := a.root()
	for _, cmd := range root.Commands() {
		if !strings.Contains(string(readme), "bcachectl "+cmd.Name()) {
			t.Errorf("README.md has no example of %s", cmd.Name())
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			long := strings.Contains(string(readme), "--"+f.Name)
			if !long && !strings.Contains(string(readme), "`-"+f.Shorthand+"`") {
				t.Errorf("README.md lacks --%s of %s", f.Name, cmd.Name())
			}
		})
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(string(readme), "`--"+f.Name) {
			t.Errorf("README.md lacks --%s", f.Name)
		}
	})
}

// Why ends with 0 only if all nodes answer, and agree.
func TestWhyAgrees(t *testing.T) {
	for summary, code := range map[string]int{
		`{"agree": true, "answered": 3, "nodes": 3}`:  exitOK,
		`{"agree": false, "answered": 3, "nodes": 3}`: exitDisagree,
		`{"agree": true, "answered": 2, "nodes": 3}`:  exitDisagree,
		`{"agree": true, "answered": 0, "nodes": 3}`:  exitDisagree,
	} {
		ctl := says(t, http.StatusOK, jsonType, `{"key": "k", "summary": `+summary+`}`)
		for _, output := range []string{"table", "json"} {
			ctl.must(t, code, "why", "k", "-o", output)
		}
	}
}
