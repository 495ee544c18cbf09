package risk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/detections"
	"icewatch/soc/reach"
)

// town is a service on a ledger whose alerts the test makes.
type town struct {
	*Service
	t      *testing.T
	items  *cmdb.Service
	alerts []Alert
	stirs  []string // one entry for each thing that happened: an id
	clock  time.Time
	found  found
}

// found has findings of items by id, and the ids to which something happened.
type found struct {
	of    map[string][]Finding
	stirs []string
}

func (f *found) Of(context.Context, []string) (map[string][]Finding, error) { return f.of, nil }

func (f *found) Stirred(_ context.Context, after int64) (ids []string, next int64, err error) {
	return f.stirs[after:], int64(len(f.stirs)), nil
}

func (x *town) About(_ context.Context, ids []string, since time.Time) (out []Alert, err error) {
	for _, a := range x.alerts {
		if !a.At.Before(since) && (slices.Contains(ids, a.Item) || slices.Contains(ids, a.System)) {
			out = append(out, a)
		}
	}
	return out, nil
}

func (x *town) Stirred(_ context.Context, after int64, _ time.Time) (ids []string, next int64, err error) {
	return x.stirs[after:], int64(len(x.stirs)), nil
}

func (x *town) alert(a Alert) {
	a.Name = text("攻击", "attack")
	a.At = x.clock
	x.alerts, x.stirs = append(x.alerts, a), append(x.stirs, a.Item, a.System)
}

func (x *town) imports(ledger string) {
	x.t.Helper()
	if r, err := x.items.Import(x.t.Context(), cmdb.YAML, strings.NewReader(ledger), cmdb.ImportOptions{Within: reach.All(), Actor: "t"}); err != nil || len(r.Errors) > 0 {
		x.t.Fatal(err, r.Errors)
	}
}

func (x *town) follow() {
	x.t.Helper()
	if err := x.Follow(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
}

func (x *town) of(id string) Detail {
	x.t.Helper()
	d, err := x.Of(x.t.Context(), reach.All(), id)
	if err != nil {
		x.t.Fatal(err)
	}
	return d
}

// onBoth runs a test on both kinds of databases.
func onBoth(t *testing.T, ledger string, test func(x *town)) {
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		x := &town{t: t, items: items, clock: now}
		x.imports(ledger)
		var err error
		if x.Service, err = Open(t.Context(), Deps{Items: items, Alerts: x, Findings: &x.found, Clock: func() time.Time { return x.clock }}); err != nil {
			t.Fatal(err)
		}
		x.follow()
		test(x)
	})
}

const ledger = `
- {id: city, class: organisation, name: City}
- {id: bureau, class: organisation, name: Bureau, organisation: city, tenant: a}
- {id: sys, class: business_system, name: Permits, tenant: a, organisation: bureau, criticality: 5, attributes: {protection_level: "3", industry: government, business_line: permits}}
- {id: web, class: host, name: web, tenant: a, system: sys, addresses: [10.1.0.1], attributes: {exposure: internet, open_ports: "80;443", controls: "waf;edr"}}
- {id: db, class: host, name: db, tenant: a, system: sys, addresses: [10.1.0.2]}
- {id: office, class: organisation, name: Office, attributes: {region: 道里区}}
- {id: other, class: host, name: other, tenant: b, organisation: office, addresses: [10.1.0.3]}
`

