package ticketing

import (
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
)

// marks are key assets that a test names.
type marks map[string]bool

func (m marks) KeyAsset(item, system string) bool { return m[item] || m[system] }

// TestKeyAssets: alerts say whether they are about a key asset as things stand
// when they fire, their incident says so with them, and lists, figures and
// routes tell them apart.
func TestKeyAssets(t *testing.T) {
	t.Parallel()
	key := marks{"web": true}
	s := openService(t, openDB(t), newClock(), Deps{Policy: policyFunc(func(in policy.IncidentInput) (policy.Decision, error) {
		return policy.Decision{Open: len(in.Related) > 0, Join: true}, nil
	}), Judge: realJudge(), KeyAssets: key})
	h := host{id: "web", name: "web", tenant: "a", systemID: "sys", system: "sys"}
	other := host{id: "db", name: "db", tenant: "a"}
	from := "203.0.113.7"
	story := intrusion(h, from, 0)
	ingest(t, s, append(story, fire(ruleGuess, other, "203.0.113.9", time.Second, nil))...)
	n := 0
	for _, a := range allAlerts(t, s) {
		if a.CI.ID == "web" {
			n++
		}
	}

	check := func(what string, alerts, incidents int) {
		t.Helper()
		list, total, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), KeyAsset: true})
		if err != nil || total != alerts {
			t.Fatalf("%s: %d alerts of key assets, want %d: %v", what, total, alerts, err)
		}
		for _, a := range list {
			if !a.KeyAsset || a.CI.ID != "web" {
				t.Errorf("%s: the alert of %s says %v", what, a.CI.ID, a.KeyAsset)
			}
			rows, err := readAlerts(t.Context(), s.db, []string{a.ID})
			if err != nil || rows[0].matchable()["key_asset"] != "true" {
				t.Errorf("%s: routes know the alert by %v, %v", what, rows[0].matchable(), err)
			}
		}
		cases, total, _, err := s.Incidents(t.Context(), IncidentQuery{Reach: reach.All(), KeyAsset: true})
		if err != nil || total != incidents {
			t.Fatalf("%s: %d incidents of key assets, want %d: %v", what, total, incidents, err)
		}
		for _, i := range cases {
			if !i.KeyAsset {
				t.Errorf("%s: incident %s does not say so", what, i.ID)
			}
		}
	}
	check("marked", n, 1)
	figures, err := s.Figures(t.Context(), FiguresQuery{Reach: reach.All(), To: s.now(), Days: 7})
	if err != nil {
		t.Fatal(err)
	}
	shares := map[string]int{}
	for _, d := range figures.By {
		for _, sh := range d.Shares {
			if d.By == ByKeyAsset {
				shares[sh.Key] = sh.Alerts
			}
		}
	}
	if shares["key"] != n || shares["other"] != 1 {
		t.Errorf("figures by key asset: %v", shares)
	}

	// The mark is taken away: alerts say so as they fire again, and the incident
	// with the last of them.
	delete(key, "web")
	check("the mark is gone and nothing has fired", n, 1)
	again := fire(ruleGuess, h, from, 10*time.Minute, nil)
	ingest(t, s, again)
	check("one of them has fired", n-1, 1)
	var rest []detections.Occurrence
	for i := range story {
		o := story[i]
		o.ID += "-again"
		rest = append(rest, o)
	}
	ingest(t, s, rest...)
	check("all have fired", 0, 0)
	key["sys"] = true
	ingest(t, s, fire(ruleLogin, h, from, 12*time.Minute, nil))
	check("its system is marked", 1, 1)
}
