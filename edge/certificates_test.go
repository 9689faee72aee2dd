package edge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// issue writes a certificate for 127.0.0.1, signed by itself, and its key.
func issue(t *testing.T, folder, name string, modified time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// shown is the name in the certificate that a client would be shown now.
func shown(t *testing.T, c *certificates) string {
	t.Helper()
	c.mu.Lock()
	c.looked = time.Time{} // as if the pause were over
	c.mu.Unlock()
	leaf, err := x509.ParseCertificate(c.current().Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.Subject.CommonName
}

func TestCertificatesAreReadAnew(t *testing.T) {
	folder, then := t.TempDir(), time.Now().Add(-time.Hour)
	var told bytes.Buffer
	c := &certificates{log: slog.New(slog.NewTextHandler(&told, nil))}
	c.cert, c.key = issue(t, folder, "old", then)
	if _, err := c.config(); err != nil {
		t.Fatal(err)
	}
	issue(t, folder, "new", then.Add(time.Minute))
	if got := shown(t, c); got != "new" {
		t.Errorf("clients are shown %q, want the new certificate", got)
	}
	if err := os.WriteFile(c.key, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	told.Reset()
	for range 2 {
		if got := shown(t, c); got != "new" {
			t.Errorf("with a broken key clients are shown %q", got)
		}
	}
	if n := bytes.Count(told.Bytes(), []byte("cannot be used")); n != 1 {
		t.Errorf("the broken key was told %d times: %s", n, told.String())
	}
}

func TestCertificatesOfClients(t *testing.T) {
	c := &certificates{log: slog.New(slog.DiscardHandler)}
	c.cert, c.key = issue(t, t.TempDir(), "door", time.Now())
	c.clientCA = c.cert
	config, err := c.config()
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		shows []tls.Certificate
		let   bool
	}{{nil, false}, {[]tls.Certificate{own}, true}} {
		near, far := net.Pipe()
		go func() {
			_ = tls.Client(near, &tls.Config{InsecureSkipVerify: true, Certificates: tc.shows}).Handshake()
			_ = near.Close()
		}()
		if err := tls.Server(far, config).Handshake(); (err == nil) != tc.let {
			t.Errorf("a client with %d certificates: %v", len(tc.shows), err)
		}
		_ = far.Close()
	}
	c.clientCA = c.key
	if _, err := c.config(); err == nil {
		t.Error("a file without certificates was taken")
	}
}
