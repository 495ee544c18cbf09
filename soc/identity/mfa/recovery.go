package mfa

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Codes is how many recovery codes a user gets at a time.
const Codes = 10

// letters are those of a recovery code: lower case without those that look
// alike, thirty-two of them.
const letters = "abcdefghjkmnpqrstuvwxyz23456789" + "i"

const (
	codeLetters = 24 // of 5 random bits each: 120 bits, so that a fast hash of them is enough
	codeGroup   = 6
)

// NewCodes makes recovery codes, each good for one sign-in, and their hashes.
func NewCodes() (codes, hashes []string) {
	for range Codes {
		b := make([]byte, codeLetters)
		_, _ = rand.Read(b) // never fails since Go 1.24
		var code strings.Builder
		for i, x := range b {
			if i > 0 && i%codeGroup == 0 {
				code.WriteByte('-')
			}
			code.WriteByte(letters[x%32])
		}
		codes = append(codes, code.String())
		hashes = append(hashes, HashCode(code.String()))
	}
	return codes, hashes
}

// HashCode is what is kept of a recovery code. Dashes, blanks and case do not
// matter: people type them from paper.
func HashCode(code string) string {
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters, r) {
			return r
		}
		return -1
	}, strings.ToLower(code))
	sum := sha256.Sum256([]byte("icewatch recovery code " + plain))
	return hex.EncodeToString(sum[:])
}
