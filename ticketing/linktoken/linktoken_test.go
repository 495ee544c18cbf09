package linktoken

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	t.Parallel()
	key, id := NewKey(), [IDBytes]byte{1, 2, 3, 15: 9}
	end := time.Date(2026, 11, 26, 8, 0, 0, 123_000_000, time.UTC)
	token := key.Sign(id, end)
	if len(token) != 64 || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		t.Errorf("the token is %q", token)
	}
	if got, when, err := key.Read(token); got != id || !when.Equal(end) || err != nil {
		t.Errorf("it reads %v, %v, %v", got, when, err)
	}
	if _, _, err := NewKey().Read(token); !errors.Is(err, ErrForged) {
		t.Errorf("by another key: %v", err)
	}
	for i := range token {
		other := []byte(token)
		other[i] = 'A' + (other[i]-'A'+1)%26
		if token[i] < 'A' {
			other[i] = 'Q'
		}
		if _, _, err := key.Read(string(other)); !errors.Is(err, ErrForged) {
			t.Errorf("with letter %d changed: %v", i, err)
		}
	}
}

// FuzzRead sees that what was not signed is not read.
func FuzzRead(f *testing.F) {
	key := NewKey()
	f.Add("")
	f.Add(strings.Repeat("A", 64))
	f.Fuzz(func(t *testing.T, token string) {
		if _, _, err := key.Read(token); err == nil {
			t.Fatal("a made-up token is read")
		}
	})
}
