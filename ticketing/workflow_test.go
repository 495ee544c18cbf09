package ticketing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/sla"
)

// criticalRule opens an incident on its own under simplePolicy.
func criticalRule(priority string) rule {
	r := ruleGuess
	r.id, r.level, r.priority = "critical", detections.Critical, priority
	return r
}

func kinds(list []TimelineEntry) string {
	var out []string
	for _, e := range list {
		out = append(out, e.Kind)
	}
	return strings.Join(out, " ")
}

func TestAlertWorkflow(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil))
	id := allAlerts(t, s)[0].ID
	by := Actor{Name: "li.na", Reach: reach.Tenants("e-seal")}
	must := func(a Alert, err error) Alert {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	refused := func(_ Alert, err error) {
		t.Helper()
		var conflict *Conflict
		if !errors.As(err, &conflict) {
			t.Fatalf("error %v, want a conflict", err)
		}
		if conflict.Object != id || conflict.Status == "" || !strings.Contains(conflict.Reason, string(conflict.Status)) {
			t.Errorf("conflict %+v does not say how things stand", conflict)
		}
	}
	refused(s.ReopenAlert(t.Context(), by, id))
	a := must(s.AcknowledgeAlert(t.Context(), by, id, "在看"))
	if a.Status != StatusAcknowledged || a.AcknowledgedBy != "li.na" || !a.AcknowledgedAt.Equal(c.now()) {
		t.Errorf("acknowledged: %+v", a)
	}
	refused(s.AcknowledgeAlert(t.Context(), by, id, ""))
	must(s.AssignAlert(t.Context(), by, id, "wang.wu"))
	must(s.CommentAlert(t.Context(), by, id, "来自办公网？"))
	a = must(s.CloseAlert(t.Context(), by, id, Close{Resolution: "false_positive", Comment: "演练"}))
	if a.Status != StatusClosed || a.Resolution != "false_positive" || a.ClosedBy != "li.na" || a.Assignee != "wang.wu" {
		t.Errorf("closed: %+v", a)
	}
	refused(s.CloseAlert(t.Context(), by, id, Close{Resolution: "benign"}))
	refused(s.AcknowledgeAlert(t.Context(), by, id, ""))
	refused(s.AssignAlert(t.Context(), by, id, "x"))
	a = must(s.ReopenAlert(t.Context(), by, id))
	if a.Status != StatusOpen || a.ClosedAt != nil || a.AcknowledgedAt != nil || a.Resolution != "" {
		t.Errorf("reopened: %+v", a)
	}
	d, err := s.Alert(t.Context(), reach.All(), id)
	if err != nil || kinds(d.Timeline) != "opened acknowledged assigned comment closed reopened" {
		t.Errorf("timeline %q, %v", kinds(d.Timeline), err)
	}
	for name, err := range map[string]error{
		"foreign tenant": second(s.AcknowledgeAlert(t.Context(), Actor{Name: "x", Reach: reach.Tenants("tax")}, id, "")),
		"no tenant":      second(s.AcknowledgeAlert(t.Context(), Actor{Name: "x", Reach: reach.None()}, id, "")),
		"unknown id":     second(s.AcknowledgeAlert(t.Context(), by, "nope", "")),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v, want not found", name, err)
		}
	}
	for name, err := range map[string]error{
		"resolution":    second(s.CloseAlert(t.Context(), by, id, Close{Resolution: "whatever"})),
		"empty comment": second(s.CommentAlert(t.Context(), by, id, " \n")),
		"long comment":  second(s.CommentAlert(t.Context(), by, id, strings.Repeat("长", maxComment+1))),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestBatch(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil), fire(ruleGuess, sealDB, "203.0.113.7", 0, nil), fire(ruleGuess, taxWeb, "203.0.113.7", 0, nil))
	var ids []string
	for _, a := range allAlerts(t, s) {
		ids = append(ids, a.ID)
	}
	by := Actor{Name: "li.na", Reach: reach.Tenants("e-seal")}
	b := Batch{IDs: append(slices.Clone(ids), ids[0], "nope"), Action: "close", Close: Close{Resolution: "benign"}}
	done, failed, err := s.BatchAlerts(t.Context(), by, b)
	if err != nil || len(done) != 2 || len(failed) != 2 || !errors.Is(failed["nope"], ErrNotFound) {
		t.Fatalf("done %d, failed %v, %v", len(done), failed, err)
	}
	_, failed, err = s.BatchAlerts(t.Context(), by, b)
	if err != nil || len(failed) != 4 {
		t.Errorf("closing twice: failed %v, %v", failed, err)
	}
	b.Action = "reopen"
	if done, _, err = s.BatchAlerts(t.Context(), by, b); err != nil || len(done) != 2 {
		t.Errorf("undo: done %d, %v", len(done), err)
	}
	for _, bad := range []Batch{{Action: "close"}, {IDs: ids, Action: "explode"}, {IDs: ids, Action: "close"}} {
		if _, _, err := s.BatchAlerts(t.Context(), by, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestIncidentWorkflow(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil), fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil))
	i := allIncidents(t, s)[0]
	if i.ID != "INC-20261123-0001" || i.Priority != "P1" || i.Severity != detections.Critical || i.AlertCount != 2 || i.SLA.State != sla.OK {
		t.Fatalf("incident %+v", i)
	}
	if !i.SLA.AckDue.Equal(c.now().Add(15*time.Minute)) || !i.SLA.ResolveDue.Equal(c.now().Add(4*time.Hour)) {
		t.Errorf("clock %+v", i.SLA)
	}
	by := Actor{Name: "li.na", Reach: reach.All()}
	c.forward(5 * time.Minute)
	i, err := s.AcknowledgeIncident(t.Context(), by, i.ID, "")
	if err != nil || i.Status != StatusAcknowledged || i.SLA.AckedAt == nil {
		t.Fatalf("acknowledged %+v, %v", i, err)
	}
	var conflict *Conflict
	if _, err := s.AcknowledgeIncident(t.Context(), by, i.ID, ""); !errors.As(err, &conflict) || conflict.By != "li.na" {
		t.Errorf("acknowledging twice: %v", err)
	}
	if _, err := s.AssignIncident(t.Context(), by, i.ID, "wang.wu"); err != nil {
		t.Error(err)
	}
	if _, err := s.CommentIncident(t.Context(), by, i.ID, "已隔离"); err != nil {
		t.Error(err)
	}
	i, err = s.CloseIncident(t.Context(), by, i.ID, Close{Resolution: "true_positive"})
	if err != nil || i.SLA.State != sla.Met {
		t.Fatalf("closed %+v, %v", i, err)
	}
	for _, a := range allAlerts(t, s) {
		if a.Status != StatusClosed || a.Resolution != "true_positive" {
			t.Errorf("alert %s is %s after its incident closed", a.Rule.ID, a.Status)
		}
	}
	c.forward(time.Minute)
	if i, err = s.ReopenIncident(t.Context(), by, i.ID); err != nil || i.Status != StatusOpen || i.SLA.ResolvedAt != nil || i.SLA.AckedAt == nil {
		t.Fatalf("reopened %+v, %v", i, err)
	}
	for _, a := range allAlerts(t, s) {
		if a.Status != StatusOpen {
			t.Errorf("alert %s is %s after its incident reopened", a.Rule.ID, a.Status)
		}
	}
	ingest(t, s, fire(ruleSudo, sealWeb, "", time.Hour, nil))
	d, err := s.Incident(t.Context(), reach.Tenants("e-seal"), i.ID)
	if err != nil || len(d.Alerts) != 3 || d.AlertCount != 3 {
		t.Fatalf("%d alerts, %v", len(d.Alerts), err)
	}
	if got := kinds(d.Timeline); got != "opened alert alert acknowledged assigned comment closed reopened alert" {
		t.Errorf("timeline %q", got)
	}
	if _, err := s.Incident(t.Context(), reach.Tenants("tax"), i.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("another tenant reads it: %v", err)
	}
	if _, err := s.CloseIncident(t.Context(), Actor{Reach: reach.Tenants("tax")}, i.ID, Close{Resolution: "benign"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("another tenant closes it: %v", err)
	}
}

