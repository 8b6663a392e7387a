package natstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport/nats"
)

// An authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	own := a.sign(a.cert)
	a.key = own.PrivateKey.(*ecdsa.PrivateKey)
	var err error
	a.cert, err = x509.ParseCertificate(own.Certificate[0])
	testkit.Ok(t, err)
	a.pool.AddCert(a.cert)
	return a
}

// sign makes a key, and signs a certificate of it; with itself if the authority has no key yet.
func (a *authority) sign(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Ok(a.t, err)
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), signer)
	testkit.Ok(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// leaf makes a certificate for this machine, which is valid until then.
func (a *authority) leaf(until time.Time) tls.Certificate {
	return a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

// secured has a server ask for certificates of an authority.
func (a *authority) secured(o *server.Options) {
	o.TLSTimeout = limit.Seconds()
	o.TLSConfig = &tls.Config{
		Certificates: []tls.Certificate{a.leaf(time.Now().Add(time.Hour))},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: a.pool,
	}
}

func TestTLS(t *testing.T) {
	good, other := newAuthority(t), newAuthority(t)
	s := newServer(t, good.secured)
	hour := time.Now().Add(time.Hour)
	config := func(trusted *authority, own ...tls.Certificate) nats.Config {
		return nats.Config{
			Servers: []string{s.addr()}, TLS: &tls.Config{RootCAs: trusted.pool, Certificates: own},
		}
	}
	nodes := startNodes(t, config(good, good.leaf(hour)), 1, 2)
	if ms := nodes[0].Members(); len(ms) != 1 || !ms[0].Encrypted {
		t.Errorf("members: %+v", ms)
	}
	for name, cfg := range map[string]nats.Config{
		"the server's authority isn't trusted": config(other, good.leaf(hour)),
		"no certificate":                       config(good),
		"of another authority":                 config(good, other.leaf(hour)),
		"expired":                              config(good, good.leaf(time.Now().Add(-time.Minute))),
		"no TLS":                               {Servers: []string{s.addr()}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, 9, cfg)
			err := n.starts("c")
			if err == nil || errors.Is(err, natsgo.ErrNoServers) {
				t.Errorf("Start: %v", err)
			}
			t.Log(err)
		})
	}
}

// A certificate that is renewed meanwhile is shown at the next connect.
func TestTLSReloads(t *testing.T) {
	a := newAuthority(t)
	s := newServer(t, a.secured)
	var now atomic.Pointer[tls.Certificate]
	first, second := a.leaf(time.Now().Add(time.Hour)), a.leaf(time.Now().Add(2*time.Hour))
	now.Store(&first)
	own := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return now.Load(), nil }
	nodes := startNodes(t, nats.Config{
		Servers: []string{s.addr()}, TLS: &tls.Config{RootCAs: a.pool, GetClientCertificate: own},
	}, 1, 2)
	s.stop()
	now.Store(&second)
	var shown atomic.Int32
	s.opts.TLSConfig.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		if string(raw[0]) != string(second.Certificate[0]) {
			return errors.New("the first certificate is shown")
		}
		shown.Add(1)
		return nil
	}
	s.start()
	together(t, nodes...)
	if got := shown.Load(); got < 2 {
		t.Errorf("the second certificate was shown %d times", got)
	}
}
