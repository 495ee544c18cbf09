package mfa

import (
	"strings"
	"testing"
	"time"
)

func TestTOTP(t *testing.T) {
	t.Parallel()
	// RFC 6238, appendix B: the ASCII secret 12345678901234567890.
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	f := func(at int64, code string, last, step int64, want bool) {
		t.Helper()
		got, ok, err := VerifyTOTP(secret, code, time.Unix(at, 0), last)
		if err != nil || ok != want || want && got != step {
			t.Errorf("%s at %d after step %d: step %d, %v, %v", code, at, last, got, ok, err)
		}
	}
	f(59, "287082", 0, 1, true)
	f(1111111109, "081804", 0, 37037036, true)
	f(2000000000, "279037", 0, 66666666, true)
	f(2000000000+30, "279037", 0, 66666666, true) // a clock that is behind
	f(2000000000-30, "279037", 0, 66666666, true) // and one that is ahead
	f(2000000000+90, "279037", 0, 0, false)
	f(2000000000, "279037", 66666666, 0, false) // taken before
	f(2000000000, "279037", 66666667, 0, false) // a later one was taken
	f(2000000000, "279038", 0, 0, false)
	f(2000000000, "", 0, 0, false)
	f(2000000000, "0279037", 0, 0, false)

	made, uri, err := NewTOTP("icewatch", "li.wei")
	if err != nil || len(made) != 32 || !strings.HasPrefix(uri, "otpauth://totp/icewatch:li.wei?") || !strings.Contains(uri, "secret="+made) {
		t.Errorf("%q, %q, %v", made, uri, err)
	}
	if _, _, err := VerifyTOTP("not base32!", "000000", time.Now(), 0); err == nil {
		t.Error("a damaged secret")
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	if len(letters) != 32 {
		t.Fatalf("%d letters: bits would be lost", len(letters))
	}
	codes, hashes := NewCodes()
	seen := map[string]bool{}
	for i, c := range codes {
		if len(c) != codeLetters+3 || seen[c] {
			t.Errorf("the code %q", c)
		}
		seen[c] = true
		for _, typed := range []string{c, strings.ToUpper(c), strings.ReplaceAll(c, "-", " "), " " + strings.ReplaceAll(c, "-", "") + " "} {
			if HashCode(typed) != hashes[i] {
				t.Errorf("%q is not taken for %q", typed, c)
			}
		}
	}
	if len(codes) != Codes || HashCode(codes[0][1:]) == hashes[0] {
		t.Error("the codes")
	}
}

func TestCeremonies(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	c := NewCeremonies[string](func() time.Time { return now })
	id, expires := c.Begin("a")
	if !expires.Equal(now.Add(CeremonyLife)) {
		t.Errorf("open until %s", expires)
	}
	if what, ok := c.Take(id); !ok || what != "a" {
		t.Errorf("%q, %v", what, ok)
	}
	if _, ok := c.Take(id); ok {
		t.Error("taken twice")
	}
	c.Resume(id, "b")
	c.Resume("never begun", "x")
	if what, ok := c.Take(id); !ok || what != "b" {
		t.Errorf("resumed: %q, %v", what, ok)
	}
	if _, ok := c.Take("never begun"); ok {
		t.Error("one that was never begun")
	}
	c.Resume(id, "c")
	now = now.Add(CeremonyLife)
	if _, ok := c.Take(id); ok {
		t.Error("too late")
	}
	first, _ := c.Begin("first")
	for range 2 * maxCeremonies {
		c.Begin("more")
	}
	if _, ok := c.Take(first); ok || len(c.open) > maxCeremonies {
		t.Errorf("%d are open", len(c.open))
	}
}

func TestPartyNames(t *testing.T) {
	t.Parallel()
	f := func(origin string, ok bool) {
		t.Helper()
		if _, err := NewParty(origin); (err == nil) != ok {
			t.Errorf("%q: %v", origin, err)
		}
	}
	f("https://soc.example.org", true)
	f("https://SOC.example.org:8443", true)
	f("http://localhost:8080", true)
	f("https://10.1.2.3", false)
	f("http://[::1]:8080", false)
	f("", false)
	f("null", false)
	f("ftp://example.org", false)
	f("https://", false)
}

func FuzzAnswers(f *testing.F) {
	p, err := NewParty("https://soc.example.org")
	if err != nil {
		f.Fatal(err)
	}
	o := Owner{Handle: "usr_1", Name: "li"}
	_, registration, err := p.BeginRegistration(o)
	if err != nil {
		f.Fatal(err)
	}
	_, alone, err := p.BeginAlone()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA","userHandle":"AA"}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if _, err := p.FinishRegistration(o, registration, answer); err == nil {
			t.Fatal("a key out of nothing")
		}
		if _, _, err := p.FinishAlone(alone, answer, func(string) (Owner, error) { return o, nil }); err == nil {
			t.Fatal("a sign-in out of nothing")
		}
	})
}
