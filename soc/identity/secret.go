package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash/crc32"
	"math/big"
	"strings"
)

// The kinds of secret, told apart by their first letters, so that a scanner
// finds a leaked one and nobody mistakes one for the other.
const (
	sessionPrefix = "iws_"
	tokenPrefix   = "iwt_"
	devicePrefix  = "iwd_"
)

// A secret is prefix + base64url(32 random bytes + CRC-32 of them). The
// checksum turns typing errors and made-up ones away before any look-up.
const (
	secretBytes = 32
	sumBytes    = 4
)

// newSecret makes a secret of 256 random bits.
func newSecret(prefix string) string {
	b := make([]byte, secretBytes, secretBytes+sumBytes)
	_, _ = rand.Read(b) // never fails since Go 1.24
	sum := crc32.ChecksumIEEE(b)
	b = append(b, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

// secretKind returns the prefix of a well-formed secret, and false for
// anything that was never issued.
func secretKind(s string) (prefix string, ok bool) {
	for _, p := range []string{sessionPrefix, tokenPrefix, devicePrefix, applicationPrefix} {
		rest, found := strings.CutPrefix(s, p)
		if !found {
			continue
		}
		if len(rest) != base64.RawURLEncoding.EncodedLen(secretBytes+sumBytes) {
			return "", false
		}
		b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
		// The decoder passes over line breaks, so that less may come out.
		if err != nil || len(b) != secretBytes+sumBytes {
			return "", false
		}
		sum := crc32.ChecksumIEEE(b[:secretBytes])
		got := uint32(b[32])<<24 | uint32(b[33])<<16 | uint32(b[34])<<8 | uint32(b[35])
		return p, sum == got
	}
	return "", false
}

// hashSecret is what is stored and looked up in place of a secret. The secret
// has 256 random bits, so a fast hash without salt is enough, and looking it
// up leaks nothing by its timing.
func hashSecret(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// newID makes an id for a user, session or token.
func newID(prefix string) string {
	b := make([]byte, 10)
	_, _ = rand.Read(b)
	return prefix + hex.EncodeToString(b)
}

// GeneratePassword makes a password of 100 random bits without letters that
// look alike, in groups that can be read aloud.
func GeneratePassword() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789"
	var b strings.Builder
	for i := range 20 {
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic("identity: no randomness: " + err.Error()) // crypto/rand does not fail
		}
		b.WriteByte(letters[n.Int64()])
	}
	return b.String()
}
