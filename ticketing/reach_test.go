package ticketing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/soc/reach/reachtest"
	"icewatch/ticketing/outbox"
)

// located are the fields that say where an item is.
func located(f reach.Facts) map[string]string {
	return map[string]string{reach.FieldUnit: f.Unit, reach.FieldRegion: f.Region, reach.FieldIndustry: f.Industry, reach.FieldLabels: reach.JoinLabels(f.Labels)}
}

// TestReach lists, counts and opens alerts and incidents within random scopes
// and compares with what an oracle makes of all of them.
func TestReach(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rnd := reachtest.Random(t)
	town := reachtest.NewTown(rnd, "t0", "t1", "t2", "t3", "t4")
	s, _ := newService(t, nil)
	facts := map[string]reach.Facts{} // by item
	var occs []detections.Occurrence
	for i := range 60 {
		tenant := town.Slug(rnd)
		h := host{id: fmt.Sprintf("ci-%d", i), name: fmt.Sprintf("h-%d", i), tenant: tenant, addr: fmt.Sprintf("10.1.1.%d", i)}
		facts[h.id] = town.Row(rnd, tenant)
		for n := range 1 + rnd.IntN(3) {
			r := []rule{ruleSudo, ruleGuess, ruleLogin}[rnd.IntN(3)]
			// The same actors on several items, so that incidents span them.
			source := fmt.Sprintf("203.0.113.%d", rnd.IntN(5))
			occs = append(occs, fire(r, h, source, time.Duration(i+n)*time.Second, located(facts[h.id])))
		}
		if rnd.IntN(4) == 0 {
			occs = append(occs, fire(criticalRule("P1"), h, fmt.Sprintf("203.0.113.%d", rnd.IntN(5)), time.Minute, located(facts[h.id])))
		}
	}
	ingest(t, s, occs...)
	alerts, incidents := allAlerts(t, s), allIncidents(t, s)
	if len(alerts) < 60 || len(incidents) < 3 {
		t.Fatalf("only %d alerts and %d incidents", len(alerts), len(incidents))
	}
	for range 60 {
		x := town.NewTerm(rnd, 3)
		e, err := reach.Parse(x.Text())
		if err != nil {
			t.Fatal(err)
		}
		r := e.Compile(town.Directory())
		sees := func(tenant string, ci *CI) bool {
			f := facts[ci.ID]
			f.Tenant = tenant
			return x.Shows(town, f)
		}
		wrong := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("scope %s: %s", x.Text(), fmt.Sprintf(format, args...))
		}
		var wantAlerts, wantIncidents []string
		members := map[string]int{}
		severities := map[string]int{}
		for _, a := range alerts {
			visible := sees(a.Tenant, a.CI)
			if visible {
				wantAlerts = append(wantAlerts, a.ID)
				members[a.IncidentID]++
				severities[string(a.Severity)]++
			}
			if _, err := s.Alert(ctx, r, a.ID); (err == nil) != visible {
				wrong("alert %s: %v, want visible %v", a.ID, err, visible)
			}
		}
		for _, i := range incidents {
			visible := sees(i.Tenant, i.CI)
			if visible {
				wantIncidents = append(wantIncidents, i.ID)
			}
			d, err := s.Incident(ctx, r, i.ID)
			if (err == nil) != visible {
				wrong("incident %s: %v, want visible %v", i.ID, err, visible)
			}
			if err != nil {
				continue
			}
			if d.AlertCount != members[i.ID] || len(d.Alerts) != members[i.ID] {
				wrong("incident %s shows %d alerts and counts %d, want %d", i.ID, len(d.Alerts), d.AlertCount, members[i.ID])
			}
			for _, entry := range d.Timeline {
				text := fmt.Sprint(entry.Data["alert_id"], entry.Data["alert_ids"])
				for _, a := range alerts {
					if strings.Contains(text, a.ID) && !sees(a.Tenant, a.CI) {
						wrong("the timeline of %s tells of the alert %s", i.ID, a.ID)
					}
				}
			}
		}
		var gotAlerts, gotIncidents []string
		if attacks, err := s.Attacks(ctx, AlertQuery{Reach: r}, nil); err != nil || attacks.Alerts != len(wantAlerts) || attacks.Counted != len(wantAlerts) {
			wrong("statistics of %d alerts, by the fields of %d, want %d (%v)", attacks.Alerts, attacks.Counted, len(wantAlerts), err)
		}
		list, total, _, err := s.Alerts(ctx, AlertQuery{Reach: r, Page: Page{Limit: 1000}})
		for _, a := range list {
			gotAlerts = append(gotAlerts, a.ID)
		}
		inc, totalIncidents, _, err2 := s.Incidents(ctx, IncidentQuery{Reach: r, Page: Page{Limit: 1000}})
		for _, i := range inc {
			gotIncidents = append(gotIncidents, i.ID)
			if i.AlertCount != members[i.ID] {
				wrong("the list counts %d alerts of %s, want %d", i.AlertCount, i.ID, members[i.ID])
			}
		}
		for _, l := range [][]string{gotAlerts, gotIncidents, wantAlerts, wantIncidents} {
			slices.Sort(l)
		}
		if err := errors.Join(err, err2); err != nil || !slices.Equal(gotAlerts, wantAlerts) || !slices.Equal(gotIncidents, wantIncidents) || total != len(wantAlerts) || totalIncidents != len(wantIncidents) {
			wrong("%d of %d alerts, want %d; %d of %d incidents, want %d; %v", len(gotAlerts), total, len(wantAlerts), len(gotIncidents), totalIncidents, len(wantIncidents), err)
		}
		o, err := s.Overview(ctx, r, "")
		if err != nil || o.AlertsOpen != len(wantAlerts) || o.IncidentsOpen != len(wantIncidents) {
			wrong("the overview counts %d alerts and %d incidents: %v", o.AlertsOpen, o.IncidentsOpen, err)
		}
		for level, n := range o.BySeverity {
			if n != severities[level] {
				wrong("the overview counts %d of %s, want %d", n, level, severities[level])
			}
		}
		a := alerts[rnd.IntN(len(alerts))]
		if _, err := s.CommentAlert(ctx, Actor{Name: "x", Reach: r}, a.ID, "…"); (err == nil) != sees(a.Tenant, a.CI) || err != nil && !errors.Is(err, ErrNotFound) {
			wrong("commenting on %s: %v", a.ID, err)
		}
		done, failed, err := s.BatchAlerts(ctx, Actor{Name: "x", Reach: r}, Batch{Action: "assign", Assignee: "x", IDs: []string{a.ID}})
		if visible := sees(a.Tenant, a.CI); err != nil || (len(done) == 1) != visible || (len(failed) == 0) != visible {
			wrong("assigning %s: %v %v %v", a.ID, done, failed, err)
		}
	}
}

