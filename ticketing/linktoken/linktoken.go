// Package linktoken signs what stands at the end of a link by which somebody
// without a sign-in may do one thing for a time: an id, and when it ends. A
// made-up token costs no look into a database, and making one writes nothing.
package linktoken

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"time"
)

const (
	// IDBytes is how long an id is.
	IDBytes  = 16
	endBytes = 8 // Unix milliseconds
	macBytes = 16
)

// ErrForged says that a token is not one that the key has signed.
var ErrForged = errors.New("linktoken: this is no link that the suite made")

// Key signs tokens with HMAC-SHA-256 (RFC 2104), cut to 128 bits.
type Key string

// NewKey makes a key of 260 random bits, as a text that can be sealed.
func NewKey() Key { return Key(rand.Text() + rand.Text()) }

// Sign makes a token: 64 letters and digits of base32. The end is kept to a
// millisecond.
func (k Key) Sign(id [IDBytes]byte, end time.Time) string {
	b := binary.BigEndian.AppendUint64(id[:], uint64(end.UnixMilli()))
	return base32.StdEncoding.EncodeToString(append(b, k.mac(b)...))
}

// Read returns what a token was signed for, whether it has ended or not.
func (k Key) Read(token string) (id [IDBytes]byte, end time.Time, err error) {
	b, err := base32.StdEncoding.DecodeString(token)
	if err != nil || len(b) != IDBytes+endBytes+macBytes {
		return id, end, ErrForged
	}
	signed, mac := b[:IDBytes+endBytes], b[IDBytes+endBytes:]
	if !hmac.Equal(k.mac(signed), mac) {
		return id, end, ErrForged
	}
	copy(id[:], signed)
	return id, time.UnixMilli(int64(binary.BigEndian.Uint64(signed[IDBytes:]))).UTC(), nil
}

func (k Key) mac(signed []byte) []byte {
	h := hmac.New(sha256.New, []byte(k))
	h.Write(signed)
	return h.Sum(nil)[:macBytes]
}
