package ticketing

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/verdict"
	"icewatch/rules"
	"icewatch/soc/reach"
	"icewatch/soc/veil"
)

func shippedTaxonomy(t testing.TB) func() *verdict.Taxonomy {
	t.Helper()
	data, err := fs.ReadFile(rules.FS, verdict.FileName)
	if err != nil {
		t.Fatal(err)
	}
	tax, err := new(verdict.Taxonomy).With(data)
	if err != nil {
		t.Fatal(err)
	}
	return func() *verdict.Taxonomy { return tax }
}

// TestAttacks groups alerts by type of attack, and finds them by their judgement.
func TestAttacks(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := openService(t, openDB(t), c, Deps{Taxonomy: shippedTaxonomy(t)})
	var occs []detections.Occurrence
	for i, path := range []string{"/login", "/login", "/news"} {
		o := judged("sqli", "sql-injection", "exploitation", "inbound", []detections.Verdict{detections.Failed, detections.Failed, detections.Attempt}[i], stranger, time.Duration(i)*time.Minute)
		o.Key, o.Threat = o.Key+path+string(rune('a'+i)), "website"
		o.Fields["url.path"], o.Risk = path, detections.Risk{Class: "NAI", Subclass: "VAI", Type: "sql-injection"}
		occs = append(occs, o)
	}
	guess := judged("guess", "brute-force", "exploitation", "inbound", detections.Failed, "203.0.113.50", 0)
	guess.Risk = detections.Risk{Class: "NAI", Subclass: "ONAI"}
	self := fire(rule{id: "icewatch.disk", zh: "磁盘将满", en: "Disk nearly full", level: detections.High, tags: []string{"icewatch.self"}}, sealDB, "", 0, nil)
	self.Rule.Tactics, self.Rule.Techniques = nil, nil
	ingest(t, s, append(occs, guess, self)...)

	all := AlertQuery{Reach: reach.All()}
	out, err := s.Attacks(t.Context(), all, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out.Alerts != 5 || out.Counted != 5 || len(out.Attacks) != 3 {
		t.Fatalf("%d alerts, %d counted, %d attacks", out.Alerts, out.Counted, len(out.Attacks))
	}
	sqli := out.Attacks[0]
	text, _ := json.Marshal(sqli)
	if sqli.Attack != "sql-injection" || sqli.Name.ZH != "SQL 注入" || sqli.Alerts != 3 || sqli.Events != 9 || sqli.Open != 3 ||
		!strings.Contains(string(text), `{"field":"url.path","values":[{"value":"/login","alerts":2},{"value":"/news","alerts":1}]}`) ||
		!strings.Contains(string(text), `"verdicts":[{"value":"attempt","alerts":1},{"value":"failed","alerts":2}]`) {
		t.Errorf("%s", text)
	}
	if text, _ := json.Marshal(out.Risks); string(text) != `[{"value":"NAI.VAI.sql-injection","alerts":3},{"value":"FF.SHF","alerts":1},{"value":"NAI.ONAI","alerts":1}]` {
		t.Errorf("risks %s", text)
	}
	if out, err = s.Attacks(t.Context(), all, []string{"user.name"}); err != nil || out.Attacks[0].Information[0].Field != "user.name" {
		t.Errorf("fields of the user's own: %+v, %v", out.Attacks[0].Information, err)
	}

	for _, f := range []struct {
		name string
		set  func(q *AlertQuery)
		want int
	}{
		{"verdict", func(q *AlertQuery) { q.Verdicts = []string{"failed"} }, 3},
		{"no verdict", func(q *AlertQuery) { q.Verdicts = []string{"none"} }, 1},
		{"phase", func(q *AlertQuery) { q.Phases = []string{"exploitation", "delivery"} }, 4},
		{"direction", func(q *AlertQuery) { q.Directions = []string{"inbound"} }, 4},
		{"threat", func(q *AlertQuery) { q.Threats = []string{"website"} }, 3},
		{"attack", func(q *AlertQuery) { q.Attacks = []string{"brute-force", "fault"} }, 2},
		{"class", func(q *AlertQuery) { q.Risks = []string{"NAI"} }, 4},
		{"subclass or class", func(q *AlertQuery) { q.Risks = []string{"NAI.VAI", "FF"} }, 4},
		{"not by the beginning of a code", func(q *AlertQuery) { q.Risks = []string{"NAI.VA"} }, 0},
		{"attacker", func(q *AlertQuery) { q.Attacker = "203.0.113.50" }, 1},
		{"victim", func(q *AlertQuery) { q.Victim = sealWeb.addr }, 4},
	} {
		q := all
		f.set(&q)
		if _, total, _, err := s.Alerts(t.Context(), q); err != nil || total != f.want {
			t.Errorf("%s: %d alerts, want %d (%v)", f.name, total, f.want, err)
		}
	}
	for name, q := range map[string]AlertQuery{
		"verdict": {Reach: reach.All(), Verdicts: []string{"won"}}, "phase": {Reach: reach.All(), Phases: []string{"x"}},
		"direction": {Reach: reach.All(), Directions: []string{"up"}}, "threat": {Reach: reach.All(), Threats: []string{"x"}},
	} {
		if _, _, _, err := s.Alerts(t.Context(), q); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a wrong %s is answered %v", name, err)
		}
	}
	if out, err := s.Attacks(t.Context(), AlertQuery{}, nil); err != nil || out.Alerts != 0 || out.Counted != 0 {
		t.Errorf("without reach: %+v, %v", out, err)
	}
}

