package traces

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
	"icewatch/soc/veil"
)

// TestMasked reads a span through veils: what a field hides no other part of
// the answer shows, however the original writes it.
func TestMasked(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	start := time.Now().Add(-time.Minute)
	secrets := []string{`Ann`, `quo"te`, "13800138000", "198.51.100.7"}
	c.store(fact{trace: traceID(1), id: spanID(1), name: "sign", kind: "server", service: "seals", tenant: "seal", start: start, duration: time.Second,
		tags: map[string]string{"customer.kind": `quo"te`, "caller.name": "Ann", "phone": "13800138000", "client.ip": "198.51.100.7", "open": "yes"},
		original: `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"seals"}},{"key":"caller.name","value":{"stringValue":"Ann"}}]},"scope":{},"span":{"attributes":[` +
			`{"key":"caller.name","value":{"stringValue":"Ann"}},{"key":"customer.kind","value":{"stringValue":"quo\"te"}},{"key":"phone","value":{"intValue":"13800138000"}},{"key":"kept","value":{"intValue":"42"}},` +
			`{"key":"client.ip","value":{"stringValue":"198.51.100.7"}},{"key":"caller","value":{"kvlistValue":{"values":[{"key":"name","value":{"stringValue":"Ann"}},{"key":"desk","value":{"intValue":"7"}}]}}}],` +
			`"events":[{"name":"said 13800138000","timeUnixNano":"1","attributes":[{"key":"caller.name","value":{"stringValue":"Ann"}}]}],"links":[{"traceId":"1","spanId":"2","attributes":[{"key":"phone","value":{"stringValue":"13800138000"}}]}]}}`})
	c.settle()
	read := func(to reach.Reach) (*Span, string) {
		t.Helper()
		tr, err := c.Trace(context.Background(), to, traceID(1), time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(tr.Spans[0])
		if err != nil {
			t.Fatal(err)
		}
		return tr.Spans[0], string(b) + string(tr.Spans[0].Original)
	}
	plain, text := read(reach.Tenants("seal"))
	if plain.Original == nil || !strings.Contains(text, "Ann") || !strings.Contains(text, "13800138000") {
		t.Fatalf("without a veil: %s", text)
	}
	for _, method := range []string{veil.Full, veil.Hash, veil.Keep} {
		v, err := veil.New([]veil.Rule{
			{ID: "1", Fields: []string{"labels.caller_name", "labels.customer_kind", "labels.client_ip"}, Method: method, Strict: true},
			{ID: "2", Pattern: `\b1[3-9]\d{9}\b`, Method: method},
		}, []byte("secret of the test"))
		if err != nil {
			t.Fatal(err)
		}
		span, text := read(reach.Tenants("seal").WithVeil(v))
		for _, s := range secrets {
			if b, _ := json.Marshal(s); strings.Contains(text, strings.Trim(string(b), `"`)) {
				t.Errorf("%s: %s is shown: %s", method, s, text)
			}
		}
		// Questions that count are possible, and find nothing out.
		to := Range{reach.Tenants("seal").WithVeil(v), start.Add(-time.Hour), start.Add(time.Hour)}
		for tag, want := range map[Tag]int{{"caller.name", "Ann"}: 0, {"phone", "13800138000"}: 0, {"open", "yes"}: 1} {
			list, _, err := c.Search(context.Background(), to, Filter{Service: "seals", Tags: []Tag{tag}}, 10)
			if err != nil || len(list) != want {
				t.Errorf("%s: a search for %s finds %d, want %d; %v", method, tag, len(list), want, err)
			}
		}
		if list, err := c.Operations(context.Background(), to, "seals", ""); err != nil || len(list) != 1 {
			t.Errorf("%s: operations %v, %v", method, list, err)
		}
		if m, err := c.Map(context.Background(), to, ""); err != nil || len(m.Nodes) != 1 {
			t.Errorf("%s: map %v, %v", method, m, err)
		}
		if span.Original != nil || !strings.Contains(text, `"key":"kept","type":"int64","value":42`) || !strings.Contains(text, `{\"desk\":7,`) {
			t.Errorf("%s: %s", method, text)
		}
	}
}
