package api

import (
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// TestNonce: each page has a nonce of its own, the same in the policy and in
// the page; nothing in the policy is inline or from elsewhere.
func TestNonce(t *testing.T) {
	t.Parallel()
	s := newSuite(t, func(d *Deps) {
		d.Console = fstest.MapFS{"index.html": {Data: []byte(`<meta property="csp-nonce" nonce="` + noncePlace + `"><link nonce="` + noncePlace + `">`)}}
	})
	seen := map[string]bool{}
	for _, path := range []string{"/", "/index.html", "/alerts/al_1", "/login"} {
		a := s.call("GET", path, "")
		policy := a.header.Get("Content-Security-Policy")
		m := regexp.MustCompile(`style-src 'self' 'nonce-([A-Za-z0-9+/=]{24})';`).FindStringSubmatch(policy)
		if m == nil {
			t.Fatalf("%s: the policy names no nonce: %s", path, policy)
		}
		if seen[m[1]] {
			t.Errorf("%s: the nonce %s was given before", path, m[1])
		}
		seen[m[1]] = true
		if n := strings.Count(string(a.body), `nonce="`+m[1]+`"`); n != 2 || strings.Contains(string(a.body), noncePlace) {
			t.Errorf("%s: the page holds the policy's nonce %d times: %s", path, n, a.body)
		}
		for _, bad := range []string{"unsafe", "data:", "blob:", "*", "http:"} {
			if strings.Contains(policy, bad) {
				t.Errorf("%s: the policy allows %s: %s", path, bad, policy)
			}
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("ETag") != "" {
			t.Errorf("%s: a page with a nonce may be kept: %v", path, a.header)
		}
		if a.header.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: HSTS over plain HTTP", path)
		}
	}
}
