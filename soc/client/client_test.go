package client

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func server(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(Options{URL: s.URL, Token: "secret", Tenant: "e-seal"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProblemIsShownPlainly(t *testing.T) {
	t.Parallel()
	f := func(name, kind, body string, status int, want string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := server(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				w.WriteHeader(status)
				w.Write([]byte(body))
			})
			err := c.Get(context.Background(), "/api/v1/me", nil, nil)
			if err == nil || err.Error() != want {
				t.Fatalf("got %v\nwant %s", err, want)
			}
			if Status(err) != status {
				t.Fatalf("status %d, want %d", Status(err), status)
			}
		})
	}
	f("rows", "application/problem+json", `{"title":"Import refused","status":422,"detail":"2 rows are wrong","errors":[{"row":3,"column":"addresses","message":"not an address: 10.0.0"},{"row":7,"message":"name is missing"}]}`, 422,
		"Import refused: 2 rows are wrong (HTTP 422)\n  row 3, addresses: not an address: 10.0.0\n  row 7: name is missing")
	f("request field", "application/problem+json", `{"title":"Unprocessable","status":422,"errors":[{"location":"query.limit","message":"expected number <= 1000","value":5000}]}`, 422,
		"Unprocessable (HTTP 422)\n  query.limit: expected number <= 1000 (got 5000)")
	f("text from a proxy", "text/html", "<h1>Bad Gateway</h1>", 502, "Bad Gateway: <h1>Bad Gateway</h1> (HTTP 502)")
	f("json that is no problem", "application/json", `{"error":"x"}`, 500, `Internal Server Error: {"error":"x"} (HTTP 500)`)
	f("empty", "", "", 401, "Unauthorized (HTTP 401)")
}

func TestRequestCarriesCredentialAndTenant(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("authorization %q", got)
		}
		if got := r.Header.Get("X-Scope-OrgID"); got != "e-seal" {
			t.Errorf("tenant %q", got)
		}
		w.Write([]byte(`{"username":"li"}`))
	})
	u, err := c.Me(context.Background())
	if err != nil || u.Username != "li" {
		t.Fatalf("%+v, %v", u, err)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	f := func(body string, want int, wantErr string) {
		t.Helper()
		c := server(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
		n := 0
		err := c.Stream(context.Background(), "/api/v1/search", nil, func([]byte) error { n++; return nil })
		if n != want || (wantErr == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%q: %d lines, %v", body, n, err)
		}
	}
	f("{\"a\":1}\n\n{\"a\":2}\n", 2, "")
	f("{\"a\":1}\n{\"error\":\"query ran longer than 30 s\"}\n", 1, "incomplete after 1 events: query ran longer than 30 s")
	f("{\"error\":\"a field of that name\"}\n{\"a\":2}\n", 2, "")
	f("{\"error\":\"a field of that name\",\"a\":1}\n", 1, "")
}

func TestListFollowsPages(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("cursor") {
		case "":
			w.Write([]byte(`{"items":[{"id":"a","occurrences":4},{"id":"b","occurrences":[{},{}]}],"total":3,"next":"2"}`))
		default:
			w.Write([]byte(`{"items":[{"id":"c"}],"total":3,"next":""}`))
		}
	})
	f := func(limit, want int) {
		got, err := c.Alerts(context.Background(), url.Values{"status": {"open"}}, limit)
		if err != nil || len(got) != want {
			t.Fatalf("limit %d: %d alerts, %v", limit, len(got), err)
		}
	}
	f(0, 3)
	f(2, 2)
	got, _ := c.Alerts(context.Background(), nil, 0)
	if got[0].Occurrences != 4 || got[1].Occurrences != 2 {
		t.Fatalf("occurrences %d and %d", got[0].Occurrences, got[1].Occurrences)
	}
}

func TestNewRefusesOddAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"ftp://x", "http://", "http://[::1"} {
		if _, err := New(Options{URL: address}); err == nil {
			t.Errorf("%q was accepted", address)
		}
	}
	c, err := New(Options{URL: "127.0.0.1:9"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Get(context.Background(), "/healthz", nil, nil); err == nil || !strings.Contains(err.Error(), "cannot reach the server at http://127.0.0.1:9: ") {
		t.Fatalf("%v", err)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of the handshakes that are refused here
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(o Options, want string) {
		t.Helper()
		o.URL = s.URL
		c, err := New(o)
		if err == nil {
			err = c.Get(context.Background(), "/", nil, nil)
		}
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	f(Options{}, "is not trusted")
	f(Options{CAFile: file}, "")
	f(Options{Insecure: true}, "")
	f(Options{CAFile: file + "x"}, "no such file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(Options{CAFile: file}, "no certificate in PEM form")
}

func TestResolve(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	home := t.TempDir()
	path := filepath.Join(home, "icewatch", "credentials")
	kept := Credentials{Default: "http://soc:8080", Servers: map[string]Credential{
		"http://soc:8080": {Token: "fresh", ExpiresAt: now.Add(time.Hour)},
		"http://old:8080": {Token: "stale", Username: "li", ExpiresAt: now.Add(-time.Hour)},
	}}
	if err := kept.Save(path); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", info.Mode())
	}
	data := t.TempDir()
	if err := os.Mkdir(filepath.Join(data, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", SocketPath(data))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })

	f := func(name string, o Options, data string, env map[string]string, want Options, wantErr string) {
		t.Helper()
		if env["XDG_CONFIG_HOME"] == "" {
			env["XDG_CONFIG_HOME"] = home
		}
		got, err := Resolve(o, data, func(k string) string { return env[k] }, now)
		if wantErr != "" {
			if !errors.Is(err, ErrNoCredential) || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%s: %v, want %s", name, err, wantErr)
			}
			return
		}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, want)
		}
	}
	empty := t.TempDir()
	f("token", Options{}, data, map[string]string{"ICEWATCH_TOKEN": "t"}, Options{URL: DefaultURL, Token: "t"}, "")
	f("kept default", Options{}, data, map[string]string{}, Options{URL: "http://soc:8080", Token: "fresh"}, "")
	f("kept by address", Options{URL: "http://SOC:8080/"}, data, map[string]string{}, Options{URL: "http://SOC:8080/", Token: "fresh"}, "")
	f("ended", Options{URL: "http://old:8080"}, data, map[string]string{}, Options{}, "the sign-in of li at http://old:8080 ended")
	f("socket", Options{}, data, map[string]string{"XDG_CONFIG_HOME": empty}, Options{URL: DefaultURL, Socket: SocketPath(data)}, "")
	f("no socket for another machine", Options{URL: "http://10.0.0.9"}, data, map[string]string{"XDG_CONFIG_HOME": empty}, Options{}, "not signed in")
	f("nobody listens", Options{}, t.TempDir(), map[string]string{"XDG_CONFIG_HOME": empty}, Options{}, "not signed in")

	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCredentials(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("a file that others can read: %v", err)
	}
}
