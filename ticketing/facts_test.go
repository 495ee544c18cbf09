package ticketing

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
)

// After a start a policy sees the same of an alert as a relation, whether it is
// short or long, and whether a former release has kept its facts beside it.
func TestFactsAfterStart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more   string
		former bool
	}{"short": {}, "long": {more: strings.Repeat("x", lightDoc)}, "of a former release": {former: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			related := map[string][]policy.Alert{} // by the rule of the alert that they were shown beside
			p := policyFunc(func(in policy.IncidentInput) (policy.Decision, error) {
				var list []policy.Alert
				for _, r := range in.Related {
					list = append(list, r.Thawed())
				}
				related[in.Alert.Rule.ID] = list
				return policy.Decision{}, nil
			})
			db, c := openDB(t), newClock()
			s := openService(t, db, c, Deps{Policy: p})
			ingest := func(o detections.Occurrence) []policy.Alert {
				t.Helper()
				if err := s.Ingest(t.Context(), []detections.Occurrence{o}); err != nil {
					t.Fatal(err)
				}
				return related[o.Rule.ID]
			}
			ingest(fire(ruleGuess, sealWeb, "203.0.113.7", 0, map[string]string{"url.full": test.more}))
			warm := ingest(fire(ruleLogin, sealWeb, "203.0.113.8", time.Minute, nil))
			if len(warm) != 1 || warm[0].Rule.ID != ruleGuess.id || warm[0].Item.ID != sealWeb.id || warm[0].Actor.IP != "203.0.113.7" {
				t.Fatalf("related: %+v", warm)
			}
			if test.former {
				facts, err := json.Marshal(warm[0])
				if err != nil {
					t.Fatal(err)
				}
				if _, err := db.ExecContext(t.Context(), "UPDATE ticketing_alerts SET facts = ? WHERE rule_id = ?", string(facts), ruleGuess.id); err != nil {
					t.Fatal(err)
				}
			}
			s = openService(t, db, c, Deps{Policy: p})
			cold := ingest(fire(ruleScan, sealWeb, "203.0.113.9", 2*time.Minute, nil))
			if len(cold) != 2 {
				t.Fatalf("related after a start: %+v", cold)
			}
			at := 0
			if cold[at].Rule.ID != ruleGuess.id {
				at = 1
			}
			if !reflect.DeepEqual(cold[at], warm[0]) {
				t.Errorf("after a start\n%+v\nbefore it\n%+v", cold[at], warm[0])
			}
		})
	}
}

// What a suite has in SQL when it starts is known not to be new.
func TestKeysAfterStart(t *testing.T) {
	t.Parallel()
	db, c := openDB(t), newClock()
	for range 3 {
		s := openService(t, db, c, Deps{})
		o := fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil)
		o.ID = c.now().String()
		if err := s.Ingest(t.Context(), []detections.Occurrence{o}); err != nil {
			t.Fatal(err)
		}
		c.forward(time.Minute)
	}
	var alerts, firings int
	if err := db.Read.QueryRowContext(t.Context(), "SELECT count(*), sum(occurrences) FROM ticketing_alerts").Scan(&alerts, &firings); err != nil {
		t.Fatal(err)
	}
	if alerts != 1 || firings != 3 {
		t.Errorf("%d alerts of %d firings, want 1 of 3", alerts, firings)
	}
}

// Two closed alerts of one thing do not open together.
func TestReopenTogether(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	by := Actor{Name: "li", Reach: reach.All()}
	var ids []string
	for range 2 {
		o := fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil)
		o.ID = strings.Repeat("o", len(ids)+1)
		if err := s.Ingest(t.Context(), []detections.Occurrence{o}); err != nil {
			t.Fatal(err)
		}
		var id string
		if err := s.db.Read.QueryRowContext(t.Context(), "SELECT id FROM ticketing_alerts WHERE status <> 'closed'").Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if _, err := s.CloseAlert(t.Context(), by, id, Close{Resolution: "benign"}); err != nil {
			t.Fatal(err)
		}
	}
	done, failed, err := s.BatchAlerts(t.Context(), by, Batch{IDs: ids, Action: "reopen"})
	if err != nil || len(done) != 1 || len(failed) != 1 {
		t.Errorf("%d opened, %v failed, %v", len(done), failed, err)
	}
}
