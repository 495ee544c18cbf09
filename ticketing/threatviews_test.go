package ticketing

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/soc/veil"
)

// TestThreatViews holds every figure of every view against alerts that are known.
func TestThreatViews(t *testing.T) {
	t.Parallel()
	s := openService(t, openDB(t), newClock(), Deps{Taxonomy: shippedTaxonomy(t)})
	var occs []detections.Occurrence
	n := 0
	add := func(attack, phase, threat string, risk detections.Risk, v detections.Verdict, from string, level detections.Level) {
		o := judged(fmt.Sprintf("r-%s", attack), attack, phase, "inbound", v, from, time.Duration(n)*time.Minute)
		n++
		o.Key, o.Threat, o.Risk, o.Rule.Level = fmt.Sprintf("%s#%d", o.Key, n), threat, risk, level
		occs = append(occs, o)
	}
	none := detections.Risk{}
	add("deception", "reconnaissance", "", none, detections.Attempt, stranger, detections.High)
	add("scan", "reconnaissance", "external", none, detections.Attempt, stranger, detections.Low)
	add("remote-exploit", "exploitation", "external", none, detections.Success, "203.0.113.50", detections.Critical)
	add("lateral-movement", "actions-on-objectives", "lateral", none, detections.Success, "10.1.2.3", detections.High)
	add("command-and-control", "command-and-control", "outbound", none, detections.Compromised, "198.51.100.66", detections.Critical)
	add("tunnel", "command-and-control", "tunnel", none, detections.Attempt, "198.51.100.66", detections.Medium)
	add("web-trojan", "delivery", "website", none, detections.Attempt, stranger, detections.Medium)
	add("web-shell", "installation", "website", none, detections.Success, stranger, detections.Critical)
	add("search-hijack", "actions-on-objectives", "website", none, detections.Success, stranger, detections.High)
	add("sensitive-words", "", "website", detections.Risk{Class: "ICSI", Subclass: "ICSI4", Type: "sensitive-words"}, "", "", detections.Medium)
	add("denial-of-service", "actions-on-objectives", "external", none, detections.Attempt, stranger, detections.High)
	add("fault", "", "", none, "", "", detections.Low)
	ingest(t, s, occs...)

	query := AlertQuery{Reach: reach.All(), Since: occs[0].Time.Add(-time.Minute)}
	sums, err := s.ThreatSums(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	// What follows raises verdicts: the web shell that of the trojan, the call home that of the exploit.
	want := []ThreatSum{
		{View: "deception", Alerts: 1, Grave: 1}, {View: "advanced", Alerts: 6, Grave: 5, Reached: 4}, {View: "external", Alerts: 3, Grave: 2, Reached: 1}, {View: "lateral", Alerts: 1, Grave: 1, Reached: 1},
		{View: "outbound", Alerts: 1, Grave: 1, Reached: 1}, {View: "tunnel", Alerts: 1}, {View: "website-trojan", Alerts: 2, Grave: 1, Reached: 2}, {View: "search-hijack", Alerts: 1, Grave: 1, Reached: 1},
		{View: "sensitive-words", Alerts: 1}, {View: "availability", Alerts: 2, Grave: 1}, {View: "attackers", Alerts: 10, Grave: 7, Reached: 6}, {View: "exposure", Alerts: 2, Grave: 1, Reached: 1},
	}
	for i, w := range want {
		w.Open, w.Events = w.Alerts, 3*w.Alerts
		if i >= len(sums) || sums[i] != w {
			t.Errorf("%s: %+v, want %+v", w.View, sums[min(i, len(sums)-1)], w)
		}
	}
	if len(sums) != len(want) {
		t.Errorf("%d views, want %d", len(sums), len(want))
	}

	external := ThreatViews[2]
	now := query.Since.Add(24 * time.Hour)
	f, err := s.Threats(t.Context(), external, query, now)
	if err != nil {
		t.Fatal(err)
	}
	if f.Attackers != 2 || f.Victims != 1 || f.False != 0 || f.Masked {
		t.Errorf("%d attackers, %d victims, %d false, masked %t", f.Attackers, f.Victims, f.False, f.Masked)
	}
	for name, got := range map[string]struct {
		is   any
		want string
	}{
		"severities": {f.Severities, `[{"value":"critical","alerts":1},{"value":"high","alerts":1},{"value":"low","alerts":1}]`},
		"verdicts":   {f.Verdicts, `[{"value":"compromised","alerts":1},{"value":"attempt","alerts":2}]`},
		"phases":     {f.Phases, `[{"value":"actions-on-objectives","alerts":1},{"value":"exploitation","alerts":1},{"value":"reconnaissance","alerts":1}]`},
		"attacks":    {f.Attacks, `[{"value":"denial-of-service","alerts":1},{"value":"remote-exploit","alerts":1},{"value":"scan","alerts":1}]`},
		"by":         {f.By, fmt.Sprintf(`[{"value":%q,"alerts":2},{"value":"203.0.113.50","alerts":1}]`, stranger)},
		"on":         {f.On, fmt.Sprintf(`[{"value":%q,"alerts":3}]`, sealWeb.addr)},
		"tenants":    {f.Tenants, fmt.Sprintf(`[{"value":%q,"alerts":3}]`, sealWeb.tenant)},
		"rules":      {f.Rules, `[{"value":"r-denial-of-service","name":{"zh":"r-denial-of-service","en":"r-denial-of-service"},"alerts":1},{"value":"r-remote-exploit","name":{"zh":"r-remote-exploit","en":"r-remote-exploit"},"alerts":1},{"value":"r-scan","name":{"zh":"r-scan","en":"r-scan"},"alerts":1}]`},
	} {
		if text, _ := json.Marshal(got.is); string(text) != got.want {
			t.Errorf("%s: %s, want %s", name, text, got.want)
		}
	}
	if len(f.Course) != 24 || f.Course[0].Alerts != 3 || f.Course[1].Alerts != 0 || !f.Course[1].From.Equal(query.Since.Add(time.Hour).Truncate(time.Millisecond)) {
		t.Errorf("course %+v", f.Course)
	}

	list, _, _, err := s.Alerts(t.Context(), external.Within(query))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CloseAlert(t.Context(), Actor{Name: "li", Reach: reach.All()}, list[0].ID, Close{Resolution: "false_positive", Comment: "known"}); err != nil {
		t.Fatal(err)
	}
	if f, err = s.Threats(t.Context(), external, query, now); err != nil || f.Alerts != 3 || f.Open != 2 || f.False != 1 {
		t.Errorf("after one was closed as false: %+v, %v", f, err)
	}

	hidden, err := veil.New([]veil.Rule{{ID: "a", Fields: []string{"source.ip"}, Method: veil.Full}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	query.Reach = reach.All().WithVeil(hidden)
	if f, err = s.Threats(t.Context(), external, query, now); err != nil || !f.Masked || len(f.By) != 0 || len(f.On) != 0 || f.Alerts != 3 {
		t.Errorf("with addresses masked: %+v, %v", f, err)
	}
	if f, err = s.Threats(t.Context(), external, AlertQuery{}, now); err != nil || f.Alerts != 0 || len(f.Rules) != 0 {
		t.Errorf("without reach: %+v, %v", f, err)
	}
}
