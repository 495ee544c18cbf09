package acceptance

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"icewatch/soc/client"
	"icewatch/soc/identity"
)

// product is what a template engine makes of 7331*7331; no answer may hold it.
const product = "53743561"

// payloads is what is tried in every string parameter. A name says what it
// would do where it worked.
var payloads = map[string]string{
	"sql or":         `' OR '1'='1`,
	"sql drop":       `'; DROP TABLE identity_users; --`,
	"sql union":      `" UNION SELECT name FROM sqlite_master --`,
	"sql sleep":      `1') OR 1=(WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<50000000) SELECT count(*) FROM c) --`,
	"sql like":       `%_%`,
	"logsql tenant":  `*"} or {tenant="e-seal"} or "`,
	"logsql pipe":    `* | stats by (icewatch.tenant) count() | delete`,
	"regexp":         `_msg:~"(a+)+(a+)+(a+)+$"`,
	"ldap":           `*)(uid=*))(|(uid=*`,
	"template":       `{{7331*7331}}${7331*7331}<%= 7331*7331 %>#{7331*7331}`,
	"shell":          `$(touch /tmp/icewatch-pwned);` + "`touch /tmp/icewatch-pwned`" + `|touch /tmp/icewatch-pwned`,
	"header":         "x\r\nX-Injected: yes\r\n\r\n<html>",
	"nul":            "a\x00b",
	"not utf-8":      "\xff\xfe\xc0\xaf",
	"long":           strings.Repeat("A", 70_000),
	"right to left":  "\u202Egnp.exe\u2066\u0000\uFFFF𝒳ﬁ",
	"traversal":      `../../../../../../etc/passwd`,
	"traversal hex":  `..%2f..%2f..%2f..%2fetc%2fpasswd`,
	"file":           `file:///etc/passwd`,
	"script":         `<script>window.__xss=1</script>`,
	"image":          `"><img class=xss src=x onerror="window.__xss=1">`,
	"javascript":     `javascript:window.__xss=1`,
	"json operator":  `{"$gt":""}`,
	"prototype":      `__proto__`,
	"number":         `-99999999999999999999`,
	"not a number":   `NaN`,
	"format":         `%s%n%x%!d(MISSING)`,
	"yaml":           `&a [*a, *a]`,
	"regexp bracket": `[[[(((*`,
	"nothing":        ``,
}

// operation is one operation of the API with its string parameters.
type operation struct {
	id, method, path string
	params           []parameter
	body             map[string]any // a body of the right shape; nil for none
	fields           [][]string     // paths to the body's strings
	stream           bool
}

type parameter struct{ name, in, value string }

// description is the part of OpenAPI that the attacks are generated from.
type description struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Parameters  []struct {
			Name     string `json:"name"`
			In       string `json:"in"`
			Required bool   `json:"required"`
			Schema   schema `json:"schema"`
		} `json:"parameters"`
		RequestBody struct {
			Content map[string]struct {
				Schema schema `json:"schema"`
			} `json:"content"`
		} `json:"requestBody"`
		Responses map[string]struct {
			Content map[string]any `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type schema struct {
	Ref        string            `json:"$ref"`
	Type       any               `json:"type"` // a word, or several
	Enum       []any             `json:"enum"`
	Format     string            `json:"format"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	ReadOnly   bool              `json:"readOnly"`
}

func (s schema) is(kind string) bool {
	if list, ok := s.Type.([]any); ok {
		return slices.Contains(list, any(kind))
	}
	return s.Type == kind
}