// TestClosingKeepsToTheReach closes an incident as somebody who sees a part of
// its alerts: the others stay open.
func TestClosingKeepsToTheReach(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, _ := newService(t, nil)
	north, south := reach.Facts{Region: "north"}, reach.Facts{Region: "south"}
	ingest(t, s,
		fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, located(north)),
		fire(ruleGuess, sealDB, "203.0.113.7", time.Second, located(south)),
		fire(ruleSudo, sealWeb, "203.0.113.7", 2*time.Second, located(north)))
	e, err := reach.Parse(`region = "north"`)
	if err != nil {
		t.Fatal(err)
	}
	by := Actor{Name: "li.na", Reach: e.Compile(reach.NewDirectory([]reach.Tenant{{Slug: "e-seal"}}, nil))}
	i := allIncidents(t, s)[0]
	if i.AlertCount != 3 {
		t.Fatalf("%+v", i)
	}
	if seen, err := s.CloseIncident(ctx, by, i.ID, Close{Resolution: "benign"}); err != nil || seen.Status != StatusClosed {
		t.Fatalf("%+v %v", seen, err)
	}
	status := func() (out []string) {
		for _, a := range allAlerts(t, s) {
			out = append(out, a.CI.Name+" "+string(a.Status))
		}
		slices.Sort(out)
		return out
	}
	if got := fmt.Sprint(status()); got != "[seal-db-01 open seal-web-01 closed seal-web-01 closed]" {
		t.Error(got)
	}
	if _, err := s.ReopenIncident(ctx, by, i.ID); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(status()); got != "[seal-db-01 open seal-web-01 open seal-web-01 open]" {
		t.Error(got)
	}
}

// TestNotificationLogKeepsToTheReach writes notifications of incidents in two
// regions and reads the log of one.
func TestNotificationLogKeepsToTheReach(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, c := newService(t, nil)
	for i, region := range []string{"north", "south", "south"} {
		a := outbox.Attempt{Delivery: fmt.Sprint(i), Receiver: "r", IncidentID: fmt.Sprint("INC-", i), Tenant: "e-seal", At: c.now().UnixMilli(), Kept: reach.Kept{Region: region}}
		err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewInsert().Model(&a).Exec(ctx)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	e, err := reach.Parse(`region = "south"`)
	if err != nil {
		t.Fatal(err)
	}
	r := e.Compile(reach.NewDirectory([]reach.Tenant{{Slug: "e-seal"}}, nil))
	if list, total, _, err := s.Outbox().Log(ctx, outbox.LogQuery{Reach: r, Limit: 10}); err != nil || total != 2 || len(list) != 2 {
		t.Errorf("%d of %d: %v", len(list), total, err)
	}
}
