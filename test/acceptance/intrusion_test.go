package acceptance

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/soc/client"
	"icewatch/soc/simulate"
)

// webhookSecret signs the notices of these tests.
const webhookSecret = "a secret of the receiver"

// receiver is a webhook receiver that refuses the first delivery of each kind,
// as one that restarts does.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	notices []notice
	refused int
}

// notice is Alertmanager's webhook payload, version 4, as its documentation
// has it.
type notice struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   *int              `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
		Fingerprint  string            `json:"fingerprint"`
	} `json:"alerts"`
	raw string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		mac := hmac.New(sha256.New, []byte(webhookSecret))
		mac.Write(body)
		if got, want := req.Header.Get("X-Icewatch-Signature"), "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("webhook signature %q, want %q", got, want)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.refused < 2 {
			r.refused++
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		n := notice{raw: string(body)}
		if err := json.Unmarshal(body, &n); err != nil {
			t.Errorf("webhook body: %v: %s", err, body)
		}
		r.notices = append(r.notices, n)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) all() []notice {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]notice(nil), r.notices...)
}

// simulate runs `icewatch simulate` and returns its summary.
func (s *suite) simulate(args ...string) (simulate.Summary, error) {
	cmd := exec.Command(filepath.Join(bin, "icewatch"), append([]string{"simulate", "--url", s.url, "--data", s.data}, args...)...)
	cmd.Env = append(cleanEnv(), "HOME="+s.dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var sum simulate.Summary
	if err := cmd.Run(); err != nil {
		return sum, fmt.Errorf("icewatch simulate %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), &sum); err != nil {
		return sum, fmt.Errorf("icewatch simulate: %w: %q", err, out.String())
	}
	return sum, nil
}

// TestIntrusionsBecomeOneIncidentEach plays the benign stories, which must open
// nothing, and then ten shuffled intrusions side by side, each of which must
// open one incident on the attacked system and reach the webhook receiver.
func TestIntrusionsBecomeOneIncidentEach(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	s := newSuite(t, fmt.Sprintf("notify:\n  webhooks:\n    - {name: duty, url: %q, secret: %q}\n", hook.URL, webhookSecret))
	ctx := context.Background()

	play := func(first, last int64, args ...string) []simulate.Summary {
		t.Helper()
		sums := make([]simulate.Summary, last-first+1)
		var wg sync.WaitGroup
		for n := range sums {
			wg.Go(func() {
				var err error
				if sums[n], err = s.simulate(append([]string{"--seed", fmt.Sprint(first + int64(n))}, args...)...); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
		return sums
	}

	play(101, 103, "--story", "benign-typo,benign-scanner,benign-backup", "--duration", "15s", "--rate", "20")
	s.balance()
	time.Sleep(2 * time.Second) // longer than any window's end waits
	if list, err := s.admin.Incidents(ctx, nil, 0); err != nil || len(list) != 0 {
		for _, in := range list {
			t.Errorf("a benign story opened %s on %s: %s\n%s", in.ID, name(in.CI), in.Title.EN, s.explain(in.ID))
		}
		t.Fatalf("%d incidents of benign stories, %v", len(list), err)
	}

	sums := play(1, 10, "--story", "intrusion", "--duration", "25s", "--rate", "5")
	s.balance()
	var list []client.Incident
	eventually(t, 10*time.Second, "every intrusion has an incident", func() error {
		var err error
		if list, err = s.admin.Incidents(ctx, nil, 0); err != nil {
			return err
		}
		if len(list) < len(sums) {
			return fmt.Errorf("%d incidents of %d intrusions", len(list), len(sums))
		}
		return nil
	})
	if len(list) != len(sums) {
		t.Errorf("%d incidents of %d intrusions", len(list), len(sums))
	}
	for _, sum := range sums {
		s.checkIncident(sum, list)
	}
	s.checkNotices(hook, list)
}

func name(i *client.Item) string {
	if i == nil {
		return "nothing"
	}
	return i.Name
}

// explain tells what an incident is made of.
func (s *suite) explain(id string) string {
	in, err := s.admin.Incident(context.Background(), id)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, a := range in.Alerts {
		fmt.Fprintf(&b, "  %s %s ×%d on %s: %s\n", a.Rule.ID, a.Severity, a.Count, name(a.CI), a.Title.EN)
	}
	return b.String()
}

// checkIncident finds the one incident of an intrusion and what belongs to it.
func (s *suite) checkIncident(sum simulate.Summary, list []client.Incident) {
	t := s.t
	t.Helper()
	want, attacker := sum.Stories[0].Expected, sum.Stories[0].Actors["attacker"]
	var mine []client.Incident
	for _, in := range list {
		if in.CI != nil && in.CI.Name == want.Host {
			mine = append(mine, in)
		}
	}
	if len(mine) != 1 {
		t.Errorf("seed %d: %d incidents on %s, want 1 (steps %v)", sum.Seed, len(mine), want.Host, sum.Stories[0].Steps)
		return
	}
	in, err := s.admin.Incident(context.Background(), mine[0].ID)
	if err != nil {
		t.Error(err)
		return
	}
	if in.System == nil || in.System.ID != want.System || in.Tenant != want.Tenant {
		t.Errorf("seed %d: %s is on system %v of %s, want %s of %s", sum.Seed, in.ID, in.System, in.Tenant, want.System, want.Tenant)
	}
	if in.Owner == "" || in.SLA == nil || in.SLA.AckDue == nil || in.Status != "open" || in.Title.ZH == "" || in.Title.EN == "" || len(in.Timeline) == 0 {
		t.Errorf("seed %d: %s lacks owner, SLA clock, title or timeline: %+v", sum.Seed, in.ID, in)
	}
	// Repeats merge: an alert stands for many events, and no two alerts of the
	// incident say the same.
	rules, events := map[string]int{}, 0
	for _, a := range in.Alerts {
		rules[a.Rule.ID]++
		events += a.Count
		if a.IncidentID != "" && a.IncidentID != in.ID {
			t.Errorf("seed %d: alert %s belongs to %s", sum.Seed, a.ID, a.IncidentID)
		}
	}
	if len(rules) < 3 || len(in.Alerts) > 20 || events < 2*len(in.Alerts) {
		t.Errorf("seed %d: %s has %d alerts of %d rules for %d events\n%s", sum.Seed, in.ID, len(in.Alerts), len(rules), events, s.explain(in.ID))
	}
	for id, n := range rules {
		if n > 3 {
			t.Errorf("seed %d: rule %s has %d alerts in %s", sum.Seed, id, n, in.ID)
		}
	}
	// No alert about this intrusion stays outside.
	alerts, err := s.admin.Alerts(context.Background(), url.Values{"q": {attacker}}, 0)
	if err != nil || len(alerts) == 0 {
		t.Errorf("seed %d: alerts from %s: %d, %v", sum.Seed, attacker, len(alerts), err)
	}
	for _, a := range alerts {
		if a.SourceIP == attacker && a.IncidentID != in.ID {
			t.Errorf("seed %d: alert %s (%s) on %s is outside %s: %q", sum.Seed, a.ID, a.Title.EN, name(a.CI), in.ID, a.IncidentID)
		}
	}
}

// checkNotices compares what the receiver got with the incidents.
func (s *suite) checkNotices(hook *receiver, list []client.Incident) {
	t := s.t
	t.Helper()
	told := func(id string) []notice {
		var out []notice
		for _, n := range hook.all() {
			if strings.Contains(n.raw, id) {
				out = append(out, n)
			}
		}
		return out
	}
	for _, in := range list {
		eventually(t, 45*time.Second, in.ID+" reached the webhook receiver", func() error {
			if len(told(in.ID)) == 0 {
				return fmt.Errorf("%d notices, none of them about it", len(hook.all()))
			}
			return nil
		})
		n := told(in.ID)[0]
		if n.Version != "4" || n.Status != "firing" || n.Receiver != "duty" || n.GroupKey == "" || n.TruncatedAlerts == nil || len(n.Alerts) == 0 || n.CommonLabels == nil || n.CommonAnnotations == nil || n.GroupLabels == nil {
			t.Errorf("%s: not Alertmanager's payload version 4: %s", in.ID, n.raw)
		}
		for _, a := range n.Alerts {
			if a.Status != "firing" || a.StartsAt.IsZero() || !a.EndsAt.IsZero() || a.Fingerprint == "" || a.Labels["alertname"] == "" {
				t.Errorf("%s: alert %+v", in.ID, a)
			}
		}
	}
	if hook.refused < 2 {
		t.Error("the receiver refused nothing, so retries are not shown")
	}
	// The delivery log holds the refused attempts and the delivered ones.
	raw, err := s.admin.Raw(context.Background(), "/api/v1/notifications", nil, 0)
	if err != nil || len(raw) == 0 {
		t.Errorf("delivery log: %d entries, %v", len(raw), err)
	}
	all := fmt.Sprintf("%s", raw)
	if !strings.Contains(all, `"delivered"`) || !strings.Contains(all, "503") {
		t.Errorf("the delivery log tells neither success nor refusal: %.2000s", all)
	}
}

// TestAnIncidentIsWorkedFromTheCommandLine takes an incident from open to
// closed with icectl and reads its timeline.
func TestAnIncidentIsWorkedFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	sum, err := s.simulate("--seed", "77", "--duration", "12s", "--rate", "10")
	if err != nil {
		t.Fatal(err)
	}
	var id string
	eventually(t, 10*time.Second, "the incident is listed", func() error {
		out, err := s.icectl("-o", "json", "incidents", "list", "--status", "open")
		if err != nil {
			return err
		}
		var in client.Incident
		if err := json.Unmarshal([]byte(out), &in); err != nil {
			return fmt.Errorf("%w: %q", err, out)
		}
		id = in.ID
		return nil
	})
	for _, args := range [][]string{
		{"incidents", "ack", id, "-m", "on it"}, {"incidents", "assign", id, "--to", "admin"}, {"incidents", "comment", id, "host isolated"},
		{"incidents", "close", id, "--resolution", "true_positive", "-m", "rebuilt"}, {"incidents", "reopen", id}, {"incidents", "close", id, "--resolution", "true_positive"},
	} {
		if out, err := s.icectl(args...); err != nil || !strings.Contains(out, id) {
			t.Fatalf("%v: %q", err, out)
		}
	}
	in, err := s.admin.Incident(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range in.Timeline {
		kinds[e.Kind]++
	}
	for kind, n := range map[string]int{"opened": 1, "acknowledged": 1, "assigned": 1, "comment": 1, "closed": 2, "reopened": 1} {
		if kinds[kind] < n {
			t.Errorf("timeline %v, want %d %s", kinds, n, kind)
		}
	}
	if in.Status != "closed" || in.Assignee == "" {
		t.Errorf("status %s, assignee %q", in.Status, in.Assignee)
	}
	out, err := s.icectl("incidents", "get", id)
	if err != nil || !strings.Contains(out, "host isolated") || !strings.Contains(out, sum.Stories[0].Expected.Host) {
		t.Errorf("%v: %s", err, out)
	}
	if len(sum.Incidents) != 1 {
		t.Errorf("the simulator saw %v", sum.Incidents)
	}
}
