// Package remote is what the remote protocols in the folders below share: how a
// socket becomes a TLS connection whose far side is verified.
package remote

import (
	"context"
	"crypto/tls"
	"net"
)

// Secure speaks TLS over a socket to a host. A nil config verifies by the
// system's roots; without a server name in it the host is what the certificate
// must be for.
func Secure(ctx context.Context, socket net.Conn, config *tls.Config, host string) (net.Conn, error) {
	own := &tls.Config{}
	if config != nil {
		own = config.Clone()
	}
	if own.ServerName == "" {
		own.ServerName = host
	}
	own.MinVersion = max(own.MinVersion, tls.VersionTLS12)
	c := tls.Client(socket, own)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return c, nil
}
