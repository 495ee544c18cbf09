package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/test/peers"
)

// TestServersHoldEventsAndMetrics runs the suite on two VictoriaLogs servers and
// a VictoriaMetrics server, kills them under load, and finds what was
// acknowledged: each event once, by the sender's own numbers.
func TestServersHoldEventsAndMetrics(t *testing.T) {
	t.Parallel()
	a, b, m := peers.StartVictoriaLogs(t, "-retentionPeriod=1100d"), peers.StartVictoriaLogs(t, "-retentionPeriod=1100d"), peers.StartVictoriaMetrics(t, "-retentionPeriod=400d")
	s := newSuite(t, fmt.Sprintf("lake:\n  remote:\n    nodes:\n      - url: %s\n      - url: %s\nmetrics:\n  interval: 1s\n  remote:\n    write: %s\n", a.URL, b.URL, m.URL))
	sender := s.token("city", "ingest")
	acked := 0
	send := func(events int) {
		t.Helper()
		var body strings.Builder
		for i := range events {
			fmt.Fprintf(&body, "{\"create\":{\"_index\":\"logs-app-default\"}}\n{\"@timestamp\":%q,\"message\":\"numbered n%d\",\"number\":%d}\n", time.Now().UTC().Format(time.RFC3339Nano), acked+i, acked+i)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/elastic/_bulk", strings.NewReader(body.String()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		req.Header.Set("Authorization", "Bearer "+sender.Options().Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct{ Errors bool }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK || answer.Errors {
			t.Fatalf("_bulk: %d %+v %v", resp.StatusCode, answer, err)
		}
		acked += events
	}
	whole := func() error {
		rows, err := s.admin.Search(context.Background(), always(`numbered | stats count() n, count_uniq(number) u`))
		if err != nil {
			return err
		}
		if len(rows) != 1 || text(rows[0], "n") != fmt.Sprint(acked) || text(rows[0], "u") != fmt.Sprint(acked) {
			return fmt.Errorf("of %d events %v are found", acked, rows)
		}
		return nil
	}
	send(500)
	eventually(t, 30*time.Second, "what was sent is found", whole)
	if got := s.find(`"n7"`); len(got) != 1 || text(got[0], "message") != "numbered n7" {
		t.Errorf("one of them: %v", got)
	}

	// A node dies: intake goes on, reads say who is missing.
	for i, node := range []*peers.Victoria{b, a} {
		send(200)
		node.Kill()
		send(200)
		name := strings.TrimPrefix(node.URL, "http://")
		eventually(t, 20*time.Second, "a search names the node that is down", func() error {
			_, err := s.admin.Search(context.Background(), always("numbered"))
			if err == nil || !strings.Contains(err.Error(), name) {
				return fmt.Errorf("it answers %v", err)
			}
			return nil
		})
		send(200)
		node.Start()
		eventually(t, 60*time.Second, fmt.Sprintf("each event is found once after kill %d", i+1), whole)
	}

	// So does the server of metrics, and the suite itself.
	// Until its first list of parts is written, the server itself cannot start after a kill.
	eventually(t, 30*time.Second, "the server of metrics has a list of its parts", func() error {
		if lists, _ := filepath.Glob(filepath.Join(m.Dir, "data", "small", "*", "parts.json")); len(lists) == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	m.Kill()
	send(100)
	m.Start()
	s.kill()
	s.start()
	s.signIn()
	eventually(t, 60*time.Second, "each event is found once after a crash of the suite", whole)
	eventually(t, 60*time.Second, "the history is on the server of metrics", func() error {
		got, err := askMetrics(s.admin, `count(count_over_time(icewatch_bus_records_total[10m]))`, "")
		if err != nil {
			return err
		}
		resp, err := http.Get(m.URL + "/api/v1/query?" + url.Values{"query": {`count({icewatch_account="2",icewatch_tenant="city",job="icewatch"})`}}.Encode())
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var there struct {
			Data struct{ Result []any }
		}
		if err := json.NewDecoder(resp.Body).Decode(&there); err != nil {
			return err
		}
		if len(got) != 1 || len(there.Data.Result) == 0 {
			return fmt.Errorf("over the suite %v, at the server %v", got, there)
		}
		return nil
	})
	figures := s.metrics()
	for _, name := range []string{"icewatch_lake_dropped_rows_total", "icewatch_engine_unstored_events_total", "icewatch_metrics_dropped_samples_total"} {
		if v, ok := figures[name]; !ok || v != 0 {
			t.Errorf("%s is %v (reported: %v)", name, v, ok)
		}
	}
}
