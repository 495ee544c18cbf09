// Package mfatest holds what tests of second factors share.
package mfatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/descope/virtualwebauthn"
)

// coordinate is how many bytes each coordinate of a P-256 key has (RFC 9053
// section 7.1.1).
const coordinate = 32

// SecurityKey makes the key of a virtual authenticator. The library leaves out
// the leading zeros of a coordinate, which no authenticator may; one key in 128
// has such, so another one is drawn then.
func SecurityKey(t testing.TB) virtualwebauthn.Credential {
	t.Helper()
	for {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := key.PublicKey.Bytes() // 0x04, X, Y
		if err != nil {
			t.Fatal(err)
		}
		if point[1] == 0 || point[1+coordinate] == 0 {
			continue
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return virtualwebauthn.NewCredentialWithImportedKey(virtualwebauthn.KeyTypeEC2, der)
	}
}
