package ticketing

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/soc/reach"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/webhook"
)

// hook is a receiver that keeps what it gets, decoded strictly.
type hook struct {
	mu     sync.Mutex
	got    []webhook.Payload
	ids    []string
	answer func(n int) int // status of the nth request; nil for 200
	n      int
	*httptest.Server
}

func newHook(t testing.TB, answer func(n int) int) *hook {
	h := &hook{answer: answer}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.n++
		if h.answer != nil {
			if code := h.answer(h.n); code != http.StatusOK {
				w.WriteHeader(code)
				return
			}
		}
		var p webhook.Payload
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); err != nil {
			t.Errorf("payload %s: %v", body, err)
		}
		if want := webhook.Sign("s3cret", body); r.Header.Get(webhook.SignatureHeader) != want {
			t.Errorf("signature %q, want %q", r.Header.Get(webhook.SignatureHeader), want)
		}
		h.got, h.ids = append(h.got, p), append(h.ids, r.Header.Get(webhook.DeliveryHeader))
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) payloads() []webhook.Payload {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]webhook.Payload(nil), h.got...)
}

func (h *hook) await(t testing.TB, n int) []webhook.Payload {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		if got := h.payloads(); len(got) >= n {
			return got
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d notifications, want %d", len(h.payloads()), n)
	return nil
}

func hookConfig(h *hook) Config {
	return Config{ExternalURL: "https://soc.example/", Webhooks: outbox.Config{
		BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond, Timeout: 30 * time.Second,
		Receivers: []outbox.Receiver{{Name: "hook", URL: h.URL + "/in?token=geheim", Secret: "s3cret"}},
	}}
}

// running runs the service until the test or the returned function ends it.
func running(t testing.TB, s *Service) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	h := newHook(t, nil)
	c := newClock()
	s := openService(t, openDB(t), c, Deps{Config: hookConfig(h)})
	running(t, s)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	got := h.await(t, 1)[0]
	i := allIncidents(t, s)[0]
	awaitTimeline(t, s, i.ID, "opened alert notified") // after the receiver's answer
	if got.Version != "4" || got.Status != "firing" || got.Receiver != "hook" || got.GroupKey != `{}:{incident="`+i.ID+`"}` || got.ExternalURL != "https://soc.example/" {
		t.Errorf("payload %+v", got)
	}
	if len(got.Alerts) != 1 {
		t.Fatalf("%d alerts", len(got.Alerts))
	}
	a := got.Alerts[0]
	for k, want := range map[string]string{"alertname": "SSH password guessing", "severity": "critical", "priority": "P1", "tenant": "e-seal",
		"ci": "seal-web-01", "system": "电子印章平台", "incident": i.ID} {
		if a.Labels[k] != want || got.CommonLabels[k] != want {
			t.Errorf("label %s: %q, common %q, want %q", k, a.Labels[k], got.CommonLabels[k], want)
		}
	}
	if got.GroupLabels["incident"] != i.ID || a.Annotations["summary"] != i.Title.ZH || a.Annotations["summary_en"] != i.Title.EN || a.Annotations["description"] == "" {
		t.Errorf("annotations %v", a.Annotations)
	}
	if !a.EndsAt.IsZero() || !a.StartsAt.Equal(i.FirstSeen.Time) || !strings.HasPrefix(a.GeneratorURL, "https://soc.example/alerts/") || a.Fingerprint != webhook.Fingerprint(a.Labels) {
		t.Errorf("alert %+v", a)
	}

	// Changes are told together, an interval after the last notification.
	ingest(t, s, fire(ruleSudo, sealWeb, "", time.Minute, nil))
	ingest(t, s, fire(ruleOutbound, sealWeb, "", time.Minute, nil))
	time.Sleep(200 * time.Millisecond)
	if n := len(h.payloads()); n != 1 {
		t.Fatalf("%d notifications within the group interval", n)
	}
	c.forward(5*time.Minute + time.Second)
	if got := h.await(t, 2)[1]; len(got.Alerts) != 3 || got.Status != "firing" {
		t.Errorf("change: %d alerts, %s", len(got.Alerts), got.Status)
	}
	// A breach is told at once, and once.
	c.forward(15 * time.Minute)
	h.await(t, 3)
	awaitTimeline(t, s, i.ID, "opened alert notified alert alert notified sla notified")
	if _, err := s.CloseIncident(t.Context(), Actor{Name: "li.na", Reach: reach.All()}, i.ID, Close{Resolution: "true_positive"}); err != nil {
		t.Fatal(err)
	}
	got = h.await(t, 4)[3]
	if got.Status != "resolved" || got.Alerts[0].Status != "resolved" || got.Alerts[0].EndsAt.IsZero() {
		t.Errorf("closing: %+v", got)
	}
	if n := len(h.payloads()); n != 4 {
		t.Errorf("%d notifications, want 4", n)
	}
	awaitTimeline(t, s, i.ID, "opened alert notified alert alert notified sla notified closed notified")
	log, total, _, err := s.Outbox().Log(t.Context(), outbox.LogQuery{Reach: reach.All(), Incident: i.ID, Limit: 10})
	if err != nil || total != 4 || log[0].Kind != "resolved" || log[0].Status != "delivered" || log[0].HTTPStatus != 200 || strings.Contains(log[0].URLHost, "geheim") {
		t.Errorf("delivery log %+v, %v", log, err)
	}
}

