package centre

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"icewatch/soc/config"
)

// listen opens the HTTP address: plain on loopback, HTTPS elsewhere. Without a
// configured certificate one is made and kept; notice then names its
// fingerprint.
func listen(c *config.Config) (l net.Listener, scheme, notice string, err error) {
	l, err = net.Listen("tcp", c.HTTP.Listen)
	if err != nil {
		return nil, "", "", fmt.Errorf("http.listen: %w", err)
	}
	if c.HTTP.TLSCert == "" && (c.Loopback() || c.HTTP.Insecure) {
		return l, "http", "", nil
	}
	cert, notice, err := certificate(c)
	if err != nil {
		return nil, "", "", errors.Join(err, l.Close())
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}), "https", notice, nil
}

func certificate(c *config.Config) (cert tls.Certificate, notice string, err error) {
	if c.HTTP.TLSCert != "" {
		cert, err = tls.LoadX509KeyPair(c.HTTP.TLSCert, c.HTTP.TLSKey)
		if err != nil {
			err = fmt.Errorf("http.tls_cert: %w", err)
		}
		return cert, "", err
	}
	dir := filepath.Join(c.Data, "tls")
	certFile, keyFile := filepath.Join(dir, "self-signed.pem"), filepath.Join(dir, "self-signed.key")
	cert, err = tls.LoadX509KeyPair(certFile, keyFile)
	if errors.Is(err, fs.ErrNotExist) || err == nil && expired(cert) {
		if err := selfSign(dir, certFile, keyFile); err != nil {
			return cert, "", err
		}
		cert, err = tls.LoadX509KeyPair(certFile, keyFile)
	}
	if err != nil {
		return cert, "", fmt.Errorf("self-signed certificate: %w", err)
	}
	sum := sha256.Sum256(cert.Certificate[0])
	return cert, fmt.Sprintf("the certificate is self-signed, SHA-256 %s; give http.tls_cert and http.tls_key for one that browsers trust", hex.EncodeToString(sum[:])), nil
}

func expired(cert tls.Certificate) bool {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	return err != nil || time.Now().After(leaf.NotAfter.Add(-7*24*time.Hour))
}

// selfSign makes a certificate for this machine's names and addresses.
func selfSign(dir, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("self-signed certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("self-signed certificate: %w", err)
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "icewatch"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if host, err := os.Hostname(); err == nil {
		t.DNSNames = append(t.DNSNames, host)
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				t.IPAddresses = append(t.IPAddresses, n.IP)
			}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("self-signed certificate: %w", err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("self-signed certificate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("self-signed certificate: %w", err)
	}
	return errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600),
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}
