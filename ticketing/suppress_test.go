package ticketing

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/suppression"
	"icewatch/soc/reach"
	"icewatch/ticketing/suppressing"
)

// jobs is what a rule raises of backups by night: on two hosts, by two accounts,
// and now and then of somebody else.
func jobs() (out []detections.Occurrence) {
	for n := range 60 {
		h, extra := sealDB, map[string]string{"user.name": "backup", "process.command_line": fmt.Sprintf(`C:\borg\borg.exe create repo::%d *`, n%3)}
		if n%4 == 0 {
			h = sealApp
		}
		if n%5 == 0 {
			extra["user.name"] = "mallory"
		}
		out = append(out, fire(ruleSudo, h, "", time.Duration(n)*time.Minute, extra))
	}
	return append(out, intrusion(sealWeb, "203.0.113.9", time.Hour)...)
}

var night = suppression.Suppression{Name: "Backups", Rules: []string{"sudo"}, Tenants: []string{"e-seal"}, Assets: suppression.Assets{Items: []string{sealDB.id}, Systems: []string{"no such"}},
	Detection: map[string]any{"job": map[string]any{"user.name": "backup", "process.command_line|contains": `\borg.exe create`}, "condition": "job"}, Owner: "li", Reason: "The nightly backup"}

var chief = Actor{Name: "li", Reach: reach.All()}

func setSuppression(t *testing.T, s *Service, one suppression.Suppression) suppressing.Kept {
	t.Helper()
	made, err := s.SetSuppressions(t.Context(), chief, []suppression.Suppression{one})
	if err != nil {
		t.Fatal(err)
	}
	return made[0]
}

func TestSuppressionPreviewIsTheEffect(t *testing.T) {
	t.Parallel()
	past, c := newService(t, nil)
	stream := jobs()
	for n := range stream {
		ingest(t, past, stream[n])
	}
	one := night
	one.Expires = c.now().Add(24 * time.Hour)
	p, err := past.PreviewSuppression(t.Context(), reach.All(), one)
	if err != nil {
		t.Fatal(err)
	}
	future, _ := newService(t, nil)
	made := setSuppression(t, future, one)
	for from := 0; from < len(stream); from += 7 { // cut in another way
		ingest(t, future, stream[from:min(from+7, len(stream))]...)
		ingest(t, future, stream[from:min(from+7, len(stream))]...) // and replayed
	}
	v, err := future.Suppression(t.Context(), reach.All(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, o := range stream {
		if o.Rule.ID == "sudo" && o.Fields["icewatch.ci.id"] == sealDB.id && o.Fields["user.name"] == "backup" {
			want++
		}
	}
	if want == 0 || p.Suppressed != want || v.Effect.Firings != want || !p.Complete || p.Estimated || p.Unsure != 0 {
		t.Errorf("%d firings: previewed %d, suppressed %d (%+v)", want, p.Suppressed, v.Effect.Firings, p)
	}
	if p.Alerts != v.Alerts || v.Alerts != 1 || v.Effect.Events != 3*want {
		t.Errorf("alerts: previewed %d, suppressed %d, %d events", p.Alerts, v.Alerts, v.Effect.Events)
	}
	if len(p.Assets) != 1 || p.Assets[0].ID != sealDB.id || p.Assets[0].Suppressed != want || len(p.Samples) != 20 || len(p.Days) != 1 || p.Days[0].Suppressed != want || p.Rules[0].Suppressed != want {
		t.Errorf("preview %+v", p)
	}
	kinds := map[string]bool{}
	for _, w := range p.Warnings {
		kinds[w.Kind] = true
	}
	if !kinds["critical_asset"] || !kinds["most_of_rule"] || kinds["all_tenants"] || kinds["absent"] {
		t.Errorf("warnings %+v", p.Warnings)
	}

	// What was suppressed is kept, closed, in no incident, and found.
	items, total, _, err := future.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Suppressed: made.ID})
	if err != nil || total != 1 {
		t.Fatal(err, total)
	}
	a := items[0]
	if a.Status != StatusClosed || a.Resolution != Suppressed || a.IncidentID != "" || a.SuppressedBy != made.ID || a.Occurrences != want || a.Count != 3*want {
		t.Errorf("alert %+v", a)
	}
	_, none, _, _ := future.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Suppressed: SuppressedNone})
	_, only, _, _ := future.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Suppressed: SuppressedOnly})
	if all := len(allAlerts(t, future)); none+only != all || only != 1 {
		t.Errorf("%d alerts, %d of them suppressed, %d not", all, only, none)
	}
	var conflict *Conflict
	if _, err := future.ReopenAlert(t.Context(), chief, a.ID); !errors.As(err, &conflict) {
		t.Errorf("reopened: %v", err)
	}
	if len(allIncidents(t, future)) != len(allIncidents(t, past)) {
		t.Error("the intrusion beside it is another incident than without the suppression")
	}
}

