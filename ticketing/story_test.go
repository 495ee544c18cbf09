package ticketing

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// noise is what goes on beside an intrusion and is none: strangers who probe
// and guess everywhere, a mistyped password, an approved scanner, a backup.
func noise(r *rand.Rand, hosts []host) []detections.Occurrence {
	var out []detections.Occurrence
	anywhen := func() time.Duration { return time.Duration(r.IntN(1800)) * time.Second }
	strangers := []string{"192.0.2.7", "192.0.2.8", "198.51.100.9"}
	for range 30 {
		h, src := hosts[r.IntN(len(hosts))], strangers[r.IntN(len(strangers))]
		switch r.IntN(4) {
		case 0:
			out = append(out, fire(ruleScan, h, src, anywhen(), nil))
		case 1:
			out = append(out, fire(ruleProbe, h, src, anywhen(), nil))
		case 2:
			out = append(out, fire(ruleTypo, h, "10.8.0.5", anywhen(), map[string]string{"user.name": "li.na"}))
		case 3:
			out = append(out, fire(ruleScan, h, "10.9.9.9", anywhen(), map[string]string{"icewatch.source.ci.id": "ci-scanner", "icewatch.source.ci.labels": "approved-scanner"}))
		}
	}
	return out
}

// cut hands occurrences over in random order and random batches, some twice.
func cut(t testing.TB, s *Service, r *rand.Rand, occs []detections.Occurrence) {
	t.Helper()
	occs = slices.Clone(occs)
	for range len(occs) / 3 {
		occs = append(occs, occs[r.IntN(len(occs))])
	}
	r.Shuffle(len(occs), func(i, j int) { occs[i], occs[j] = occs[j], occs[i] })
	for len(occs) > 0 {
		n := 1 + r.IntN(min(len(occs), 12))
		ingest(t, s, occs[:n]...)
		occs = occs[n:]
	}
}

// TestIntrusions is the room's main promise: whatever the order, the cut and
// the noise, each intrusion is one incident on the right item and system, with
// its alerts under it.
func TestIntrusions(t *testing.T) {
	t.Parallel()
	rounds := 25
	if testing.Short() {
		rounds = 6
	}
	for seed := range rounds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			s, _ := newService(t, realPolicy())
			type story struct {
				h      host
				source string
			}
			stories := []story{{sealWeb, "203.0.113.7"}}
			if seed%3 > 0 { // the same city, another tenant
				stories = append(stories, story{taxWeb, "203.0.113.99"})
			}
			if seed%3 > 1 { // the same tenant, another host and actor
				stories = append(stories, story{sealDB, "203.0.113.150"})
			}
			occs := noise(r, []host{sealWeb, sealDB, sealApp, taxWeb})
			for _, st := range stories {
				occs = append(occs, intrusion(st.h, st.source, time.Duration(r.IntN(600))*time.Second)...)
			}
			cut(t, s, r, occs)

			incidents := allIncidents(t, s)
			if len(incidents) != len(stories) {
				for _, i := range incidents {
					t.Logf("%s %s %s: %s", i.ID, i.Tenant, i.CI.ID, i.Title.EN)
				}
				t.Fatalf("%d incidents, want %d", len(incidents), len(stories))
			}
			for _, st := range stories {
				n := slices.IndexFunc(incidents, func(i Incident) bool { return i.CI != nil && i.CI.ID == st.h.id })
				if n < 0 {
					t.Fatalf("no incident on %s", st.h.id)
				}
				i := incidents[n]
				if i.Tenant != st.h.tenant || i.System == nil || i.System.ID != st.h.systemID || i.Owner != "周敏" {
					t.Errorf("%s: tenant %q, system %+v, owner %q", i.ID, i.Tenant, i.System, i.Owner)
				}
				if !slices.Equal(i.Actors, []string{st.source}) {
					t.Errorf("%s: actors %v, want %s", i.ID, i.Actors, st.source)
				}
				if i.Severity != detections.Critical || i.Priority != "P1" {
					t.Errorf("%s: who got in and went on is %s, %s; want critical, P1 (reasons %v)", i.ID, i.Severity, i.Priority, i.Reasons)
				}
				under := map[string]bool{}
				for _, a := range allAlerts(t, s) {
					own := a.SourceIP == st.source || a.SourceIP == "" && a.CI.ID == st.h.id || a.SourceIP == st.h.addr
					if a.IncidentID == i.ID && own {
						under[a.Rule.ID] = true
					}
					if own && a.IncidentID != i.ID {
						t.Errorf("alert %s (%s on %s by %s) is under %q, want %s", a.ID, a.Rule.ID, a.CI.ID, a.SourceIP, a.IncidentID, i.ID)
					}
					if a.IncidentID == i.ID && a.Tenant != i.Tenant {
						t.Errorf("alert %s of %s is under an incident of %s", a.ID, a.Tenant, i.Tenant)
					}
				}
				if len(under) != 5 {
					t.Errorf("%s: rules %v, want all five steps", i.ID, under)
				}
				if !strings.Contains(i.Title.ZH, st.source) || !strings.Contains(i.Title.ZH, st.h.name) {
					t.Errorf("title %q names neither actor nor host", i.Title.ZH)
				}
			}
		})
	}
}