// TestVeiled asks that what is masked of events shows nowhere in alerts,
// incidents and statistics, and cannot be asked for.
func TestVeiled(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	o := judged("sqli", "sql-injection", "exploitation", "inbound", detections.Success, stranger, 0)
	o.Rule.Level = detections.Critical
	o.Attacker.User = "deploy"
	o.VerdictReason = detections.Text{ZH: "账号 deploy 登录成功", EN: "The account deploy signed in"}
	o.Rule.Sentence = detections.Text{ZH: stranger + " 以 deploy 登录", EN: stranger + " signs in as deploy"}
	o.Evidence = append(o.Evidence, detections.Match{Field: "source.ip", Value: stranger})
	o.Group = append(o.Group, detections.Pair{Field: "source.ip", Value: stranger})
	ingest(t, s, o)
	v, err := veil.New([]veil.Rule{{ID: "a", Fields: []string{"source.ip", "user.name"}, Method: veil.Full}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	within := reach.All().WithVeil(v)
	alerts, _, _, err := s.Alerts(t.Context(), AlertQuery{Reach: within})
	if err != nil || len(alerts) != 1 {
		t.Fatalf("%d alerts, %v", len(alerts), err)
	}
	alert, err := s.Alert(t.Context(), within, alerts[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	incidents, _, _, err := s.Incidents(t.Context(), IncidentQuery{Reach: within})
	if err != nil || len(incidents) != 1 {
		t.Fatalf("%d incidents, %v", len(incidents), err)
	}
	incident, err := s.Incident(t.Context(), within, incidents[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	overview, err := s.Overview(t.Context(), within, "x")
	if err != nil {
		t.Fatal(err)
	}
	attacks, err := s.Attacks(t.Context(), AlertQuery{Reach: within}, []string{"source.ip", "user.name"})
	if err != nil {
		t.Fatal(err)
	}
	acted, err := s.AcknowledgeAlert(t.Context(), Actor{Name: "li", Reach: within}, alert.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, shown := range map[string]any{"alerts": alerts, "alert": alert, "incidents": incidents, "incident": incident, "overview": overview, "attacks": attacks, "action": acted} {
		text, _ := json.Marshal(shown)
		for _, secret := range []string{stranger, "deploy"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s show %s: %s", name, secret, text)
			}
		}
	}
	plain, err := s.Alert(t.Context(), reach.All(), alert.ID)
	if err != nil || plain.SourceIP != stranger || plain.Attacker.IP != stranger {
		t.Errorf("unmasked it is %+v, %v", plain, err)
	}
	if _, _, _, err := s.Alerts(t.Context(), AlertQuery{Reach: within, Attacker: stranger}); err == nil || !strings.Contains(err.Error(), "masked") {
		t.Errorf("who may not see addresses can ask for one: %v", err)
	}
	if found, _, _, err := s.Alerts(t.Context(), AlertQuery{Reach: within, Q: stranger}); err != nil || len(found) != 0 {
		t.Errorf("who may not see addresses finds by one: %d, %v", len(found), err)
	}
	if found, _, _, err := s.Alerts(t.Context(), AlertQuery{Reach: within, Q: "SQLi"}); err != nil || len(found) != 1 {
		t.Errorf("by the rule's name: %d, %v", len(found), err)
	}
}
