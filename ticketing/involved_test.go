package ticketing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/observable"
)

// TestPortrait sums up alerts about things of every kind, and holds the sums
// against what was raised.
func TestPortrait(t *testing.T) {
	t.Parallel()
	db, c := openDB(t), newClock()
	s := openService(t, db, c, Deps{})
	index, err := observable.Open(t.Context(), db, observable.Deps{Timeline: s, Alerts: s.Sightings, Clock: c.now})
	if err != nil {
		t.Fatal(err)
	}
	now := c.now()
	raise := func(id, rule, tenant string, level detections.Level, verdict detections.Verdict, attacker, victim string, fields map[string]string, techniques ...string) detections.Occurrence {
		o := detections.Occurrence{ID: id, Key: id, Tenant: tenant, Time: now, From: now.Add(-time.Minute), Count: 3, Fields: fields, Rule: detections.RuleRef{ID: rule, Title: detections.Text{EN: rule}, Level: level, Techniques: techniques}}
		o.Verdict, o.Attacker, o.Victim = verdict, &detections.Party{IP: attacker}, &detections.Party{IP: victim}
		now = now.Add(time.Minute)
		return o
	}
	list := []detections.Occurrence{
		raise("1", "scan", "a", detections.Low, detections.Attempt, "203.0.113.7", "10.1.0.5", map[string]string{"host.name": "WEB-01", "user.id": "u-1"}, "T1595"),
		raise("2", "login", "a", detections.High, detections.Success, "203.0.113.7", "10.1.0.5", map[string]string{"user.name": "root", "email.to.address": `["a@x.example","B@x.example"]`}, "T1110", "T1078"),
		raise("3", "lateral", "b", detections.Critical, detections.Compromised, "10.1.0.5", "10.2.0.9", map[string]string{"icewatch.ci.id": "db", "file.hash.sha256": fmt.Sprintf("%064x", 7)}, "T1021"),
		raise("4", "scan", "b", detections.Low, "", "198.51.100.4", "10.2.0.9", nil, "T1595"),
	}
	if err := s.Ingest(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	c.forward(time.Hour)
	if n, err := index.Index(t.Context()); err != nil || n != 4 {
		t.Fatalf("%d indexed, %v", n, err)
	}
	see := func(typ, value string) []observable.Observable {
		return []observable.Observable{{Type: typ, Value: value}}
	}
	for _, x := range []struct {
		what         string
		r            reach.Reach
		of           Involved
		alerts, open int
		techniques   []string
	}{
		{"an attacker", reach.All(), Involved{Address: "203.0.113.7"}, 2, 2, []string{"T1078", "T1110", "T1595"}},
		{"both sides", reach.All(), Involved{Address: "10.1.0.5"}, 3, 3, []string{"T1021", "T1078", "T1110", "T1595"}},
		{"as victim", reach.All(), Involved{Victims: []string{"10.1.0.5"}}, 2, 2, []string{"T1078", "T1110", "T1595"}},
		{"as attacker", reach.All(), Involved{Attackers: []string{"10.1.0.5"}}, 1, 1, []string{"T1021"}},
		{"within reach", reach.Tenants("a"), Involved{Address: "10.1.0.5"}, 2, 2, []string{"T1078", "T1110", "T1595"}},
		{"out of reach", reach.None(), Involved{Address: "10.1.0.5"}, 0, 0, nil},
		{"an item", reach.All(), Involved{About: []string{"db"}}, 1, 1, []string{"T1021"}},
		{"a host", reach.All(), Involved{Seen: []observable.Observable{SeenHost("web-01")}}, 1, 1, []string{"T1595"}},
		{"an account", reach.All(), Involved{Seen: []observable.Observable{SeenAccount("u-1")}}, 1, 1, []string{"T1595"}},
		{"mail", reach.All(), Involved{Seen: []observable.Observable{SeenMail("b@x.example")}}, 1, 1, []string{"T1078", "T1110"}},
		{"a user", reach.All(), Involved{Seen: see(observable.User, "root")}, 1, 1, []string{"T1078", "T1110"}},
		{"a hash", reach.All(), Involved{Seen: see(observable.Hash, fmt.Sprintf("%064x", 7))}, 1, 1, []string{"T1021"}},
		{"nothing", reach.All(), Involved{}, 0, 0, nil},
	} {
		q := AlertQuery{Reach: x.r, Involved: &x.of}
		p, partial, err := s.Portray(t.Context(), q)
		if err != nil || partial {
			t.Fatalf("%s: %v, %v", x.what, partial, err)
		}
		var techniques []string
		for _, f := range p.Techniques {
			techniques = append(techniques, f.Value)
		}
		slices.Sort(techniques)
		if p.Alerts != x.alerts || p.Open != x.open || p.Events != 3*x.alerts || len(p.Chain) != x.alerts || !slices.Equal(techniques, x.techniques) {
			t.Errorf("%s: %+v", x.what, p)
		}
		if _, total, _, err := s.Alerts(t.Context(), q); err != nil || total != x.alerts {
			t.Errorf("%s: the list has %d, %v", x.what, total, err)
		}
		_, total, _, err := s.Incidents(t.Context(), IncidentQuery{Reach: x.r, Alerts: &x.of})
		if err != nil || total != p.Incidents {
			t.Errorf("%s: %d incidents in the list, %d in the portrait, %v", x.what, total, p.Incidents, err)
		}
		if !slices.IsSortedFunc(p.Chain, func(a, b ChainLink) int { return a.FirstSeen.Compare(b.FirstSeen.Time) }) {
			t.Errorf("%s: the chain is not in the order of time", x.what)
		}
	}
	if p, _, err := s.Portray(t.Context(), AlertQuery{Reach: reach.All(), Involved: &Involved{Address: "203.0.113.7"}, Until: list[1].From.Add(-time.Millisecond)}); err != nil || p.Alerts != 1 {
		t.Errorf("until the second: %d, %v", p.Alerts, err)
	}

	q := AlertQuery{Reach: reach.All(), Involved: &Involved{Address: "203.0.113.7"}}
	items, _, _, err := s.Alerts(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CloseAlert(t.Context(), Actor{Name: "li", Reach: reach.All()}, items[0].ID, Close{Resolution: "true_positive"}); err != nil {
		t.Fatal(err)
	}
	p, _, err := s.Portray(t.Context(), q)
	if err != nil || p.Open != 1 || p.Closed != 1 || p.True != 1 || len(p.Judged) != 1 || p.Judged[0].By != "li" || p.Judged[0].Alert != items[0].ID {
		t.Errorf("after one is closed: %+v, %v", p, err)
	}
	confirmed, err := s.ConfirmedAttackers(t.Context(), time.Time{}, 10)
	if err != nil || len(confirmed) != 1 || confirmed[0].Attacker.IP != "203.0.113.7" || confirmed[0].Alert != items[0].ID {
		t.Errorf("confirmed: %+v, %v", confirmed, err)
	}
	if again, err := s.ConfirmedAttackers(t.Context(), confirmed[0].ClosedAt, 10); err != nil || len(again) != 0 {
		t.Errorf("confirmed since: %+v, %v", again, err)
	}
}