// TestBenign: what only looks like an intrusion opens nothing.
func TestBenign(t *testing.T) {
	t.Parallel()
	for seed := range 5 {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		s, _ := newService(t, realPolicy())
		occs := noise(r, []host{sealWeb, sealApp, taxWeb})
		// A password typed wrong; a backup job; a scanner we ordered
		// that finds something.
		scanner := map[string]string{"icewatch.source.ci.id": "ci-scanner", "icewatch.source.ci.labels": "approved-scanner"}
		occs = append(occs,
			fire(ruleTypo, sealWeb, "10.8.0.5", 0, map[string]string{"user.name": "wang.wu"}),
			fire(ruleCopy, sealDB, "", time.Minute, map[string]string{"user.name": "backup"}),
			fire(ruleScan, sealDB, "10.9.9.9", 0, scanner), fire(ruleProbe, sealDB, "10.9.9.9", time.Minute, scanner),
			fire(ruleGuess, sealDB, "10.9.9.9", 2*time.Minute, scanner))
		cut(t, s, r, occs)
		if list := allIncidents(t, s); len(list) != 0 {
			t.Errorf("seed %d: %d incidents, the first %q", seed, len(list), list[0].Title.EN)
		}
	}
}

// TestOrderDoesNotMatter compares all that alerts and incidents hold after the
// same occurrences came in different orders, cuts and repetitions.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	occs := append(intrusion(sealWeb, "203.0.113.7", 0), noise(r, []host{sealWeb, sealApp, taxWeb})...)
	// Many events, so that the bounds matter, and two firings at one instant.
	for i := range 60 {
		o := fire(ruleGuess, sealApp, "198.51.100.9", time.Duration(i/2)*time.Second, nil)
		o.ID = fmt.Sprintf("%s#%d", o.ID, i)
		o.EventIDs = nil
		for k := range 5 {
			o.EventIDs = append(o.EventIDs, fmt.Sprintf("e1-%d-%d", 900+i, k))
		}
		o.Fields["event.sequence"] = fmt.Sprint(i)
		occs = append(occs, o)
	}
	outcome := func(feed func(s *Service)) string {
		s, _ := newService(t, realPolicy())
		feed(s)
		alerts := allAlerts(t, s)
		for i := range alerts {
			if alerts[i].IncidentID != "" {
				alerts[i].IncidentID = "held"
			}
		}
		slices.SortFunc(alerts, func(a, b Alert) int { return strings.Compare(a.ID, b.ID) })
		incidents := allIncidents(t, s)
		for i := range incidents {
			incidents[i].Reasons = nil // of the moment it opened
		}
		data, err := json.MarshalIndent(map[string]any{"alerts": alerts, "incidents": incidents}, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	want := outcome(func(s *Service) { ingest(t, s, occs...) })
	for n := range 6 {
		got := outcome(func(s *Service) {
			switch n {
			case 0: // twice the same batch
				ingest(t, s, occs...)
				ingest(t, s, occs...)
			case 1: // one by one, backwards
				for i := len(occs) - 1; i >= 0; i-- {
					ingest(t, s, occs[i])
				}
			default:
				cut(t, s, rand.New(rand.NewPCG(uint64(n), 5)), occs)
			}
		})
		if got != want {
			a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Fatalf("variant %d differs at line %d:\n%s\n%s", n, i, strings.Join(a[max(0, i-8):i+1], "\n"), b[i])
				}
			}
			t.Fatalf("variant %d: %d lines, want %d", n, len(b), len(a))
		}
	}
}