// sample makes a value of the schema and collects the paths to its strings.
func (d *description) sample(s schema, path []string, depth int, found *[][]string) any {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		s = d.Components.Schemas[name]
	}
	switch {
	case depth > 5:
		return nil
	case s.is("object"):
		out := map[string]any{}
		for name, p := range s.Properties {
			if name == "$schema" || p.ReadOnly {
				continue
			}
			if v := d.sample(p, append(slices.Clone(path), name), depth+1, found); v != nil {
				out[name] = v
			}
		}
		return out
	case s.is("array") && s.Items != nil:
		if v := d.sample(*s.Items, append(slices.Clone(path), "0"), depth+1, found); v != nil {
			return []any{v}
		}
		return []any{}
	case s.is("string"):
		*found = append(*found, path)
		switch {
		case len(s.Enum) > 0:
			return s.Enum[0]
		case s.Format == "date-time":
			return time.Now().UTC().Format(time.RFC3339)
		}
		return "attack"
	case s.is("boolean"):
		return false
	case s.is("integer"), s.is("number"):
		return 1
	}
	return nil
}

// put returns the value with the string at path replaced.
func put(v any, path []string, text string) any {
	if len(path) == 0 {
		return text
	}
	switch v := v.(type) {
	case map[string]any:
		out := maps.Clone(v)
		out[path[0]] = put(v[path[0]], path[1:], text)
		return out
	case []any:
		return []any{put(v[0], path[1:], text)}
	}
	return v
}

