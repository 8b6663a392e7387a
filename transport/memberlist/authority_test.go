package memberlist

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// An authority signs certificates, into files.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), next: 2}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Ok(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	testkit.Ok(t, err)
	a.cert, err = x509.ParseCertificate(der)
	testkit.Ok(t, err)
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, what string, der []byte) {
	a.t.Helper()
	block := pem.EncodeToMemory(&pem.Block{Type: what, Bytes: der})
	testkit.Ok(a.t, os.WriteFile(filepath.Join(a.dir, name), block, 0o600))
}

// sign makes a certificate of a name, which expires after so long, and its files.
func (a *authority) sign(name string, expires time.Duration) *TLS {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Ok(a.t, err)
	a.next++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(expires),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	testkit.Ok(a.t, err)
	a.write(name+".pem", "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	testkit.Ok(a.t, err)
	a.write(name+".key", "PRIVATE KEY", der)
	file := func(end string) string { return filepath.Join(a.dir, end) }
	return &TLS{CertFile: file(name + ".pem"), KeyFile: file(name + ".key"), CAFile: file("ca.pem")}
}
