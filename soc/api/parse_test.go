package api

import (
	"strings"
	"testing"
	"time"
)

var testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestParseTime(t *testing.T) {
	t.Parallel()
	f := func(in, want string) {
		t.Helper()
		got, err := ParseTime(in, testNow)
		if want == "" {
			if err == nil {
				t.Errorf("%q: got %v, want an error", in, got)
			}
			return
		}
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: got %v, %v, want %s", in, got, err, want)
		}
	}
	f("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z")
	f("2026-11-23T18:00:00.123456+08:00", "2026-11-23T10:00:00.123456Z")
	f("2026-11-23", "2026-11-23T00:00:00Z")
	f("now", "2026-11-23T12:00:00Z")
	f("15m", "2026-11-23T11:45:00Z")
	f("now-15m", "2026-11-23T11:45:00Z")
	f("7d", "2026-11-16T12:00:00Z")
	f("1d12h", "2026-11-22T00:00:00Z")
	f("2w", "2026-11-09T12:00:00Z")
	f("0.5d", "2026-11-23T00:00:00Z")
	f("1767225600", "2026-01-01T00:00:00Z")
	f("1767225600.5", "2026-01-01T00:00:00.5Z")
	f("1767225600123", "2026-01-01T00:00:00.123Z")
	f("1767225600123456", "2026-01-01T00:00:00.123456Z")
	f("1767225600123456789", "2026-01-01T00:00:00.123456789Z")
	f("0", "1970-01-01T00:00:00Z")
	f("-1", "1969-12-31T23:59:59Z")
	f(" 15m ", "2026-11-23T11:45:00Z")
	for _, bad := range []string{"", "yesterday", "15", "5x", "-5m", "now+5m", "15mm", "99999999999999999999", "1e9", "m", "d", "1..5", "NaN", "2026-13-01", strings.Repeat("1", 100)} {
		if bad == "15" {
			continue // a Unix time, if an early one
		}
		f(bad, "")
	}
}

func TestAcceptsEncoding(t *testing.T) {
	t.Parallel()
	f := func(header, coding string, want bool) {
		t.Helper()
		if accepts(header, coding) != want {
			t.Errorf("accepts(%q, %q) is not %v", header, coding, want)
		}
	}
	f("gzip, deflate, br", "br", true)
	f("GZIP", "gzip", true)
	f("gzip;q=0.5", "gzip", true)
	f("gzip; q=0", "gzip", false)
	f("xgzip", "gzip", false)
	f("", "gzip", false)
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"15m", "7d", "now-1h", "2026-11-23T10:00:00Z", "1767225600.5", "1767225600123456789", "-1", "1w2d", "9999999999w", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTime(s, testNow)
		if err != nil {
			if len(err.Error()) > 400 {
				t.Fatalf("%q: the error echoes too much: %v", s, err)
			}
			return
		}
		if got.Location() != time.UTC {
			t.Fatalf("%q: not in UTC: %v", s, got)
		}
		if d, err := ParseDuration(s); err == nil && d < 0 {
			t.Fatalf("%q: a negative duration %v", s, d)
		}
	})
}

func FuzzParseCredential(f *testing.F) {
	for _, s := range []string{"Bearer abc", "bearer  abc ", "Basic dXNlcjpwYXNz", "Basic Og==", "ApiKey aWQ6a2V5", "Digest x", "Basic ===", "Bearer", " ", "Basic dXNlcg=="} {
		f.Add(s, "cookie")
	}
	f.Fuzz(func(t *testing.T, header, cookie string) {
		c := parseCredential(header, cookie)
		if c.bad != "" && c.secret != "" {
			t.Fatalf("%q: bad and yet a secret: %+v", header, c)
		}
		// A header that cannot be read must never fall back to the cookie.
		if header != "" && (c.cookie || c.bad == "" && c.secret == "") {
			t.Fatalf("%q with cookie %q: %+v", header, cookie, c)
		}
		if c.bad != "" && header != "" && len(header) > 20 && strings.Contains(c.bad, header) {
			t.Fatalf("the credential is echoed: %q", c.bad)
		}
	})
}

func FuzzTenantHeader(f *testing.F) {
	for _, s := range []string{"a", "a|b", "", "|", "a|", " a ", "A", "../a", "a,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, requested string) {
		ctx := withPrincipal(t.Context(), []string{"a", "c"})
		got, err := Reach(ctx, requested)
		if err != nil {
			return
		}
		slugs, all := got.TenantSlugs()
		if all {
			t.Fatalf("%q: all tenants for one who may see two", requested)
		}
		for _, slug := range slugs {
			if slug != "a" && slug != "c" {
				t.Fatalf("%q: reaches %q", requested, slug)
			}
		}
	})
}
