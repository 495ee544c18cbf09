package policy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/rules"
)

// anyAlert makes an alert of few different values, so that questions agree in
// many of them.
func anyAlert(r *rand.Rand, id string) Alert {
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	some := func(list ...string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(string) bool { return r.IntN(3) > 0 })
	}
	at := time.Date(2026, 11, 26, 8, r.IntN(3), 0, 0, time.UTC)
	return Alert{ID: id, Tenant: "t", Rule: Rule{ID: one("r1", "r2", "r3", "r4"), Level: detections.Levels[r.IntN(5)], Kind: "sigma",
		Tactics: some("execution", "persistence", "discovery"), Techniques: some("T1110.001", "T1078"), Tags: some("icewatch.login-success")},
		Item: Item{ID: one("", "i1", "i2"), Name: one("", "n1"), Criticality: r.IntN(6), Labels: some("a")}, Actor: Actor{IP: one("", "203.0.113.9", "203.0.113.8"), Labels: slices.DeleteFunc([]string{"approved-scanner"}, func(string) bool { return r.IntN(8) > 0 })},
		Priority: one("P1", "P3", "P4", "P4"), Status: one("open", "open", "closed"), First: at, Last: at.Add(time.Duration(r.IntN(2)) * time.Minute), Count: r.IntN(3),
		Fields: map[string]string{"user.name": one("x", "y"), "message": id}}
}

// TestIncidentFromMemory: answers from memory are those that Rego gives, of the
// shipped policy and of others that read their input in other ways.
func TestIncidentFromMemory(t *testing.T) {
	t.Parallel()
	shipped, err := rules.FS.ReadFile("policy/incident.rego")
	if err != nil {
		t.Fatal(err)
	}
	const head = "package icewatch.incident\n"
	for name, c := range map[string]struct {
		text   string
		cached bool // some answers come from memory
	}{
		"shipped":         {string(shipped), true},
		"by an index":     {head + `decision := {"open": o, "join": false} if o := opens` + "\n" + `default opens := false` + "\n" + `opens if { input.alert.item.id == "i1"; input.alert.priority == "P1" }` + "\n" + `opens if input.alert.rule.id == "r2"`, true},
		"a field":         {head + `default x := false` + "\n" + `x if input.alert.fields["user.name"] == "x"` + "\n" + `decision := {"open": x, "join": false}`, true},
		"all fields":      {head + `decision := {"open": count([1 | some v in input.alert.fields; v == "x"]) > 0, "join": false}`, false}, // one of them never is the same
		"a group":         {head + `decision := {"open": input.alert.actor == {"ip": "203.0.113.9", "internal": false, "labels": []}, "join": false}`, true},
		"what is related": {head + `decision := {"open": count(input.related) > 2, "join": input.story.rules > 1}`, false},
		"in a function":   {head + `grave(a) if a.rule.level == "critical"` + "\n" + `default yes := false` + "\n" + `yes if grave(input.alert)` + "\n" + `decision := {"open": yes, "join": false}`, false},
		"with another":    {head + `default high := false` + "\n" + `high if input.alert.priority == "P1"` + "\n" + `decision := {"open": o, "join": false} if { input.alert.status; o := high with input.alert.priority as input.alert.item.name } else := {"open": false, "join": true}`, true}, // where there is no name
		"by a name read":  {head + `decision := {"open": o, "join": false} if o := input.alert[input.alert.fields["user.name"]] else := {"open": input.alert.count > 1, "join": true}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, problems := New([]File{{Path: "incident.rego", Data: []byte(c.text)}}, Keys{})
			plain, again := New([]File{{Path: "incident.rego", Data: []byte(c.text)}}, Keys{})
			if len(problems)+len(again) > 0 {
				t.Fatal(problems, again)
			}
			plain.incident.pure = false // always asks
			r := rand.New(rand.NewPCG(1, 2))
			for n := range 600 {
				in := IncidentInput{Alert: anyAlert(r, fmt.Sprint("a", n))}
				for i := range r.IntN(5) {
					other := anyAlert(r, fmt.Sprint("b", i))
					in.Related = append(in.Related, &other)
				}
				got, err1 := s.Incident(t.Context(), in)
				want, err2 := plain.Incident(t.Context(), in)
				if fmt.Sprint(err1) != fmt.Sprint(err2) || !reflect.DeepEqual(got, want) {
					t.Fatalf("question %d: %+v, %v; Rego says %+v, %v", n, got, err1, want, err2)
				}
			}
			if st := s.Stats(); c.cached != (st.Cached > 0) || st.Cached+st.Decisions < 600 {
				t.Errorf("%+v: answers from memory: want %v", st, c.cached)
			}
			if len(s.read.list) > maxReadings || s.read.entries > cacheEntries {
				t.Errorf("%d sets of values, %d answers are remembered", len(s.read.list), s.read.entries)
			}
		})
	}
}
