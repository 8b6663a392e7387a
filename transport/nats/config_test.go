package nats

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestConfig(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	long := strings.Repeat("a", 256)
	for name, c := range map[string]struct {
		cfg  Config
		want []string // texts of the error, a line each
	}{
		"zero":  {Config{}, nil},
		"first": {Config{First: true}, nil},
		"all": {Config{Servers: []string{"tls://a:1", "b", "wss://c"}, Subject: "a.b", Name: "ä b", User: "u",
			Password: "p", Options: []nats.Option{nil, nats.NoEcho()}}, nil},
		"servers": {Config{Servers: []string{"http://a", "nats://user:secret@:1", "nats://a:b:c"}},
			[]string{`Servers[0]: the scheme is "http"`, "Servers[1]: has no host", "Servers[2]: isn't a URL"}},
		"subject": {Config{Subject: "a..b"}, []string{`Subject "a..b" has an empty token`}},
		"wild":    {Config{Subject: "a.*"}, []string{"neither wildcards"}},
		"spaces":  {Config{Subject: "a b"}, []string{"nor spaces"}},
		"long":    {Config{Subject: long, Name: long}, []string{"must be at most 128", "255 bytes at most"}},
		"name":    {Config{Name: "a\n"}, []string{"that can be printed"}},
		"several": {Config{User: "u", Token: "t"}, []string{"User and Token are set"}},
		"no user": {Config{Password: "secret"}, []string{"Password is set without a User"}},
		"files":   {Config{CredsFile: none, NkeyFile: none}, []string{"are set", "CredsFile: ", "NkeyFile: "}},
		"options": {Config{Options: []nats.Option{nats.RootCAs(none)}}, []string{"Options: "}},
	} {
		tr, err := New(c.cfg)
		if len(c.want) == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if tr.Close() != nil || tr.Expects() == c.cfg.First {
				t.Errorf("%s: it can't be closed, or expects others: %v", name, tr.Expects())
			}
			continue
		}
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		for i, line := range lines {
			if !strings.HasPrefix(line, ErrConfig.Error()+": ") || !strings.Contains(line, c.want[i]) {
				t.Errorf("%s: %q, want %q", name, line, c.want[i])
			}
			if strings.Contains(line, "secret") {
				t.Errorf("%s: the error shows a password: %q", name, line)
			}
		}
	}
}

// What the transport relies on can't be changed by Options, what doesn't matter can.
func TestOptions(t *testing.T) {
	cfg, err := Config{Options: []nats.Option{
		nats.NoReconnect(), nats.MaxReconnects(1), nats.ReconnectBufSize(1), nats.Name("mine"),
	}}.checked()
	if err != nil {
		t.Fatal(err)
	}
	o, err := cfg.options()
	if err != nil {
		t.Fatal(err)
	}
	if !o.AllowReconnect || o.MaxReconnect != -1 || o.ReconnectBufSize != -1 || !o.NoEcho ||
		o.Name != "mine" {
		t.Errorf("%+v", o)
	}
}

func TestReconnectAfter(t *testing.T) {
	for times, most := range map[int]int64{0: 250, 1: 250, 2: 500, 4: 2000, 1000: 2000} {
		for range 100 {
			if got := reconnectAfter(times).Milliseconds(); got < most/2 || got > most {
				t.Errorf("after %d times: %d ms", times, got)
			}
		}
	}
}
