package ticketing

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/eventlevel"
)

// attributes are what a test's items say of themselves, by item and name.
type attributes map[string]string

func (a attributes) Attribute(_ context.Context, item, name string) (string, error) {
	return a[item+"/"+name], nil
}

// TestEventLevels: an incident about graded data is a data-security event, graded by
// the table with its reasons; anew when it grows, when somebody answers, and when the
// table changes; and counted by level, category and activity with its response times.
func TestEventLevels(t *testing.T) {
	t.Parallel()
	c, held := newClock(), grades{sealDB.id: 4}
	terms := eventlevel.Default()
	terms.Factors = append(terms.Factors,
		eventlevel.Factor{Key: "rows", Name: detections.Text{EN: "Rows read"}, Source: eventlevel.Field, Of: "db.rows", Weight: 10, Steps: []eventlevel.Step{{AtLeast: new(float64), Name: detections.Text{EN: "any"}, Points: 100}}},
		eventlevel.Factor{Key: "mlps", Name: detections.Text{EN: "MLPS"}, Source: eventlevel.Attribute, Of: "protection_level", Weight: 10, Steps: []eventlevel.Step{{Is: "3", Name: detections.Text{EN: "level 3"}, Points: 50}}})
	if err := terms.Check(); err != nil {
		t.Fatal(err)
	}
	s := openService(t, openDB(t), c, Deps{Policy: opensAll, DataLevels: held, EventTerms: func() eventlevel.Terms { return terms },
		Attributes: attributes{sealDB.id + "/data_category": "population", sealDB.systemID + "/protection_level": "3"}})
	ingest(t, s, fire(ruleCopy, sealDB, "203.0.113.9", 0, map[string]string{"db.rows": "1200"}), fire(ruleGuess, taxWeb, "203.0.113.10", 0, nil))
	judge := func() {
		t.Helper()
		if _, err := s.judgeEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	of := func(tenant string) string {
		for _, i := range allIncidents(t, s) {
			if i.Tenant == tenant {
				return i.ID
			}
		}
		t.Fatalf("no incident of %s", tenant)
		return ""
	}
	get := func(tenant string) EventLevel {
		t.Helper()
		v, err := s.EventLevel(t.Context(), reach.All(), of(tenant))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	judge()
	// (20·25 + 80·30 + 100·10 + 50·10) / 75: nothing tells of harm, and nobody has answered.
	v := get("e-seal")
	if !v.Judged || v.Grade.Score != 58.7 || v.Grade.Level != 2 || v.Category != "population" || v.Activity != "transmission" || v.Doing.EN != "Transmission" || len(v.Questions) != 1 || len(v.Questions[0].Choices) != 3 {
		t.Errorf("judged: %+v", v)
	}
	if r := v.Grade.Reasons[4]; r.Value != "1200" || r.Points != 100 {
		t.Errorf("of a field: %+v", r)
	}
	if v := get("tax"); v.Judged || len(v.Questions) != 1 {
		t.Errorf("no data: %+v", v)
	}
	// Whoever sees but a part is told no values.
	if v, err := s.EventLevel(t.Context(), reach.Tenants("tax"), of("e-seal")); !errors.Is(err, ErrNotFound) {
		t.Errorf("beyond reach: %+v, %v", v, err)
	}
	by := Actor{Name: "li", Reach: reach.All()}
	answer := func(tenant, factor, what string) (EventLevel, error) {
		return s.AnswerEvent(t.Context(), by, of(tenant), factor, what)
	}
	v, err := answer("e-seal", "law", "report_now")
	if err != nil || v.Grade.Level != 3 || v.Grade.Score != 65.6 || len(v.Answers) != 1 || v.Answers[0].By != "li" { // (4400 + 1500) / 90
		t.Errorf("after the answer: %+v, %v", v, err)
	}
	if v, err = answer("e-seal", "law", ""); err != nil || v.Grade.Score != 58.7 || len(v.Answers) != 0 {
		t.Errorf("taken back: %+v, %v", v, err)
	}
	if v, err = answer("tax", "law", "report"); err != nil || !v.Judged || v.Grade.Level != 2 {
		t.Errorf("an event by hand: %+v, %v", v, err)
	}
	for _, bad := range [][2]string{{"law", "perhaps"}, {"harm", "success"}, {"luck", "none"}} {
		if _, err := answer("tax", bad[0], bad[1]); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := s.AnswerEvent(t.Context(), Actor{Name: "wang", Reach: reach.Tenants("tax")}, of("e-seal"), "law", "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another's event is answered: %v", err)
	}
	d, err := s.Incident(t.Context(), reach.All(), of("e-seal"))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, e := range d.Timeline {
		if e.Kind == "level" {
			said = append(said, e.Actor+": "+e.Text.EN)
		}
	}
	want := []string{"system: Level of the data-security event: Considerable", "li: Legal requirements: To be reported to the authority at once", "li: Level of the data-security event: Major in place of Considerable",
		"li: Legal requirements: the answer is taken back", "li: Level of the data-security event: Considerable in place of Major"}
	if !slices.Equal(said, want) {
		t.Errorf("timeline:\n%s", strings.Join(said, "\n"))
	}
	// The level of the data rises: with the next firing it is judged anew; then the table changes.
	held[sealDB.id] = 5
	ingest(t, s, fire(ruleCopy, sealDB, "203.0.113.9", time.Minute, map[string]string{"db.rows": "1200"}))
	judge()
	if v := get("e-seal"); v.Grade.Level != 3 || v.Grade.Floor != 0 && v.Grade.Floor != 3 {
		t.Errorf("core data: %+v", v.Grade)
	}
	terms.Levels = append(slices.Clone(terms.Levels[:1]), eventlevel.Level{Name: detections.Text{EN: "Grave"}, From: 10})
	for i := range terms.Factors {
		for n := range terms.Factors[i].Steps {
			terms.Factors[i].Steps[n].Floor = 0
		}
	}
	judge()
	if v := get("e-seal"); v.Grade.Level != 2 || v.Grade.Name.EN != "Grave" {
		t.Errorf("by another table: %+v", v.Grade)
	}
	c.forward(10 * time.Minute)
	if _, err := s.AcknowledgeIncident(t.Context(), by, of("e-seal"), ""); err != nil {
		t.Fatal(err)
	}
	f, err := s.Figures(t.Context(), FiguresQuery{Reach: reach.All(), To: c.now().Add(time.Hour), Days: 2})
	if err != nil {
		t.Fatal(err)
	}
	shares := map[string]Share{}
	for _, d := range f.By {
		for _, x := range d.Shares {
			shares[d.By+"="+x.Key] = x
		}
	}
	if x := shares[ByEventLevel+"=2"]; x.Incidents != 2 || x.Name != "Grave" || x.MTTA != 600 {
		t.Errorf("by level: %+v", x)
	}
	if x := shares[ByCategory+"=population"]; x.Incidents != 1 || x.MTTA != 600 {
		t.Errorf("by category: %+v", x)
	}
	if x, y := shares[ByActivity+"=transmission"], shares[ByActivity+"=use"]; x.Incidents != 1 || x.MTTA != 600 || x.Name != "传输\nTransmission" || y.Incidents != 1 || y.MTTA != 0 {
		t.Errorf("by activity: %+v, %+v", x, y)
	}
}
