package policy_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"icewatch/detections"
	"icewatch/detections/policy"
)

// BenchmarkPriority asks the shipped policy questions that are all different,
// so that Rego decides each: every level on every criticality, some exposed,
// some known to threat intelligence, some with a verdict. It tells the mean in
// microseconds as BENCH policy.decision.
func BenchmarkPriority(b *testing.B) {
	s, _ := prepared(b)
	zones, confidences, verdicts := []string{"", "", "office", "dmz"}, []string{"", "", "", "", "High"}, []string{"", "attempt", "failed", "success"}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		a := policy.Alert{Tenant: "t", Rule: policy.Rule{ID: "r", Level: detections.Levels[n%5], Tactics: []string{"execution"}}, Verdict: verdicts[n%len(verdicts)],
			Item:  policy.Item{ID: "i", Criticality: n % 6, Zone: zones[n/7%len(zones)], Labels: []string{strconv.Itoa(n)}},
			Actor: policy.Actor{IP: "203.0.113.9"}, Intelligence: policy.Intelligence{Confidence: confidences[n%len(confidences)]}}
		if _, err := s.Priority(context.Background(), a); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if st := s.Stats(); st.Cached > 0 {
		b.Fatalf("%d answers came from memory", st.Cached)
	}
	fmt.Printf("BENCH policy.decision %.1f µs\n", float64(b.Elapsed().Microseconds())/float64(n))
}

// BenchmarkPriorityAgain asks the same question again and again, as an alert
// does that goes on firing.
func BenchmarkPriorityAgain(b *testing.B) {
	s, _ := prepared(b)
	a := policy.Alert{Tenant: "t", Rule: policy.Rule{ID: "r", Level: "high"}, Item: policy.Item{ID: "i", Criticality: 3}, Actor: policy.Actor{IP: "203.0.113.9"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Priority(context.Background(), a); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIncident asks about an alert with 50 related ones: many that show
// nothing more than it does, and an intrusion in four tactics.
func BenchmarkIncident(b *testing.B) {
	s, _ := prepared(b)
	for _, c := range []struct {
		name    string
		tactics []string
	}{{"noise", []string{"execution"}}, {"intrusion", []string{"execution", "persistence", "discovery", "lateral-movement"}}} {
		b.Run(c.name, func(b *testing.B) {
			in := policy.IncidentInput{Alert: alert("a", 0, []string{"discovery"})}
			for i := range 50 {
				r := alert(fmt.Sprint("b", i), i, []string{c.tactics[i%len(c.tactics)]})
				r.Freeze()
				in.Related = append(in.Related, &r)
			}
			b.ReportAllocs()
			for b.Loop() {
				d, err := s.Incident(context.Background(), in)
				if err != nil || d.Open != (c.name == "intrusion") {
					b.Fatalf("%+v, %v", d, err)
				}
			}
		})
	}
}
