// Package link is the agent's one connection to the suite: enrolment by a token,
// HTTP/2 over mutual TLS 1.3, the checkin, the batches of the queues and the
// packages of upgrades (collectors/fleet/wire).
package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Identity is what an enrolment gave. It lies in one file, so that a kill leaves
// the old or the new one whole.
type Identity struct {
	Agent       string   `json:"agent"`
	Tenant      string   `json:"tenant"`
	URLs        []string `json:"urls"`
	ServerName  string   `json:"server_name"`
	Certificate [][]byte `json:"certificate"` // the agent's first, then what lies between it and the CA; DER
	Key         []byte   `json:"key"`         // PKCS#8
	CAs         [][]byte `json:"cas"`         // trusted for the server; two while the suite changes its own
	ReleaseKey  []byte   `json:"release_key"`
}

// ErrNotEnrolled says that the host has no identity yet.
var ErrNotEnrolled = errors.New("this host is not enrolled: run icewatch-agent enrol --token TOKEN with a token of the console")

const identityFile = "identity.json"

// LoadIdentity reads the identity of a folder.
func LoadIdentity(dir string) (*Identity, error) {
	data, err := os.ReadFile(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	if err != nil {
		return nil, fmt.Errorf("read this host's identity: %w", err)
	}
	id := &Identity{}
	if err := json.Unmarshal(data, id); err != nil || id.Agent == "" || len(id.Certificate) == 0 || len(id.URLs) == 0 || len(id.CAs) == 0 {
		return nil, fmt.Errorf("this host's identity in %s is damaged: enrol it again", filepath.Join(dir, identityFile))
	}
	if _, err := id.pair(); err != nil {
		return nil, err
	}
	return id, nil
}

// Save writes the identity so that none but the agent's user reads it.
func (id *Identity) Save(dir string) error {
	data, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if err := WriteFile(filepath.Join(dir, identityFile), data, 0o600); err != nil {
		return fmt.Errorf("keep this host's identity: %w", err)
	}
	return nil
}

// WriteFile replaces a file so that the old or the new one is there whole,
// whatever happens.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (id *Identity) pair() (tls.Certificate, error) {
	key, err := x509.ParsePKCS8PrivateKey(id.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("this host's key is damaged: enrol it again: %w", err)
	}
	leaf, err := x509.ParseCertificate(id.Certificate[0])
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("this host's certificate is damaged: enrol it again: %w", err)
	}
	return tls.Certificate{Certificate: id.Certificate, PrivateKey: key, Leaf: leaf}, nil
}

// Validity is from when to when the certificate holds.
func (id *Identity) Validity() (from, to time.Time) {
	leaf, err := x509.ParseCertificate(id.Certificate[0])
	if err != nil {
		return from, to
	}
	return leaf.NotBefore, leaf.NotAfter
}

// RenewAt is when two thirds of the validity are over.
func (id *Identity) RenewAt() time.Time {
	from, to := id.Validity()
	return from.Add(to.Sub(from) / 3 * 2)
}

func (id *Identity) roots() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, der := range id.CAs {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("the suite's certificate is damaged: enrol this host again: %w", err)
		}
		pool.AddCert(c)
	}
	return pool, nil
}

// newKey makes a key and asks for a certificate over it.
func newKey() (key *ecdsa.PrivateKey, csr []byte, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	if csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key); err != nil {
		return nil, nil, fmt.Errorf("make a request for a certificate: %w", err)
	}
	return key, csr, nil
}

// pendingFile keeps the key of an enrolment whose answer did not come: the same
// request again gets the same answer.
const pendingFile = "enrolment.key"

func pendingKey(dir string) (*ecdsa.PrivateKey, []byte, error) {
	path := filepath.Join(dir, pendingFile)
	if data, err := os.ReadFile(path); err == nil {
		if block, _ := pem.Decode(data); block != nil {
			if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				if key, ok := k.(*ecdsa.PrivateKey); ok {
					csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
					return key, csr, err
				}
			}
		}
	}
	key, csr, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, csr, WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// fits tells whether a certificate is over a key and still holds.
func fits(der []byte, key *ecdsa.PrivateKey) error {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("the suite's answer has no certificate: %w", err)
	}
	pub, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok || !pub.Equal(&key.PublicKey) {
		return errors.New("the suite's answer has a certificate over another key")
	}
	if time.Now().After(c.NotAfter) {
		return fmt.Errorf("the certificate that the suite gave ended at %s: is this host's clock right?", c.NotAfter)
	}
	return nil
}
