package edge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificates are the files that a TLS door shows its clients, read anew when
// they change: who renews a certificate need not restart anything.
type certificates struct {
	cert, key string
	clientCA  string // clients must show a certificate signed by one in it; "" asks for none
	protocols []string
	log       *slog.Logger

	mu     sync.Mutex // protects the fields below
	stamps [3]time.Time
	looked time.Time
	using  *tls.Config
}

// certificatesPause is how often the files are looked at, at most.
const certificatesPause = time.Second

// config is for a listener. The files must be sound by now.
func (c *certificates) config() (*tls.Config, error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil },
	}, nil
}

// current is what a client that comes now is shown. Files that are broken, as
// between two steps of a renewal, leave the old ones in use.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= certificatesPause {
		c.looked = now
		if stamps := c.modified(); stamps != c.stamps {
			if err := c.loadLocked(); err != nil {
				c.stamps = stamps // told once
				c.log.Error("new certificate cannot be used, the old one stays", "err", err)
			} else {
				c.log.Info("certificate was read anew", "file", c.cert)
			}
		}
	}
	return c.using
}

func (c *certificates) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loadLocked()
}

func (c *certificates) loadLocked() error {
	stamps := c.modified() // before reading: what changes meanwhile is seen next time
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	fresh := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: c.protocols}
	if c.clientCA != "" {
		pem, err := os.ReadFile(c.clientCA)
		if err != nil {
			return fmt.Errorf("certificates of clients' authorities: %w", err)
		}
		fresh.ClientCAs = x509.NewCertPool()
		if !fresh.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("certificates of clients' authorities: %w", errNoCertificate)
		}
		fresh.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c.using, c.stamps = fresh, stamps
	return nil
}

var errNoCertificate = errors.New("the file holds none in PEM form")

// modified tells when the files last changed; one that is missing, never.
func (c *certificates) modified() (at [3]time.Time) {
	for i, path := range [...]string{c.cert, c.key, c.clientCA} {
		if info, err := os.Stat(path); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}
