package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"icewatch/ticketing/webhook"
)

// told is one notification as a receiver that knows ids takes it.
type told struct {
	id      string
	payload webhook.Payload
}

// ward is a receiver that drops what it has, by the delivery's id, and counts
// how often it did.
type ward struct {
	mu       sync.Mutex
	got      []told
	repeated int
	*httptest.Server
}

func newWard(t *testing.T) *ward {
	w := &ward{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		one := told{id: r.Header.Get(webhook.DeliveryHeader)}
		data, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(data, &one.payload) != nil {
			return // broken off
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, was := range w.got {
			if was.id == one.id {
				w.repeated++
				return
			}
		}
		w.got = append(w.got, one)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *ward) all() ([]told, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]told(nil), w.got...), w.repeated
}

// TestNotifyKills kills the suite over and over while alerts are grouped, sent
// and escalated. Then each alert was told of, each notification said something
// that none before it had said, each group was escalated once, and a receiver
// was sent the same id again no more often than the suite was killed.
// ICEWATCH_NOTIFY_KILLS sets how often; make test-alerts thirty times.
func TestNotifyKills(t *testing.T) {
	t.Parallel()
	rounds := 2
	if v := os.Getenv("ICEWATCH_NOTIFY_KILLS"); v != "" {
		var err error
		if rounds, err = strconv.Atoi(v); err != nil || rounds < 1 {
			t.Fatalf("ICEWATCH_NOTIFY_KILLS=%q is no number of rounds", v)
		}
	}
	rnd := random(t)
	desk, beyond := newWard(t), newWard(t)
	s := newSuite(t, loopback)
	ctx := context.Background()
	for name, w := range map[string]*ward{"desk": desk, "beyond": beyond} {
		ordered(t, s, http.MethodPost, "/api/v1/contact-points", fmt.Sprintf(`{"name":%q,"kind":"webhook","settings":{"url":%q}}`, name, w.URL))
	}
	ordered(t, s, http.MethodPut, "/api/v1/routing", `{"base":0,"tree":{"intervals":[],"root":{"routes":[{"name":"kills","direct":true,"matchers":["batch=~\".+\""],
		"receivers":["desk"],"group_by":["batch"],"group_wait":"300ms","group_interval":"1s","repeat_interval":"4h","escalate_after":"4s","escalate_to":["beyond"]}]}}}`)
	secret := s.token("", "ingest").Options().Token
	const parts, each = 2, 4
	push := func(batch, part int) {
		var alerts []map[string]any
		for n := range each {
			alerts = append(alerts, map[string]any{"labels": map[string]string{"alertname": "kill", "severity": "low", "batch": fmt.Sprint(batch), "n": fmt.Sprint(part, "-", n)},
				"endsAt": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
		}
		body, _ := json.Marshal(alerts)
		eventually(t, 60*time.Second, "the alerts are taken", func() error {
			req, err := http.NewRequest(http.MethodPost, s.url+"/alertmanager/api/v2/alerts", bytes.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+secret)
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != 200 {
				return fmt.Errorf("%d", resp.StatusCode)
			}
			return nil
		})
	}
	kills := 0
	for round := range rounds {
		for part := range parts {
			push(round, part)
			time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond) // wherever it stands then
			s.kill()
			kills++
			s.start()
		}
	}
	s.signIn()
	seen := func() map[string]bool {
		all, _ := desk.all()
		out := map[string]bool{}
		for _, n := range all {
			for _, a := range n.payload.Alerts {
				out[a.Labels["batch"]+"/"+a.Labels["n"]] = true
			}
		}
		return out
	}
	eventually(t, 90*time.Second, "every alert is told of and every batch escalated", func() error {
		calls, _ := beyond.all()
		if n := len(seen()); n < rounds*parts*each || len(calls) < rounds {
			return fmt.Errorf("%d of %d alerts, %d of %d escalations", n, rounds*parts*each, len(calls), rounds)
		}
		return nil
	})
	// Nothing more comes: the outbox is empty and every group waits for its repetition.
	eventually(t, 30*time.Second, "nothing waits", func() error {
		var page struct{ Total int }
		if err := s.admin.Get(ctx, "/api/v1/deliveries", url.Values{"state": {"pending"}}, &page); err != nil || page.Total > 0 {
			return fmt.Errorf("%d wait, %v", page.Total, err)
		}
		return nil
	})
	all, repeated := desk.all()
	known := map[string]bool{}
	for _, n := range all {
		fresh := false
		for _, a := range n.payload.Alerts {
			key := a.Labels["batch"] + "/" + a.Labels["n"]
			fresh = fresh || !known[key]
			known[key] = true
		}
		if !fresh {
			t.Errorf("notification %s of batch %s says nothing that was not said before", n.id, n.payload.GroupLabels["batch"])
		}
	}
	calls, again := beyond.all()
	batches := map[string]int{}
	for _, n := range calls {
		batches[n.payload.GroupLabels["batch"]]++
	}
	for batch, n := range batches {
		if n != 1 {
			t.Errorf("batch %s was escalated %d times", batch, n)
		}
	}
	if repeated+again > 2*kills { // one under way to each receiver
		t.Errorf("%d ids came again over %d kills", repeated+again, kills)
	}
	// The clocks are right: nothing was escalated before its time. A group's clock
	// starts when it is looked at, some time before the delivery is written, which
	// is a matter of how busy the machine is: two seconds are left for it.
	var page struct {
		Items []struct {
			Kind, Receiver string
			ID             string
			CreatedAt      time.Time `json:"created_at"`
		}
	}
	if err := s.admin.Get(ctx, "/api/v1/deliveries", url.Values{"limit": {"1000"}}, &page); err != nil {
		t.Fatal(err)
	}
	first, batchOf := map[string]time.Time{}, map[string]string{}
	for _, n := range append(all, calls...) {
		batchOf[n.id] = n.payload.GroupLabels["batch"]
	}
	for _, d := range page.Items {
		if at := first[batchOf[d.ID]]; d.Receiver == "desk" && (at.IsZero() || d.CreatedAt.Before(at)) {
			first[batchOf[d.ID]] = d.CreatedAt
		}
	}
	for _, d := range page.Items {
		if d.Kind == "repeat" {
			t.Errorf("%s was repeated within four hours", d.ID)
		}
		if wait := d.CreatedAt.Sub(first[batchOf[d.ID]]); d.Receiver == "beyond" && wait < 2*time.Second {
			t.Errorf("batch %s was escalated after %s, want 4s", batchOf[d.ID], wait)
		}
	}
	t.Logf("%d kills, %d notifications, %d ids came again", kills, len(all)+len(calls), repeated+again)
}
