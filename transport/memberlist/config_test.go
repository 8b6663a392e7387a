package memberlist

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
)

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	secret := []byte("this is no key")
	_, err := New(Config{
		BindAddr: "7946", AdvertiseAddr: ":7946", Join: []string{"db", "srv+db", "db:0"},
		Keys: [][]byte{secret}, TLS: &TLS{PeerName: "["}, MaxConns: -1, MaxStrangers: -2,
	})
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("New says %v", err)
	}
	for _, want := range []string{
		`BindAddr "7946"`, `AdvertiseAddr ":7946"`, `Join "db"`, `Join "srv+db"`, `Join "db:0"`, "Keys[0]",
		"CertFile is missing", "KeyFile is missing", "CAFile is missing", `PeerName "["`,
		"MaxConns is -1", "MaxStrangers is -2",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q isn't in: %v", want, err)
		}
	}
	for _, addr := range []string{"0.0.0.0:1", "host:http", "host:70000", "[::]:1", "a b:1", strings.Repeat("x", maxAddr) + ":1"} {
		if _, err := New(Config{BindAddr: ":0", AdvertiseAddr: addr}); !errors.Is(err, ErrConfig) {
			t.Errorf("%q may be advertised: %v", addr, err)
		}
	}
	if strings.Contains(err.Error(), string(secret)) {
		t.Errorf("the error has a key: %v", err)
	}
}

func TestConfigDefaults(t *testing.T) {
	tr, err := New(Config{BindAddr: "127.0.0.1:0"})
	testkit.Must(t, err)
	if tr.cfg.MaxConns != 1024 || tr.cfg.MaxStrangers != 128 || tr.cfg.Resolver == nil {
		t.Errorf("the defaults are %+v", tr.cfg)
	}
	if tr.Expects() {
		t.Error("a node that was told of nobody waits for others")
	}
	found := func(context.Context) ([]string, error) { return nil, nil }
	for _, cfg := range []Config{{Join: []string{"[::1]:1"}}, {Discover: found}} {
		cfg.BindAddr = ":0"
		if tr, err := New(cfg); err != nil || !tr.Expects() {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// A transport that was never started, or that is closed, takes all calls.
func TestCallsOutOfTime(t *testing.T) {
	p := bare(t, 1, Config{})
	calls := func() {
		p.Broadcast([]byte("x"))
		p.Supersede(2)
		p.Disconnect(2)
		if p.Members() != nil || p.Everybody(1) != nil || p.Unreached() != nil {
			t.Error("there is somebody")
		}
		p.Stats()
	}
	calls()
	if p.Addr() != "" {
		t.Errorf("it is at %s", p.Addr())
	}
	testkit.Must(t, p.Close())
	calls()
	if err := p.Start(p.node(1), p.Handler); err == nil {
		t.Error("it starts after Close")
	}
}

func TestStartTwice(t *testing.T) {
	p := start(t, 1, Config{})
	if err := p.Start(p.node(1), p.Handler); err == nil {
		t.Error("it starts twice")
	}
	other := bare(t, 2, Config{BindAddr: p.Addr()})
	if err := other.Start(other.node(1), other.Handler); err == nil || !strings.Contains(err.Error(), "can't listen") {
		t.Errorf("two listen at one address: %v", err)
	}
	testkit.Must(t, other.Close())
}
