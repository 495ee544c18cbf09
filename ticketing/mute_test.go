package ticketing

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/silence"
)

func mustMatchers(t testing.TB, texts ...string) silence.Silence {
	t.Helper()
	m, err := silence.ParseMatchers(texts)
	if err != nil {
		t.Fatal(err)
	}
	return silence.Silence{Matchers: m, CreatedBy: "zhang", Comment: "test"}
}

// mute silences for a time from now on.
func mute(t testing.TB, s *Service, d time.Duration, texts ...string) Silence {
	t.Helper()
	l := mustMatchers(t, texts...)
	l.EndsAt = s.now().Add(d)
	made, err := s.SetSilence(t.Context(), Actor{Name: "zhang", Reach: reach.All()}, l)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// quiet waits long enough for what should not come.
func quiet(t testing.TB, h *hook, n int) {
	t.Helper()
	time.Sleep(300 * time.Millisecond)
	if got := h.payloads(); len(got) != n {
		t.Fatalf("%d notifications, want %d: %+v", len(got), n, got[n:])
	}
}

// TestSilencedIncident: an incident whose alerts are all silenced is formed and
// shown and nobody is told; when the silence ends its receivers learn of it
// once, also over a restart.
func TestSilencedIncident(t *testing.T) {
	t.Parallel()
	h, c, db := newHook(t, nil), newClock(), openDB(t)
	s := openService(t, db, c, Deps{Config: hookConfig(h)})
	stop := running(t, s)
	l := mute(t, s, time.Hour, "ci=seal-web-01", "severity=~critical|high")
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	incidents := allIncidents(t, s)
	if len(incidents) != 1 {
		t.Fatalf("%d incidents", len(incidents))
	}
	alerts := allAlerts(t, s)
	if len(alerts) != 1 || !slices.Equal(alerts[0].SilencedBy, []string{l.ID}) || alerts[0].Status != StatusOpen {
		t.Fatalf("alerts %+v", alerts)
	}
	c.forward(30 * time.Minute) // the response is late by now: that is not told, either
	s.nudge()
	quiet(t, h, 0)
	d, err := s.Incident(t.Context(), reach.All(), incidents[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	held, late := 0, 0
	for _, e := range d.Timeline {
		if e.Kind == "notified" && e.Data["status"] == "silenced" {
			held++
		}
		if e.Kind == "sla" {
			late++
		}
	}
	if held != 1 || late == 0 {
		t.Errorf("timeline: %d times held back, %d times late: %+v", held, late, d.Timeline)
	}
	stop()
	s = openService(t, db, c, Deps{Config: hookConfig(h)})
	running(t, s)
	quiet(t, h, 0)
	c.forward(31 * time.Minute)
	s.nudge()
	got := h.await(t, 1)
	if got[0].Status != "firing" || got[0].GroupLabels["incident"] != incidents[0].ID || len(got[0].Alerts) != 1 {
		t.Errorf("%+v", got[0])
	}
	quiet(t, h, 1)
	if a := allAlerts(t, s)[0]; len(a.SilencedBy) != 0 || a.SilencedBy == nil {
		t.Errorf("silenced by %v after the end", a.SilencedBy)
	}
	log, _, _, err := s.Outbox().Log(t.Context(), logOf(incidents[0].ID))
	if err != nil || len(log) != 1 || log[0].Kind != "opened" {
		t.Errorf("delivery log %+v, %v", log, err)
	}
}

// TestExpiredSilence: ending a silence by hand tells at once what it held back.
func TestExpiredSilence(t *testing.T) {
	t.Parallel()
	h, c := newHook(t, nil), newClock()
	s := openService(t, openDB(t), c, Deps{Config: hookConfig(h)})
	running(t, s)
	l := mute(t, s, time.Hour, "tenant=e-seal")
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	quiet(t, h, 0)
	if _, err := s.ExpireSilence(t.Context(), Actor{Name: "zhang", Reach: reach.All()}, l.ID); err != nil {
		t.Fatal(err)
	}
	h.await(t, 1)
	ingest(t, s, fire(criticalRule("P1"), taxWeb, "203.0.113.8", 0, nil)) // nobody silenced these
	h.await(t, 2)
}

// TestPartlySilenced: a notification leaves silenced alerts out, an alert that
// joins silenced is no news, and what was left out is told of later.
func TestPartlySilenced(t *testing.T) {
	t.Parallel()
	h, c := newHook(t, nil), newClock()
	cfg := hookConfig(h)
	cfg.GroupInterval = time.Millisecond
	s := openService(t, openDB(t), c, Deps{Config: cfg})
	running(t, s)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	h.await(t, 1)
	// It ends before the warning that a response comes due after twelve minutes,
	// which is a notification of its own.
	mute(t, s, 5*time.Minute, "rule_id=sudo")
	c.forward(time.Minute)
	ingest(t, s, fire(ruleSudo, sealWeb, "", time.Minute, nil))
	quiet(t, h, 1) // it joined silently
	if i := allIncidents(t, s)[0]; i.AlertCount != 2 {
		t.Fatalf("the incident holds %d alerts", i.AlertCount)
	}
	c.forward(time.Minute)
	ingest(t, s, fire(ruleOutbound, sealWeb, "", 2*time.Minute, map[string]string{"destination.ip": "198.51.100.66"}))
	c.forward(time.Second)
	s.nudge()
	got := h.await(t, 2)[1]
	var rules []string
	for _, a := range got.Alerts {
		rules = append(rules, a.Labels["rule_id"])
	}
	if len(rules) != 2 || slices.Contains(rules, "sudo") {
		t.Errorf("told of %v", rules)
	}
	c.forward(5 * time.Minute)
	s.nudge()
	if got := h.await(t, 3)[2]; len(got.Alerts) != 3 {
		t.Errorf("told of %d alerts after the silence, want all three", len(got.Alerts))
	}
	quiet(t, h, 3)
}

// TestEndOfSilenced: the end of an incident is told although it is silenced,
// unless nobody was told of it.
func TestEndOfSilenced(t *testing.T) {
	t.Parallel()
	h, c := newHook(t, nil), newClock()
	s := openService(t, openDB(t), c, Deps{Config: hookConfig(h)})
	running(t, s)
	by := Actor{Name: "zhang", Reach: reach.All()}
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	h.await(t, 1)
	mute(t, s, time.Hour, "tenant=~e-seal|tax")
	ingest(t, s, fire(criticalRule("P1"), taxWeb, "203.0.113.8", 0, nil))
	for _, i := range allIncidents(t, s) {
		if _, err := s.CloseIncident(t.Context(), by, i.ID, Close{Resolution: "benign"}); err != nil {
			t.Fatal(err)
		}
	}
	got := h.await(t, 2)
	if got[1].Status != "resolved" || got[1].CommonLabels["tenant"] != "e-seal" {
		t.Errorf("%+v", got[1])
	}
	c.forward(2 * time.Hour)
	s.nudge()
	quiet(t, h, 2)
}

// TestSilencesInReach: whoever sees a part mutes that part alone, and sees of
// others' silences those that mute what is his.
func TestSilencesInReach(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := openService(t, openDB(t), c, Deps{})
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil), fire(criticalRule("P1"), taxWeb, "203.0.113.8", 0, nil))
	seal, tax := reach.Tenants("e-seal"), reach.Tenants("tax")
	set := func(r reach.Reach, texts ...string) (Silence, error) {
		l := mustMatchers(t, texts...)
		l.EndsAt = s.now().Add(time.Hour)
		return s.SetSilence(t.Context(), Actor{Name: "u", Reach: r}, l)
	}
	mine, err := set(seal, "severity=critical")
	if err != nil {
		t.Fatal(err)
	}
	muted := func() (tenants []string) {
		for _, a := range allAlerts(t, s) {
			if len(a.SilencedBy) > 0 {
				tenants = append(tenants, a.Tenant)
			}
		}
		return tenants
	}
	if got := muted(); !slices.Equal(got, []string{"e-seal"}) {
		t.Errorf("muted %v", got)
	}
	if _, err := set(seal, "tenant=tax"); !errors.Is(err, silence.ErrInvalid) {
		t.Errorf("a silence of another's tenant: %v", err)
	}
	visible := func(r reach.Reach) string {
		list, err := s.Silences(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, l := range list {
			ids = append(ids, l.ID)
		}
		return strings.Join(ids, " ")
	}
	if visible(tax) != "" || visible(seal) != mine.ID || visible(reach.All()) != mine.ID {
		t.Errorf("tax sees %q, seal %q, all %q", visible(tax), visible(seal), visible(reach.All()))
	}
	if _, err := s.ExpireSilence(t.Context(), Actor{Name: "u", Reach: tax}, mine.ID); !errors.Is(err, silence.ErrNotFound) {
		t.Errorf("another's silence: %v", err)
	}
	// Whoever sees more and changes it does not make it mute more.
	l := *mine.Silence
	l.EndsAt = l.EndsAt.Add(time.Hour)
	same, err := s.SetSilence(t.Context(), Actor{Name: "city", Reach: reach.All()}, l)
	if err != nil || same.ID != mine.ID {
		t.Fatalf("%+v, %v", same, err)
	}
	if got := muted(); !slices.Equal(got, []string{"e-seal"}) {
		t.Errorf("muted %v after a change by the city", got)
	}
	if _, err := s.ExpireSilence(t.Context(), Actor{Name: "u", Reach: seal}, mine.ID); err != nil {
		t.Fatal(err)
	}
	wide, err := set(reach.All(), "alertname=~.+", "tenant!=tax")
	if err != nil {
		t.Fatal(err)
	}
	if visible(tax) != "" || !strings.Contains(visible(seal), wide.ID) {
		t.Errorf("the city's silence: tax sees %q, seal %q", visible(tax), visible(seal))
	}
	if _, err := s.ExpireSilence(t.Context(), Actor{Name: "u", Reach: seal}, wide.ID); !errors.Is(err, silence.ErrForbidden) {
		t.Errorf("ending the city's silence: %v", err)
	}
}

// TestLabels: what alerts are known by.
func TestLabels(t *testing.T) {
	c := newClock()
	s := openService(t, openDB(t), c, Deps{})
	o := fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil)
	ingest(t, s, o)
	want := map[string]string{"alertname": "SSH password guessing", "rule_id": "guess", "tenant": "e-seal", "severity": "medium", "ci": "seal-web-01",
		"host": "seal-web-01", "system": "电子印章平台", "source_ip": "203.0.113.7", "icewatch_ci_id": "ci-seal-web-01"}
	a := allAlerts(t, s)[0]
	for k, v := range want {
		if a.Labels[k] != v {
			t.Errorf("label %s is %q, want %q", k, a.Labels[k], v)
		}
	}
	if len(a.Labels) != len(want) {
		t.Errorf("labels %v", a.Labels)
	}
	for _, text := range []string{"alert=" + a.ID, "priority=P3", "incident=\"\""} {
		m, err := silence.ParseMatchers([]string{text})
		if err != nil {
			t.Fatal(err)
		}
		if _, n, err := s.Match(t.Context(), reach.All(), m, 1); n != 1 || err != nil {
			t.Errorf("%s matches %d alerts, %v", text, n, err)
		}
	}
	if got := clipLabel(strings.Repeat("印", 1000)); len(got) > maxLabel || !strings.HasPrefix(strings.Repeat("印", 1000), got) {
		t.Errorf("clipped to %d bytes", len(got))
	}
}

func logOf(incident string) outbox.LogQuery {
	return outbox.LogQuery{Reach: reach.All(), Incident: incident, Limit: 10}
}

// TestRecurringSilence: a silence that recurs holds back what fires in its times
// alone; what a silence without data collection mutes is dropped and counted,
// and its owner is told before it ends and when it has, once each.
func TestRecurringSilence(t *testing.T) {
	t.Parallel()
	h, c := newHook(t, nil), newClock() // 16:00 in Shanghai
	s := openService(t, openDB(t), c, Deps{Config: hookConfig(h)})
	by := Actor{Name: "zhang", Reach: reach.All()}
	night := mustMatchers(t, "severity=critical")
	night.StartsAt, night.EndsAt = c.now().Add(-time.Minute), c.now().Add(72*time.Hour)
	night.Recurrence = &silence.Recurrence{Rule: "FREQ=DAILY", Lasts: 2 * time.Hour, Zone: "Asia/Shanghai"}
	drop := mustMatchers(t, "rule_id=sudo")
	drop.EndsAt, drop.NoData, drop.Owner, drop.Receiver = c.now().Add(3*time.Hour), true, "li", "hook"
	made, err := s.SetSilences(t.Context(), by, []silence.Silence{night, drop})
	if err != nil {
		t.Fatal(err)
	}
	sudo := fire(ruleSudo, sealWeb, "", 0, nil)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil), sudo, sudo)
	ingest(t, s, sudo)
	if alerts := allAlerts(t, s); len(alerts) != 1 || !slices.Equal(alerts[0].SilencedBy, []string{made[0].ID}) {
		t.Fatalf("%d alerts: %+v", len(alerts), alerts)
	}
	if l, err := s.Silence(t.Context(), by.Reach, made[1].ID); err != nil || l.Dropped != 1 { // the same firing counts once
		t.Errorf("dropped %d, %v", l.Dropped, err)
	}
	if matched, muted, err := s.Lately(t.Context(), by.Reach, *made[0].Silence, 7*24*time.Hour); err != nil || matched != 1 || muted != 0 && muted != 1 {
		t.Errorf("last week: %d, %d, %v", matched, muted, err)
	}
	for range 2 {
		c.forward(130 * time.Minute)
		if allAlerts(t, s)[0].SilencedBy == nil || len(allAlerts(t, s)[0].SilencedBy) > 0 {
			t.Errorf("silenced at %s", c.now())
		}
		for range 2 {
			if err := s.tellOwners(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	running(t, s)
	told := map[string]int{}
	for _, p := range h.await(t, 2) {
		if p.CommonLabels["silence"] == made[1].ID && p.CommonLabels["owner"] == "li" {
			told[p.Status]++
		}
	}
	c.forward(20 * time.Hour) // the next day's
	if by := allAlerts(t, s)[0].SilencedBy; len(by) != 1 {
		t.Errorf("silenced by %v the next day", by)
	}
	if told["firing"] != 1 || told["resolved"] != 1 {
		t.Errorf("the owner was told %v", told)
	}
}
