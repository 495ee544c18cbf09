package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestPayload holds the body against Alertmanager's documented format, field
// by field.
func TestPayload(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	alerts := []Alert{
		{Status: Firing, Labels: map[string]string{"alertname": "a", "tenant": "tax"}, Annotations: map[string]string{"summary": "s", "description": "x"}, StartsAt: started},
		{Status: Resolved, Labels: map[string]string{"alertname": "b", "tenant": "tax"}, Annotations: map[string]string{"summary": "s", "description": "y"}, StartsAt: started, EndsAt: started.Add(time.Hour)},
		{Status: Resolved, Labels: map[string]string{"alertname": "c", "tenant": "tax"}, Annotations: map[string]string{"summary": "s"}, StartsAt: started},
	}
	p := New("hook", "https://soc.example", map[string]string{"incident": `INC-"1"`}, alerts, 2)
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"version": "4", "groupKey": `{}:{incident="INC-\"1\""}`, "truncatedAlerts": 1.0, "status": "firing", "receiver": "hook",
		"groupLabels": map[string]any{"incident": `INC-"1"`}, "commonLabels": map[string]any{"tenant": "tax"},
		"commonAnnotations": map[string]any{"summary": "s"}, "externalURL": "https://soc.example",
	}
	list := raw["alerts"].([]any)
	delete(raw, "alerts")
	if !reflect.DeepEqual(raw, want) {
		t.Errorf("payload\n%v, want\n%v", raw, want)
	}
	if len(list) != 2 {
		t.Fatalf("%d alerts, want 2", len(list))
	}
	first := map[string]any{
		"status": "firing", "labels": map[string]any{"alertname": "a", "tenant": "tax"}, "annotations": map[string]any{"summary": "s", "description": "x"},
		"startsAt": "2026-11-23T08:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": Fingerprint(alerts[0].Labels),
	}
	if !reflect.DeepEqual(list[0], first) {
		t.Errorf("alert\n%v, want\n%v", list[0], first)
	}
	if p := New("hook", "", nil, nil, 0); p.Status != Resolved || p.Alerts == nil || p.GroupLabels == nil {
		t.Errorf("without alerts: %+v", p)
	}
}

// TestFingerprint: without labels it is the hash's start, as in Prometheus'
// model, and a name's end is told from its value's start.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	if got := Fingerprint(nil); got != "cbf29ce484222325" {
		t.Errorf("no labels: %s, want FNV-1a's offset", got)
	}
	a, b := Fingerprint(map[string]string{"a": "bc"}), Fingerprint(map[string]string{"ab": "c"})
	if a == b || len(a) != 16 {
		t.Errorf("%s and %s: name and value must not run together", a, b)
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	f := func(name string, status int, header http.Header, ok, retry bool, after time.Duration) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for k, v := range header {
				w.Header()[k] = v
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.Repeat("geheim ", 100))
		}))
		defer srv.Close()
		res := NewSender(http.DefaultTransport, 2*time.Second, func() time.Time { return now }).Send(t.Context(), Target{URL: srv.URL + "/geheim?token=geheim"}, "d1", []byte("{}"))
		if (res.Err == nil) != ok || res.Retry != retry || res.RetryAfter != after || res.HTTPStatus != status {
			t.Errorf("%s: %+v", name, res)
		}
		if res.Err != nil && strings.Contains(res.Err.Error(), "geheim") {
			t.Errorf("%s: the error holds a secret: %v", name, res.Err)
		}
	}
	f("ok", 200, nil, true, false, 0)
	f("no content", 204, nil, true, false, 0)
	f("redirect", 302, http.Header{"Location": {"http://127.0.0.1:1/elsewhere"}}, false, false, 0)
	f("bad request", 400, nil, false, false, 0)
	f("gone", 410, nil, false, false, 0)
	f("timeout", 408, nil, false, true, 0)
	f("too many", 429, http.Header{"Retry-After": {"7"}}, false, true, 7*time.Second)
	f("too many until", 429, http.Header{"Retry-After": {"Mon, 23 Nov 2026 08:01:00 GMT"}}, false, true, time.Minute)
	f("too many until the past", 429, http.Header{"Retry-After": {"Mon, 23 Nov 2026 07:01:00 GMT"}}, false, true, 0)
	f("nonsense", 503, http.Header{"Retry-After": {"soon"}}, false, true, 0)
	f("negative", 503, http.Header{"Retry-After": {"-5"}}, false, true, 0)
	f("for ever", 503, http.Header{"Retry-After": {"999999999"}}, false, true, 7*24*time.Hour)
	f("broken", 500, nil, false, true, 0)
}

func TestSendWithoutAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	s := NewSender(http.DefaultTransport, 50*time.Millisecond, nil)
	for _, u := range []string{srv.URL + "/?token=geheim", "http://127.0.0.1:1/geheim", "http://geheim.invalid/geheim"} {
		res := s.Send(t.Context(), Target{URL: u}, "d", nil)
		if res.Err == nil || !res.Retry || res.HTTPStatus != 0 {
			t.Errorf("%s: %+v", u, res)
		} else if strings.Contains(res.Err.Error(), "token") || strings.Contains(res.Err.Error(), "/geheim") {
			t.Errorf("the error holds the url: %v", res.Err)
		}
	}
}

// TestEndlessAnswer: a receiver that answers for ever is cut off.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := bytes.Repeat([]byte("x"), 8192)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	start := time.Now()
	if res := NewSender(http.DefaultTransport, 10*time.Second, nil).Send(t.Context(), Target{URL: srv.URL}, "d", nil); res.Err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("%+v after %s", res, time.Since(start))
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get(DeliveryHeader) != "d7" ||
			r.Header.Get(SignatureHeader) != "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8" || string(body) != "The quick brown fox jumps over the lazy dog" {
			t.Errorf("request %s %v %s", r.Method, r.Header, body)
		}
	}))
	defer srv.Close()
	// The signature is the well-known example of HMAC-SHA256.
	NewSender(http.DefaultTransport, time.Second, nil).Send(t.Context(), Target{URL: srv.URL, Secret: "key"}, "d7", []byte("The quick brown fox jumps over the lazy dog"))
}

func TestURL(t *testing.T) {
	t.Parallel()
	f := func(raw string, valid bool, host, redacted string) {
		t.Helper()
		if err := CheckURL(raw); (err == nil) != valid {
			t.Errorf("%s: %v", raw, err)
		} else if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("the error holds a secret: %v", err)
		}
		if got := Host(raw); got != host {
			t.Errorf("%s: host %q, want %q", raw, got, host)
		}
		if got := Redact(raw); got != redacted {
			t.Errorf("%s: shown as %q, want %q", raw, got, redacted)
		}
	}
	f("https://h.example/a/b", true, "h.example", "https://h.example/a/b")
	f("http://u:geheim@h.example:81/a?token=geheim&x=1#geheim", true, "h.example:81", "http://%2A%2A%2A@h.example:81/a?token=%2A%2A%2A&x=%2A%2A%2A")
	f("ftp://h.example/geheim", false, "h.example", "ftp://h.example/geheim")
	f("https:///geheim", false, "", "https:///geheim")
	f("http://[::1/geheim", false, "", "")
}
