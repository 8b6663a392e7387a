package memberlist

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TLS says which certificate a node shows, and which it accepts. All files are in PEM. When a file changes
// it is read again, at the next connection; if it can't be read, that is logged, and what was read last
// stays. Connections that there are go on.
type TLS struct {
	// CertFile and KeyFile have the certificate that this node shows, with those between it and the CA, and
	// its key. Nodes both dial and accept: so it must be good for servers and for clients.
	CertFile, KeyFile string

	// CAFile has the certificates of the authorities one of which must have signed a peer's.
	CAFile string

	// PeerName is what a peer's certificate must have among its DNS names or URIs. A * stands for anything
	// but dots and slashes, and {id} for the peer's PeerID, as a decimal number: with
	// "node-{id}.cache.example" nobody can pass for another node. "" means that each certificate that the CA
	// has signed is good for each node.
	PeerName string
}

// check returns what is wrong.
func (t *TLS) check() (errs []error) {
	for _, f := range [][2]string{{"CertFile", t.CertFile}, {"KeyFile", t.KeyFile}, {"CAFile", t.CAFile}} {
		if f[1] == "" {
			errs = append(errs, fmt.Errorf("%s is missing", f[0]))
		}
	}
	if len(errs) == 0 {
		if _, err := t.read(); err != nil {
			errs = append(errs, err)
		}
	}
	if _, err := path.Match(t.PeerName, ""); err != nil {
		errs = append(errs, fmt.Errorf("PeerName %q: %w", t.PeerName, err))
	}
	return errs
}

// A pair is what the files of a TLS have.
type pair struct {
	own *tls.Certificate
	cas *x509.CertPool
}

func (t *TLS) read() (p pair, err error) {
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return p, err
	}
	cas, err := os.ReadFile(t.CAFile)
	if err != nil {
		return p, err
	}
	p.own, p.cas = &cert, x509.NewCertPool()
	if !p.cas.AppendCertsFromPEM(cas) {
		return p, fmt.Errorf("%s has no certificate", t.CAFile)
	}
	return p, nil
}

// A certs reads the files of a TLS again when they change.
type certs struct {
	cfg    TLS
	failed func(error)

	mu   sync.Mutex
	last pair
	seen [3]fileState
}

// A fileState tells a file from what it was.
type fileState struct {
	changed time.Time
	size    int64
}

func newCerts(cfg TLS, failed func(error)) *certs { return &certs{cfg: cfg, failed: failed} }

// now returns what the files have.
func (c *certs) now() (pair, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var seen [3]fileState
	for i, name := range []string{c.cfg.CertFile, c.cfg.KeyFile, c.cfg.CAFile} {
		if info, err := os.Stat(name); err == nil {
			seen[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	if seen == c.seen {
		return c.last, nil
	}
	p, err := c.cfg.read()
	switch {
	case err == nil:
		c.last, c.seen = p, seen
	case c.last.own == nil:
		return p, err
	default:
		c.failed(err) // read again next time: maybe the other file comes
	}
	return c.last, nil
}

// verifier returns what checks the other side's certificate, for its use there.
func (c *certs) verifier(use x509.ExtKeyUsage) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error { return c.verify(s, use) }
}

// verify checks the other side's certificate.
func (c *certs) verify(s tls.ConnectionState, use x509.ExtKeyUsage) error {
	p, err := c.now()
	if err != nil {
		return err
	}
	if len(s.PeerCertificates) == 0 {
		return badCert{errors.New("it has none")}
	}
	between := x509.NewCertPool()
	for _, cert := range s.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	_, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: p.cas, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use},
	})
	if err != nil {
		return badCert{err}
	}
	return nil
}

// named reports whether a certificate may be that of a node.
func (c *certs) named(cert *x509.Certificate, peer uint64) bool {
	if c.cfg.PeerName == "" {
		return true
	}
	want := strings.ReplaceAll(c.cfg.PeerName, "{id}", strconv.FormatUint(peer, 10))
	for _, name := range namesOf(cert) {
		if matchName(want, name) {
			return true
		}
	}
	return false
}

func namesOf(cert *x509.Certificate) []string {
	names := cert.DNSNames
	for _, u := range cert.URIs {
		names = append(names[:len(names):len(names)], u.String())
	}
	return names
}

// matchName compares a name with a pattern, whose * stops at dots and slashes.
func matchName(pattern, name string) bool {
	parts := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), ".", "/") }
	ok, err := path.Match(parts(pattern), parts(name))
	return ok && err == nil
}