func TestSuppressionEnds(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	one := night
	one.Expires = c.now().Add(2 * time.Hour)
	made := setSuppression(t, s, one)
	n := 0
	raised := func() int {
		n++
		ingest(t, s, fire(ruleSudo, sealDB, "", time.Duration(n)*time.Second, map[string]string{"user.name": "backup", "process.command_line": `c:\borg\borg.exe create x`}))
		_, total, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Suppressed: SuppressedNone})
		if err != nil {
			t.Fatal(err)
		}
		return total
	}
	if raised() != 0 {
		t.Fatal("it suppresses nothing")
	}
	off := made.Suppression
	off.Disabled = true
	setSuppression(t, s, off)
	if raised() != 1 {
		t.Error("disabled, it still suppresses")
	}
	ingest(t, s, fire(ruleSudo, sealDB, "", time.Hour, nil)) // the account is another: another alert
	setSuppression(t, s, made.Suppression)
	if raised() != 2 {
		t.Error("enabled again it suppresses nothing")
	}
	c.forward(2*time.Hour - time.Second)
	if raised() != 2 {
		t.Error("it ends too early")
	}
	c.forward(time.Second)
	raised()
	items, _, _, _ := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Suppressed: SuppressedNone})
	firings := 0
	for _, a := range items {
		firings += a.Occurrences
	}
	if firings != 3 {
		t.Errorf("%d firings raised, want 3: one while it was disabled, one of another account, one after its end", firings)
	}
	// A start knows what is in force.
	again := openService(t, s.db, c, Deps{})
	if v, err := again.Suppression(t.Context(), reach.All(), made.ID); err != nil || v.State != suppressing.Expired || v.Effect.Firings != 3 {
		t.Errorf("after a start: %+v, %v", v, err)
	}
	versions, err := s.SuppressionVersions(t.Context(), reach.All(), made.ID)
	if err != nil || len(versions) != 3 || !versions[1].Disabled {
		t.Errorf("versions %+v, %v", versions, err)
	}
	if err := s.DeleteSuppression(t.Context(), chief, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Suppression(t.Context(), reach.All(), made.ID); !errors.Is(err, suppressing.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func TestSuppressionDraft(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	stream := jobs()
	ingest(t, s, stream...)
	var ids []string
	for _, a := range allAlerts(t, s) {
		if a.Rule.ID == "sudo" && a.User == "backup" {
			ids = append(ids, a.ID)
		}
	}
	if len(ids) != 2 {
		t.Fatalf("%d alerts", len(ids))
	}
	d, err := s.DraftSuppression(t.Context(), chief, ids)
	if err != nil {
		t.Fatal(err)
	}
	d.Reason, d.Expires = "r", s.now().Add(time.Hour)
	p, err := s.PreviewSuppression(t.Context(), reach.All(), d)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, o := range stream {
		if o.Rule.ID == "sudo" && o.Fields["user.name"] == "backup" {
			want++
		}
	}
	if p.Suppressed != want || p.Alerts != 2 || d.Rules[0] != "sudo" || d.Tenants[0] != "e-seal" || len(d.Assets.Items) != 2 {
		t.Errorf("the draft %+v meets %d firings of %d alerts, want %d of 2", d, p.Suppressed, p.Alerts, want)
	}
}

func TestSuppressionReach(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	ingest(t, s, jobs()...)
	one := night
	one.Expires = c.now().Add(time.Hour)
	mine := Actor{Name: "wang", Reach: reach.Tenants("tax")}
	if _, err := s.SetSuppressions(t.Context(), mine, []suppression.Suppression{one}); !errors.Is(err, suppressing.ErrInvalid) || !strings.Contains(err.Error(), "reach") {
		t.Errorf("another's tenant: %v", err)
	}
	all := one
	all.Tenants = nil
	if _, err := s.SetSuppressions(t.Context(), mine, []suppression.Suppression{all}); !errors.Is(err, suppressing.ErrInvalid) {
		t.Errorf("all tenants: %v", err)
	}
	made := setSuppression(t, s, one)
	taken := made.Suppression
	taken.Tenants = []string{"tax"}
	if _, err := s.SetSuppressions(t.Context(), mine, []suppression.Suppression{taken}); !errors.Is(err, suppressing.ErrNotFound) {
		t.Errorf("another's suppression taken over: %v", err)
	}
	if err := s.DeleteSuppression(t.Context(), mine, made.ID); !errors.Is(err, suppressing.ErrNotFound) {
		t.Errorf("another's suppression deleted: %v", err)
	}
	if list, err := s.Suppressions(t.Context(), mine.Reach); err != nil || len(list) != 0 {
		t.Errorf("another's suppressions listed: %v, %v", list, err)
	}
	if _, err := s.SuppressionVersions(t.Context(), mine.Reach, made.ID); !errors.Is(err, suppressing.ErrNotFound) {
		t.Errorf("another's versions: %v", err)
	}
	if p, err := s.PreviewSuppression(t.Context(), mine.Reach, one); err != nil || p.Firings != 0 || p.Suppressed != 0 {
		t.Errorf("another's firings previewed: %+v, %v", p, err)
	}
	one.Expires = c.now().AddDate(2, 0, 0)
	if _, err := s.SetSuppressions(t.Context(), chief, []suppression.Suppression{one}); !errors.Is(err, suppressing.ErrInvalid) || !strings.Contains(err.Error(), "year") {
		t.Errorf("for two years: %v", err)
	}
}
