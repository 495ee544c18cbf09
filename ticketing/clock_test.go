package ticketing

import (
	"errors"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/sla"
)

// opened opens an incident of priority P1 at the clock's time.
func opened(t *testing.T, s *Service, c *clock) (id string, by Actor) {
	t.Helper()
	o := fire(ruleSudo, taxWeb, "", c.now().Sub(start), nil)
	o.Rule.Level, o.Priority = detections.Critical, "P1"
	ingest(t, s, o)
	list := allIncidents(t, s)
	return list[len(list)-1].ID, Actor{Name: "li", Reach: reach.All()}
}

func entriesOf(t *testing.T, s *Service, id, kind string) (n int) {
	t.Helper()
	d, err := s.Incident(t.Context(), reach.All(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range d.Timeline {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func TestAPausedClockDoesNotRun(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	id, by := opened(t, s, c)
	var conflict *Conflict
	if _, err := s.PauseIncident(t.Context(), by, id, "supplier", ""); !errors.As(err, &conflict) {
		t.Errorf("pausing what nobody has acknowledged: %v", err)
	}
	if _, err := s.AcknowledgeIncident(t.Context(), by, id, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PauseIncident(t.Context(), by, id, "lunch", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("a reason that the terms do not know: %v", err)
	}
	c.forward(time.Hour)
	i, err := s.PauseIncident(t.Context(), by, id, "supplier", "a part is on its way")
	if err != nil || i.SLA.State != sla.Paused || i.SLA.PausedFor != "supplier" {
		t.Fatalf("%+v, %v", i.SLA, err)
	}
	if _, err := s.PauseIncident(t.Context(), by, id, "supplier", ""); !errors.As(err, &conflict) {
		t.Errorf("pausing twice: %v", err)
	}
	c.forward(100 * time.Hour)
	if err := errors.Join(s.breaches(t.Context(), c.now()), s.warnings(t.Context(), c.now())); err != nil {
		t.Fatal(err)
	}
	if n := entriesOf(t, s, id, "sla"); n != 0 {
		t.Errorf("%d warnings or breaches while it was paused", n)
	}
	i, err = s.ResumeIncident(t.Context(), by, id, "")
	if err != nil || !i.SLA.ResolveDue.Equal(c.now().Add(3*time.Hour)) || i.SLA.PausedSeconds != 100*3600 {
		t.Fatalf("%+v, %v", i.SLA, err)
	}
	if _, err := s.ResumeIncident(t.Context(), by, id, ""); !errors.As(err, &conflict) {
		t.Errorf("resuming twice: %v", err)
	}
	c.forward(2*time.Hour + time.Second)
	for range 3 { // once, however often it is looked
		if err := s.warnings(t.Context(), c.now()); err != nil {
			t.Fatal(err)
		}
	}
	if n := entriesOf(t, s, id, "sla"); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
	c.forward(time.Hour)
	if err := s.breaches(t.Context(), c.now()); err != nil {
		t.Fatal(err)
	}
	if n := entriesOf(t, s, id, "sla"); n != 2 {
		t.Errorf("%d warnings and breaches, want two", n)
	}
}

func TestADeviceFaultHasPromisesOfItsOwn(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	id, by := opened(t, s, c)
	if _, err := s.ProposeSolution(t.Context(), by, id, "replace the disk"); err == nil {
		t.Error("a solution of what is no fault was taken")
	}
	if _, err := s.ConfirmFault(t.Context(), by, id, "sideways", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("a kind of fault that does not exist: %v", err)
	}
	if _, err := s.AcknowledgeIncident(t.Context(), by, id, ""); err != nil {
		t.Fatal(err)
	}
	i, err := s.ConfirmFault(t.Context(), by, id, sla.Online, "")
	if err != nil || !i.SLA.ResolveDue.Equal(c.now().Add(2*time.Hour)) || i.SLA.ProposeDue == nil || !i.SLA.ProposeDue.Equal(c.now().Add(2*time.Hour)) {
		t.Fatalf("%+v, %v", i.SLA, err)
	}
	c.forward(time.Hour)
	if _, err := s.ProposeSolution(t.Context(), by, id, "replace the disk"); err != nil {
		t.Fatal(err)
	}
	c.forward(30 * time.Minute)
	i, err = s.CloseIncident(t.Context(), by, id, Close{Resolution: "true_positive"})
	if err != nil || i.SLA.State != sla.Met {
		t.Fatalf("%+v, %v", i.SLA, err)
	}
}

func TestClosingEndsAPause(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	id, by := opened(t, s, c)
	if _, err := s.AcknowledgeIncident(t.Context(), by, id, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PauseIncident(t.Context(), by, id, "customer", ""); err != nil {
		t.Fatal(err)
	}
	c.forward(50 * time.Hour)
	i, err := s.CloseIncident(t.Context(), by, id, Close{Resolution: "benign"})
	if err != nil || i.SLA.State != sla.Met || i.SLA.PausedAt != nil || entriesOf(t, s, id, "resumed") != 1 {
		t.Fatalf("%+v, %v", i.SLA, err)
	}
}

// TestWarningsSurviveARestart warns once although the service starts anew.
func TestWarningsSurviveARestart(t *testing.T) {
	t.Parallel()
	db, c := openDB(t), newClock()
	s := openService(t, db, c, Deps{})
	id, _ := opened(t, s, c)
	c.forward(12 * time.Minute)
	for range 3 {
		s = openService(t, db, c, Deps{})
		if err := s.warnings(t.Context(), c.now()); err != nil {
			t.Fatal(err)
		}
	}
	if n := entriesOf(t, s, id, "sla"); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
}