func TestFollow(t *testing.T) {
	t.Parallel()
	onBoth(t, ledger, func(x *town) {
		t, ctx := x.t, x.t.Context()
		for id, kind := range map[string]string{"city": Unit, "bureau": Unit, "sys": System, "web": Asset} {
			if d := x.of(id); d.Kind != kind || d.Line.Level != Low || len(d.Trend) != TrendDays || d.Trend[TrendDays-1].Score != d.Line.Score || d.Trend[0].Score != -1 {
				t.Errorf("%s: %+v", id, d)
			}
		}
		if d := x.of("sys"); !strings.Contains(fmt.Sprint(d.Result.Parts), "reached from the Internet") || !strings.Contains(fmt.Sprint(d.Result.Parts), "2 ports or interfaces") {
			t.Errorf("a system takes in who reaches its hosts: %+v", d.Result.Parts)
		}
		if d := x.of("web"); d.Peers.Count != 2 || d.Peers.Line != "permits" || d.Peers.Rank != 1 || d.Peers.Worst != d.Line.Score {
			t.Errorf("peers: %+v", d.Peers)
		}
		if d := x.of("db"); !strings.Contains(fmt.Sprint(d.Result.Matters), "MLPS level 3") {
			t.Errorf("a host is as important as its system: %+v", d.Result.Matters)
		}

		// A finding counts within the same round, and no more once it is closed.
		quiet := x.of("db").Line.Score
		x.found.of, x.found.stirs = map[string][]Finding{"db": {{"critical", text("弱口令", "Weak password")}}}, []string{"db", "sys"}
		x.follow()
		if d := x.of("db"); d.Line.Score <= quiet || !strings.Contains(fmt.Sprint(d.Result.Parts), "Weak password") {
			t.Errorf("after the finding: %+v", d.Line)
		}
		x.found.of, x.found.stirs = nil, append(x.found.stirs, "db")
		x.follow()
		if d := x.of("db"); d.Line.Score != quiet {
			t.Errorf("after its repair: %+v", d.Line)
		}

		// An alert counts for the host, its system, the unit and the one above.
		before := x.of("web").Line.Score
		x.alert(Alert{Threat: Threat{ID: "1", Severity: "critical", Verdict: detections.Compromised}, Item: "web", System: "sys", IncidentID: "I"})
		x.follow()
		for _, id := range []string{"web", "sys", "bureau", "city"} {
			if d := x.of(id); d.Line.Level != Compromised || d.Line.Score < 85 || d.Alerts != 1 || d.Incidents != 1 || !slices.Contains(d.Line.Tags, "compromised") {
				t.Errorf("after the alert %s is %+v", id, d.Line)
			}
		}
		if d := x.of("db"); d.Line.Level != Low || d.Alerts != 0 {
			t.Errorf("another host: %+v", d.Line)
		}
		list, total, err := x.List(ctx, reach.All(), Question{Sort: "alerts", Kind: Asset})
		if err != nil || total != 3 || list[0].ID != "web" || list[0].Why.EN == "" {
			t.Errorf("%d %+v, %v", total, list, err)
		}
		for words, want := range map[string]int{"WEB": 1, "10.1.0": 3, "10.1.0 permits": 0, "%": 0, "nowhere": 0, "': ' OR 1=1 --": 0} {
			if list, total, err := x.List(ctx, reach.All(), Question{Words: words, Kind: Asset}); err != nil || total != want || len(list) != want {
				t.Errorf("%q finds %d %+v, want %d: %v", words, total, list, want, err)
			}
		}
		for _, c := range []struct {
			q    Question
			want string
		}{
			{Question{Kind: Asset, Tag: "compromised"}, "web"}, {Question{Kind: Asset, Tag: "exposed"}, "web"}, {Question{Kind: Asset, Tag: "unprotected"}, "db other"},
			{Question{Kind: Asset, Tag: "cii"}, ""}, {Question{Kind: Asset, Tag: "%"}, ""}, {Question{Kind: Asset, Region: "道里区"}, "other"}, {Question{Kind: Asset, Region: "道里"}, ""},
		} {
			list, total, err := x.List(ctx, reach.All(), c.q)
			var got []string
			for _, l := range list {
				got = append(got, l.ID)
			}
			slices.Sort(got)
			if err != nil || total != len(list) || strings.Join(got, " ") != c.want {
				t.Errorf("tag %q, region %q: %v of %d, want %s: %v", c.q.Tag, c.q.Region, got, total, c.want, err)
			}
		}
		o, err := x.Overview(ctx, reach.All(), System)
		if err != nil || o.ByLevel[Compromised] != 1 || o.AtRisk != 1 || o.Worst[0].ID != "sys" || o.Trend[TrendDays-1].ByLevel[Compromised] != 1 || !slices.ContainsFunc(o.Industries, func(s Share) bool { return s.Value == "government" && s.AtRisk == 1 }) {
			t.Errorf("overview: %+v, %v", o, err)
		}

		// Who sees one tenant is told of that one's, of units too.
		theirs := reach.Tenants("b")
		if _, err := x.Of(ctx, theirs, "web"); err == nil {
			t.Error("another tenant sees the host's risk")
		}
		if d, err := x.Of(ctx, theirs, "other"); err != nil || d.Peers.Count != 1 || d.Line.Level != Low {
			t.Errorf("%+v, %v", d, err)
		}
		ours := reach.Tenants("a")
		if d, err := x.Of(ctx, ours, "bureau"); err != nil || d.Line.Level != Compromised || len(d.Result.Matters) != 1 || d.Alerts != 1 {
			t.Errorf("the bureau for its tenant: %+v, %v", d, err)
		}

		// A day later it is dealt with; the trend keeps what was.
		x.clock = x.clock.AddDate(0, 0, 1)
		x.alerts[0].Closed = true
		x.stirs = append(x.stirs, "web")
		x.follow()
		d := x.of("web")
		if d.Line.Score != before || d.Line.Level != Low || d.Trend[TrendDays-2].Level != Compromised || d.Trend[TrendDays-1].Score != before {
			t.Errorf("closed: %+v", d)
		}
		if d := x.of("city"); d.Line.Level != Low || d.Alerts != 0 {
			t.Errorf("closed: %+v", d.Line)
		}

		// A more important host is more at risk; one that moves takes its risk along.
		x.alert(Alert{Threat: Threat{ID: "2", Severity: "critical"}, Item: "other"})
		x.follow()
		minor := x.of("other").Line.Score
		x.imports(`[{id: other, class: host, name: other, tenant: b, criticality: 5, organisation: city}]`)
		if d := x.of("office"); d.Alerts != 1 {
			t.Errorf("the unit that it will leave: %+v", d.Line)
		}
		x.follow()
		if d := x.of("other"); d.Line.Score <= minor {
			t.Errorf("more critical: %d, was %d", d.Line.Score, minor)
		}
		if d := x.of("office"); d.Alerts != 0 {
			t.Errorf("the unit it left: %+v", d.Line)
		}
		if err := x.items.Delete(ctx, reach.All(), "t", "other"); err != nil {
			t.Fatal(err)
		}
		x.follow()
		if _, err := x.Of(ctx, reach.All(), "other"); err == nil || x.of("city").Alerts != 0 {
			t.Errorf("deleted: %v, %+v", err, x.of("city").Line)
		}

		// Time makes an alert lighter by itself.
		x.alert(Alert{Threat: Threat{ID: "3", Severity: "critical"}, Item: "db", System: "sys"})
		x.follow()
		fresh := x.of("db").Line.Score
		x.clock = x.clock.AddDate(0, 0, 14)
		x.follow()
		if d := x.of("db"); d.Line.Score >= fresh || d.Trend[0].Score != fresh {
			t.Errorf("a fortnight later: %+v, was %d", d.Line, fresh)
		}
	})
}

