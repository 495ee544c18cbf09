package ticketing

import (
	"fmt"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// TestFlapping: an alert that fires and recovers again and again makes one
// incident, is told of once when that begins and once when it is over, and every
// change is counted.
func TestFlapping(t *testing.T) {
	t.Parallel()
	for name, recovers := range map[string]bool{"recovers in the end": true, "fires in the end": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, c := t.Context(), newClock()
			s := openService(t, openDB(t), c, Deps{Policy: policyFunc(everyAlert), Config: Config{Flapping: Flaps{Changes: 4, Window: time.Hour, Calm: 20 * time.Minute}}})
			var key string
			n := 0
			fires := func() {
				t.Helper()
				n++
				o := fire(ruleTypo, sealWeb, "198.18.0.1", time.Duration(n)*time.Second, nil)
				key = o.Key
				if err := s.Ingest(ctx, []detections.Occurrence{o}); err != nil {
					t.Fatal(err)
				}
				c.forward(time.Minute)
			}
			ends := func() {
				t.Helper()
				if err := s.Recover(ctx, "e-seal", key, detections.Text{EN: "over"}); err != nil {
					t.Fatal(err)
				}
				c.forward(time.Minute)
			}
			alerts := func(query AlertQuery) []Alert {
				t.Helper()
				query.Reach = reach.All()
				list, _, _, err := s.Alerts(ctx, query)
				if err != nil {
					t.Fatal(err)
				}
				return list
			}
			calm := func() {
				t.Helper()
				if err := s.calmDown(ctx, s.now()); err != nil {
					t.Fatal(err)
				}
			}
			fires()
			ends() // 1
			fires()
			ends() // 3
			fires()
			if got := alerts(AlertQuery{Flapping: true}); len(got) != 0 {
				t.Fatalf("after 4 changes it flaps: %+v", got[0].Flapping)
			}
			ends() // 5: from now on it is held
			ends() // said again, it is no change
			for range 3 {
				fires()
				ends()
			}
			if !recovers {
				fires()
			}
			calm()
			got := alerts(AlertQuery{Flapping: true})
			want := 11
			if !recovers {
				want++
			}
			if len(got) != 1 || got[0].Status != StatusOpen || got[0].Flapping.Changes != want || got[0].Flapping.Recovered != recovers {
				t.Fatalf("it flaps: %+v", got)
			}
			if all := alerts(AlertQuery{}); len(all) != 3 {
				t.Fatalf("there are %d alerts, want 3", len(all))
			}
			id, incident := got[0].ID, got[0].IncidentID
			c.forward(20 * time.Minute)
			calm()
			d, err := s.Alert(ctx, reach.All(), id)
			if err != nil {
				t.Fatal(err)
			}
			status := StatusOpen
			if recovers {
				status = StatusClosed
			}
			i, err := s.Incident(ctx, reach.All(), incident)
			if err != nil || d.Status != status || i.Status != status || d.Flapping != nil {
				t.Fatalf("calm, the alert is %s, its incident %s, %v", d.Status, i.Status, err)
			}
			entries := 0
			for _, e := range d.Timeline {
				if e.Kind == "flapping" {
					entries++
				}
			}
			if wanted := map[bool]int{true: 1, false: 2}[recovers]; entries != wanted {
				t.Errorf("its timeline tells of flapping %d times, want %d", entries, wanted)
			}
			if s.flaps.Load() {
				calm()
			}
			if s.flaps.Load() {
				t.Error("nothing flaps, and is looked for still")
			}
		})
	}
}

// TestFlappingOpens: an alert that opens once too often flaps from its beginning.
func TestFlappingOpens(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newClock()
	s := openService(t, openDB(t), c, Deps{Config: Config{Flapping: Flaps{Changes: 3}}})
	for n := range 3 {
		o := fire(ruleTypo, sealWeb, "198.18.0.1", time.Duration(n)*time.Second, nil)
		if err := s.Ingest(ctx, []detections.Occurrence{o}); err != nil {
			t.Fatal(err)
		}
		if n < 2 {
			if err := s.Recover(ctx, "e-seal", o.Key, detections.Text{EN: "over"}); err != nil {
				t.Fatal(err)
			}
		}
		c.forward(time.Second)
	}
	list, _, _, err := s.Alerts(ctx, AlertQuery{Reach: reach.All(), Flapping: true})
	if err != nil || len(list) != 1 || list[0].Flapping.Changes != 4 || list[0].Flapping.Recovered {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestBeyondTheLimit: beyond the limit every firing is counted, once, though none is
// worked.
func TestBeyondTheLimit(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newClock()
	s := openService(t, openDB(t), c, Deps{Config: Config{Storm: Storm{Rule: 10}}})
	take := func(from, to int) {
		t.Helper()
		var list []detections.Occurrence
		for n := from; n < to; n++ {
			list = append(list, onHost(ruleTypo, n, n%30, 0))
		}
		list = append(list, onHost(ruleProbe, from, 0, 0)) // another rule is not touched
		for range 2 {                                      // and once more, which adds nothing
			if err := s.Ingest(ctx, list); err != nil {
				t.Fatal(err)
			}
		}
	}
	take(0, 50)
	take(50, 100)
	list, total, _, err := s.Alerts(ctx, AlertQuery{Reach: reach.All(), Rule: "typo"})
	if err != nil || total != 11 {
		t.Fatalf("%d alerts of the rule, want 10 and one for the rest; %v", total, err)
	}
	firings, events, counted, stands := 0, 0, 0, 0
	for _, a := range list {
		firings, events, counted = firings+a.Occurrences, events+a.Count, counted+a.Counted
		if a.Group[0].Field == stormGroup {
			stands++
			if a.CI != nil || a.Title.ZH == "" {
				t.Errorf("what stands for all is about something: %+v", a)
			}
		}
	}
	if firings != 100 || events != 300 || counted != 90 || stands != 1 {
		t.Errorf("%d firings of %d events, %d counted, %d alerts that stand for all; want 100, 300, 90, 1", firings, events, counted, stands)
	}
	if st := s.Stats(); st.Counted != 90 || st.Occurrences != 102 {
		t.Errorf("%+v", st)
	}
	// Later it is worked again, and what is at hand is what SQL has.
	c.forward(time.Minute)
	s.live.forget()
	take(100, 105)
	if st := s.Stats(); st.Counted != 90 {
		t.Errorf("within the limit %d were counted", st.Counted-90)
	}
	if _, total, _, err = s.Alerts(ctx, AlertQuery{Reach: reach.All(), Rule: "typo"}); err != nil || total <= 11 {
		t.Errorf("%s: %v", fmt.Sprint(total), err)
	}
}
