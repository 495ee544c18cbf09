package audit

import (
	"testing"
	"time"
)

// TestStatement changes each part of a signature over something outside the
// log: none of them goes unnoticed.
func TestStatement(t *testing.T) {
	t.Parallel()
	s, err := openSigner(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openSigner(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	good, foreign := s.statement("archive", []byte("data")), other.statement("archive", []byte("data"))
	if err := good.Check("archive", []byte("data")); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Signature){
		"purpose":    func(s *Signature) { s.Purpose = "report" },
		"digest":     func(s *Signature) { s.Digest = "00" + s.Digest[2:] },
		"time":       func(s *Signature) { s.Time = s.Time.Add(time.Millisecond) },
		"key":        func(s *Signature) { s.Key = foreign.Key },
		"public key": func(s *Signature) { s.Key, s.PublicKey = foreign.Key, foreign.PublicKey },
		"signature":  func(s *Signature) { s.Signature = foreign.Signature },
	} {
		bad := good
		spoil(&bad)
		if bad.Check("archive", []byte("data")) == nil {
			t.Errorf("another %s is not noticed", name)
		}
	}
	if good.Check("archive", []byte("date")) == nil || good.Check("report", []byte("data")) == nil {
		t.Error("the signature holds for something else, too")
	}
}