// What is scored one after the other is what is scored at once.
func TestFollowingIsScoringAnew(t *testing.T) {
	t.Parallel()
	onBoth(t, ledger, func(x *town) {
		for i := range 12 {
			x.alert(Alert{Threat: Threat{ID: fmt.Sprint(i), Severity: detections.Levels[i%5], Verdict: append(detections.Verdicts, "")[i%5], Closed: i%4 == 0, Real: i%8 == 0},
				Item: []string{"web", "db", "other"}[i%3], System: []string{"sys", "sys", ""}[i%3]})
			x.clock = x.clock.Add(20 * time.Minute)
			x.follow()
		}
		x.clock = x.clock.Add(time.Hour)
		x.follow()
		var followed []string
		for _, id := range []string{"city", "bureau", "office", "sys", "web", "db", "other"} {
			d := x.of(id)
			followed = append(followed, fmt.Sprintf("%s %d %s %d %d %v", id, d.Line.Score, d.Line.Level, d.Alerts, d.Incidents, d.Result))
		}
		for _, table := range []string{"cmdb_risk", "cmdb_risk_marks"} {
			if _, err := x.db.NewDelete().Table(table).Where("1 = 1").Exec(x.t.Context()); err != nil {
				x.t.Fatal(err)
			}
		}
		x.follow()
		for i, id := range []string{"city", "bureau", "office", "sys", "web", "db", "other"} {
			d := x.of(id)
			if anew := fmt.Sprintf("%s %d %s %d %d %v", id, d.Line.Score, d.Line.Level, d.Alerts, d.Incidents, d.Result); anew != followed[i] {
				x.t.Errorf("followed %s\nanew     %s", followed[i], anew)
			}
		}
	})
}