// TestGoesOnAfterClosing: what goes on after its incident was closed opens a
// new one and does not vanish under the closed one.
func TestGoesOnAfterClosing(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	crit := criticalRule("P1")
	for _, keep := range []bool{true, false} {
		h := sealWeb
		h.id = fmt.Sprint("ci-", keep)
		ingest(t, s, fire(crit, h, "203.0.113.7", 0, nil))
		open, _, _, _ := s.Incidents(t.Context(), IncidentQuery{Reach: reach.All(), CI: h.id})
		if len(open) != 1 {
			t.Fatalf("%d incidents", len(open))
		}
		if _, err := s.CloseIncident(t.Context(), Actor{Name: "li.na", Reach: reach.All()}, open[0].ID, Close{Resolution: "benign", KeepAlerts: keep}); err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			ingest(t, s, fire(crit, h, "203.0.113.7", time.Duration(n+1)*time.Minute, nil))
		}
		list, _, _, _ := s.Incidents(t.Context(), IncidentQuery{Reach: reach.All(), CI: h.id})
		if len(list) != 2 || list[0].Status != StatusOpen && list[1].Status != StatusOpen {
			t.Errorf("keep %v: %d incidents after it went on, want 2", keep, len(list))
		}
	}
}

// TestWindow: what happened days apart on one item is not one incident, nor
// does an incident gather old noise.
func TestWindow(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	for day := range 6 {
		r := ruleProbe
		r.id = fmt.Sprint("probe", day)
		ingest(t, s, fire(r, sealWeb, "192.0.2.9", -time.Duration(day)*20*time.Hour, nil))
	}
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	if i := allIncidents(t, s)[0]; i.AlertCount != 3 {
		t.Errorf("%d alerts: want the critical one and the two of the last day", i.AlertCount)
	}
	again := criticalRule("P1")
	again.id = "again"
	ingest(t, s, fire(again, sealWeb, "203.0.113.7", 48*time.Hour, nil))
	if n := len(allIncidents(t, s)); n != 2 {
		t.Errorf("%d incidents, want a second one two days later", n)
	}
}

