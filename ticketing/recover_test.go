package ticketing

import (
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// fault is an occurrence as the suite raises it about itself: about no item
// and by no actor.
func fault(id, key string, level detections.Level, at time.Time) detections.Occurrence {
	return detections.Occurrence{ID: id, Key: key, Tenant: "city", Time: at, From: at, Count: 1,
		Rule: detections.RuleRef{ID: "icewatch-self-test", Level: level, Title: detections.Text{ZH: "故障", EN: "Fault"}}}
}

// TestRecover: an alert ends with what it told of, and an incident when all of
// its alerts have; a new fault of the same key opens a new alert.
func TestRecover(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	over := detections.Text{EN: "It is over."}
	ingest(t, s, fault("1", "disk", detections.Critical, c.now()))
	ingest(t, s, fault("2", "lag", detections.Medium, c.now()))
	for range 2 { // the call may be repeated
		if err := s.Recover(t.Context(), "city", "disk", over); err != nil {
			t.Fatal(err)
		}
	}
	id, err := s.LastAlert(t.Context(), "city", "disk")
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Alert(t.Context(), reach.All(), id)
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != StatusClosed || a.Resolution != Recovered || a.ClosedBy != SystemActor {
		t.Errorf("the alert is %s by %q as %q", a.Status, a.ClosedBy, a.Resolution)
	}
	if last := a.Timeline[len(a.Timeline)-1]; last.Kind != "closed" || last.Text.EN != over.EN || last.Text.ZH != over.EN {
		t.Errorf("the timeline ends with %+v", last)
	}
	i, err := s.Incident(t.Context(), reach.All(), a.IncidentID)
	if err != nil {
		t.Fatal(err)
	}
	if i.Status != StatusClosed || i.Resolution != Recovered {
		t.Errorf("the incident is %s as %q", i.Status, i.Resolution)
	}
	lag, err := s.LastAlert(t.Context(), "city", "lag")
	if err != nil {
		t.Fatal(err)
	}
	if a, err := s.Alert(t.Context(), reach.All(), lag); err != nil || a.Status != StatusOpen {
		t.Errorf("the other alert: %+v, %v", a.Alert, err)
	}
	if err := s.Recover(t.Context(), "city", "never", over); err != nil {
		t.Errorf("a key that never fired: %v", err)
	}
	c.forward(time.Minute)
	ingest(t, s, fault("3", "disk", detections.Critical, c.now()))
	if again, err := s.LastAlert(t.Context(), "city", "disk"); err != nil || again == id {
		t.Errorf("the fault came back and made no new alert: %q, %v", again, err)
	}
}

// TestRecoverInPart: while one alert of an incident lasts, so does the incident.
func TestRecoverInPart(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	one, two := fault("1", "disk:a", detections.Critical, c.now()), fault("2", "disk:b", detections.High, c.now())
	for _, o := range []*detections.Occurrence{&one, &two} {
		o.Fields = map[string]string{"host.name": "soc-1"}
	}
	ingest(t, s, one, two)
	if err := s.Recover(t.Context(), "city", "disk:a", detections.Text{ZH: "已恢复", EN: "over"}); err != nil {
		t.Fatal(err)
	}
	id, _ := s.LastAlert(t.Context(), "city", "disk:a")
	a, err := s.Alert(t.Context(), reach.All(), id)
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.Incident(t.Context(), reach.All(), a.IncidentID)
	if err != nil {
		t.Fatal(err)
	}
	if len(i.Alerts) != 2 || i.Status != StatusOpen {
		t.Fatalf("the incident of %d alerts is %s, want 2 and open", len(i.Alerts), i.Status)
	}
	if last := i.Timeline[len(i.Timeline)-1]; last.Kind != "alert" || last.Data["alert_id"] != id {
		t.Errorf("the incident's timeline ends with %+v", last)
	}
	if err := s.Recover(t.Context(), "city", "disk:b", detections.Text{EN: "over"}); err != nil {
		t.Fatal(err)
	}
	if i, err := s.Incident(t.Context(), reach.All(), a.IncidentID); err != nil || i.Status != StatusClosed {
		t.Errorf("the incident is %s, %v", i.Status, err)
	}
}
