package ticketing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// TestOutages: a system is down while an alert of a fault of one of its items is
// open, in an incident that nobody found to be none.
func TestOutages(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := faultService(t, openDB(t), c, newRelations(), 0)
	from := c.now()
	down := func(item, system, tenant string) {
		t.Helper()
		o := pushedAlert(item, "HostDown", "1", detections.High, c.now())
		o.ID, o.Tenant = fmt.Sprint(item, c.now().Unix()), tenant
		if item != system { // one about a system itself names no other
			o.Fields["icewatch.ci.system.id"], o.Fields["icewatch.ci.system.name"] = system, system
		}
		ingest(t, s, o)
	}
	up := func(item, tenant string) {
		t.Helper()
		if err := s.Recover(t.Context(), tenant, "pushed/"+item+"HostDown1", detections.Text{ZH: "恢复", EN: "over"}); err != nil {
			t.Fatal(err)
		}
	}
	down("web", "hall", "e-seal") // over after 30 min
	down("desk", "tax", "tax")    // lasts
	down("drill", "lab", "e-seal")
	down("portal", "portal", "e-seal") // the system itself; lasts
	c.forward(30 * time.Minute)
	up("web", "e-seal")
	for _, i := range allIncidents(t, s) {
		if i.CI != nil && i.CI.ID == "drill" {
			if _, err := s.CloseIncident(t.Context(), Actor{Name: "li", Reach: reach.All()}, i.ID, Close{Resolution: "test"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	attack := pushedAlert("app", "Bruteforce", "1", detections.Critical, c.now()) // no fault
	attack.ID, attack.Fields["icewatch.ci.system.id"] = "attack", "hall"
	ingest(t, s, attack)
	c.forward(30 * time.Minute)
	list := func(within reach.Reach, from, to time.Time) (out []string) {
		t.Helper()
		all, err := s.Outages(t.Context(), within, from, to)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			line := fmt.Sprint(o.System, " ", o.From.Sub(c.now()), " ")
			if o.To.IsZero() {
				line += "lasts"
			} else {
				line += o.To.Sub(c.now()).String()
			}
			out = append(out, line)
		}
		slices.Sort(out)
		return out
	}
	for name, f := range map[string]struct {
		got  []string
		want []string
	}{
		"everything":     {list(reach.All(), from, c.now()), []string{"hall -1h0m0s -30m0s", "portal -1h0m0s lasts", "tax -1h0m0s lasts"}},
		"a tenant":       {list(reach.Tenants("tax"), from, c.now()), []string{"tax -1h0m0s lasts"}},
		"nobody's":       {list(reach.None(), from, c.now()), nil},
		"the later half": {list(reach.All(), c.now().Add(-20*time.Minute), c.now()), []string{"portal -1h0m0s lasts", "tax -1h0m0s lasts"}},
		"before":         {list(reach.All(), from.Add(-time.Hour), from), nil},
	} {
		if !slices.Equal(f.got, f.want) {
			t.Errorf("%s: %q, want %q", name, f.got, f.want)
		}
	}
	for _, i := range openIncidents(t, s) {
		if i.CI != nil && i.CI.ID == "desk" {
			if _, err := s.CloseIncident(t.Context(), Actor{Name: "li", Reach: reach.All()}, i.ID, Close{Resolution: "true_positive"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := list(reach.Tenants("tax"), from, c.now().Add(time.Hour)); !slices.Equal(got, []string{"tax -1h0m0s 0s"}) {
		t.Errorf("solved: %q", got)
	}
}
