package ticketing

import (
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
)

// grades are the levels of data that a test names.
type grades map[string]int

func (g grades) DataLevel(item, system string) int { return max(g[item], g[system]) }

// TestDataLevels: the level of the data raises the severity of an alert about it to
// the floor, never lowers it, and is told, filtered by and counted, with the
// incident's highest.
func TestDataLevels(t *testing.T) {
	t.Parallel()
	held, floors := grades{"web": 4, "db": 2}, DefaultDataFloors()
	c := newClock()
	s := openService(t, openDB(t), c, Deps{Policy: policyFunc(func(policy.IncidentInput) (policy.Decision, error) {
		return policy.Decision{Open: true, Join: true}, nil
	}), Judge: realJudge(), DataLevels: held, DataFloors: func() DataFloors { return floors }})
	web, db, none := host{id: "web", name: "web", tenant: "a"}, host{id: "db", name: "db", tenant: "a"}, host{id: "desk", name: "desk", tenant: "b"}
	raise := func(h host, level detections.Level, after time.Duration) {
		t.Helper()
		r := ruleGuess
		r.level = level
		ingest(t, s, fire(r, h, "203.0.113.9", after, nil))
	}
	alertOf := func(item string) Alert {
		t.Helper()
		for _, a := range allAlerts(t, s) {
			if a.CI.ID == item {
				return a
			}
		}
		t.Fatalf("there is no alert of %s", item)
		return Alert{}
	}
	raise(web, detections.Low, 0)
	raise(db, detections.Low, 0)
	raise(none, detections.Low, 0)
	if a := alertOf("web"); a.Severity != detections.High || a.Raised != detections.Low || a.DataLevel != 4 || len(a.Reasons) == 0 || !strings.Contains(a.Reasons[len(a.Reasons)-1].EN, "data of level 4") {
		t.Errorf("data of level 4: %s, raised from %q, level %d, %v", a.Severity, a.Raised, a.DataLevel, a.Reasons)
	}
	if a := alertOf("db"); a.Severity != detections.Low || a.Raised != "" || a.DataLevel != 2 {
		t.Errorf("data of level 2, which has no floor: %+v", a)
	}
	if a := alertOf("desk"); a.Severity != detections.Low || a.DataLevel != 0 {
		t.Errorf("no data: %+v", a)
	}
	raise(web, detections.Critical, time.Minute)
	if a := alertOf("web"); a.Severity != detections.Critical || a.DataLevel != 4 {
		t.Errorf("what is graver stays so: %s", a.Severity)
	}
	for level, want := range map[int]int{4: 1, 2: 1, 0: 1, 5: 0} {
		if _, total, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), DataLevels: []int{level}}); err != nil || total != want {
			t.Errorf("alerts of level %d: %d, %v, want %d", level, total, err, want)
		}
	}
	list, total, _, err := s.Incidents(t.Context(), IncidentQuery{Reach: reach.All(), DataLevels: []int{4}})
	if err != nil || total != 1 || list[0].DataLevel != 4 {
		t.Errorf("incidents of level 4: %+v, %v", list, err)
	}
	if _, total, _, err := s.Incidents(t.Context(), IncidentQuery{Reach: reach.Tenants("b"), DataLevels: []int{4}}); err != nil || total != 0 {
		t.Errorf("another tenant's: %d, %v", total, err)
	}
	f, err := s.Figures(t.Context(), FiguresQuery{Reach: reach.All(), To: c.now().Add(time.Hour), Days: 2})
	if err != nil {
		t.Fatal(err)
	}
	shares := map[string]int{}
	for _, d := range f.By {
		if d.By == ByDataLevel {
			for _, x := range d.Shares {
				shares[x.Key] = x.Alerts
			}
		}
	}
	if len(shares) != 3 || shares["4"] != 1 || shares["2"] != 1 || shares[""] != 1 {
		t.Errorf("figures by level: %v", shares)
	}
	held["web"] = 5 // it is graded anew: said with the next firing
	raise(web, detections.Low, 2*time.Minute)
	if list, _, _, err := s.Incidents(t.Context(), IncidentQuery{Reach: reach.All(), DataLevels: []int{5}}); err != nil || len(list) != 1 {
		t.Errorf("its incident after a new grade: %+v, %v", list, err)
	}
}

func TestDataFloors(t *testing.T) {
	t.Parallel()
	if err := DefaultDataFloors().Check(); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string][]DataFloor{
		"level":   {{6, detections.High}},
		"twice":   {{3, detections.High}, {3, detections.High}},
		"no less": {{4, detections.Low}, {3, detections.High}},
		"want":    {{3, "grave"}},
	} {
		if err := (DataFloors{bad}).Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v, want one with %q", bad, err, name)
		}
	}
}