func awaitTimeline(t testing.TB, s *Service, id, want string) {
	t.Helper()
	var got string
	for range 6000 {
		d, err := s.Incident(t.Context(), reach.All(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got = kinds(d.Timeline); got == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("timeline %q, want %q", got, want)
}

// TestNotificationsSurvive: what an incident's transaction put into the outbox
// is sent by the next run, with no more than the receiver's share of repeats.
func TestNotificationsSurvive(t *testing.T) {
	t.Parallel()
	down := true
	h := newHook(t, func(int) int {
		if down {
			return http.StatusBadGateway
		}
		return http.StatusOK
	})
	db, c := openDB(t), newClock()
	s := openService(t, db, c, Deps{Config: hookConfig(h)})
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil)) // nobody runs yet
	s = openService(t, db, c, Deps{Config: hookConfig(h)})
	stop := running(t, s)
	for range 500 {
		h.mu.Lock()
		n := h.n
		h.mu.Unlock()
		if n > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := s.CloseIncident(t.Context(), Actor{Name: "li.na", Reach: reach.All()}, "INC-20261123-0001", Close{Resolution: "benign"}); err != nil {
		t.Fatal(err)
	}
	stop()
	h.mu.Lock()
	down = false
	h.mu.Unlock()
	c.forward(time.Minute)
	s = openService(t, db, c, Deps{Config: hookConfig(h)})
	running(t, s)
	got := h.await(t, 2)
	if len(got) != 2 || got[0].Status != "firing" || got[1].Status != "resolved" {
		t.Errorf("%d notifications, in the order %s, %s", len(got), got[0].Status, got[1].Status)
	}
}

// TestBreachOnce: a breach is written down once, also when the service was not
// running at the time, and when the clock had been stopped late in between.
func TestBreachOnce(t *testing.T) {
	t.Parallel()
	db, c := openDB(t), newClock()
	s := openService(t, db, c, Deps{})
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil), fire(criticalRule("P1"), taxWeb, "203.0.113.7", 0, nil))
	c.forward(20 * time.Minute)
	// Acknowledged late, before anything looked at the clock.
	if _, err := s.AcknowledgeIncident(t.Context(), Actor{Name: "li.na", Reach: reach.All()}, "INC-20261123-0002", ""); err != nil {
		t.Fatal(err)
	}
	s = openService(t, db, c, Deps{})
	for range 3 {
		if err := s.breaches(t.Context(), s.now()); err != nil {
			t.Fatal(err)
		}
		c.forward(time.Minute)
	}
	awaitTimeline(t, s, "INC-20261123-0001", "opened alert sla")
	awaitTimeline(t, s, "INC-20261123-0002", "opened alert acknowledged sla")
	c.forward(5 * time.Hour)
	for range 2 {
		if err := s.breaches(t.Context(), s.now()); err != nil {
			t.Fatal(err)
		}
	}
	awaitTimeline(t, s, "INC-20261123-0001", "opened alert sla sla")
}

func TestPrune(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	old := fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil)
	ingest(t, s, old)
	c.forward(31 * 24 * time.Hour)
	recent := fire(ruleGuess, sealWeb, "203.0.113.7", time.Minute, nil)
	ingest(t, s, recent)
	if err := s.prune(t.Context(), s.now()); err != nil {
		t.Fatal(err)
	}
	ingest(t, s, recent)
	if n, err := s.db.NewSelect().Model((*occurrenceRow)(nil)).Count(t.Context()); err != nil || n != 1 {
		t.Errorf("%d occurrences remembered, %v; want the recent one", n, err)
	}
}
