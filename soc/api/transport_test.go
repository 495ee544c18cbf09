package api

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"icewatch/soc/identity"
)

func packed(t *testing.T, kind string, plain []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch kind {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "deflate":
		w = zlib.NewWriter(&buf)
	case "bare":
		w, _ = flate.NewWriter(&buf, 5)
	case "zstd":
		w, _ = zstd.NewWriter(&buf)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestBodies(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	token := s.token("a", identity.ScopeIngest)
	f := func(name string, body io.Reader, want int, headers ...string) {
		t.Helper()
		if a := s.with(http.DefaultClient, s.url, "POST", "/elastic/_bulk", body, append(bearer(token), headers...)...); a.status != want {
			t.Errorf("%s: got %d, want %d: %s", name, a.status, want, a.body)
		}
	}
	megabyte := bytes.Repeat([]byte("x"), 1<<20)
	f("of the limit", bytes.NewReader(megabyte), 200)
	f("beyond the limit", bytes.NewReader(append(megabyte, 'x')), 413)
	f("chunked, of the limit", onlyReader{bytes.NewReader(megabyte)}, 200)
	f("chunked, beyond the limit", onlyReader{bytes.NewReader(append(megabyte, 'x'))}, 413)
	f("packed, for the handler", bytes.NewReader(packed(t, "gzip", []byte("x"))), 200, "Content-Encoding", "gzip")
	s.ingest.took = nil
	f("snappy, for the handler", strings.NewReader("x"), 200, "Content-Encoding", "snappy")
	if len(s.ingest.took) != 1 || s.ingest.took[0] != "a:x" {
		t.Errorf("took %q", s.ingest.took)
	}

	// The API unpacks itself, within the bounds of each operation.
	admin := bearer(s.login("admin", adminPassword))
	g := func(kind, encoding string, plain []byte, want int) {
		t.Helper()
		a := s.with(http.DefaultClient, s.url, "POST", "/api/v1/cmdb/import?format=csv&dry_run=true", bytes.NewReader(packed(t, kind, plain)),
			append(admin, "Content-Encoding", encoding)...)
		if a.status != want {
			t.Errorf("%s as %s of %d: got %d, want %d: %s", kind, encoding, len(plain), a.status, want, a.body)
		}
	}
	bomb := make([]byte, maxAPIBody+1)
	for _, kind := range []string{"gzip", "deflate", "zstd"} {
		g(kind, kind, []byte("class,name"), 200)
		g(kind, kind, bomb, 413)
	}
	g("bare", "deflate", []byte("class,name"), 200)
	g("gzip", "br", []byte("x"), 415)
	g("gzip", "zstd", []byte("x"), 400)
	g("zstd", "gzip", []byte("x"), 400)
	g("gzip", "deflate", []byte("x"), 400)
	if a := s.with(http.DefaultClient, s.url, "POST", "/api/v1/cmdb/import?format=csv", bytes.NewReader(bomb), admin...); a.status != 413 {
		t.Errorf("a large import: %d", a.status)
	}
}

// onlyReader hides what would tell the length.
type onlyReader struct{ io.Reader }

// What a request does not read must never be taken for the next request.
func TestNoSmugglingBehindARefusal(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	inner := "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	token := s.token("a", identity.ScopeIngest)
	f := func(name, head, body string) {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		go func() { _, _ = io.WriteString(conn, head+body) }()
		answers := 0
		r := bufio.NewReader(conn)
		for {
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				break
			}
			_, _ = io.Copy(io.Discard, res.Body)
			answers++
			if res.StatusCode == 200 {
				t.Errorf("%s: the body was served as a request", name)
			}
			if res.Close {
				break
			}
			_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		}
		if answers == 0 {
			t.Errorf("%s: no answer", name)
		}
	}
	big := strings.Repeat(inner, 4<<20/len(inner))
	for _, auth := range []string{"", "Authorization: Bearer x\r\n", "X-Scope-OrgID: b\r\nAuthorization: Bearer " + token + "\r\n"} {
		f("small body", fmt.Sprintf("POST /elastic/_bulk HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n", auth, len(inner)), inner)
		f("large body", fmt.Sprintf("POST /elastic/_bulk HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n", auth, len(big)), big)
		f("chunked body", fmt.Sprintf("POST /elastic/_bulk HTTP/1.1\r\nHost: x\r\n%sTransfer-Encoding: chunked\r\n\r\n", auth),
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner))
		f("GET with a body", fmt.Sprintf("GET /elastic HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n", auth, len(inner)), inner)
	}
	login := `{"username":"a","password":"` + strings.Repeat("b", maxPublicBody) + `"}` + big
	f("login", fmt.Sprintf("POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(login)), login)
	f("no route", fmt.Sprintf("DELETE /api/v1/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", token, len(inner)), inner)
	junk := string(packed(t, "gzip", []byte(`{}`))) + inner
	f("junk behind the packed part", fmt.Sprintf("POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(junk)), junk)
}

func TestKeepAliveAfterRefusal(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	for i := range 3 {
		fmt.Fprintf(conn, "POST /elastic/_bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != 401 {
			t.Fatalf("request %d on the same connection: %v, %v", i, res, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
}

func TestHeadersAndConsole(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	f := func(path string, want int, contentType, cache string, headers ...string) answer {
		t.Helper()
		// A transport of its own: the default one unpacks gzip silently.
		client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
		a := s.with(client, s.url, "GET", path, nil, headers...)
		if a.status != want || !strings.HasPrefix(a.header.Get("Content-Type"), contentType) || !strings.Contains(a.header.Get("Cache-Control"), cache) {
			t.Errorf("GET %s: %d %q %q", path, a.status, a.header.Get("Content-Type"), a.header.Get("Cache-Control"))
		}
		for _, h := range []string{"Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "X-Request-Id"} {
			if a.header.Get(h) == "" {
				t.Errorf("GET %s: no %s", path, h)
			}
		}
		return a
	}
	f("/", 200, "text/html", "no-store")
	f("/alerts/al_1", 200, "text/html", "no-store", "Cookie", cookieName+"=stale")
	f("/assets/app-1a2b.js", 200, "text/javascript", "immutable")
	f("/assets/old-0000.js", 404, "application/problem+json", "")
	f("/../../etc/passwd", 200, "text/html", "no-store")
	f("/healthz", 200, "application/json", "no-store")
	f("/readyz", 200, "application/json", "")
	f("/api/v1/me", 401, "application/problem+json", "no-store")
	gz := f("/assets/app-1a2b.js", 200, "text/javascript", "", "Accept-Encoding", "br, gzip;q=0.8")
	if gz.header.Get("Content-Encoding") != "gzip" || len(gz.body) > 1000 {
		t.Errorf("not packed: %q, %d bytes", gz.header.Get("Content-Encoding"), len(gz.body))
	}
	if plain := f("/assets/app-1a2b.js", 200, "text/javascript", "", "Accept-Encoding", "gzip;q=0"); plain.header.Get("Content-Encoding") != "" {
		t.Error("packed against the client's wish")
	}
	f("/assets/app-1a2b.js", 304, "", "", "If-None-Match", gz.header.Get("ETag"))

	empty := newSuite(t, func(d *Deps) { d.Console = nil })
	if a := empty.call("GET", "/", ""); a.status != 503 || !strings.Contains(string(a.body), "make build") {
		t.Errorf("without the console: %d %s", a.status, a.body)
	}
}

func TestReadyzNamesParts(t *testing.T) {
	t.Parallel()
	s := newSuite(t, func(d *Deps) { d.Ready = notReady })
	if a := s.call("GET", "/readyz", ""); a.status != 503 || !strings.Contains(string(a.body), `"engine"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.call("GET", "/healthz", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
