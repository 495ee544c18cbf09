package acceptance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestMaskingHoldsInEveryProtocol hides a field from a role and asks for it in
// every language that the suite speaks: neither an answer shows it nor does a
// condition or a count find it. Others see it as ever.
func TestMaskingHoldsInEveryProtocol(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	const phone = "13812345678"
	now := time.Now().UTC()
	doc := fmt.Sprintf("{\"create\":{}}\n{\"@timestamp\":%q,\"message\":\"call from %s\",\"user.phone\":%q,\"event.dataset\":\"calls\",\"trace.id\":\"0af7651916cd43dd8448eb211c80319c\"}\n", now.Format(time.RFC3339Nano), phone, phone)
	if status, answer := post(t, s.token("e-seal", "ingest"), "/elastic/calls/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, []byte(doc)); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	push := fmt.Sprintf(`{"streams":[{"stream":{"app":"calls","phone":%q},"values":[["%d","call from %s",{"caller":%q}]]}]}`, phone, now.UnixNano(), phone, phone)
	if status, answer := post(t, s.token("e-seal", "ingest"), "/loki/api/v1/push", map[string]string{"Content-Type": "application/json"}, []byte(push)); status != 204 {
		t.Fatalf("%d %s", status, answer)
	}
	s.expect(`"`+phone+`"`, 2, 30*time.Second)
	for _, what := range []string{`"fields":["user.phone"],"pattern":""`, `"fields":[],"pattern":"1[3-9][0-9]{9}"`} {
		ordered(t, s, "POST", "/api/v1/masking/rules", `{"name":{"zh":"电话","en":"Phones"},"description":"","enabled":true,`+what+`,"check":"","method":"full","first":0,"last":0,"exempt_roles":["admin"]}`)
	}
	s.person("masked", "viewer")
	sess, err := s.admin.Login(context.Background(), "masked", "Own-Word-2026-masked")
	if err != nil {
		t.Fatal(err)
	}
	span := url.Values{"start": {fmt.Sprint(now.Add(-time.Hour).Unix())}, "end": {fmt.Sprint(now.Add(time.Hour).Unix())}}
	with := func(name, value string) string {
		q := url.Values{name: {value}}
		for k, v := range span {
			q[k] = v
		}
		return q.Encode()
	}
	type question struct {
		method, path, body string
		counts             bool // shows nothing of the row but tells whether it was found
	}
	ask := func(token string, q question) (int, string) {
		t.Helper()
		req, err := http.NewRequest(q.method, s.url+q.path, strings.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	elastic := func(query string) string {
		return `{"size":10,"query":{"query_string":{"query":"` + query + `"}},"aggs":{"by":{"terms":{"field":"user.phone"}}}}`
	}
	for _, q := range []question{
		{"GET", "/loki/api/v1/query_range?" + with("query", `{tenant="e-seal"}`), "", false},
		{"GET", "/loki/api/v1/query_range?" + with("query", `{app="calls"}`), "", false},
		{"GET", "/loki/api/v1/query_range?" + with("query", `{tenant="e-seal"} |= "`+phone+`"`), "", true},
		{"GET", "/loki/api/v1/query_range?" + with("query", `{tenant="e-seal"} | user_phone="`+phone+`"`), "", true},
		{"GET", "/loki/api/v1/query?" + with("query", `sum by (user_phone) (count_over_time({tenant="e-seal"}[2h]))`), "", false},
		{"GET", "/loki/api/v1/series?" + with("match[]", `{tenant="e-seal"}`), "", false},
		{"GET", "/loki/api/v1/label/phone/values?" + span.Encode(), "", false},
		{"GET", "/loki/api/v1/detected_fields?" + with("query", `{tenant="e-seal"}`), "", false},
		{"GET", "/api/v1/search/logql?" + with("query", `{tenant="e-seal"}`), "", false},
		{"GET", "/api/v1/search/logql?" + with("query", `{tenant="e-seal"} |~ "138.*"`), "", true},
		{"POST", "/elastic/_search", elastic("*"), false},
		{"POST", "/elastic/_search", elastic("user.phone:" + phone), true},
		{"POST", "/elastic/_search", elastic("138*"), true},
		{"POST", "/elastic/_count", `{"query":{"term":{"user.phone":"` + phone + `"}}}`, true},
	} {
		if status, answer := ask(s.admin.Options().Token, q); status != 200 || !q.counts && !strings.Contains(answer, phone) && !strings.Contains(q.path, "label/") && !strings.Contains(q.path, "series") && !strings.Contains(q.path, "detected_fields") {
			t.Errorf("%s %s %s: who sees everything gets %d %.300s", q.method, q.path, q.body, status, answer)
		}
		status, answer := ask(sess.Token, q)
		if status != 200 && status != 400 && status != 403 {
			t.Errorf("%s %s %s: %d %.300s", q.method, q.path, q.body, status, answer)
		}
		// What was asked comes back in errors and in highlights; only rows count.
		if status != 200 {
			continue
		}
		if strings.Contains(answer, phone) {
			t.Errorf("%s %s %s shows the number: %.600s", q.method, q.path, q.body, answer)
		}
		if q.counts && (strings.Contains(answer, "call from") || strings.Contains(answer, `"count":1`) || strings.Contains(answer, `"count":2`)) {
			t.Errorf("%s %s %s finds the number: %.600s", q.method, q.path, q.body, answer)
		}
	}
}
