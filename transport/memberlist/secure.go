package memberlist

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"time"
)

const (
	alpn     = "bcache-memberlist/1"
	exporter = "EXPORTER-bcache-memberlist"
)

// A armour encrypts connections. With certificates the two sides verify each other's. Without, but with
// keys, a certificate of no worth is shown, and the proof of the keys is bound to the connection: so
// nobody can be between.
type armour struct {
	certs          *certs // nil: there are only keys
	server, client *tls.Config
}

// newArmour returns nil if connections are in the clear.
func newArmour(c *certs, keys bool) (*armour, error) {
	if c == nil && !keys {
		return nil, nil
	}
	base := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{alpn},
		SessionTicketsDisabled: true, // each connection is verified
		InsecureSkipVerify:     true, // the peers have addresses, not names: VerifyConnection does it
	}
	a := &armour{certs: c, server: base.Clone(), client: base.Clone()}
	if c == nil {
		own, err := worthless()
		a.server.Certificates = []tls.Certificate{own}
		return a, err
	}
	a.server.ClientAuth = tls.RequestClientCert // VerifyConnection says it better if there is none
	a.server.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		p, err := c.now()
		return p.own, err
	}
	a.client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		p, err := c.now()
		return p.own, err
	}
	a.server.VerifyConnection = c.verifier(x509.ExtKeyUsageClientAuth)
	a.client.VerifyConnection = c.verifier(x509.ExtKeyUsageServerAuth)
	return a, nil
}

// worthless makes a certificate that nobody has signed.
func worthless() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	// It is valid whatever the clocks say: nobody looks.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// wrap encrypts a connection, and returns what proofs on it are bound to.
func (a *armour) wrap(ctx context.Context, raw net.Conn, outbound bool) (*tls.Conn, channel, error) {
	ch := channel{own: 's', other: 'c'}
	var conn *tls.Conn
	if outbound {
		ch.own, ch.other = ch.other, ch.own
		conn = tls.Client(raw, a.client)
	} else {
		conn = tls.Server(raw, a.server)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, ch, err
	}
	s := conn.ConnectionState()
	exported, err := s.ExportKeyingMaterial(exporter, nil, 32)
	if s.NegotiatedProtocol != alpn {
		err = errors.New("it isn't a bcache node")
	}
	ch.exported = exported
	return conn, ch, err
}
