package ticketing

import (
	"errors"
	"slices"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// standing is what of an incident a merge and its undoing must bring back.
func standing(t *testing.T, s *Service, id string) (Incident, []string) {
	t.Helper()
	d, err := s.Incident(t.Context(), reach.All(), id)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, a := range d.Alerts {
		ids = append(ids, a.ID)
	}
	slices.Sort(ids)
	return d.Incident, ids
}

// TestMergeAndSplit merges two incidents and splits one, each with its way
// back, while the same things go on firing.
func TestMergeAndSplit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, clock := newService(t, nil)
	who := Actor{Name: "qian", Reach: reach.All()}
	fires := func(at time.Duration) {
		t.Helper()
		ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", at, nil), fire(ruleSudo, sealWeb, "", at, nil), fire(criticalRule("P1"), sealDB, "198.51.100.9", at, nil))
		clock.forward(time.Minute)
	}
	fires(0)
	all := allIncidents(t, s)
	if len(all) != 2 {
		t.Fatalf("%d incidents, want 2", len(all))
	}
	one, other := all[0].ID, all[1].ID
	before, beforeAlerts := standing(t, s, one)
	wasOther, otherAlerts := standing(t, s, other)

	merged, err := s.Merge(ctx, who, one, []string{other})
	if err != nil {
		t.Fatal(err)
	}
	got, alerts := standing(t, s, one)
	if len(alerts) != len(beforeAlerts)+len(otherAlerts) || got.AlertCount != len(alerts) || merged.Alerts != len(otherAlerts) {
		t.Errorf("after the merge %d alerts, counted %d, %d went over", len(alerts), got.AlertCount, merged.Alerts)
	}
	if got.MergedFrom == nil || got.MergedFrom[0] != other {
		t.Errorf("it does not say what was merged into it: %v", got.MergedFrom)
	}
	if o, left := standing(t, s, other); o.MergedInto != one || o.Status != StatusClosed || o.Resolution != "duplicate" || len(left) != 0 {
		t.Errorf("the merged one: %+v with %d alerts", o, len(left))
	}
	fires(2 * time.Minute) // on both hosts
	if n := len(allIncidents(t, s)); n != 2 {
		t.Errorf("what fires on opened another incident: %d", n)
	}
	if _, now := standing(t, s, one); !slices.Equal(now, alerts) {
		t.Errorf("further firings went elsewhere: %v, were %v", now, alerts)
	}
	if _, err := s.UndoRegroup(ctx, who, one, merged.ID); err != nil {
		t.Fatal(err)
	}
	if after, list := standing(t, s, one); !slices.Equal(list, beforeAlerts) || after.Severity != before.Severity || !slices.Equal(after.Actors, before.Actors) || after.CI.ID != before.CI.ID {
		t.Errorf("after undoing: %+v %v\nbefore: %+v %v", after, list, before, beforeAlerts)
	}
	if after, list := standing(t, s, other); !slices.Equal(list, otherAlerts) || after.Status != wasOther.Status || after.MergedInto != "" || after.Resolution != "" || after.Title != wasOther.Title {
		t.Errorf("the other after undoing: %+v %v", after, list)
	}
	var conflict *Conflict
	if _, err := s.UndoRegroup(ctx, who, one, merged.ID); !errors.As(err, &conflict) {
		t.Errorf("undone twice: %v", err)
	}
	fires(4 * time.Minute)
	if _, list := standing(t, s, other); !slices.Equal(list, otherAlerts) {
		t.Errorf("firings after undoing: %v, want %v", list, otherAlerts)
	}

	// Split: the incident with two alerts.
	if len(beforeAlerts) < 2 {
		one, beforeAlerts = other, otherAlerts
	}
	if _, err := s.Split(ctx, who, one, beforeAlerts); !errors.Is(err, ErrInvalid) {
		t.Errorf("all its alerts split off: %v", err)
	}
	for range 2 { // again after it was undone
		split, err := s.Split(ctx, who, one, beforeAlerts[:1])
		if err != nil {
			t.Fatal(err)
		}
		fresh, list := standing(t, s, split.Others[0])
		if !slices.Equal(list, beforeAlerts[:1]) || fresh.Status != StatusOpen || fresh.Title == (detections.Text{}) || fresh.SLA.AckDue.IsZero() {
			t.Errorf("split off: %+v %v", fresh, list)
		}
		if _, left := standing(t, s, one); !slices.Equal(left, beforeAlerts[1:]) {
			t.Errorf("left behind: %v", left)
		}
		if _, err := s.UndoRegroup(ctx, who, one, split.ID); err != nil {
			t.Fatal(err)
		}
		if _, back := standing(t, s, one); !slices.Equal(back, beforeAlerts) {
			t.Errorf("after undoing the split: %v", back)
		}
		if gone, list := standing(t, s, split.Others[0]); gone.Status != StatusClosed || len(list) != 0 {
			t.Errorf("the split one after undoing: %s with %v", gone.Status, list)
		}
	}
	elsewhere := Actor{Name: "li", Reach: reach.Tenants("tax")}
	if _, err := s.Merge(ctx, elsewhere, all[0].ID, []string{all[1].ID}); !errors.Is(err, ErrNotFound) {
		t.Errorf("merged by somebody who does not see it: %v", err)
	}
}