// operations reads what the running suite says of itself.
func (s *suite) operations() []operation {
	s.t.Helper()
	var d description
	if err := s.admin.Get(context.Background(), "/api/v1/openapi.json", nil, &d); err != nil {
		s.t.Fatal(err)
	}
	var out []operation
	for path, methods := range d.Paths {
		for method, o := range methods {
			op := operation{id: o.OperationID, method: strings.ToUpper(method), path: path}
			for _, p := range o.Parameters {
				if p.Schema.is("string") || p.Schema.is("array") {
					value := "attack"
					if len(p.Schema.Enum) > 0 {
						value = fmt.Sprint(p.Schema.Enum[0])
					}
					op.params = append(op.params, parameter{p.Name, p.In, value})
				} else if p.In == "path" {
					op.params = append(op.params, parameter{p.Name, p.In, "1"})
				}
			}
			for kind, c := range o.RequestBody.Content {
				if strings.Contains(kind, "json") {
					if body, ok := d.sample(c.Schema, nil, 0, &op.fields).(map[string]any); ok {
						op.body = body
					}
				}
			}
			for _, r := range o.Responses {
				for kind := range r.Content {
					op.stream = op.stream || strings.Contains(kind, "event-stream")
				}
			}
			out = append(out, op)
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return out
}

// attempt is one request with one payload in one place.
type attempt struct {
	op      operation
	place   string // such as "query q"
	payload string // its name
	req     *http.Request
}

// attempts makes every request: each string parameter, header and string of a
// body in turn holds each payload.
func (s *suite) attempts(op operation, token string) []attempt {
	s.t.Helper()
	var out []attempt
	add := func(place, payload string, params []parameter, body any) {
		u := s.url + op.path
		q := url.Values{}
		header := http.Header{}
		for _, p := range params {
			switch p.in {
			case "path":
				u = strings.ReplaceAll(u, "{"+p.name+"}", url.PathEscape(p.value))
			case "query":
				if p.value != "attack" {
					q.Set(p.name, p.value)
				}
			case "header":
				header.Set(p.name, p.value)
			}
		}
		if len(q) > 0 {
			u += "?" + q.Encode()
		}
		var data []byte
		if body != nil {
			var err error
			if data, err = json.Marshal(body); err != nil {
				s.t.Fatal(err)
			}
		}
		req, err := http.NewRequest(op.method, u, bytes.NewReader(data))
		if err != nil {
			return // a path that no client can send
		}
		maps.Copy(req.Header, header)
		req.Header.Set("Authorization", "Bearer "+token)
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		out = append(out, attempt{op, place, payload, req})
	}
	for name, text := range payloads {
		for i, p := range op.params {
			if p.in == "path" && text == "" || p.in == "header" && strings.ContainsAny(text, "\r\n\x00") {
				continue // not a request of HTTP any more
			}
			params := slices.Clone(op.params)
			// A head longer than 16 KiB is refused before it is looked at.
			params[i].value = text[:min(len(text), 12_000)]
			add(p.in+" "+p.name, name, params, op.body)
		}
		for _, path := range op.fields {
			add("body "+strings.Join(path, "."), name, op.params, put(op.body, path, text))
		}
	}
	return out
}

// TestInjection puts every payload into every string that the API takes. No
// request may fail on the server, take long, run anything, be reflected as
// HTML, split a header or show what belongs to another tenant.
func TestInjection(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	ctx := context.Background()
	// The attack is faster than people: the limits are not its subject.
	if err := s.admin.JSON(ctx, http.MethodPut, "/api/v1/settings/rate-limits", nil,
		map[string]any{"enabled": false}, nil); err != nil {
		t.Fatal(err)
	}
	// A NUL in a log line reaches the alert's row by way of the rule's fields.
	for i := range 12 {
		s.sendTCP(fmt.Appendf(nil, "<38>1 %s web sshd 4711 - - Failed password for invalid user a\x00b from 203.0.113.9 port %d ssh2\n",
			time.Now().UTC().Format(time.RFC3339), 40000+i))
	}
	eventually(t, 30*time.Second, "the lines with a NUL raise an alert", func() error {
		var alerts struct{ Total int }
		if err := s.admin.Get(ctx, "/api/v1/alerts", nil, &alerts); err != nil || alerts.Total == 0 {
			return fmt.Errorf("%d alerts, %v", alerts.Total, err)
		}
		return nil
	})
	const secret = "Foreign-Marker-9317"
	s.foreign(secret)
	all := s.token("", identity.Scopes...).Options().Token
	own := s.token("acceptance-centre", identity.ScopeRead).Options().Token
	centre, engine := s.pid(), s.enginePID()

	type result struct {
		attempt
		err error
	}
	work, results := make(chan attempt), make(chan result)
	var sent atomic.Int64
	var workers sync.WaitGroup
	hc := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for range 4 {
		workers.Go(func() {
			for a := range work {
				sent.Add(1)
				if err := harmless(hc, a, secret, own); err != nil {
					results <- result{a, err}
				}
			}
		})
	}
	go func() {
		for _, op := range s.operations() {
			// The wizard would take the administrator's powers apart, and with
			// them the attacks that follow.
			if op.stream || strings.HasPrefix(op.path, "/api/v1/setup") {
				continue
			}
			for _, a := range s.attempts(op, all) {
				work <- a
			}
			if op.method == http.MethodGet {
				for _, a := range s.attempts(op, own) {
					work <- a
				}
			}
		}
		close(work)
		workers.Wait()
		close(results)
	}()
	failed := 0
	for r := range results {
		if failed++; failed <= 20 {
			t.Errorf("%s (%s %s), %s = %s: %v", r.op.id, r.op.method, r.op.path, r.place, r.payload, r.err)
		}
	}
	t.Logf("%d requests, %d harmful", sent.Load(), failed)
	if sent.Load() < 2000 {
		t.Errorf("only %d requests were made: the description of the API is not read as it should be", sent.Load())
	}
	if _, err := os.Stat("/tmp/icewatch-pwned"); err == nil {
		t.Error("a shell ran what a parameter held")
	}
	if !s.running() || s.pid() != centre || s.enginePID() != engine {
		t.Error("a process of the suite ended")
	}
	if log, _ := os.ReadFile(s.log.Name()); bytes.Contains(log, []byte("panic in a request handler")) {
		t.Error("a handler panicked")
	}
	var users struct{ Total int }
	if err := s.admin.Get(ctx, "/api/v1/users", nil, &users); err != nil || users.Total == 0 {
		t.Errorf("the users are gone: %v", err)
	}
}

// harmless sends one request and tells what was wrong with its answer. own is
// the token that may not see what secret marks.
func harmless(hc *http.Client, a attempt, secret, own string) error {
	began := time.Now()
	resp, err := hc.Do(a.req)
	if err != nil {
		if strings.Contains(err.Error(), "invalid header") || strings.Contains(err.Error(), "malformed HTTP") {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("%d: the answer breaks off: %w", resp.StatusCode, err)
	}
	took := time.Since(began)
	short := body[:min(len(body), 300)]
	switch kind := resp.Header.Get("Content-Type"); {
	case resp.StatusCode >= 500:
		return fmt.Errorf("%d: %s", resp.StatusCode, short)
	case took > 8*time.Second:
		return fmt.Errorf("%d after %s", resp.StatusCode, took)
	case strings.Contains(kind, "html") && bytes.Contains(body, []byte("__xss")):
		return fmt.Errorf("%d: reflected as %s: %s", resp.StatusCode, kind, short)
	case resp.Header.Get("X-Content-Type-Options") != "nosniff" && resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Errorf("%d: without nosniff, a browser may take %s for HTML", resp.StatusCode, kind)
	case resp.Header.Get("X-Injected") != "":
		return fmt.Errorf("%d: a parameter wrote a header", resp.StatusCode)
	case bytes.Contains(body, []byte(product)):
		return fmt.Errorf("%d: a template was run: %s", resp.StatusCode, short)
	case bytes.Contains(body, []byte("root:x:0:")):
		return fmt.Errorf("%d: a file of the machine was read", resp.StatusCode)
	case bytes.Contains(body, []byte("SQL logic error")), bytes.Contains(body, []byte("goroutine ")), bytes.Contains(body, []byte("modernc.org")), bytes.Contains(body, []byte(".go:")):
		return fmt.Errorf("%d: the answer shows internals: %s", resp.StatusCode, short)
	case a.req.Header.Get("Authorization") == "Bearer "+own && bytes.Contains(body, []byte(secret)):
		return fmt.Errorf("%d: the answer shows another tenant's data: %s", resp.StatusCode, short)
	}
	return nil
}

// foreign stores an event and an item of the tenant e-seal that hold the word.
func (s *suite) foreign(word string) {
	s.t.Helper()
	ctx := context.Background()
	seal := s.token("e-seal", identity.ScopeIngest)
	lines := fmt.Sprintf("{\"index\":{\"_index\":\"logs\"}}\n{\"message\":\"%s\",\"@timestamp\":%q}\n", word, time.Now().UTC().Format(time.RFC3339))
	if err := seal.Send(ctx, http.MethodPost, "/elastic/_bulk", nil, http.Header{"Content-Type": {"application/x-ndjson"}}, strings.NewReader(lines), nil); err != nil {
		s.t.Fatal(err)
	}
	item := fmt.Sprintf("- {class: host, name: foreign-host, tenant: e-seal, zone: default, addresses: [10.99.0.1], owner: %s}\n", word)
	if err := s.imports(item); err != nil {
		s.t.Fatal(err)
	}
	s.expect(word, 1, 20*time.Second)
}

// imports imports items into the CMDB as YAML.
func (s *suite) imports(text string) error {
	return s.admin.Send(context.Background(), http.MethodPost, "/api/v1/cmdb/import", url.Values{"format": {"yaml"}},
		http.Header{"Content-Type": {"application/octet-stream"}}, strings.NewReader(text), nil)
}

// TestBombs sends what unpacks, expands or nests without end. Each is refused
// within seconds, and the suite neither dies nor grows.
func TestBombs(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	centre, engine := s.pid(), s.enginePID()
	zeros := make([]byte, 1<<20)
	packed := func(w io.WriteCloser, b *bytes.Buffer, mib int) []byte {
		for range mib {
			if _, err := w.Write(zeros); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var g, z, archive, twice bytes.Buffer
	gzipped := packed(gzip.NewWriter(&g), &g, 1024)
	zw, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	zstandard := packed(zw, &z, 1024)
	gw := gzip.NewWriter(&twice)
	_, _ = gw.Write(gzipped)
	_ = gw.Close()
	aw := zip.NewWriter(&archive)
	f, err := aw.Create("../../../../etc/cron.d/items.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for range 512 {
		_, _ = f.Write(zeros)
	}
	_ = aw.Close()
	laughs := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i <= 'k'; i++ {
		p := string(i - 1)
		laughs += fmt.Sprintf("%c: &%c [%s]\n", i, i, strings.TrimSuffix(strings.Repeat("*"+p+",", 10), ","))
	}
	xml := `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "` + strings.Repeat("x", 100) + `">`
	for i := 'b'; i <= 'k'; i++ {
		xml += fmt.Sprintf(`<!ENTITY %c "%s">`, i, strings.Repeat(fmt.Sprintf("&%c;", i-1), 10))
	}
	xml += `<!ENTITY f SYSTEM "file:///etc/passwd">]><l>&k;&f;</l>`
	snappy := append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, bytes.Repeat([]byte{0xfe, 0xff, 0x00}, 1000)...) // says 4 GiB
	hc := &http.Client{Timeout: 60 * time.Second}
	before := memory(t, centre) + memory(t, engine)
	send := func(name, path, kind, encoding string, data []byte, want ...int) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.admin.Options().Token)
		req.Header.Set("Content-Type", kind)
		if strings.HasPrefix(path, "/elastic") || strings.HasPrefix(path, "/loki") {
			req.Header.Set("X-Scope-OrgID", "e-seal")
		}
		if encoding != "" {
			req.Header.Set("Content-Encoding", encoding)
		}
		began := time.Now()
		resp, err := hc.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if !slices.Contains(want, resp.StatusCode) || bytes.Contains(body, []byte("root:x:0:")) {
			t.Errorf("%s: %d, want one of %v: %.300s", name, resp.StatusCode, want, body)
		}
		t.Logf("%s: %d after %s, %d MiB", name, resp.StatusCode, time.Since(began).Round(time.Millisecond), (memory(t, centre)+memory(t, engine))>>20)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: answered after %s", name, took)
		}
	}
	const octets, imp = "application/octet-stream", "/api/v1/cmdb/import?format=yaml"
	send("gzip bomb as an import", imp, octets, "gzip", gzipped, 413)
	send("zstd bomb as an import", imp, octets, "zstd", zstandard, 413, 415)
	send("gzip in gzip", imp, octets, "gzip", twice.Bytes(), 400, 413, 422)
	send("zip as an import", imp, octets, "", archive.Bytes(), 400, 422)
	send("YAML aliases", imp, octets, "", []byte(laughs+"items: [*k]\n"), 400, 413, 422)
	send("YAML alias of itself", imp, octets, "", []byte("&a [*a]\n"), 400, 422)
	send("YAML depth", imp, octets, "", []byte(strings.Repeat("[", 1_000_000)), 400, 413, 422)
	send("YAML tags", imp, octets, "", []byte("!!python/object/apply:os.system [touch /tmp/icewatch-pwned]\n"), 400, 422)
	send("XML as an import", imp, octets, "", []byte(xml), 400, 422)
	send("CSV columns", "/api/v1/cmdb/import?format=csv", octets, "", []byte(strings.Repeat("a,", 2_000_000)), 400, 413, 422)
	send("CSV quote", "/api/v1/cmdb/import?format=csv", octets, "", []byte("name,class\n\""+strings.Repeat("x", 10<<20)), 400, 413, 422)
	send("JSON depth", "/api/v1/tokens", "application/json", "", []byte(strings.Repeat("[", 5_000_000)), 400, 413, 422)
	send("JSON keys", "/api/v1/tokens", "application/json", "", []byte("{"+strings.Repeat(`"a":1,`, 100_000)+`"b":1}`), 400, 413, 422)
	send("gzip bomb as events", "/elastic/_bulk", "application/x-ndjson", "gzip", gzipped, 413)
	send("zstd bomb as events", "/elastic/_bulk", "application/x-ndjson", "zstd", zstandard, 400, 413, 415)
	send("snappy that lies", "/loki/api/v1/push", "application/x-protobuf", "", snappy, 400, 413)
	send("snappy bomb", "/loki/api/v1/push", "application/x-protobuf", "", s2.EncodeSnappy(nil, bytes.Repeat(zeros, 300)), 400, 413)
	send("XML as an event", "/elastic/_bulk", "application/x-ndjson", "", []byte(fmt.Sprintf("{\"index\":{}}\n{\"message\":%s}\n", strconv.Quote(xml))), 200)
	provider := func(metadata string) []byte {
		body, err := json.Marshal(map[string]any{"id": "bomb", "kind": "saml", "name": map[string]string{"en": "Bomb"}, "enabled": true,
			"base_url": s.url, "saml": map[string]any{"metadata_xml": metadata}})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	const providers, acs = "/api/v1/identity-providers", "/api/v1/auth/saml/bomb/acs"
	send("XML entities as metadata", providers, "application/json", "", provider(xml), 400, 422)
	send("XML depth as metadata", providers, "application/json", "", provider(strings.Repeat("<a>", 100_000)), 400, 413, 422)
	send("metadata", providers, "application/json", "", provider(idpMetadata(t)), 201)
	// Such an answer is read, refused, and the browser sent back to the sign-in
	// page; one that was taken would be sent on to be finished.
	still := &http.Client{Timeout: 60 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for name, text := range map[string]string{
		"XML entities as an assertion":   xml,
		"XML depth as an assertion":      strings.Repeat("<a>", 20_000),
		"XML attributes as an assertion": "<a " + strings.Repeat(`x="1" `, 10_000) + "/>",
	} {
		resp, err := still.PostForm(s.url+acs, url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(text))}, "RelayState": {"x"}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		resp.Body.Close()
		if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/login?") || !strings.Contains(to, "sso=invalid") {
			t.Errorf("%s: %d to %q, want 303 to the sign-in page as invalid", name, resp.StatusCode, to)
		}
		for _, c := range resp.Cookies() {
			if c.Value != "" {
				t.Errorf("%s: the answer sets the cookie %s", name, c.Name)
			}
		}
	}
	if !s.running() || s.pid() != centre || s.enginePID() != engine {
		t.Error("a process of the suite ended")
	}
	// What is unpacked is bounded to 256 MiB (http.max_unpacked), held a few
	// times over until the garbage is collected.
	if after := memory(t, centre) + memory(t, engine); after > before+2500<<20 {
		t.Errorf("the suite grew from %d to %d MiB", before>>20, after>>20)
	}
	if _, err := os.Stat("/tmp/icewatch-pwned"); err == nil {
		t.Error("an import ran a command")
	}
}

// idpMetadata describes an identity provider that does not exist, with a
// certificate of its own.
func idpMetadata(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.example.gov.cn"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` +
		`<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` + base64.StdEncoding.EncodeToString(der) +
		`</X509Certificate></X509Data></KeyInfo></KeyDescriptor><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.gov.cn/sso"/></IDPSSODescriptor></EntityDescriptor>`
}

// memory is the most a process has held so far, in bytes.
func memory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("no VmHWM of %d", pid)
	return 0
}

