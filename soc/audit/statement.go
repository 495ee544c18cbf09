package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Signature is the log's key's signature over something that is not in the
// log: a sealed archive, a report. It says that this suite made it at that time.
type Signature struct {
	Purpose   string    `json:"purpose"` // one line; a signature for one purpose is none for another
	Digest    string    `json:"digest"`  // SHA-256 of what is signed, hex
	Time      time.Time `json:"time"`
	Key       string    `json:"key"`        // the id of the key, as Verify of the log shows it
	PublicKey string    `json:"public_key"` // Ed25519, 32 bytes, base64
	Signature string    `json:"signature"`  // Ed25519 over message, base64
}

// message is what is signed, as lines of text. Its first line keeps it apart
// from checkpoints.
func (s *Signature) message() []byte {
	return fmt.Appendf(nil, "icewatch statement 1\n%s\n%s\n%d\n", s.Purpose, s.Digest, s.Time.UnixMilli())
}

// Sign signs data for a purpose with the key that signs the log.
func (l *Log) Sign(purpose string, data []byte) Signature { return l.sign.statement(purpose, data) }

func (s *signer) statement(purpose string, data []byte) Signature {
	sum := sha256.Sum256(data)
	out := Signature{
		Purpose: strings.ReplaceAll(purpose, "\n", " "), Digest: hex.EncodeToString(sum[:]), Time: time.Now().UTC().Truncate(time.Millisecond),
		Key: s.id, PublicKey: base64.StdEncoding.EncodeToString(s.private.Public().(ed25519.PublicKey)),
	}
	out.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(s.private, out.message()))
	return out
}

// Check verifies that the signature is one over data for the purpose. It needs
// nothing else: whose key it is, the caller has to know by its id.
func (s *Signature) Check(purpose string, data []byte) error {
	key := Key{ID: s.Key, PublicKey: s.PublicKey}
	public, err := key.decode()
	if err != nil {
		return err
	}
	if s.Purpose != purpose {
		return fmt.Errorf("it was signed as %q, want %q", s.Purpose, purpose)
	}
	if sum := sha256.Sum256(data); s.Digest != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("what is there has the digest %x, and %s was signed", sum, s.Digest)
	}
	raw, err := base64.StdEncoding.DecodeString(s.Signature)
	if err != nil || !ed25519.Verify(public, s.message(), raw) {
		return fmt.Errorf("the signature of the key %s is not valid", s.Key)
	}
	return nil
}