func TestBulk(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, _ := newService(t, nil)
	who := Actor{Name: "qian", Reach: reach.All()}
	for i := range 12 {
		h := sealWeb
		h.id, h.name = h.id+string(rune('a'+i)), h.name+string(rune('a'+i))
		ingest(t, s, fire(ruleTypo, h, "203.0.113.7", time.Duration(i)*time.Second, nil))
	}
	ingest(t, s, fire(ruleTypo, taxWeb, "198.51.100.1", 0, nil))
	query := AlertQuery{Reach: reach.All(), SourceIP: "203.0.113.7"}
	for _, b := range []Batch{
		{Action: "acknowledge"}, {Action: "assign", Assignee: "sun"}, {Action: "tag", Tag: "演练"}, {Action: "close", Close: Close{Resolution: "false_positive"}},
	} {
		before := snapshot(t, s)
		run, err := s.BulkAlerts(ctx, who, query, b, 12)
		if err != nil || run.Changed != 12 || run.Refused != 0 {
			t.Fatalf("%s: %+v, %v", b.Action, run, err)
		}
		if n := handledOtherwise(before, snapshot(t, s)); n != 12 {
			t.Errorf("%s changed %d alerts, want 12", b.Action, n)
		}
		if _, left, err := s.UndoBulk(ctx, who, run.ID); err != nil || left != 0 {
			t.Fatalf("undo of %s: %d left, %v", b.Action, left, err)
		}
		if n := handledOtherwise(before, snapshot(t, s)); n != 0 {
			t.Errorf("undoing %s left %d alerts as they were not", b.Action, n)
		}
	}
	var conflict *Conflict
	if _, err := s.BulkAlerts(ctx, who, query, Batch{Action: "acknowledge"}, 11); !errors.As(err, &conflict) {
		t.Errorf("more than were expected: %v", err)
	}
	run, err := s.BulkAlerts(ctx, who, query, Batch{Action: "tag", Tag: "x"}, 100)
	if err != nil {
		t.Fatal(err)
	}
	tagged, _, _, err := s.Alerts(ctx, AlertQuery{Reach: reach.All(), Tag: "x"})
	if err != nil || len(tagged) != 12 {
		t.Fatalf("%d alerts have the tag, %v", len(tagged), err)
	}
	// A firing keeps the tag, and what somebody did since is not undone.
	ingest(t, s, fire(ruleTypo, host{id: sealWeb.id + "a", name: sealWeb.name + "a", tenant: sealWeb.tenant}, "203.0.113.7", time.Hour, nil))
	if _, err := s.AssignAlert(ctx, who, tagged[0].ID, "li"); err != nil {
		t.Fatal(err)
	}
	if _, left, err := s.UndoBulk(ctx, who, run.ID); err != nil || left != 1 {
		t.Errorf("undone with %d left, %v", left, err)
	}
	if _, _, err := s.UndoBulk(ctx, who, run.ID); !errors.As(err, &conflict) {
		t.Errorf("undone twice: %v", err)
	}
	if _, _, err := s.UndoBulk(ctx, Actor{Name: "li", Reach: reach.Tenants("tax")}, run.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("undone by somebody else: %v", err)
	}
	for _, bad := range []string{"", "a b", "a,b", "'"} {
		if _, err := s.BulkAlerts(ctx, who, query, Batch{Action: "tag", Tag: bad}, 100); !errors.Is(err, ErrInvalid) {
			t.Errorf("tag %q: %v", bad, err)
		}
	}
}

// snapshot is what of every alert a bulk action may change.
func snapshot(t *testing.T, s *Service) map[string]handled {
	t.Helper()
	var rows []alertRow
	if err := s.db.NewSelect().Model(&rows).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := map[string]handled{}
	for i := range rows {
		out[rows[i].ID] = rows[i].handled()
	}
	return out
}

func handledOtherwise(a, b map[string]handled) (n int) {
	for id := range a {
		if a[id] != b[id] {
			n++
		}
	}
	return n
}
