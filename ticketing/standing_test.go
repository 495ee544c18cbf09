package ticketing

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// standingNow reads the figures of the standing, by name and labels.
func standingNow(t *testing.T, s *Service) map[string]float64 {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteStanding(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		name, value := line[:max(end, 0)], line[end+1:]
		v, err := strconv.ParseFloat(value, 64)
		if _, twice := out[name]; err != nil || twice {
			t.Fatalf("%q: %v, or written twice", line, err)
		}
		out[name] = v
	}
	return out
}

// checkStanding holds what was followed from the start against what the tables say
// now, whatever a test has done.
func checkStanding(t testing.TB, s *Service) {
	t.Helper()
	ctx, now := context.Background(), s.clock()
	if s.db.PingContext(ctx) != nil {
		return // the test closed it
	}
	if s.standing.state != allCounted {
		t.Errorf("how alerts stand has to be counted anew: %v", s.standing.state)
		return
	}
	read := func(s *Service) string {
		if err := s.passStanding(ctx, now); err != nil {
			t.Error(err)
		}
		var b strings.Builder
		if err := s.standing.write(&b, now); err != nil {
			t.Error(err)
		}
		lines := slices.DeleteFunc(strings.SplitAfter(b.String(), "\n"), func(l string) bool { return strings.HasSuffix(l, "} 0\n") })
		return strings.Join(lines, "")
	}
	anew := &Service{db: s.db, clock: s.clock, writer: make(chan struct{}, 1)}
	if err := anew.countStanding(ctx); err != nil {
		t.Error(err)
	}
	if got, want := read(s), read(anew); got != want {
		t.Errorf("what was followed:\n%s\nwhat the tables say:\n%s", got, want)
	}
}

// Looks beside transactions see each of their moves once.
func TestStandingBesideTransactions(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 60 {
			if err := s.Ingest(t.Context(), []detections.Occurrence{onHost(ruleGuess, n, n%20, n), onHost(ruleScan, n, n, n)}); err != nil {
				t.Error(err)
			}
			if c.forward(time.Minute); n%7 == 0 { // counted anew, while it goes on
				s.standing.mu.Lock()
				s.standing.state = uncounted
				s.standing.mu.Unlock()
			}
		}
	}()
	for going := true; going; {
		select {
		case <-done:
			going = false
		default:
		}
		standingNow(t, s)
	}
	c.forward(standingDay - 30*time.Minute)
	standingNow(t, s)
	if n := s.standing.day[stance{tenant: sealWeb.tenant, severity: severityRank(detections.Low)}]; n == 0 || n >= 60 {
		t.Errorf("of the last day are %d", n)
	}
}

func TestStanding(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	ctx, by := t.Context(), Actor{Name: "li", Reach: reach.All()}
	ingest(t, s, grave(intrusion(sealWeb, "203.0.113.9", 0))...)
	incidents, alerts := allIncidents(t, s), allAlerts(t, s)
	if len(incidents) != 1 || len(alerts) == 0 {
		t.Fatalf("%d incidents, %d alerts", len(incidents), len(alerts))
	}
	one := incidents[0]
	tenant := fmt.Sprintf("tenant=%q", one.Tenant)
	f := func(when string, want map[string]float64) {
		t.Helper()
		got := standingNow(t, s)
		for series, v := range want {
			name, labels, _ := strings.Cut(series, " ")
			full := name + "{" + strings.TrimSuffix(tenant+","+labels, ",") + "}"
			if g, ok := got[full]; g != v || !ok && v != 0 {
				t.Errorf("%s: %s is %v, want %v; of\n%v", when, full, g, v, got)
			}
		}
	}
	n := float64(len(alerts))
	f("opened", map[string]float64{`icewatch_alerts severity="critical",state="open"`: n, `icewatch_alerts_raised_last_day severity="critical"`: n,
		`icewatch_incidents severity="critical",state="open"`: 1, `icewatch_incidents_sla state="ok"`: 1, `icewatch_incidents_month_opened`: 1, `icewatch_incidents_month_acknowledged`: 0})
	ruled := 0.0
	for series, v := range standingNow(t, s) {
		if strings.HasPrefix(series, "icewatch_rule_alerts_last_day{") {
			ruled += v
		}
	}
	if ruled != n {
		t.Errorf("the rules raised %v alerts, want %v", ruled, n)
	}
	c.forward(10 * time.Minute)
	if _, err := s.AcknowledgeIncident(ctx, by, one.ID, ""); err != nil {
		t.Fatal(err)
	}
	f("acknowledged", map[string]float64{`icewatch_incidents severity="critical",state="open"`: 0, `icewatch_incidents severity="critical",state="acknowledged"`: 1,
		`icewatch_incidents_month_acknowledged`: 1, `icewatch_incidents_month_acknowledge_seconds`: 600})
	c.forward(8 * 24 * time.Hour)
	f("late", map[string]float64{`icewatch_incidents_sla state="breached"`: 1, `icewatch_incidents_sla state="ok"`: 0, `icewatch_incidents_month_late`: 1, `icewatch_alerts_raised_last_day severity="critical"`: 0})
	if _, err := s.CloseIncident(ctx, by, one.ID, Close{Resolution: "true_positive"}); err != nil {
		t.Fatal(err)
	}
	took := (8*24*time.Hour + 10*time.Minute).Seconds()
	f("closed", map[string]float64{`icewatch_incidents severity="critical",state="acknowledged"`: 0, `icewatch_incidents_sla state="breached"`: 0, `icewatch_alerts severity="critical",state="open"`: 0,
		`icewatch_incidents_month_closed`: 1, `icewatch_incidents_month_resolved`: 1, `icewatch_incidents_month_resolve_seconds`: took})
	c.forward(31 * 24 * time.Hour)
	f("a month later", map[string]float64{`icewatch_incidents_month_opened`: 0, `icewatch_incidents_month_resolve_seconds`: 0})
}