// TestSSRF offers the suite URLs that lead to its own machine and to clouds'
// metadata. None is taken, and nothing on loopback is reached.
func TestSSRF(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	var reached atomic.Int32
	go func() {
		for {
			c, err := inner.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(inner.Addr().String())
	own, _ := url.Parse(s.url)
	for i, u := range []string{
		"http://127.0.0.1:" + port + "/", "http://localhost:" + port + "/", "http://[::1]:" + port + "/", "http://[::ffff:127.0.0.1]:" + port + "/",
		"http://0.0.0.0:" + port + "/", "http://[::]:" + port + "/", "http://127.1.2.3:" + port + "/", "http://[64:ff9b::7f00:1]:" + port + "/",
		"http://" + own.Host + "/api/v1/users", "http://169.254.169.254/latest/meta-data/iam/security-credentials/", "http://[fd00:ec2::254]/latest/",
		"http://100.100.100.200/latest/meta-data/", "http://metadata@169.254.169.254/", "http://255.255.255.255/", "http://224.0.0.1/",
		"file:///etc/passwd", "gopher://127.0.0.1:" + port + "/_x", "http://user:password@192.0.2.1/", "ftp://192.0.2.1/", "//127.0.0.1/", "http://",
	} {
		err := s.admin.JSON(context.Background(), http.MethodPost, "/api/v1/receivers", nil, map[string]any{"name": fmt.Sprint("r", i), "url": u}, nil)
		if client.Status(err) != http.StatusUnprocessableEntity {
			t.Errorf("%s: %v; want 422", u, err)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the service on loopback was reached %d times", n)
	}
	// A receiver in a private network is what a city has.
	if err := s.admin.JSON(context.Background(), http.MethodPost, "/api/v1/receivers", nil, map[string]any{"name": "duty", "url": "https://10.20.30.40/hook"}, nil); err != nil {
		t.Errorf("a receiver in a private network: %v", err)
	}
}

// TestStoredXSS stores markup in log lines, items, users, tokens and a
// tenant's name, and looks at it in real Chromium: it shows as text.
func TestStoredXSS(t *testing.T) {
	t.Parallel()
	node, chromium := peer(t, "node"), headless(t)
	dir, err := filepath.Abs("../../soc/console")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "playwright-core")); err != nil {
		missing(t, "playwright-core is not installed: run npm ci in soc/console")
	}
	const markup = `<img class=xss src=x onerror=window.__xss=1><script>window.__xss=1</script>`
	tenants := t.TempDir()
	if err := os.Mkdir(filepath.Join(tenants, "marked"), 0o755); err != nil {
		t.Fatal(err)
	}
	about := fmt.Sprintf("slug: marked\nname:\n  zh: '租户 %s'\n  en: 'Tenant %s'\ndomain: integrated-services\nprotection_level: 3\nretention: standard\n", markup, markup)
	if err := os.WriteFile(filepath.Join(tenants, "marked", "tenant.yaml"), []byte(about), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newSuite(t, fmt.Sprintf("tenants:\n  dirs: [%s]\n", tenants))
	ctx := context.Background()
	item := fmt.Sprintf("- {class: host, name: %[1]q, tenant: marked, zone: default, addresses: [127.0.0.1], hostnames: [web], owner: %[1]q, attributes: {note: %[1]q}}\n", markup)
	if err := s.imports(item); err != nil {
		t.Fatal(err)
	}
	user := map[string]any{"username": "marked", "display_name": markup, "password": "Marked-2026-pw-xyz", "roles": []string{"viewer"}}
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/users", nil, user, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/tokens", nil, map[string]any{"name": markup, "scopes": []string{"read"}}, nil); err != nil {
		t.Fatal(err)
	}
	var lines []string
	stamp := time.Now().UTC().Format(time.RFC3339)
	for i := range 12 {
		lines = append(lines, fmt.Sprintf("<38>1 %s web sshd 4711 - - Failed password for invalid user %s from 203.0.113.9 port %d ssh2\n", stamp, strings.ReplaceAll(markup, " ", "/"), 40000+i))
	}
	lines = append(lines, fmt.Sprintf("<14>1 %s web %s 1 - - %s\n", stamp, "app", markup))
	for _, l := range lines {
		s.sendTCP([]byte(l))
	}
	s.expect(`"window.__xss"`, len(lines), 20*time.Second)
	run, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(run, node, "--test", "--test-reporter=spec", "e2e/attack.test.mjs")
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = dir
	cmd.Env = append(cleanEnv(), "BASE_URL="+s.url, "ICEWATCH_USERNAME=admin", "ICEWATCH_PASSWORD="+password, "CHROMIUM="+chromium, "HOME="+s.dir, "WAIT_MS=20000")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("stored markup is not shown as text: %v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
}
