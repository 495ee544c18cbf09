package ticketing

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/transition"
)

// shares of a dimension by their keys.
func shares(f Figures, by string) map[string]Share {
	out := map[string]Share{}
	for _, d := range f.By {
		if d.By == by {
			for _, s := range d.Shares {
				out[s.Key] = s
			}
		}
	}
	return out
}

// grave makes firings critical, so that the simple policy opens incidents.
func grave(list []detections.Occurrence) []detections.Occurrence {
	for i := range list {
		list[i].Rule.Level = detections.Critical
	}
	return list
}

func TestFigures(t *testing.T) {
	s, c := newService(t, nil)
	ctx, by := t.Context(), Actor{Name: "li", Reach: reach.All()}
	// One incident now, and one ten days later of somebody else.
	ingest(t, s, grave(intrusion(sealWeb, "203.0.113.9", 0))...)
	first := allIncidents(t, s)
	c.forward(10 * time.Minute)
	if _, err := s.AcknowledgeIncident(ctx, by, first[0].ID, ""); err != nil {
		t.Fatal(err)
	}
	c.forward(50 * time.Minute)
	if _, err := s.CloseIncident(ctx, by, first[0].ID, Close{Resolution: "false_positive"}); err != nil {
		t.Fatal(err)
	}
	old := len(first)
	c.forward(10 * 24 * time.Hour)
	ingest(t, s, grave(intrusion(taxWeb, "198.51.100.7", 241*time.Hour))...)
	all := allIncidents(t, s)
	fresh := len(all) - old
	if fresh == 0 {
		t.Fatal("no second incident")
	}

	week, err := s.Figures(ctx, FiguresQuery{Reach: reach.All(), To: c.now(), Days: 7, Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	if week.Total.Incidents != fresh || week.Before.Incidents != old || len(week.Days) != 7 || week.Backlog != len(all)-1 {
		t.Errorf("7 days: %d incidents, %d before, %d days, backlog %d; want %d, %d, 7, %d", week.Total.Incidents, week.Before.Incidents, len(week.Days), week.Backlog, fresh, old, len(all)-1)
	}
	if last := week.Days[6]; last.Incidents != fresh || last.Alerts == 0 || last.Day != c.now().Format(time.DateOnly) {
		t.Errorf("the last day: %+v", last)
	}
	if week.Before.MTTA != 600 || week.Before.MTTR != 3600 {
		t.Errorf("before: acknowledged in %d s, resolved in %d s, want 600 and 3600", week.Before.MTTA, week.Before.MTTR)
	}

	fortnight, err := s.Figures(ctx, FiguresQuery{Reach: reach.All(), To: c.now(), Days: 14, Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	if fortnight.Total.Incidents != len(all) || fortnight.Total.Closed != 1 || fortnight.Total.False == 0 {
		t.Errorf("14 days: %+v", fortnight.Total)
	}
	closed := 0
	for _, d := range fortnight.Days {
		closed += d.ClosedOn
	}
	if closed != 1 {
		t.Errorf("closed on the days: %d", closed)
	}
	for _, d := range fortnight.By {
		if d.By == ByEventLevel || d.By == ByCategory || d.By == ByActivity { // of data-security events alone
			continue
		}
		incidents, alerts := 0, 0
		for _, sh := range d.Shares {
			incidents, alerts = incidents+sh.Incidents, alerts+sh.Alerts
		}
		if incidents != fortnight.Total.Incidents || alerts != fortnight.Total.Alerts && d.By != ByHandler && d.By != ByTeam {
			t.Errorf("by %s: %d incidents and %d alerts, want %d and %d", d.By, incidents, alerts, fortnight.Total.Incidents, fortnight.Total.Alerts)
		}
	}
	if got := shares(fortnight, BySystem)["sys-tax"]; got.Incidents != fresh || got.Name != "税务申报" {
		t.Errorf("the tax system: %+v", got)
	}
	if got := shares(fortnight, BySource)["sigma"]; got.Incidents != len(all) {
		t.Errorf("our own rules: %+v", got)
	}

	// A unit counts what is its own, and nothing else.
	tax, err := s.Figures(ctx, FiguresQuery{Reach: reach.Tenants("tax"), To: c.now(), Days: 14, Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	if tax.Total.Incidents != fresh || len(shares(tax, ByTenant)) != 1 || tax.Backlog != fresh {
		t.Errorf("the tax bureau: %+v, by tenant %v", tax.Total, shares(tax, ByTenant))
	}
	if nobody, err := s.Figures(ctx, FiguresQuery{To: c.now(), Days: 14}); err != nil || nobody.Total != (Tally{}) {
		t.Errorf("nobody: %+v %v", nobody.Total, err)
	}
	if _, err := s.Figures(ctx, FiguresQuery{Reach: reach.All(), To: c.now(), Days: 93}); !errors.Is(err, ErrInvalid) {
		t.Errorf("93 days: %v", err)
	}

	// What happened can be followed from entry to entry.
	var seen []int64
	for after := int64(0); ; {
		list, err := s.Happened(ctx, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, h := range list {
			seen = append(seen, h.Seq)
		}
		after = list[len(list)-1].Seq
	}
	last, err := s.LastHappened(ctx)
	if err != nil || !slices.IsSorted(seen) || len(slices.Compact(seen)) != len(seen) || seen[len(seen)-1] != last {
		t.Errorf("followed %v to %d: %v", seen, last, err)
	}
}

func TestArchive(t *testing.T) {
	s, c := newService(t, nil)
	ctx, by := t.Context(), Actor{Name: "li", Reach: reach.All()}
	ingest(t, s, grave(intrusion(sealWeb, "203.0.113.9", 0))...)
	id := allIncidents(t, s)[0].ID
	listed := func(which string) int {
		t.Helper()
		_, total, _, err := s.Incidents(ctx, IncidentQuery{Reach: reach.All(), Archived: which})
		if err != nil {
			t.Fatal(err)
		}
		return total
	}
	total := listed(ArchivedToo)
	var conflict *Conflict
	if _, err := s.ArchiveIncident(ctx, by, id); !errors.As(err, &conflict) {
		t.Errorf("an open incident: %v", err)
	}
	if _, err := s.CloseIncident(ctx, by, id, Close{Resolution: "benign"}); err != nil {
		t.Fatal(err)
	}
	if i, err := s.ArchiveIncident(ctx, by, id); err != nil || i.ArchivedBy != "li" {
		t.Fatalf("%+v %v", i, err)
	}
	if listed(ArchivedNone) != total-1 || listed(ArchivedOnly) != 1 {
		t.Errorf("listed %d, archived %d", listed(ArchivedNone), listed(ArchivedOnly))
	}
	if _, err := s.RestoreIncident(ctx, by, id); err != nil || listed(ArchivedOnly) != 0 {
		t.Errorf("restored: %v, archived %d", err, listed(ArchivedOnly))
	}
	// By age: not what was restored since the limit, nor what is open.
	c.forward(24 * time.Hour)
	if n, err := s.ArchiveClosed(ctx, c.now().Add(-48*time.Hour)); n != 0 || err != nil {
		t.Errorf("too young: %d %v", n, err)
	}
	if n, err := s.ArchiveClosed(ctx, c.now().Add(-time.Hour)); n != 1 || err != nil {
		t.Errorf("old enough: %d %v", n, err)
	}
	if i, err := s.ReopenIncident(ctx, by, id); err != nil || i.ArchivedAt != nil || listed(ArchivedOnly) != 0 {
		t.Errorf("reopened: %+v %v", i.ArchivedAt, err)
	}
	if _, _, _, err := s.Incidents(ctx, IncidentQuery{Reach: reach.All(), Archived: "all"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("archived=all: %v", err)
	}
}

// A refused move changes nothing, of an incident or of the alerts of a batch.
func TestMoves(t *testing.T) {
	table := transition.Table{Moves: []transition.Move{{Of: transition.Incident, From: "open", To: "acknowledged", Roles: []string{}},
		{Of: transition.Alert, From: "open", To: "acknowledged", Roles: []string{"analyst"}}, {Of: transition.Alert, From: "open", To: "closed", Roles: []string{"operator"}}}}
	c := newClock()
	s := openService(t, openDB(t), c, Deps{Moves: func(_ context.Context, of, from, to string) error {
		return table.May(of, from, to, []string{"analyst"})
	}})
	ctx, by := t.Context(), Actor{Name: "li", Reach: reach.All()}
	ingest(t, s, grave(intrusion(sealWeb, "203.0.113.9", 0))...)
	id := allIncidents(t, s)[0].ID
	var refused *transition.Refused
	if _, err := s.CloseIncident(ctx, by, id, Close{Resolution: "benign"}); !errors.As(err, &refused) {
		t.Errorf("closing: %v", err)
	}
	if i, err := s.AcknowledgeIncident(ctx, by, id, ""); err != nil || i.Status != StatusAcknowledged {
		t.Errorf("acknowledging: %+v %v", i.Status, err)
	}
	alert := allAlerts(t, s)[0].ID
	_, failed, err := s.BatchAlerts(ctx, by, Batch{IDs: []string{alert}, Action: "close", Close: Close{Resolution: "benign"}})
	if err != nil || !errors.As(failed[alert], &refused) || !slices.Equal(refused.Roles, []string{"operator"}) {
		t.Errorf("closing an alert: %v, %v", failed, err)
	}
	if a, err := s.AcknowledgeAlert(ctx, by, alert, ""); err != nil || a.Status != StatusAcknowledged {
		t.Errorf("acknowledging an alert: %+v %v", a.Status, err)
	}
}
