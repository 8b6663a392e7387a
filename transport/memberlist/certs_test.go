package memberlist

import (
	"crypto/tls"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// With certificates of one authority nodes join, and their connections are encrypted.
func TestCertificates(t *testing.T) {
	a := newAuthority(t)
	all := together(t, 3, func(i int) Config {
		c := a.sign([]string{"node-1.test", "node-2.test", "node-3.test"}[i], time.Hour)
		c.PeerName = "node-{id}.test"
		return Config{TLS: c}
	})
	for _, m := range all[0].Members() {
		if !m.Encrypted {
			t.Errorf("%+v isn't encrypted", m)
		}
	}
}

// A node that doesn't belong there is refused, and both sides say why.
func TestRefusals(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	key, key2 := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	named := func(c *TLS, pattern string) *TLS { c.PeerName = pattern; return c }
	for _, test := range []struct {
		what            string
		host, guest     Config
		atHost, atGuest string
	}{
		{"nothing, where certificates are wanted", Config{TLS: a.sign("h.test", time.Hour)}, Config{},
			"it doesn't encrypt, this node does", "it encrypts, this node doesn't"},
		{"a certificate, where nothing is wanted", Config{}, Config{TLS: a.sign("g.test", time.Hour)},
			"it encrypts, this node doesn't", "it doesn't encrypt, this node does"},
		{"no certificate", Config{TLS: a.sign("h.test", time.Hour)}, Config{Keys: [][]byte{key}},
			"its certificate isn't accepted: it has none", "it doesn't accept this node's certificate"},
		{"the certificate of another authority",
			Config{TLS: a.sign("h.test", time.Hour)}, Config{TLS: other.sign("g.test", time.Hour)},
			"it doesn't accept this node's certificate", "its certificate isn't accepted: x509"},
		{"a certificate that has expired",
			Config{TLS: a.sign("h.test", time.Hour)}, Config{TLS: a.sign("old.test", -time.Minute)},
			"its certificate isn't accepted: x509: certificate has expired",
			"it doesn't accept this node's certificate"},
		{"a certificate of another name",
			Config{TLS: named(a.sign("h.test", time.Hour), "node-*.test")}, Config{TLS: a.sign("g.test", time.Hour)},
			"its certificate has no name that PeerName wants",
			"this node's certificate has no name that its PeerName wants"},
		{"the certificate of another node",
			Config{TLS: named(a.sign("node-1.test", time.Hour), "node-{id}.test")},
			Config{TLS: a.sign("node-3.test", time.Hour)},
			"its certificate has no name that PeerName wants",
			"this node's certificate has no name that its PeerName wants"},
		{"another key", Config{Keys: [][]byte{key}}, Config{Keys: [][]byte{key2}},
			"its Keys have none in common with this node's", "this node's Keys aren't the cluster's"},
		{"no key", Config{TLS: a.sign("h.test", time.Hour), Keys: [][]byte{key}},
			Config{TLS: a.sign("g.test", time.Hour)},
			"its Keys have none in common with this node's", "this node's Keys aren't the cluster's"},
	} {
		t.Run(test.what, func(t *testing.T) {
			host := start(t, 1, test.host)
			test.guest.Join = []string{host.Addr()}
			guest := start(t, 2, test.guest)
			testkit.Within(t, patience, func() error {
				if !host.log.has("E no connection with 127.0.0.1:", test.atHost) {
					return errors.New("the host logs " + host.log.String())
				}
				if !guest.log.has("E no connection with "+host.Addr(), test.atGuest) {
					return errors.New("the guest logs " + guest.log.String())
				}
				if f := guest.Unreached(); len(f) != 1 || !f[0].Configured || f[0].Err == nil {
					return errors.New("nothing is unreached")
				}
				return nil
			})
			if n := host.Stats().RefusedOther + guest.Stats().RefusedOther; n == 0 {
				t.Error("no refusal is counted")
			}
			for _, p := range []*place{host, guest} {
				if len(p.Members()) > 0 || p.Count("+") > 0 {
					t.Errorf("node %d has joined somebody", p.id)
				}
			}
		})
	}
}

func TestMatchName(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"node-7.a.test", "NODE-7.a.test", true},
		{"*.a.test", "x.a.test", true},
		{"*.a.test", "x.y.a.test", false},
		{"*.a.test", "a.test", false},
		{"spiffe://a.test/cache/*", "spiffe://a.test/cache/7", true},
		{"spiffe://a.test/cache/*", "spiffe://a.test/cache/7/8", false},
		{"node-7.test", "node-77.test", false},
	} {
		if got := matchName(test.pattern, test.name); got != test.want {
			t.Errorf("%q and %q: %v", test.pattern, test.name, got)
		}
	}
}

// Files that change are read again at the next connection. Those that can't be read change nothing.
func TestCertificatesAreReadAgain(t *testing.T) {
	a := newAuthority(t)
	cfg := a.sign("node.test", time.Hour)
	var failed []error
	c := newCerts(*cfg, func(err error) { failed = append(failed, err) })
	first, err := c.now()
	testkit.Must(t, err)
	if same, _ := c.now(); same.own != first.own {
		t.Error("they are read again though nothing has changed")
	}
	good, err := os.ReadFile(cfg.CertFile)
	testkit.Must(t, err)
	testkit.Must(t, os.WriteFile(cfg.CertFile, []byte("rubbish"), 0o600))
	if p, err := c.now(); err != nil || p.own != first.own || len(failed) != 1 {
		t.Errorf("rubbish is taken: %v, %v", err, failed)
	}
	testkit.Must(t, os.WriteFile(cfg.CertFile, good, 0o600))
	a.sign("node.test", time.Hour)
	second, err := c.now()
	testkit.Must(t, err)
	if slices.Equal(second.own.Certificate[0], first.own.Certificate[0]) {
		t.Error("the new certificate isn't used")
	}
}

// A node whose certificate has expired is back once there is another one in the file, without a restart.
func TestCertificateIsRenewed(t *testing.T) {
	a := newAuthority(t)
	host := start(t, 1, Config{TLS: a.sign("host.test", time.Hour)})
	guest := start(t, 2, Config{TLS: a.sign("guest.test", -time.Minute), Join: []string{host.Addr()}})
	until(t, "it is refused", func() bool { return host.log.has("certificate has expired") })
	a.sign("guest.test", time.Hour)
	until(t, "it joins", func() bool { return full([]*place{host, guest}) })
}

// Who has no certificate hears so, and who speaks another protocol.
func TestOthersThanNodes(t *testing.T) {
	a := newAuthority(t)
	host := start(t, 1, Config{TLS: a.sign("host.test", time.Hour)})
	for _, protocols := range [][]string{nil, {"h2"}} {
		conn, err := tls.Dial("tcp", host.Addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil {
			t.Errorf("who speaks %v is heard", protocols)
		}
	}
}

// A node whose files are gone when it starts says so.
func TestStartWithoutFiles(t *testing.T) {
	cfg := newAuthority(t).sign("node.test", time.Hour)
	p := bare(t, 1, Config{TLS: cfg})
	testkit.Must(t, os.Remove(cfg.CertFile))
	if err := p.Start(p.node(1), p.Handler); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start says %v", err)
	}
	testkit.Must(t, p.Close())
}
