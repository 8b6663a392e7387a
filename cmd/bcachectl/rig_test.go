package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write testdata/*.golden as it is now")

// asCommand has the test's binary be the command, for tests that need a process.
const asCommand = "BCACHECTL_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// A call is one of the command, in this process.
type call struct {
	addr      string
	env       map[string]string
	stdin     string
	asks      bool
	shows     bool
	width     int
	height    int
	transport http.RoundTripper
}

// A result is what came of it.
type result struct {
	code           int
	stdout, stderr string
}

func (c call) run(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, surroundings{
		stdin: strings.NewReader(c.stdin), stdout: &stdout, stderr: &stderr,
		getenv: func(name string) string {
			if name == "BCACHECTL_ADDR" && c.env[name] == "" {
				return c.addr
			}
			return c.env[name]
		},
		asks: c.asks, shows: c.shows, size: func() (int, int) { return c.width, c.height },
		transport: c.transport,
	})
	r := result{code, stdout.String(), stderr.String()}
	const ended = "Completion ended with directive: " // of the commands that scripts of completion call
	n := strings.Count(r.stderr, "\n") - strings.Count(r.stderr, ended)
	if code == exitOK && n > 0 || n > 1 {
		t.Errorf("%v ends with %d, and writes to stderr: %q", args, code, r.stderr)
	}
	return r
}

// must run ends with a code.
func (c call) must(t *testing.T, code int, args ...string) result {
	t.Helper()
	r := c.run(t, args...)
	if r.code != code {
		t.Errorf("%v ends with %d instead of %d: %s%s", args, r.code, code, r.stdout, r.stderr)
	}
	return r
}

// serve has a server for the time of a test.
func serve(t *testing.T, h http.HandlerFunc) call {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return call{addr: s.URL + "/cache/"}
}

// says is a server that gives one answer.
func says(t *testing.T, status int, typ, body string) call {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", typ)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

const jsonType = "application/json; charset=utf-8"

// example is a node as testdata has its answers.
func example(t *testing.T) call {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, "/cache/api/")
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", jsonType)
		_, _ = w.Write([]byte(testdata(t, filepath.Base(name)+".json")))
	})
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Error(err) // not Fatal: servers call this
	}
	return string(b)
}

// golden compares with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := testdata(t, name); got != want {
		t.Errorf("it isn't %s any more (-update writes that):\n%s", name, got)
	}
}

func pemOf(certificate []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
}

// anotherCertificate is one that no server has.
func anotherCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