func TestRaisedPriority(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	ingest(t, s, fire(criticalRule("P3"), sealWeb, "203.0.113.7", 0, nil))
	c.forward(30 * time.Minute)
	r := criticalRule("P1")
	r.id = "worse"
	ingest(t, s, fire(r, sealWeb, "203.0.113.7", time.Minute, nil))
	i := allIncidents(t, s)[0]
	if i.Priority != "P1" || !i.SLA.AckDue.Equal(c.now().Add(15*time.Minute)) || i.SLA.State == sla.Breached {
		t.Errorf("priority %s, clock %+v", i.Priority, i.SLA)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	for n := range 23 {
		r := ruleGuess
		r.id = fmt.Sprintf("r%02d", n)
		r.level = detections.Levels[n%4]
		h := []host{sealWeb, taxWeb}[n%2]
		ingest(t, s, fire(r, h, "203.0.113.7", time.Duration(n%5)*time.Minute, map[string]string{"user.name": fmt.Sprintf("user_%d%%", n)}))
	}
	for _, sort := range []string{"", "last_seen", "-severity", "severity", "priority", "-count", "created_at"} {
		seen := map[string]bool{}
		cursor, pages := "", 0
		for {
			items, total, next, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Page: Page{Sort: sort, Limit: 5, Cursor: cursor}})
			if err != nil || total != 23 {
				t.Fatalf("sort %q: total %d, %v", sort, total, err)
			}
			for _, a := range items {
				if seen[a.ID] {
					t.Errorf("sort %q: %s twice", sort, a.ID)
				}
				seen[a.ID] = true
			}
			pages++
			if cursor = next; next == "" {
				break
			}
		}
		if len(seen) != 23 || pages != 5 {
			t.Errorf("sort %q: %d alerts on %d pages", sort, len(seen), pages)
		}
	}
	count := func(name string, q AlertQuery, want int) {
		t.Helper()
		items, total, _, err := s.Alerts(t.Context(), q)
		if err != nil || total != want || len(items) != want {
			t.Errorf("%s: %d items, total %d, %v; want %d", name, len(items), total, err, want)
		}
	}
	count("all", AlertQuery{Reach: reach.All()}, 23)
	count("one tenant", AlertQuery{Reach: reach.Tenants("tax")}, 11)
	count("no tenant", AlertQuery{Reach: reach.None()}, 0)
	count("severity", AlertQuery{Reach: reach.All(), Severities: []string{"high", "low"}}, 11)
	count("status", AlertQuery{Reach: reach.All(), Statuses: []string{"acknowledged"}}, 0)
	count("words", AlertQuery{Reach: reach.All(), Q: "税务 Tax-Web"}, 11)
	count("LIKE's own signs are plain", AlertQuery{Reach: reach.All(), Q: "user_7%"}, 1)
	count("no such word", AlertQuery{Reach: reach.All(), Q: "user-7"}, 0)
	count("injection", AlertQuery{Reach: reach.All(), Q: "' OR 1=1 --"}, 0)
	count("item", AlertQuery{Reach: reach.All(), CI: sealWeb.id}, 12)
	count("rule", AlertQuery{Reach: reach.All(), Rule: "r03"}, 1)
	count("since", AlertQuery{Reach: reach.All(), Since: start.Add(4 * time.Minute)}, 4)
	for name, q := range map[string]AlertQuery{
		"sort": {Page: Page{Sort: "doc"}}, "cursor": {Page: Page{Cursor: "%%"}}, "severity": {Severities: []string{"x"}},
		"status": {Statuses: []string{"x"}}, "priority": {Priorities: []string{"P9"}}, "long": {Q: strings.Repeat("x", maxQuery+1)},
	} {
		if _, _, _, err := s.Alerts(t.Context(), q); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	_, _, next, _ := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Page: Page{Limit: 5}})
	if _, _, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Page: Page{Limit: 5, Sort: "severity", Cursor: next}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a cursor of another sort: %v", err)
	}

	ingest(t, s, fire(criticalRule("P1"), taxWeb, "203.0.113.8", 0, nil), fire(criticalRule("P2"), sealDB, "203.0.113.9", 0, nil))
	if _, err := s.AssignIncident(t.Context(), Actor{Name: "x", Reach: reach.All()}, "INC-20261123-0001", "li.na"); err != nil {
		t.Fatal(err)
	}
	c.forward(20 * time.Minute)
	o, err := s.Overview(t.Context(), reach.All(), "li.na")
	if err != nil || o.IncidentsOpen != 2 || o.IncidentsMine != 1 || o.AlertsOpen != 25 || o.Unacknowledged != 25 || o.BySeverity["critical"] != 2 {
		t.Errorf("overview %+v, %v", o, err)
	}
	if o.IncidentsBreaching != 1 && o.IncidentsBreaching != 2 || len(o.Incidents) != 2 || o.Incidents[0].Priority != "P1" || len(o.LatestAlerts) != 10 {
		t.Errorf("overview: breaching %d, incidents %d", o.IncidentsBreaching, len(o.Incidents))
	}
	if o, err = s.Overview(t.Context(), reach.Tenants("e-seal"), "li.na"); err != nil || o.IncidentsOpen != 1 || o.AlertsOpen != 13 {
		t.Errorf("overview of one tenant: %+v, %v", o, err)
	}
}

// FuzzPage: whatever a client sends as sort or cursor is either read or
// refused as invalid.
func FuzzPage(f *testing.F) {
	o := order{name: "-last_seen"}
	f.Add("", o.next(1700000000000, "abc"))
	f.Add("severity", "")
	f.Add("-", "e30")
	f.Add("--last_seen", "bnVsbA")
	f.Fuzz(func(t *testing.T, sort, cursor string) {
		got, err := Page{Sort: sort, Cursor: cursor}.read(alertSorts, "-last_seen")
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("sort %q, cursor %q: %v", sort, cursor, err)
			}
			return
		}
		if alertSorts[got.column] == "" || got.limit != defaultLimit || got.after != nil && (got.after.ID == "" || got.after.Sort != got.name) {
			t.Fatalf("sort %q, cursor %q: read as %+v", sort, cursor, got)
		}
	})
}
