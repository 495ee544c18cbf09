package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"icewatch/collectors"
)

// TLS says how a server is trusted and what it is shown.
type TLS struct {
	CA         string // PEM certificates that may have signed the server's; empty are the system's
	Cert, Key  string // PEM certificate and key that this suite shows; both or none
	ServerName string // the name that the server's certificate must have; empty is the host dialled
}

// Config checks it and makes the client's side of it. prefix goes before the
// names of the fields in errors, such as "tls_".
func (t TLS) Config(prefix string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, fmt.Errorf("%sca_pem holds no certificate: a text that begins with -----BEGIN CERTIFICATE----- is needed", prefix)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, fmt.Errorf("%scert_pem and %skey_pem go together: one of them is missing", prefix, prefix)
	}
	if t.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key))
		if err != nil {
			return nil, fmt.Errorf("%scert_pem and %skey_pem: %w", prefix, prefix, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Dialer returns a dialer that secures what dial opens. Unless the
// configuration names a server, the certificate must be of the host dialled.
func Dialer(dial collectors.Dial, conf *tls.Config) collectors.Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := conf.Clone()
		if own.ServerName == "" {
			own.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(conn, own)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS with %s: %w", address, err), conn.Close())
		}
		return secure, nil
	}
}