// TestFurtherItem: an actor who goes on to a second host of the same tenant
// stays in the one incident, with what follows on that host.
func TestFurtherItem(t *testing.T) {
	t.Parallel()
	for seed := range 6 {
		r := rand.New(rand.NewPCG(uint64(seed), 21))
		s, _ := newService(t, realPolicy())
		ingest(t, s, intrusion(sealWeb, "203.0.113.7", 0)...)
		rest := append(intrusion(sealDB, "203.0.113.7", 10*time.Minute), noise(r, []host{sealApp, taxWeb})...)
		if seed > 2 {
			cut(t, s, r, rest)
		} else {
			for _, o := range rest {
				ingest(t, s, o)
			}
		}
		if list := allIncidents(t, s); len(list) != 1 || list[0].AlertCount < 9 {
			t.Errorf("seed %d: %d incidents", seed, len(list))
			for _, i := range list {
				t.Logf("%s %s: %s", i.ID, i.CI.ID, i.Title.EN)
			}
		}
	}
}

// TestTenantsStayApart: one actor who gets into two tenants makes two
// incidents, and neither holds anything of the other.
func TestTenantsStayApart(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, realPolicy())
	ingest(t, s, append(intrusion(sealWeb, "203.0.113.7", 0), intrusion(taxWeb, "203.0.113.7", time.Minute)...)...)
	incidents := allIncidents(t, s)
	if len(incidents) != 2 || incidents[0].Tenant == incidents[1].Tenant {
		t.Fatalf("incidents %+v", incidents)
	}
	for _, i := range incidents {
		d, err := s.Incident(t.Context(), reach.Tenants(i.Tenant), i.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Alerts) != 5 {
			t.Errorf("%s: %d alerts, want 5", i.ID, len(d.Alerts))
		}
		for _, a := range d.Alerts {
			if a.Tenant != i.Tenant {
				t.Errorf("%s of %s holds an alert of %s", i.ID, i.Tenant, a.Tenant)
			}
		}
	}
}

// TestCityFirewall: what the city's firewall tells of an attack on a tenant's
// item belongs to that tenant's incident; what a tenant's own events say of
// another tenant's item moves nothing.
func TestCityFirewall(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, realPolicy())
	occs := intrusion(sealWeb, "203.0.113.7", 0)
	for i := range occs {
		if occs[i].Rule.ID == "scan" || occs[i].Rule.ID == "outbound" {
			occs[i].Tenant = "city"
			occs[i].Fields["icewatch.ci.tenant"] = "e-seal"
		}
	}
	forged := fire(ruleScan, taxWeb, "203.0.113.7", 0, map[string]string{"icewatch.ci.tenant": "e-seal"})
	ingest(t, s, append(occs, forged)...)
	list := allIncidents(t, s)
	if len(list) != 1 || list[0].Tenant != "e-seal" || list[0].AlertCount != 5 {
		t.Fatalf("incidents %+v", list)
	}
	if other, _, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.Tenants("tax")}); err != nil || len(other) != 1 || other[0].IncidentID != "" {
		t.Errorf("the other tenant's alerts: %+v, %v", other, err)
	}
	if city, _, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.Tenants("city")}); err != nil || len(city) != 0 {
		t.Errorf("the city's alerts: %+v, %v", city, err)
	}
}

// TestLastPiece: alerts that make an incident only together make it whichever
// comes last, also where the policy sees it from one alert's side only.
func TestLastPiece(t *testing.T) {
	t.Parallel()
	pieces := []detections.Occurrence{
		fire(ruleScan, sealApp, "203.0.113.7", 0, nil), // on another item: the guesser's relation alone
		fire(ruleGuess, sealWeb, "203.0.113.7", time.Minute, nil),
		fire(ruleSudo, sealWeb, "", 2*time.Minute, nil),
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		s, _ := newService(t, realPolicy())
		for _, n := range order {
			ingest(t, s, pieces[n])
		}
		list := allIncidents(t, s)
		if len(list) != 1 || list[0].AlertCount != 3 || list[0].CI.ID != sealWeb.id {
			t.Errorf("order %v: incidents %+v", order, list)
		}
	}
}
