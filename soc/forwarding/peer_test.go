package forwarding

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"icewatch/test/peers"
)

// A real Elasticsearch is killed and comes back while events are forwarded:
// all arrive, each once, with the types of the template; what its mapping
// refuses is a dead letter.
func TestRealElasticsearch(t *testing.T) {
	es := peers.StartElasticsearch(t)
	ask := func(method, path, body string, into any) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, es.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, data, err)
		}
		if into != nil {
			if err := json.Unmarshal(data, into); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := newOffice(t)
	o.bus.add(5000)
	c := Content{Name: "es", Kind: Elasticsearch, Enabled: true, From: FromBeginning,
		Elasticsearch: &ElasticsearchOptions{URLs: []string{es.URL}, Index: "logs-city-{tenant}", Template: true}}
	made := o.make(c, nil)
	o.until(made.ID, "begun", func(s Status) bool { return s.Sent > 0 })
	es.Kill()
	o.bus.mu.Lock()
	// An object where there is a value is nothing that a mapping can hold.
	last := &o.bus.events[4999]
	last.Row = json.RawMessage(strings.Replace(string(last.Row), `"message"`, `"event.dataset.x":"1","message"`, 1))
	o.bus.mu.Unlock()
	o.until(made.ID, "failing", func(s Status) bool { return s.State == StateRetrying || s.LagEvents == 0 })
	es.Start()
	o.bus.add(1000)
	st := o.until(made.ID, "done", func(s Status) bool { return s.LagEvents == 0 && s.State == StateOK }).Status
	var count struct{ Count int }
	ask(http.MethodPost, "/logs-city-tax/_refresh", "", nil)
	ask(http.MethodGet, "/logs-city-tax/_count", "", &count)
	if int64(count.Count)+st.Dead != 6000 || st.Dead > 1 {
		t.Errorf("%d documents and %d dead letters of 6000 events: %+v", count.Count, st.Dead, st)
	}
	ask(http.MethodGet, "/logs-city-tax/_count", `{"query":{"range":{"source.port":{"lt":100}}}}`, &count)
	if count.Count != 100 {
		t.Errorf("%d documents have a source.port below 100: it is no number there", count.Count)
	}
	result, err := o.Test(t.Context(), Asker{Manage: true}, made.ID, nil, nil)
	if err != nil || !result.OK || !strings.HasSuffix(result.Detail, "a test event was taken") {
		t.Errorf("%+v, %v", result, err)
	}
	ask(http.MethodPut, "/strict", `{"mappings":{"dynamic":"strict","properties":{"@timestamp":{"type":"date"}}}}`, nil)
	c.Name, c.Elasticsearch = "strict", &ElasticsearchOptions{URLs: []string{es.URL}, Index: "strict"}
	made = o.make(c, nil)
	o.until(made.ID, "refused", func(s Status) bool { return s.Dead == 6000 })
	list, _, _, err := o.Letters(t.Context(), Asker{Manage: true}, made.ID, "", 1)
	if err != nil || !strings.Contains(fmt.Sprint(list), "strict_dynamic_mapping_exception") {
		t.Errorf("%+v, %v", list, err)
	}
}
